//! Answers told byte for byte.

use serde_json::{Value, json};

use crate::client::{CHAT, End, chat, ended, post, post_with, start};

#[tokio::test]
async fn a_raw_answer_goes_out_byte_for_byte_in_the_writes_it_was_told() {
    let simulator = start().await;
    let body = json!(["data: é\r\r", {"base64": "/w=="}, {"repeat": "ab", "times": 3}]);
    let table = [
        (Value::Null, vec!["data: é\r\r".as_bytes().to_vec(), vec![0xff], b"ababab".to_vec()]),
        (json!(5), vec![b"data:".to_vec(), " é\r\r".into(), b"\xffabab".to_vec(), b"ab".to_vec()]),
    ];
    for (split, writes) in table {
        let raw = json!({"body": body, "split": split});
        let answer = post(&simulator, CHAT, &chat(true, json!({"raw": raw}))).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some("text/event-stream"))
        );
        assert_eq!(answer.rest().await, (writes, End::Whole), "{split}");
    }
    assert_eq!(ended(&simulator, 1).await["ended"], "complete");
}

#[tokio::test]
async fn a_raw_answer_has_the_head_and_the_end_it_was_told_on_every_endpoint() {
    let simulator = start().await;
    for (end, seen) in [("whole", End::Whole), ("cut", End::Closed), ("reset", End::Reset)] {
        for path in [CHAT, "/v1/completions", "/v1/embeddings"] {
            let raw = json!({"status": 307, "headers": {"location": "http://elsewhere/"}, "body": ["x"], "end": end});
            let mut request = chat(false, json!({"raw": raw}));
            (request["prompt"], request["input"]) = (json!("x"), json!("x"));
            let answer = post(&simulator, path, &request).await;
            assert_eq!(
                (answer.status, answer.header("location")),
                (307, Some("http://elsewhere/"))
            );
            assert_eq!(answer.rest().await, (vec![b"x".to_vec()], seen), "{end} {path}");
        }
    }
    assert_eq!(ended(&simulator, 4).await["ended"], "fault");
}

#[tokio::test]
async fn a_long_repetition_is_written_in_blocks_and_raw_strikes_only_the_first_attempts() {
    let simulator = start().await;
    let raw = json!({"body": [{"repeat": "x", "times": 150_000}]});
    let request = chat(false, json!({"raw": raw, "attempt": 1}));
    let header = "x-request-id: same\r\n";
    let (writes, _) = post_with(&simulator, CHAT, header, &request).await.rest().await;
    let lengths: Vec<usize> = writes.iter().map(Vec::len).collect();
    assert_eq!(lengths, [65_536, 65_536, 18_928]);
    let second = post_with(&simulator, CHAT, header, &request).await.json().await;
    assert_eq!(second["choices"][0]["finish_reason"], "stop");
}

#[tokio::test]
async fn a_raw_answer_that_cannot_be_told_is_refused_by_its_field() {
    let simulator = start().await;
    for raw in [json!({"bodies": []}), json!({"status": 99}), json!({"headers": {"a b": "c"}})] {
        let answer = post(&simulator, CHAT, &chat(false, json!({"raw": raw}))).await;
        assert_eq!(answer.status, 400, "{raw}");
        assert_eq!(answer.json().await["error"]["param"], "x_simulator.raw", "{raw}");
    }
}
