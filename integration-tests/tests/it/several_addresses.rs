//! A data plane that knows several addresses of control planes: it finds the one that is there, and is sent on when that stops.

use integration_tests::{SplitGateway, eventually, say};
use std::net::TcpListener;

#[tokio::test]
async fn a_data_plane_finds_the_control_plane_that_is_there_and_each_stops_well() {
    let mut split = SplitGateway::start(&[]).await;
    split.stop_plane().await;
    // At one of them nobody is, at the other one connections stand and nothing is said.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = (format!("http://{}", silent.local_addr().unwrap()), silent);
    split.name_control_planes(&["http://127.0.0.1:1", &silent.0]);
    split.start_plane().await;
    let before = split.new_org("before", "1.00 USD").await;
    served(&split, &before.key).await;

    split.stop_office().await;
    eventually("the data plane was told that its control plane stops", async || {
        split.plane_said().contains("sent us elsewhere").then_some(())
    })
    .await;
    assert_eq!(split.chat(&before.key, say(5)).await.status, 200, "it serves what it holds");
    split.start_office().await;
    let after = split.new_org("after", "1.00 USD").await;
    served(&split, &after.key).await;
    split.stop_plane().await;
}

/// A key that was just made is served once the configuration and the first money have come.
async fn served(split: &SplitGateway, key: &str) {
    eventually("a new key is served", async || {
        (split.chat(key, say(5)).await.status == 200).then_some(())
    })
    .await;
}
