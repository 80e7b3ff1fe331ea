//! Data planes that know of several control planes.

use crate::carrier::{Carrier, Running, Site, impatient, soon};
use crate::feed::{feed, hello, published};
use domain::id::Revision;
use links::Ways;
use links::feed::{
    FeedPublisher, FeedSubscriber, PublisherSettings, SnapshotKey, SubscriberSettings, WireSettings,
};
use std::time::Duration;

pub(crate) const SEAL_KEY: [u8; 32] = [7; 32];

/// The ways of a data plane to these sites.
pub(crate) fn ways<'a>(data_plane: &str, sites: impl IntoIterator<Item = &'a Site>) -> Ways {
    let named = sites.into_iter().enumerate();
    let named = named.map(|(number, site)| (format!("cp-{number}"), site.channel_of(data_plane)));
    Ways::to(data_plane, named.collect()).unwrap()
}

/// Limits that no test reaches by itself.
pub(crate) fn wire() -> WireSettings {
    WireSettings {
        beat_interval: Duration::from_millis(50),
        silence: Duration::from_secs(3_600),
        snapshot_key: SnapshotKey::derive(&SEAL_KEY),
    }
}

/// A publisher's settings for data planes of other processes.
pub(crate) fn for_wire() -> PublisherSettings {
    let snapshot_key = Some(SnapshotKey::derive(&SEAL_KEY));
    PublisherSettings { snapshot_key, ..PublisherSettings::default() }
}

/// A data plane of another process.
pub(crate) fn subscribe(ways: Ways, name: &str, applied: Option<Revision>) -> FeedSubscriber {
    let wire = Some(wire());
    let settings =
        SubscriberSettings { reconnect: impatient(), wire, ..SubscriberSettings::default() };
    FeedSubscriber::start_with(ways, hello(name, applied), settings)
}

/// A control plane that serves its feed.
pub(crate) struct ControlPlane {
    pub(crate) site: Site,
    pub(crate) publisher: FeedPublisher,
    running: Option<Running>,
}

impl ControlPlane {
    pub(crate) async fn start(carrier: Carrier, head: u64, settings: PublisherSettings) -> Self {
        let site = Site::new(carrier).await;
        let publisher = published(head, settings);
        let mut control = Self { site, publisher, running: None };
        control.serve().await;
        control
    }

    async fn serve(&mut self) {
        self.running = Some(self.site.serve(feed(&self.publisher)).await);
    }

    pub(crate) async fn stop(&mut self) {
        self.publisher.close();
        self.site.stop(self.running.take().unwrap()).await;
    }

    /// Another life, with a history that is as long.
    pub(crate) async fn start_again(&mut self, head: u64) {
        self.publisher = published(head, for_wire());
        self.serve().await;
    }

    pub(crate) fn has(&self, data_plane: &str) -> bool {
        self.publisher.data_planes().iter().any(|it| it.name == data_plane)
    }

    /// Returns once so many data planes are connected.
    pub(crate) async fn has_count(&self, count: usize) {
        soon(async {
            while self.publisher.data_planes().len() != count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

/// The one of two that a data plane is connected to, once it is.
pub(crate) async fn home(data_plane: &str, fleet: &[ControlPlane; 2]) -> usize {
    soon(async {
        loop {
            match fleet.iter().position(|control| control.has(data_plane)) {
                Some(home) => return home,
                None => tokio::task::yield_now().await,
            }
        }
    })
    .await
}
