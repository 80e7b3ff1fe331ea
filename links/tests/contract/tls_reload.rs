//! Certificates that are replaced while everything runs: good ones are used, bad ones are not.

use crate::carrier::{Site, impatient, soon};
use crate::certificates::{Authority, CONTROL_PLANE, FLEET, Set, data_plane};
use crate::feed::{feed, hello, published};
use crate::objects::{delta, rev};
use links::feed::{
    FeedPublisher, FeedSubscriber, FeedUpdate, PublisherSettings, SubscriberSettings,
};
use links::tls::{End, Loads, Material, Served};
use std::time::Duration;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::Channel;

/// A set that is looked at often.
struct Kept {
    set: Set,
    material: Material,
    _stop: DropGuard,
}

impl Kept {
    fn new(set: Set, end: End) -> Self {
        let material = Material::load(set.files.clone(), end).unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(material.clone().watch(Duration::from_millis(5), stop.clone()));
        Self { set, material, _stop: stop.drop_guard() }
    }

    fn loads(&self) -> Loads {
        *self.material.loads().borrow()
    }

    /// Replaces the files; returns once they were taken.
    async fn take(&self, cert: &str, key: &str, ca: &str) {
        let before = self.loads();
        self.set.write(cert, key, ca);
        let mut loads = self.material.loads();
        // Between two of the files they may have been looked at, too.
        soon(loads.wait_for(|now| now.taken > before.taken)).await.unwrap();
    }

    /// The same for what must not be.
    async fn refuse(&self, cert: &str, key: &str, ca: &str) {
        let before = self.loads();
        self.set.write(cert, key, ca);
        let mut loads = self.material.loads();
        soon(loads.wait_for(|now| now.refused > before.refused)).await.unwrap();
        assert_eq!(self.loads().taken, before.taken, "it was taken");
    }
}

fn follow(channel: Channel) -> FeedSubscriber {
    let settings = SubscriberSettings { reconnect: impatient(), ..SubscriberSettings::default() };
    FeedSubscriber::start_with(channel, hello("dp", Some(rev(1))), settings)
}

/// Publishes the next revision, and has it come.
async fn goes_on(publisher: &FeedPublisher, subscriber: &mut FeedSubscriber, to: u64) {
    publisher.publish(delta(to, Vec::new())).unwrap();
    assert_eq!(soon(subscriber.next()).await, FeedUpdate::Delta(delta(to, Vec::new())));
}

/// Whether somebody with this certificate is let in.
async fn is_let_in(site: &Site, publisher: &FeedPublisher, material: &Material) -> bool {
    let mut subscriber = follow(site.channel_with(material, Served::ByControlPlane));
    let head = publisher.head();
    let comes = tokio::time::timeout(Duration::from_secs(1), async {
        loop {
            match subscriber.next().await {
                FeedUpdate::Delta(delta) if delta.to == head => return,
                _ => {}
            }
        }
    });
    comes.await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_is_replaced_under_traffic_and_nobody_notices() {
    let (old, new) = (Authority::new(), Authority::new());
    let both = format!("{}{}", old.pem(), new.pem());
    let name = data_plane("sg", "dp");
    let serving = Kept::new(old.set(CONTROL_PLANE), End::Serving);
    let calling = Kept::new(old.set(&name), End::Calling);
    let mut site = Site::secured(serving.material.clone()).await;
    let publisher = published(1, PublisherSettings::default());
    let _running = site.serve(feed(&publisher)).await;
    let mut subscriber = follow(site.channel_with(&calling.material, Served::ByControlPlane));
    goes_on(&publisher, &mut subscriber, 2).await;
    let stays_old = old.calling(&name);

    // Both are trusted; then each has its new certificate; then the old authority is trusted no more.
    for (step, (ca, signs)) in
        [(&both, &old), (&both, &new), (&new.pem().to_owned(), &new)].into_iter().enumerate()
    {
        for (kept, uri) in [(&serving, CONTROL_PLANE), (&calling, name.as_str())] {
            let (cert, key) = signs.signs(&[uri], 4000);
            kept.take(&cert, &key, ca).await;
        }
        let to = 3 + u64::try_from(step).unwrap();
        goes_on(&publisher, &mut subscriber, to).await;
        assert!(is_let_in(&site, &publisher, &calling.material).await, "step {step}");
    }
    assert!(!is_let_in(&site, &publisher, &stays_old).await, "the old authority counts no more");
    goes_on(&publisher, &mut subscriber, 6).await;
    assert_eq!((serving.loads().refused, calling.loads().refused), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_set_is_refused_and_the_one_before_goes_on() {
    let serving = Kept::new(FLEET.set(CONTROL_PLANE), End::Serving);
    let calling = FLEET.calling(&data_plane("sg", "dp"));
    let mut site = Site::secured(serving.material.clone()).await;
    let publisher = published(1, PublisherSettings::default());
    let _running = site.serve(feed(&publisher)).await;
    publisher.publish(delta(2, Vec::new())).unwrap();

    let elsewhere = Authority::new();
    let (cert, key) = FLEET.signs(&[CONTROL_PLANE], 4000);
    let (_, other_key) = FLEET.signs(&[CONTROL_PLANE], 4000);
    let (expired, expired_key) = FLEET.signs(&[CONTROL_PLANE], 2001);
    let (another, another_key) = FLEET.signs(&["spiffe://apac/control-plane/cp-1"], 4000);
    let (strange, strange_key) = elsewhere.signs(&[CONTROL_PLANE], 4000);
    let rows = [
        ("garbage", "garbage", key.as_str(), FLEET.pem()),
        ("a key of another certificate", &cert, &other_key, FLEET.pem()),
        ("an expired one", &expired, &expired_key, FLEET.pem()),
        ("somebody else's", &another, &another_key, FLEET.pem()),
        ("one of an authority that is not trusted", &strange, &strange_key, FLEET.pem()),
        ("no authorities", &cert, &key, ""),
    ];
    for (what, cert, key, ca) in rows {
        serving.refuse(cert, key, ca).await;
        assert!(is_let_in(&site, &publisher, &calling).await, "after {what}");
    }
    serving.take(&cert, &key, FLEET.pem()).await;
    assert!(is_let_in(&site, &publisher, &calling).await, "after a good one");
}
