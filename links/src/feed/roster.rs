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
        let status = |(name, member): (&String, &Member)| DataPlaneStatus {
            name: name.clone(),
            applied: member.applied,
            rejects: member.rejects.clone(),
        };
        self.inside.borrow().by_name.iter().map(status).collect()
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

/// What one connection says.
#[derive(Debug)]
pub(super) struct Acked {
    pub(super) connection: ConnectionId,
    pub(super) applied: Revision,
    pub(super) rejects: Vec<String>,
}

#[cfg(test)]
mod tests;
