//! A data plane's view of the control plane: the real feed over an in-memory pipe.

use super::harness::Rig;
use control_plane::ControlPlane;
use domain::id::Revision;
use domain::key::KeyDigest;
use domain::snapshot::{Change, Key, KeyChange, Snapshot};
use links::feed::{FeedHello, FeedSubscriber, FeedUpdate};
use links::pipe::pipe;
use std::collections::BTreeMap;
use tonic::transport::Server;

/// What a data plane holds.
pub(crate) struct View {
    subscriber: FeedSubscriber,
    pub(crate) snapshot: Snapshot,
    pub(crate) keys: BTreeMap<i64, Key>,
    /// How many updates came, the first snapshot included.
    pub(crate) updates: usize,
}

impl View {
    /// A data plane without anything; returns once it has the whole state.
    pub(crate) async fn of(rig: &Rig) -> Self {
        Self::begin(&rig.control_plane, "dp-1", None).await
    }

    /// A data plane that says that it has applied this; returns once it has the whole state.
    pub(crate) async fn begin(
        control_plane: &ControlPlane,
        name: &str,
        applied: Option<Revision>,
    ) -> Self {
        let (listener, connector) = pipe();
        let service = control_plane.publisher().service();
        tokio::spawn(async move {
            Server::builder().add_service(service).serve_with_incoming(listener).await.unwrap();
        });
        let (data_plane, cell) = (name.to_owned(), "sg".to_owned());
        let hello = FeedHello { data_plane, cell, applied };
        let subscriber = FeedSubscriber::start(connector.channel(), hello);
        let snapshot = Snapshot::default();
        let mut view = Self { subscriber, snapshot, keys: BTreeMap::new(), updates: 0 };
        view.step().await;
        view
    }

    /// Follows until a revision is applied. Every delta must fit onto the one before.
    pub(crate) async fn follow_to(&mut self, rev: u64) {
        while self.snapshot.revision.rev < rev {
            self.step().await;
        }
    }

    /// Follows until a generation has begun.
    pub(crate) async fn follow_into(&mut self, generation: u64) {
        while self.snapshot.revision.generation < generation {
            self.step().await;
        }
    }

    pub(crate) fn key_by_digest(&self, digest: KeyDigest) -> Option<&Key> {
        self.keys.values().find(|key| key.digest == digest)
    }

    /// Everything, comparable and readable.
    pub(crate) fn everything(&self) -> String {
        let sorted = |lines: Vec<String>| {
            let mut lines = lines;
            lines.sort();
            lines.join("\n")
        };
        let snapshot = &self.snapshot;
        [
            sorted(snapshot.entities.values().map(|e| format!("{e:?}")).collect()),
            sorted(snapshot.plans.values().map(|p| format!("{p:?}")).collect()),
            sorted(
                snapshot.upstreams.values().map(|u| format!("{u:?} {:?}", u.base_url)).collect(),
            ),
            sorted(snapshot.models.values().map(|m| format!("{m:?}")).collect()),
            sorted(snapshot.orgs.values().map(|o| format!("{o:?}")).collect()),
            sorted(self.keys.values().map(|k| format!("{k:?}")).collect()),
        ]
        .join("\n")
    }

    async fn step(&mut self) {
        let update = self.subscriber.next().await;
        self.updates += 1;
        let changes = match update {
            FeedUpdate::Snapshot { at, changes } => {
                assert_no_tombstones(&changes);
                self.keys.clear();
                let (snapshot, keys) = Snapshot::assemble(at, changes);
                self.snapshot = snapshot;
                keys
            }
            FeedUpdate::Delta(delta) => {
                let (snapshot, keys) = self.snapshot.apply(delta).unwrap();
                self.snapshot = snapshot;
                keys
            }
        };
        for change in changes {
            match change {
                KeyChange::Put(key) => drop(self.keys.insert(key.uid.0, key)),
                KeyChange::Gone(uid) => drop(self.keys.remove(&uid.0)),
            }
        }
        self.subscriber.ack(self.snapshot.revision, Vec::new());
    }
}

fn assert_no_tombstones(changes: &[Change]) {
    assert!(!changes.iter().any(|change| matches!(change, Change::Tombstone(_))));
}
