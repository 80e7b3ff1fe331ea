//! Names that every machine knows, or none does.

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_name_that_leads_to_this_machine_is_not_dialled_unless_that_is_open() {
    let closed = Resolver::new(Arc::default(), PATIENCE).resolve("localhost").await;
    assert!(matches!(closed, Err(ResolveError::Closed(_))), "{closed:?}");
    let open = Resolver::new(Arc::new(Networks::default().and_loopback()), PATIENCE);
    assert!(!open.resolve("localhost").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_notation_of_an_address_that_a_resolver_understands_is_checked_like_the_address() {
    let closed = Resolver::new(Arc::default(), PATIENCE).resolve("0x7f.1").await;
    // Some resolvers do not understand it, which is as good.
    assert!(closed.is_err(), "{closed:?}");
}

#[tokio::test]
async fn a_name_that_cannot_be_resolved_any_more_leads_where_it_led_last() {
    let resolver = Resolver::new(Arc::default(), PATIENCE);
    let name = "gone.invalid";
    assert!(resolver.resolve(name).await.is_err());
    let last: SocketAddr = "93.184.216.34:0".parse().unwrap();
    resolver.0.known.lock().insert(name.to_owned(), vec![last]);
    assert_eq!(resolver.resolve(name).await.unwrap(), [last]);
}

#[test]
fn a_name_server_that_is_slow_is_waited_for_no_longer_than_the_patience() {
    // Names are looked up on a thread that may block; the only one there is does so until it is told to end.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().max_blocking_threads(1).build().unwrap();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    runtime.spawn_blocking(move || ended.recv());
    let resolver = Resolver::new(Arc::default(), Duration::from_millis(20));
    let slow = runtime.block_on(resolver.resolve("slow.invalid"));
    end.send(()).unwrap();
    let is_late = |error: &io::Error| error.kind() == io::ErrorKind::TimedOut;
    assert!(matches!(&slow, Err(ResolveError::Unresolved(error)) if is_late(error)), "{slow:?}");
}
