//! A peer that vanishes without a word: a cable pulled, a machine frozen.

use crate::carrier::{impatient, soon};
use crate::objects::{delta, plan, rev};
use links::feed::{FeedHello, FeedPublisher, FeedSubscriber, FeedUpdate, SubscriberSettings};
use links::tcp::{self, TcpSettings};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Forwards connections to a server. Those that are open when it freezes stay open, but nothing passes any more; later ones
/// are forwarded as long as it is not closed.
struct Wire {
    address: SocketAddr,
    freezes: watch::Sender<u32>,
    is_open: watch::Sender<bool>,
}

impl Wire {
    async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let freezes = watch::Sender::new(0);
        let is_open = watch::Sender::new(true);
        let (frozen, mut open) = (freezes.subscribe(), is_open.subscribe());
        tokio::spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                open.wait_for(|is_open| *is_open).await.unwrap();
                let mut frozen = frozen.clone();
                frozen.mark_unchanged();
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(server).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = frozen.changed() => std::future::pending().await,
                    }
                });
            }
        });
        Self { address, freezes, is_open }
    }

    fn freeze(&self) {
        self.freezes.send_modify(|freezes| *freezes += 1);
    }
}

fn quick() -> TcpSettings {
    TcpSettings {
        heartbeat_interval: Duration::from_millis(50),
        heartbeat_timeout: Duration::from_millis(200),
        ..TcpSettings::default()
    }
}

async fn serve(publisher: &FeedPublisher) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = tcp::server(quick()).add_service(publisher.service());
    tokio::spawn(router.serve_with_incoming(tcp::incoming(listener, quick())));
    address
}

fn subscribe(address: SocketAddr) -> FeedSubscriber {
    let channel = tcp::channel(&format!("http://{address}"), quick()).unwrap();
    let hello = FeedHello { data_plane: "dp".into(), cell: "sg".into(), applied: None };
    let settings = SubscriberSettings { reconnect: impatient(), ..SubscriberSettings::default() };
    FeedSubscriber::start_with(channel, hello, settings)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_plane_notices_that_its_control_plane_vanished_and_connects_anew() {
    let publisher = FeedPublisher::new(rev(1), vec![plan("a")]);
    let wire = Wire::to(serve(&publisher).await).await;
    let mut subscriber = subscribe(wire.address);
    assert!(matches!(soon(subscriber.next()).await, FeedUpdate::Snapshot { .. }));
    subscriber.ack(rev(1), Vec::new());
    soon(publisher.applied_everywhere(rev(1))).await;
    wire.freeze();
    publisher.publish(delta(2, Vec::new())).unwrap();
    assert_eq!(soon(subscriber.next()).await, FeedUpdate::Delta(delta(2, Vec::new())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_plane_notices_that_a_data_plane_vanished() {
    let publisher = FeedPublisher::new(rev(1), vec![plan("a")]);
    let wire = Wire::to(serve(&publisher).await).await;
    let mut subscriber = subscribe(wire.address);
    assert!(matches!(soon(subscriber.next()).await, FeedUpdate::Snapshot { .. }));
    assert_eq!(publisher.data_planes().len(), 1);
    wire.is_open.send_replace(false);
    wire.freeze();
    // Nobody will ever apply this; the wait ends when nobody is left.
    soon(publisher.applied_everywhere(rev(99))).await;
    assert_eq!(publisher.data_planes(), []);
}
