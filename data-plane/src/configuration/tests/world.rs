//! A control plane's feed and data planes that follow it, over an in-memory pipe, with a directory for their disk.

use super::*;
use crate::configuration::disk::DiskSettings;
use domain::config::{Dialect, Upstream, VendorPages};
use domain::jurisdiction::Jurisdiction;
use links::ReconnectSettings;
use links::feed::{
    FeedHello, FeedPublisher, FeedSubscriber, PublisherSettings, SubscriberSettings,
};
use links::pipe::{PipeConnector, pipe};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(super) const SEAL_KEY: [u8; 32] = [7; 32];
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for what is sure to happen.
pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it happens in time")
}

/// Looks until it holds.
pub(super) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "{what}");
}

/// A control plane that can be taken away.
pub(super) struct Feed {
    pub(super) publisher: FeedPublisher,
    connector: PipeConnector,
    server: JoinHandle<()>,
}

impl Feed {
    pub(super) fn at(rev: u64, objects: Vec<Change>) -> Self {
        let settings = PublisherSettings {
            heartbeat_interval: Duration::from_millis(5),
            ..PublisherSettings::default()
        };
        let publisher = FeedPublisher::with_settings(revision(rev), objects, settings);
        let (carrier, connector) = pipe();
        let server = tonic::transport::Server::builder().add_service(publisher.service());
        let server = tokio::spawn(async move {
            server.serve_with_incoming(carrier).await.unwrap();
        });
        Self { publisher, connector, server }
    }

    pub(super) fn publish(&self, delta: Delta) {
        self.publisher.publish(delta).unwrap();
    }

    /// Returns once every data plane has acknowledged a revision.
    pub(super) async fn everywhere(&self, rev: u64) {
        soon(async {
            while self.publisher.data_planes().is_empty() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            self.publisher.applied_everywhere(revision(rev)).await;
        })
        .await;
    }

    /// What the data planes cannot use.
    pub(super) fn rejects(&self) -> Vec<String> {
        self.publisher.data_planes().into_iter().flat_map(|plane| plane.rejects).collect()
    }

    pub(super) fn vanish(self) {
        self.publisher.close();
        self.server.abort();
    }
}

/// Where a data plane keeps what it goes by, from one life to the next.
pub(super) struct Home {
    pub(super) dir: TempDir,
    pub(super) settings: ConfigurationSettings,
}

/// One life of a data plane.
pub(super) struct Life {
    pub(super) configuration: Configuration,
    token: CancellationToken,
    following: Option<JoinHandle<()>>,
}

impl Home {
    pub(super) fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let mut settings = ConfigurationSettings::new("sg", SEAL_KEY);
        let directory = dir.path().join("configuration");
        settings.disk = Some(DiskSettings { directory, journal_bytes: 1 << 20 });
        Self { dir, settings }
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.dir.path().join("configuration")
    }

    /// Its files, in order.
    pub(super) fn files(&self, extension: &str) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.folder()).unwrap().map(|entry| entry.unwrap().path());
        let is = |path: &PathBuf| path.extension().is_some_and(|found| found == extension);
        let mut files: Vec<PathBuf> = files.filter(is).collect();
        files.sort();
        files
    }

    /// Begins with what is on the disk, and follows nobody.
    pub(super) fn alone(&self) -> Configuration {
        Configuration::open(self.settings.clone()).unwrap().0
    }

    /// Begins with what is on the disk, and follows a feed.
    pub(super) fn follow(&self, feed: &Feed) -> Life {
        let (configuration, keeper) = Configuration::open(self.settings.clone()).unwrap();
        let hello = FeedHello {
            data_plane: "dp-1".into(),
            cell: self.settings.cell.clone(),
            applied: keeper.applied(),
        };
        let reconnect = ReconnectSettings {
            first_wait: Duration::from_millis(2),
            longest_wait: Duration::from_millis(20),
            ..ReconnectSettings::default()
        };
        let settings = SubscriberSettings { reconnect, ..SubscriberSettings::default() };
        let subscriber = FeedSubscriber::start_with(feed.connector.channel(), hello, settings);
        let token = CancellationToken::new();
        let following = Some(tokio::spawn(keeper.follow(subscriber, token.clone())));
        Life { configuration, token, following }
    }
}

impl Life {
    pub(super) async fn end(mut self) {
        self.token.cancel();
        soon(self.following.take().unwrap()).await.unwrap();
    }
}

/// An upstream whose credential is sealed with `key`.
pub(super) fn upstream(name: &str, base_url: &str, key: &[u8; 32]) -> Change {
    Change::Upstream(Upstream {
        name: name.to_owned(),
        vendor: "simulator".to_owned(),
        dialect: Dialect::OpenAi,
        base_url: base_url.to_owned(),
        sealed_credential: links::seal::seal(key, name, b"sk-secret"),
        jurisdiction: Jurisdiction::parse("SG").unwrap(),
        stops_on_abort: true,
        collects_no_data: false,
        zero_data_retention: false,
        vendor_pages: VendorPages::default(),
    })
}
