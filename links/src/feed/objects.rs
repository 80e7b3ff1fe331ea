//! The compiled state as encoded objects, in reference order.
//!
//! Objects lie in small pages that a running snapshot shares with the state: what a slow reader keeps alive is only
//! the pages that have changed since it began.

use super::frames::OBJECT_OVERHEAD;
use bytes::Bytes;
use domain::id::{KeyUid, OrgUid};
use domain::snapshot::{Change, Tombstone};
use proto::feed::v1;
use std::fmt;
use std::sync::Arc;

/// Objects in a full page; a longer one is split.
const PAGE_OBJECTS: usize = 256;

/// Names an object. The order of variants is the order of references: nothing points further down.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectId {
    /// By name.
    Entity(String),
    /// By name.
    Plan(String),
    /// By name.
    Upstream(String),
    /// By name.
    Model(String),
    /// By uid.
    Org(OrgUid),
    /// By uid.
    Key(KeyUid),
}

impl ObjectId {
    /// What a change is about.
    #[must_use]
    pub fn of(change: &Change) -> Self {
        match change {
            Change::Entity(entity) => Self::Entity(entity.name.clone()),
            Change::Plan(plan) => Self::Plan(plan.name.clone()),
            Change::Upstream(upstream) => Self::Upstream(upstream.name.clone()),
            Change::Model(model) => Self::Model(model.name.clone()),
            Change::Org(org) => Self::Org(org.uid),
            Change::Key(key) => Self::Key(key.uid),
            Change::Tombstone(gone) => Self::of_tombstone(gone),
        }
    }

    fn of_tombstone(gone: &Tombstone) -> Self {
        match gone {
            Tombstone::Entity(name) => Self::Entity(name.clone()),
            Tombstone::Plan(name) => Self::Plan(name.clone()),
            Tombstone::Upstream(name) => Self::Upstream(name.clone()),
            Tombstone::Model(name) => Self::Model(name.clone()),
            Tombstone::Org(uid) => Self::Org(*uid),
            Tombstone::Key(uid) => Self::Key(*uid),
        }
    }

    /// What a change on the wire is about, readable or not. `None`: a kind that this version does not know.
    pub(super) fn of_wire(change: &v1::Change) -> Option<Self> {
        Some(match change.change.as_ref()? {
            v1::change::Change::Entity(entity) => Self::Entity(entity.name.clone()),
            v1::change::Change::Plan(plan) => Self::Plan(plan.name.clone()),
            v1::change::Change::Upstream(upstream) => Self::Upstream(upstream.name.clone()),
            v1::change::Change::Model(model) => Self::Model(model.name.clone()),
            v1::change::Change::Org(org) => Self::Org(OrgUid(org.uid)),
            v1::change::Change::Key(key) => Self::Key(KeyUid(key.uid)),
            v1::change::Change::Tombstone(gone) => return Self::of_wire_tombstone(gone),
        })
    }

    fn of_wire_tombstone(gone: &v1::Tombstone) -> Option<Self> {
        match gone.kind() {
            v1::Kind::Unspecified => None,
            v1::Kind::Entity => Some(Self::Entity(gone.name.clone())),
            v1::Kind::Plan => Some(Self::Plan(gone.name.clone())),
            v1::Kind::Upstream => Some(Self::Upstream(gone.name.clone())),
            v1::Kind::Model => Some(Self::Model(gone.name.clone())),
            v1::Kind::Org => Some(Self::Org(OrgUid(gone.uid))),
            v1::Kind::Key => Some(Self::Key(KeyUid(gone.uid))),
        }
    }

    /// The kind as people write it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Entity(_) => "entity",
            Self::Plan(_) => "plan",
            Self::Upstream(_) => "upstream",
            Self::Model(_) => "model",
            Self::Org(_) => "org",
            Self::Key(_) => "key",
        }
    }
}

/// The name, or the uid of what is known by uid.
impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entity(name) | Self::Plan(name) | Self::Upstream(name) | Self::Model(name) => {
                f.write_str(name)
            }
            Self::Org(uid) => write!(f, "{}", uid.0),
            Self::Key(uid) => write!(f, "{}", uid.0),
        }
    }
}

#[derive(Clone, Debug)]
struct Object {
    id: ObjectId,
    encoded: Bytes,
}

type Page = Arc<Vec<Object>>;

/// All objects, ascending by id. No page is empty.
#[derive(Debug, Default)]
pub(super) struct Objects {
    pages: Vec<Page>,
}

impl Objects {
    /// Returns what the object was before.
    pub(super) fn put(&mut self, id: ObjectId, encoded: Bytes) -> Option<Bytes> {
        let object = Object { id, encoded };
        let index = self.page_of(&object.id);
        let Some(page) = self.pages.get_mut(index) else {
            self.pages.push(Arc::new(vec![object]));
            return None;
        };
        let page = Arc::make_mut(page);
        let before = match page.binary_search_by(|other| other.id.cmp(&object.id)) {
            Ok(place) => page.splice(place..=place, [object]).next().map(|before| before.encoded),
            Err(place) => {
                page.insert(place, object);
                None
            }
        };
        if page.len() > PAGE_OBJECTS {
            let upper = page.split_off(PAGE_OBJECTS / 2);
            self.pages.insert(index.saturating_add(1), Arc::new(upper));
        }
        before
    }

    /// Returns what the object was.
    pub(super) fn remove(&mut self, id: &ObjectId) -> Option<Bytes> {
        let index = self.page_of(id);
        let page = self.pages.get_mut(index)?;
        let place = page.binary_search_by(|other| other.id.cmp(id)).ok()?;
        let page = Arc::make_mut(page);
        let before = page.remove(place).encoded;
        if page.is_empty() {
            self.pages.remove(index);
        }
        Some(before)
    }

    /// The state as it is now, to be read at any pace.
    pub(super) fn read(&self) -> ObjectReader {
        ObjectReader { pages: self.pages.clone().into_iter(), page: None, place: 0 }
    }

    /// The last page that begins at or before `id`, else the first.
    fn page_of(&self, id: &ObjectId) -> usize {
        let begins_before = |page: &Page| page.first().is_some_and(|object| object.id <= *id);
        self.pages.partition_point(begins_before).saturating_sub(1)
    }
}

/// Reads one state from its beginning to its end, letting go of what it has read.
#[derive(Debug)]
pub(super) struct ObjectReader {
    pages: std::vec::IntoIter<Page>,
    page: Option<Page>,
    place: usize,
}

impl ObjectReader {
    /// The next objects: at least one, and more while they fit into `bytes` of a message. Empty at the end.
    pub(super) fn take(&mut self, bytes: usize) -> Vec<Bytes> {
        let mut taken = Vec::new();
        let mut total = 0_usize;
        while let Some(object) = self.peek() {
            total = total.saturating_add(object.len()).saturating_add(OBJECT_OVERHEAD);
            if total > bytes && !taken.is_empty() {
                break;
            }
            taken.push(object.clone());
            self.place = self.place.saturating_add(1);
        }
        taken
    }

    /// Whether everything was read.
    pub(super) fn is_at_end(&mut self) -> bool {
        self.peek().is_none()
    }

    fn peek(&mut self) -> Option<&Bytes> {
        let is_read = |page: &Page| self.place >= page.len();
        if self.page.as_ref().is_none_or(is_read) {
            self.page = self.pages.next();
            self.place = 0;
        }
        self.page.as_ref()?.get(self.place).map(|object| &object.encoded)
    }
}

#[cfg(test)]
mod tests;
