//! Producers give their answers at once, and outlive clients that leave.

use super::{Client, Gone, Panicked, respond};
use bytes::Bytes;
use http::Response;
use http::response::Parts;
use http_body_util::BodyExt;
use std::future::poll_fn;
use tokio::sync::oneshot;

fn head() -> Parts {
    Response::new(()).into_parts().0
}

#[tokio::test]
async fn an_answer_is_its_head_and_its_frames_in_order() {
    let response = respond(|client: Client| async move {
        client.begin(head());
        for word in ["a", "b", "c"] {
            client.send(Bytes::from(word)).await.unwrap();
        }
    })
    .await
    .unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "abc");
}

#[tokio::test]
async fn a_producer_waits_until_its_last_frame_was_taken() {
    let (sent, mut told) = oneshot::channel();
    let response = respond(|client: Client| async move {
        client.begin(head());
        client.send(Bytes::from("1")).await.unwrap();
        client.send(Bytes::from("2")).await.unwrap();
        sent.send(()).unwrap();
    })
    .await
    .unwrap();
    let mut body = response.into_body();
    assert!(told.try_recv().is_err());
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "1");
    assert!(told.try_recv().is_err());
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "2");
    assert!(body.frame().await.is_none());
    assert!(told.try_recv().is_ok());
}

#[tokio::test]
async fn a_producer_runs_to_its_end_when_the_client_leaves_in_the_middle() {
    let (ended, end) = oneshot::channel();
    let response = respond(|client: Client| async move {
        client.begin(head());
        client.send(Bytes::from("1")).await.unwrap();
        poll_fn(|context| client.poll_gone(context)).await;
        assert_eq!(client.send(Bytes::from("2")).await, Err(Gone));
        ended.send(client.is_gone()).unwrap();
    })
    .await;
    drop(response);
    assert!(end.await.unwrap());
}

#[tokio::test]
async fn a_producer_runs_to_its_end_when_the_client_leaves_before_the_head() {
    let (ended, end) = oneshot::channel();
    let (go, wait) = oneshot::channel::<()>();
    {
        let waiting = respond(|client: Client| async move {
            wait.await.unwrap();
            ended.send(client.is_gone()).unwrap();
        });
        let mut waiting = std::pin::pin!(waiting);
        assert!(futures::poll!(waiting.as_mut()).is_pending());
    }
    go.send(()).unwrap();
    assert!(end.await.unwrap());
}

/// Tells when it is dropped, as an admission settles itself.
struct Guard(Option<oneshot::Sender<()>>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.take().unwrap().send(()).unwrap();
    }
}

#[tokio::test]
async fn a_panic_before_the_head_is_no_answer_and_drops_what_the_producer_held() {
    let (dropped, mut told) = oneshot::channel();
    let guard = Guard(Some(dropped));
    let answered = respond(|_| async move {
        let _guard = guard;
        panic!("planted");
    })
    .await;
    assert!(answered.is_none());
    assert!(told.try_recv().is_ok());
}

#[tokio::test]
async fn a_panic_in_a_stream_breaks_it_off_after_what_was_sent() {
    let (dropped, mut told) = oneshot::channel();
    let guard = Guard(Some(dropped));
    let response = respond(|client: Client| async move {
        let _guard = guard;
        client.begin(head());
        client.send(Bytes::from("1")).await.unwrap();
        client.send(Bytes::from("2")).await.unwrap();
        panic!("planted");
    })
    .await
    .unwrap();
    let mut body = response.into_body();
    for word in ["1", "2"] {
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), word);
    }
    let broken = body.frame().await.unwrap().unwrap_err();
    assert_eq!(broken.to_string(), Panicked.to_string());
    assert!(told.try_recv().is_ok());
}
