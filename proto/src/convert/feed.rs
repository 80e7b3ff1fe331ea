//! Changes of the snapshot, as the feed carries them. Nothing of a change is lost on the way.

mod objects;
mod prices;

pub use prices::{
    rate_card_from_proto, rate_card_to_proto, schedule_from_proto, schedule_to_proto,
    sell_price_from_proto, sell_price_to_proto,
};

use super::Unreadable;
use crate::feed::v1;
use domain::id::{KeyUid, OrgUid, Revision};
use domain::snapshot::{Change, Delta, Tombstone};

impl From<Revision> for v1::Revision {
    fn from(revision: Revision) -> Self {
        Self { generation: revision.generation, rev: revision.rev }
    }
}

impl From<v1::Revision> for Revision {
    fn from(revision: v1::Revision) -> Self {
        Self { generation: revision.generation, rev: revision.rev }
    }
}

impl From<&Delta> for v1::Delta {
    fn from(delta: &Delta) -> Self {
        Self {
            from: Some(delta.from.into()),
            to: Some(delta.to.into()),
            changes: delta.changes.iter().map(v1::Change::from).collect(),
        }
    }
}

impl TryFrom<v1::Delta> for Delta {
    type Error = Unreadable;

    fn try_from(delta: v1::Delta) -> Result<Self, Unreadable> {
        Ok(Self {
            from: delta.from.ok_or_else(|| Unreadable::missing("from"))?.into(),
            to: delta.to.ok_or_else(|| Unreadable::missing("to"))?.into(),
            changes: delta.changes.into_iter().map(Change::try_from).collect::<Result<_, _>>()?,
        })
    }
}

impl From<&Change> for v1::Change {
    fn from(change: &Change) -> Self {
        let change = match change {
            Change::Entity(entity) => v1::change::Change::Entity(entity.into()),
            Change::Plan(plan) => v1::change::Change::Plan(plan.into()),
            Change::Upstream(upstream) => v1::change::Change::Upstream(upstream.into()),
            Change::Model(model) => v1::change::Change::Model(model.into()),
            Change::Org(org) => v1::change::Change::Org(org.into()),
            Change::Key(key) => v1::change::Change::Key(key.into()),
            Change::Tombstone(gone) => v1::change::Change::Tombstone(gone.into()),
        };
        Self { change: Some(change) }
    }
}

impl TryFrom<v1::Change> for Change {
    type Error = Unreadable;

    fn try_from(change: v1::Change) -> Result<Self, Unreadable> {
        match change.change.ok_or_else(|| Unreadable::missing("change"))? {
            v1::change::Change::Entity(entity) => read("entity", entity).map(Self::Entity),
            v1::change::Change::Plan(plan) => Ok(Self::Plan(plan.into())),
            v1::change::Change::Upstream(upstream) => {
                read("upstream", upstream).map(Self::Upstream)
            }
            v1::change::Change::Model(model) => read("model", model).map(Self::Model),
            v1::change::Change::Org(org) => read("org", org).map(Self::Org),
            v1::change::Change::Key(key) => read("key", key).map(Self::Key),
            v1::change::Change::Tombstone(gone) => read("tombstone", gone).map(Self::Tombstone),
        }
    }
}

fn read<W, D>(kind: &str, message: W) -> Result<D, Unreadable>
where
    D: TryFrom<W, Error = Unreadable>,
{
    D::try_from(message).map_err(|wrong| wrong.within(kind))
}

impl From<&Tombstone> for v1::Tombstone {
    fn from(gone: &Tombstone) -> Self {
        let named =
            |kind: v1::Kind, name: &str| Self { kind: kind.into(), name: name.to_owned(), uid: 0 };
        let numbered =
            |kind: v1::Kind, uid: i64| Self { kind: kind.into(), name: String::new(), uid };
        match gone {
            Tombstone::Entity(name) => named(v1::Kind::Entity, name),
            Tombstone::Plan(name) => named(v1::Kind::Plan, name),
            Tombstone::Upstream(name) => named(v1::Kind::Upstream, name),
            Tombstone::Model(name) => named(v1::Kind::Model, name),
            Tombstone::Org(uid) => numbered(v1::Kind::Org, uid.0),
            Tombstone::Key(uid) => numbered(v1::Kind::Key, uid.0),
        }
    }
}

impl TryFrom<v1::Tombstone> for Tombstone {
    type Error = Unreadable;

    fn try_from(gone: v1::Tombstone) -> Result<Self, Unreadable> {
        let unknown = || Unreadable::new("kind", format!("unknown kind {}", gone.kind));
        match v1::Kind::try_from(gone.kind).map_err(|_| unknown())? {
            v1::Kind::Unspecified => Err(Unreadable::missing("kind")),
            v1::Kind::Entity => Ok(Self::Entity(gone.name)),
            v1::Kind::Plan => Ok(Self::Plan(gone.name)),
            v1::Kind::Upstream => Ok(Self::Upstream(gone.name)),
            v1::Kind::Model => Ok(Self::Model(gone.name)),
            v1::Kind::Org => Ok(Self::Org(OrgUid(gone.uid))),
            v1::Kind::Key => Ok(Self::Key(KeyUid(gone.uid))),
        }
    }
}
