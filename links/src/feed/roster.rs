//! Who is connected, and what they have applied.

use super::DataPlaneStatus;
use domain::id::Revision;
use std::collections::BTreeMap;
use tokio::sync::watch;

/// Number of one connection; a later one has a higher number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConnectionId(u64);

/// The connected data planes. Of two connections under one name, the newer speaks for it.
#[derive(Debug, Default)]
pub(super) struct Roster {
    inside: watch::Sender<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    last: ConnectionId,
    by_name: BTreeMap<String, Member>,
}

#[derive(Debug)]
struct Member {
    connection: ConnectionId,
    applied: Revision,
    rejects: Vec<String>,
}

impl Member {
    fn status(&self, name: &str) -> DataPlaneStatus {
        DataPlaneStatus {
            name: name.to_owned(),
            applied: self.applied,
            rejects: self.rejects.clone(),
        }
    }
}

impl Roster {
    pub(super) fn join(&self, name: &str, applied: Revision) -> ConnectionId {
        let mut connection = ConnectionId::default();
        self.inside.send_modify(|inside| {
            inside.last = ConnectionId(inside.last.0.saturating_add(1));
            connection = inside.last;
            let member = Member { connection, applied, rejects: Vec::new() };
            inside.by_name.insert(name.to_owned(), member);
        });
        connection
    }

    pub(super) fn leave(&self, name: &str, connection: ConnectionId) {
        self.inside.send_if_modified(|inside| {
            let is_mine = inside.by_name.get(name).is_some_and(|it| it.connection == connection);
            if is_mine {
                inside.by_name.remove(name);
            }
            is_mine
        });
    }

    /// Takes an ack. A connection that a newer one pushed aside counts again once that is gone.
    pub(super) fn acked(&self, name: &str, member: Acked) {
        let Acked { connection, applied, rejects } = member;
        self.inside.send_if_modified(|inside| {
            let is_newest = inside.by_name.get(name).is_none_or(|it| it.connection <= connection);
            if is_newest {
                let member = Member { connection, applied, rejects };
                inside.by_name.insert(name.to_owned(), member);
            }
            is_newest
        });
    }

    pub(super) fn list(&self) -> Vec<DataPlaneStatus> {
        let inside = self.inside.borrow();
        inside.by_name.iter().map(|(name, member)| member.status(name)).collect()
    }

    pub(super) fn followers(&self) -> Followers {
        Followers { inside: self.inside.subscribe() }
    }

    /// Waits until all that are connected have applied `revision`.
    pub(super) async fn all_at(&self, revision: Revision) {
        let mut inside = self.inside.subscribe();
        let is_done = |inside: &Inside| inside.by_name.values().all(|it| it.applied >= revision);
        if inside.wait_for(is_done).await.is_err() {
            tracing::debug!("the roster is gone");
        }
    }
}

/// One who is connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follower {
    /// Which of its connections this is; a later one has a higher number.
    pub connection: u64,
    /// What it says.
    pub status: DataPlaneStatus,
}

/// Those who are connected, to be waited for.
#[derive(Debug)]
pub struct Followers {
    inside: watch::Receiver<Inside>,
}

impl Followers {
    /// Waits until somebody joins, leaves or says what he has applied. False once there can be none any more.
    pub async fn changed(&mut self) -> bool {
        self.inside.changed().await.is_ok()
    }

    /// All that are connected now, by name.
    pub fn list(&mut self) -> Vec<Follower> {
        let inside = self.inside.borrow_and_update();
        let follower = |(name, member): (&String, &Member)| Follower {
            connection: member.connection.0,
            status: member.status(name),
        };
        inside.by_name.iter().map(follower).collect()
    }
}

/// What one connection says.
#[derive(Debug)]
pub(super) struct Acked {
    pub(super) connection: ConnectionId,
    pub(super) applied: Revision,
    pub(super) rejects: Vec<String>,
}

#[cfg(test)]
mod tests;
