//! The log is complete: every attempt, both bodies to the byte, and how each ended.

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::{
    client::{Answer, CHAT, chat, ended, get, post, post_with, send, start, start_with},
    endpoints::base64_bytes,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_is_logged_with_both_bodies_to_the_byte() {
    let simulator = start().await;
    let mut request = chat(true, json!({"tokens": 3}));
    request["stream_options"] = json!({"include_usage": true});
    let headers = "x-request-id: req-1\r\nauthorization: Bearer sk-x\r\n";
    let (chunks, _) = post_with(&simulator, CHAT, headers, &request).await.rest().await;

    // At once: who has seen the end finds it.
    let entries = get(&simulator, "/_log").await;
    let [begin, end] = entries.as_array().unwrap().as_slice() else { panic!("{entries}") };
    for entry in [begin, end] {
        assert_eq!(entry["request_id"], "req-1");
        assert_eq!((&entry["method"], &entry["path"]), (&json!("POST"), &json!(CHAT)));
        let headers = entry["request_headers"].as_array().unwrap();
        assert!(headers.contains(&json!(["authorization", "Bearer sk-x"])));
    }
    assert_eq!((&begin["n"], &begin["event"]), (&json!(1), &json!("begin")));
    assert_eq!((&end["n"], &end["event"]), (&json!(2), &json!("end")));
    assert!(end["ended_us"].as_u64() >= begin["began_us"].as_u64());
    assert_eq!(base64_bytes(&end["request_body"]), request.to_string().into_bytes());
    assert_eq!(base64_bytes(&end["response_body"]), chunks.concat());
    let lengths: Vec<_> = chunks.iter().map(Vec::len).collect();
    assert_eq!(end["chunk_lengths"], json!(lengths), "the boundaries are the wire's");
    assert_eq!(end["chunks_sent"], lengths.len());
    assert_eq!(end["usage"]["completion_tokens"], 3);
    assert_eq!((&end["status"], &end["ended"]), (&json!(200), &json!("complete")));
    assert_eq!(get(&simulator, "/_log?after=1").await, json!([end]));
    assert_eq!(get(&simulator, "/_log?after=2").await, json!([]));
}

#[tokio::test]
async fn the_file_holds_the_same_entries_as_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    let simulator = start_with(Some(path.clone())).await;
    for fault in ["bad_request", "cut", "no_done", "html"] {
        post(&simulator, CHAT, &chat(true, json!({"fault": fault}))).await.rest().await;
    }
    ended(&simulator, 4).await;
    let entries = get(&simulator, "/_log").await;
    let lines = std::fs::read_to_string(&path).unwrap();
    let lines: Value =
        lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect();
    assert_eq!(lines, entries);
    let numbers = entries.as_array().unwrap().iter().map(|entry| entry["n"].as_u64().unwrap());
    assert!(numbers.eq(1..=8), "without gaps");
}

#[tokio::test]
async fn a_client_that_leaves_is_logged_with_the_chunks_it_got() {
    let simulator = start().await;
    let script = json!({"tokens": 5, "step": "leaving"});
    let mut answer = post(&simulator, CHAT, &chat(true, script)).await;
    for _ in 0..2 {
        post(&simulator, "/_step/leaving", &json!({})).await;
        answer.chunk().await.unwrap();
    }
    drop(answer);
    let entry = ended(&simulator, 1).await;
    assert_eq!((&entry["ended"], &entry["chunks_sent"]), (&json!("client_gone"), &json!(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_at_done_got_a_whole_answer() {
    let simulator = start().await;
    for attempt in 1..=20 {
        let mut answer = post(&simulator, CHAT, &chat(true, json!({"tokens": 1}))).await;
        while !answer.chunk().await.unwrap().starts_with(b"data: [DONE]") {}
        drop(answer);
        assert_eq!(ended(&simulator, attempt).await["ended"], "complete");
    }
}

#[tokio::test]
async fn a_client_that_dies_while_it_sends_shows_from_its_head_on() {
    let simulator = start().await;
    let mut stream = send(&simulator, "GET", "/_health", "", b"").await;
    let head = format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{{\"mod");
    stream.write_all(head.as_bytes()).await.unwrap();
    let begun = get(&simulator, "/_log?wait_ms=10000").await;
    assert_eq!(begun[0]["event"], "begin");
    drop(stream);
    let entry = ended(&simulator, 1).await;
    assert_eq!((&entry["ended"], &entry["status"]), (&json!("client_gone"), &Value::Null));
}

#[tokio::test]
async fn a_reused_connection_logs_each_of_its_attempts() {
    let simulator = start().await;
    let body = chat(false, json!({"tokens": 1})).to_string();
    let one =
        format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    // Sent ahead, so that the second follows on the heels of the first.
    let mut stream = send(&simulator, "POST", CHAT, "", body.as_bytes()).await;
    stream.write_all(one.as_bytes()).await.unwrap();
    let first = ended(&simulator, 1).await;
    let second = ended(&simulator, 2).await;
    for entry in [first, second] {
        assert_eq!((&entry["ended"], &entry["chunks_sent"]), (&json!("complete"), &json!(1)));
    }
    assert_eq!(Answer::read(stream).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_slow_reader_s_unread_answer_is_not_called_complete() {
    let simulator = start().await;
    // Far more than the sockets' buffers hold.
    let script = json!({"tokens": 5_000_000});
    let answer = post(&simulator, CHAT, &chat(false, script)).await;
    drop(answer);
    let entry = ended(&simulator, 1).await;
    assert_eq!((&entry["ended"], &entry["chunks_sent"]), (&json!("client_gone"), &json!(0)));
}

#[tokio::test]
async fn shutdown_ends_open_attempts_under_its_own_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    let simulator = start_with(Some(path.clone())).await;
    let script = json!({"fault": "stall", "at": 1});
    let mut answer = post(&simulator, CHAT, &chat(true, script)).await;
    answer.chunk().await.unwrap();
    simulator.shutdown().await;
    let lines = std::fs::read_to_string(&path).unwrap();
    let end: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!((&end["event"], &end["ended"]), (&json!("end"), &json!("shutdown")));
}
