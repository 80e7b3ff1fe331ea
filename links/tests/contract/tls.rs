//! Who is let in by TLS, as what, and whom a data plane takes for a control plane.

use crate::carrier::{Carrier, Running, Site, impatient, soon};
use crate::certificates::{Authority, CONTROL_PLANE, FLEET, Set, data_plane};
use crate::feed::{feed, hello, hello_message, published};
use crate::objects::rev;
use crate::raw;
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use hyper_util::rt::TokioIo;
use links::content::content_listener;
use links::escrow::{EscrowListener, escrow_listener};
use links::feed::{
    FeedPublisher, FeedSubscriber, FeedUpdate, PublisherSettings, SubscriberSettings,
};
use links::tcp::{self, TcpSettings};
use links::tls::{self, End, Material, Served, TlsError};
use links::usage::{UsageListener, UsageListenerSettings, usage_listener};
use prost::Message;
use proto::escrow::v1 as escrow;
use proto::usage::v1::{ShipHello, ShipRequest, ship_request};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

const FEED: &str = "/turnpike.feed.v1.FeedService/Sync";
const ESCROW: &str = "/turnpike.escrow.v1.EscrowService/Sync";
const USAGE: &str = "/turnpike.usage.v1.UsageService/Ship";
const CONTENT: &str = "/turnpike.content.v1.ContentService/Store";
const SERVICES: [&str; 4] = [FEED, ESCROW, USAGE, CONTENT];

/// All that data planes talk to.
struct Office {
    site: Site,
    publisher: FeedPublisher,
    _running: Running,
    escrow: EscrowListener,
    usage: UsageListener,
}

async fn office() -> Office {
    let mut site = Site::new(Carrier::Tls).await;
    let publisher = published(2, PublisherSettings::default());
    let (escrow, at_desk) = escrow_listener();
    let (usage, at_billing) = usage_listener(UsageListenerSettings::default());
    let (content, _) = content_listener();
    let routes = feed(&publisher).add_service(escrow).add_service(usage).add_service(content);
    let running = site.serve(routes).await;
    Office { site, publisher, _running: running, escrow: at_desk, usage: at_billing }
}

/// How a call ends that says this, and no more.
async fn ends(channel: Channel, path: &'static str, said: Vec<Bytes>) -> Code {
    soon(raw::ends_with(channel, path, stream::iter(said).chain(stream::pending()))).await
}

/// A first message that is none: whoever is let in is told so.
fn nonsense() -> Vec<Bytes> {
    vec![Bytes::from_static(b"\xff\xff\xff\xff not a message")]
}

fn chain(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).map(Result::unwrap).collect()
}

/// A client that goes by nothing but what it is given, as one of somebody else might.
fn bare_config(shown: Option<(String, String)>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(chain(FLEET.pem()).remove(0)).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match shown {
        Some((cert, key)) => {
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain(&cert), key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

async fn shake(
    address: SocketAddr,
    config: Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(address).await?;
    TlsConnector::from(config).connect(ServerName::try_from("localhost").unwrap(), socket).await
}

fn bare(address: SocketAddr, shown: Option<(String, String)>) -> Channel {
    let config = bare_config(shown);
    let connect = tower::service_fn(move |_| {
        let config = config.clone();
        async move { shake(address, config).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://localhost").connect_with_connector_lazy(connect)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_data_planes_of_the_zone_are_let_in_anywhere() {
    let office = office().await;
    let other_authority = Authority::new();
    let good = data_plane("sg", "dp");
    let rows = [
        ("its data plane", Some(FLEET.signs(&[&good], 4000)), Some(Code::Internal)),
        ("without a certificate", None, Some(Code::Unauthenticated)),
        ("signed by another authority", Some(other_authority.signs(&[&good], 4000)), None),
        ("expired", Some(FLEET.signs(&[&good], 2001)), None),
        ("without a URI", Some(FLEET.signs(&[], 4000)), Some(Code::Unauthenticated)),
        ("with two", Some(FLEET.signs(&[&good, &good], 4000)), Some(Code::Unauthenticated)),
        (
            "of somebody else's",
            Some(FLEET.signs(&["https://apac/cell/sg/data-plane/dp"], 4000)),
            Some(Code::Unauthenticated),
        ),
        (
            "of another zone",
            Some(FLEET.signs(&["spiffe://emea/cell/sg/data-plane/dp"], 4000)),
            Some(Code::PermissionDenied),
        ),
        (
            "a control plane's",
            Some(FLEET.signs(&[CONTROL_PLANE], 4000)),
            Some(Code::PermissionDenied),
        ),
    ];
    for (what, shown, expected) in rows {
        for service in SERVICES {
            let ended = ends(bare(office.site.address(), shown.clone()), service, nonsense()).await;
            match expected {
                Some(expected) => assert_eq!(ended, expected, "{what}, {service}"),
                // The connection ends before anything could be said about a call.
                None => assert!(
                    matches!(ended, Code::Unavailable | Code::Unknown | Code::Cancelled),
                    "{what}, {service}: {ended:?}"
                ),
            }
        }
    }
    assert_eq!(office.publisher.data_planes(), []);
}

fn first<M: Message>(message: &M) -> Vec<Bytes> {
    vec![message.encode_to_vec().into()]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_says_to_be_another_data_plane_or_of_another_cell() {
    let mut office = office().await;
    let named = escrow::Hello { data_plane: "dp".into(), ..escrow::Hello::default() };
    let named = escrow::sync_request::Message::Hello(named);
    let to_escrow = first(&escrow::SyncRequest { message: Some(named) });
    let named = ShipHello { data_plane: "dp".into(), incarnation: 1 };
    let to_usage = first(&ShipRequest { message: Some(ship_request::Message::Hello(named)) });
    let to_feed = first(&hello_message("dp"));
    let rows = [
        (FEED, &to_feed, "sg", "other"),
        (FEED, &to_feed, "cn", "dp"),
        (ESCROW, &to_escrow, "sg", "other"),
        (USAGE, &to_usage, "sg", "other"),
    ];
    for (service, said, cell, name) in rows {
        let channel = office.site.channel_in(cell, name);
        let ended = ends(channel, service, said.clone()).await;
        assert_eq!(ended, Code::PermissionDenied, "{service} for dp of sg by {name} of {cell}");
    }
    assert_eq!(office.publisher.data_planes(), []);

    // Whoever it is may say so.
    let calls = [(FEED, to_feed), (ESCROW, to_escrow), (USAGE, to_usage)]
        .map(|(service, said)| tokio::spawn(ends(office.site.channel(), service, said)));
    assert_eq!(soon(office.escrow.accept()).await.unwrap().hello.data_plane, "dp");
    assert_eq!(soon(office.usage.accept()).await.unwrap().data_plane(), "dp");
    while office.publisher.data_planes().is_empty() {
        tokio::task::yield_now().await;
    }
    calls.iter().for_each(tokio::task::JoinHandle::abort);
}

fn follow(channel: Channel) -> FeedSubscriber {
    let settings = SubscriberSettings { reconnect: impatient(), ..SubscriberSettings::default() };
    FeedSubscriber::start_with(channel, hello("dp", None), settings)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_plane_takes_nobody_but_its_control_plane_for_it() {
    const BILLING: &str = "spiffe://apac/billing/b-0";
    let other_authority = Authority::new();
    let calling = || FLEET.calling(&data_plane("sg", "dp"));
    let until = |year| Material::load(FLEET.set_until(CONTROL_PLANE, year).files, End::Serving);
    let elsewhere = "spiffe://emea/control-plane/cp-0";
    // It would trust them, and they trust it.
    let rows = [
        ("its control plane", FLEET.serving(CONTROL_PLANE), Served::ByControlPlane, true),
        ("billing as itself", FLEET.serving(BILLING), Served::ByBilling, true),
        ("billing within the control plane", FLEET.serving(CONTROL_PLANE), Served::ByBilling, true),
        ("billing as a control plane", FLEET.serving(BILLING), Served::ByControlPlane, false),
        ("another zone's", FLEET.serving(elsewhere), Served::ByControlPlane, false),
        ("an expired one", until(2001).unwrap(), Served::ByControlPlane, false),
        (
            "one signed by somebody else",
            other_authority.serving(CONTROL_PLANE),
            Served::ByControlPlane,
            false,
        ),
    ];
    for (what, material, served, is_taken) in rows {
        let mut site = Site::secured(material).await;
        let publisher = published(2, PublisherSettings::default());
        let _running = site.serve(feed(&publisher)).await;
        if is_taken {
            let mut subscriber = follow(site.channel_with(&calling(), served));
            let update = soon(subscriber.next()).await;
            assert!(matches!(update, FeedUpdate::Snapshot { at, .. } if at == rev(2)), "{what}");
        } else {
            let ended = ends(site.channel_with(&calling(), served), FEED, nonsense()).await;
            assert_eq!(ended, Code::Unavailable, "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_say_nothing_keep_nobody_out_and_are_sent_away() {
    let settings =
        TcpSettings { connect_timeout: Duration::from_millis(200), ..TcpSettings::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let material = FLEET.serving(CONTROL_PLANE);
    let publisher = published(2, PublisherSettings::default());
    let server = tls::server(settings, &material).add_service(publisher.service());
    tokio::spawn(server.serve_with_incoming(tls::incoming(listener, settings, material)));

    let mut silent = Vec::new();
    for _ in 0..150 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    // One that comes through its handshake, and then says nothing.
    let shown = FLEET.signs(&[&data_plane("sg", "quiet")], 4000);
    let mut quiet = soon(shake(address, bare_config(Some(shown)))).await.unwrap();
    let calling = FLEET.calling(&data_plane("sg", "dp"));
    let at = format!("https://{address}");
    let patient = TcpSettings::default();
    let channel = tls::channel(&at, patient, &calling, Served::ByControlPlane).unwrap();
    let mut subscriber = follow(channel);
    assert!(matches!(soon(subscriber.next()).await, FeedUpdate::Snapshot { .. }));
    for mut socket in silent {
        drop(soon(socket.read_to_end(&mut Vec::new())).await);
    }
    drop(soon(quiet.read_to_end(&mut Vec::new())).await);
}

#[tokio::test]
async fn whoever_speaks_without_tls_is_not_understood() {
    let office = office().await;
    let address = format!("http://{}", office.site.address());
    let bare = tcp::channel(&address, TcpSettings::default()).unwrap();
    let ended = ends(bare, FEED, nonsense()).await;
    assert!(matches!(ended, Code::Unavailable | Code::Unknown | Code::Internal), "{ended:?}");
    assert_eq!(office.publisher.data_planes(), []);
}

#[test]
fn a_set_that_is_not_whole_is_refused_with_what_is_wrong() {
    let good = || FLEET.set(&data_plane("sg", "dp"));
    let (cert, key) = FLEET.signs(&[&data_plane("sg", "dp")], 4000);
    let (_, other_key) = FLEET.signs(&[&data_plane("sg", "dp")], 4000);
    let (nobody, key_of_nobody) = FLEET.signs(&[], 4000);
    let written = |cert: &str, key: &str, ca: &str| {
        let set = good();
        set.write(cert, key, ca);
        set
    };
    let missing = good();
    std::fs::remove_file(&missing.files.key).unwrap();
    let serving = FLEET.set(CONTROL_PLANE);
    let rows: [(Set, End, &str); 8] = [
        (missing, End::Calling, "cannot be read"),
        (written("", &key, FLEET.pem()), End::Calling, "holds no certificate in PEM"),
        (written(&cert, "nonsense", FLEET.pem()), End::Calling, "holds no private key in PEM"),
        (written(&cert, &key, &key), End::Calling, "holds no certificate in PEM"),
        (written(&cert, &other_key, FLEET.pem()), End::Calling, "do not fit together"),
        (written(&nobody, &key_of_nobody, FLEET.pem()), End::Calling, "it has 0 URIs"),
        (good(), End::Serving, "must be that of a control plane or of billing"),
        (serving, End::Calling, "must be that of a data plane"),
    ];
    for (set, end, wrong) in rows {
        let error: TlsError = Material::load(set.files.clone(), end).unwrap_err();
        let shown = error.to_string();
        assert!(shown.contains(wrong), "{wrong}: {shown}");
        assert!(!shown.contains("nonsense") && !shown.contains("BEGIN"), "{shown}");
    }
}
