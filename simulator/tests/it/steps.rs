//! Lock-step: a chunk leaves only when the test says so, and the test knows when it has left.

use serde_json::{Value, json};
use simulator::{Simulator, text};

use crate::client::{Answer, CHAT, End, chat, ended, get, post, send, start};

async fn step(simulator: &Simulator, name: &str) -> (u16, Value) {
    let answer = post(simulator, &format!("/_step/{name}"), &json!({})).await;
    (answer.status, answer.json().await)
}

#[tokio::test]
async fn each_step_releases_one_chunk_and_returns_when_it_is_in_the_socket() {
    let simulator = start().await;
    let script = json!({"tokens": 2, "step": "one"});
    let mut answer = post(&simulator, CHAT, &chat(true, script)).await;
    // Two tokens, the finish reason and `[DONE]`.
    for chunk in 1..=4 {
        let (status, stepped) = step(&simulator, "one").await;
        assert_eq!(status, 200);
        assert_eq!(stepped, json!({"chunk": chunk, "last": chunk == 4}));
        answer.chunk().await.unwrap();
    }
    assert_eq!(answer.chunk().await, Err(End::Whole));
    assert_eq!(ended(&simulator, 1).await["chunks_sent"], 4);
}

#[tokio::test]
async fn nothing_leaves_before_its_step() {
    let simulator = start().await;
    let script = json!({"tokens": 9, "step": "held"});
    let mut answer = post(&simulator, CHAT, &chat(true, script)).await;
    step(&simulator, "held").await;
    answer.chunk().await.unwrap();
    drop(answer);
    assert_eq!(ended(&simulator, 1).await["chunks_sent"], 1);
}

#[tokio::test]
async fn a_step_may_come_before_its_stream() {
    let simulator = start().await;
    let request = chat(false, json!({"tokens": 2, "step": "early"}));
    let (stepped, answer) = tokio::join!(step(&simulator, "early"), async {
        get(&simulator, "/_health").await;
        post(&simulator, CHAT, &request).await.json().await
    });
    assert_eq!(stepped, (200, json!({"chunk": 1, "last": true})));
    assert_eq!(answer["choices"][0]["message"]["content"], text(2));
}

#[tokio::test]
async fn a_step_that_the_stream_no_longer_takes_is_gone() {
    let simulator = start().await;
    let script = json!({"fault": "stall", "at": 1, "step": "stalled"});
    let mut answer = post(&simulator, CHAT, &chat(true, script)).await;
    step(&simulator, "stalled").await;
    answer.chunk().await.unwrap();
    // Sent before the health request, so that it is waiting by the time that one is answered.
    let stepped = send(&simulator, "POST", "/_step/stalled", "", b"").await;
    get(&simulator, "/_health").await;
    drop(answer);
    assert_eq!(Answer::read(stepped).await.unwrap().status, 410);
}
