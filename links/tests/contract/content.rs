//! The content link: what is offered arrives sealed, what finds no room is refused at once, what nobody kept comes again.

use links::ReconnectSettings;
use links::content::{
    ContentKey, ContentLink, ContentLinkSettings, ContentListener, Recorded, content_listener,
};
use links::pipe::pipe;
use proto::content::v1::Content;
use std::time::Duration;
use tonic::transport::Server;

const SEAL_KEY: [u8; 32] = [7; 32];

fn recorded(request_id: &str, prompt: &str) -> Recorded {
    let content = Content { prompt: prompt.into(), completion: "hi".into(), ..Content::default() };
    Recorded { request_id: request_id.to_owned(), org_uid: 3, ended_us: 5, content }
}

fn start(settings: ContentLinkSettings) -> (ContentLink, ContentListener) {
    let (connections, connector) = pipe();
    let (service, listener) = content_listener();
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(connections));
    let link = ContentLink::start(connector.channel(), ContentKey::derive(&SEAL_KEY), settings);
    (link, listener)
}

fn quick() -> ContentLinkSettings {
    let wait = Duration::from_millis(1);
    let reconnect =
        ReconnectSettings { first_wait: wait, longest_wait: wait, ..ReconnectSettings::default() };
    ContentLinkSettings { reconnect, ..ContentLinkSettings::default() }
}

#[tokio::test]
async fn contents_arrive_sealed_for_their_request() {
    let (link, mut listener) = start(quick());
    link.offer(recorded("req-1", "a secret prompt")).unwrap();
    let delivery = listener.next().await.unwrap();
    let content = delivery.contents[0].clone();
    delivery.kept();
    assert_eq!((content.request_id.as_str(), content.org_uid, content.ended_us), ("req-1", 3, 5));
    assert!(!content.sealed.windows(6).any(|part| part == b"secret"), "nothing shows");
    let key = ContentKey::derive(&SEAL_KEY);
    assert_eq!(key.open("req-1", &content.sealed).unwrap().prompt, b"a secret prompt");
    assert!(key.open("req-2", &content.sealed).is_err(), "it is of no other request");
    let sealing = links::seal::unseal(&SEAL_KEY, "req-1", &content.sealed);
    assert!(sealing.is_err(), "the key of credentials does not open it");
}

#[tokio::test]
async fn what_was_not_kept_comes_again() {
    let (link, mut listener) = start(quick());
    link.offer(recorded("req-1", "x")).unwrap();
    drop(listener.next().await.unwrap());
    let again = listener.next().await.unwrap();
    assert_eq!(again.contents[0].request_id, "req-1");
    again.kept();
    link.offer(recorded("req-2", "y")).unwrap();
    assert_eq!(listener.next().await.unwrap().contents[0].request_id, "req-2");
}

#[tokio::test]
async fn without_room_it_is_refused_at_once_and_there_is_room_again_later() {
    let (link, mut listener) = start(ContentLinkSettings { waiting_bytes: 10, ..quick() });
    assert!(link.offer(recorded("too-long", "longer than ten bytes")).is_err());
    link.offer(recorded("req-1", "12345678")).unwrap();
    assert!(link.offer(recorded("req-2", "1")).is_err(), "no byte is left");
    listener.next().await.unwrap().kept();
    let offered = async {
        while link.offer(recorded("req-3", "1")).is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), offered).await.expect("there is room again");
    assert_eq!(listener.next().await.unwrap().contents[0].request_id, "req-3");
}
