//! A digest of a whole state that does not depend on order and follows each change: one count and one sum per kind.
//!
//! Both ends keep one of what they hold and compare. It tells damage and loss, not malice.

use super::objects::ObjectId;
use domain::snapshot::Change;
use prost::Message;
use proto::feed::v1;
use std::collections::BTreeMap;

/// The digest of a state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateDigest {
    /// By kind; a kind without objects is left out.
    kinds: BTreeMap<&'static str, KindDigest>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct KindDigest {
    count: u64,
    /// Wrapping, so that adding and taking away commute.
    sum: u64,
}

impl StateDigest {
    /// Counts an object in.
    pub fn add(&mut self, change: &Change) {
        self.add_encoded(&ObjectId::of(change), &v1::Change::from(change).encode_to_vec());
    }

    /// Counts an object out.
    pub fn remove(&mut self, change: &Change) {
        self.remove_encoded(&ObjectId::of(change), &v1::Change::from(change).encode_to_vec());
    }

    pub(super) fn add_encoded(&mut self, id: &ObjectId, encoded: &[u8]) {
        let kind = self.kinds.entry(id.kind()).or_default();
        kind.count = kind.count.wrapping_add(1);
        kind.sum = kind.sum.wrapping_add(hash(encoded));
    }

    pub(super) fn remove_encoded(&mut self, id: &ObjectId, encoded: &[u8]) {
        let kind = self.kinds.entry(id.kind()).or_default();
        kind.count = kind.count.wrapping_sub(1);
        kind.sum = kind.sum.wrapping_sub(hash(encoded));
        if *kind == KindDigest::default() {
            self.kinds.remove(id.kind());
        }
    }

    /// Counts in all that another one counted.
    pub fn merge(&mut self, other: Self) {
        for (kind, more) in other.kinds {
            let kind = self.kinds.entry(kind).or_default();
            kind.count = kind.count.wrapping_add(more.count);
            kind.sum = kind.sum.wrapping_add(more.sum);
        }
    }

    /// How many objects of a kind there are.
    #[must_use]
    pub fn count(&self, kind: &str) -> u64 {
        self.kinds.get(kind).map_or(0, |kind| kind.count)
    }

    /// How many objects there are.
    #[must_use]
    pub fn objects(&self) -> u64 {
        self.kinds.values().fold(0, |all, kind| all.saturating_add(kind.count))
    }

    /// Where this state differs from what the control plane says of its own, for people. Empty: nowhere.
    #[must_use]
    pub fn differences(&self, theirs: &[v1::KindDigest]) -> Vec<String> {
        let of_theirs = |kind: &str| {
            let found = theirs.iter().find(|other| other.kind == kind);
            found.map(|other| KindDigest { count: other.count, sum: other.sum }).unwrap_or_default()
        };
        let named = theirs.iter().map(|other| other.kind.as_str());
        let mut kinds: Vec<&str> = self.kinds.keys().copied().chain(named).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds.into_iter().filter_map(|kind| self.difference(kind, of_theirs(kind))).collect()
    }

    fn difference(&self, kind: &str, theirs: KindDigest) -> Option<String> {
        let own = self.kinds.get(kind).copied().unwrap_or_default();
        if own == theirs {
            return None;
        }
        Some(match own.count == theirs.count {
            true => format!("{kind}: {} objects, of which some differ", own.count),
            false => format!("{kind}: {} objects instead of {}", own.count, theirs.count),
        })
    }

    pub(super) fn to_wire(&self) -> Vec<v1::KindDigest> {
        let kind = |(kind, digest): (&&'static str, &KindDigest)| v1::KindDigest {
            kind: (*kind).to_owned(),
            count: digest.count,
            sum: digest.sum,
        };
        self.kinds.iter().map(kind).collect()
    }
}

fn hash(encoded: &[u8]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *blake3::hash(encoded).as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::config::Plan;
    use domain::snapshot::Tombstone;

    fn plan(name: &str, concurrency: u64) -> Change {
        Change::Plan(Plan { name: name.into(), concurrency: Some(concurrency), ..Plan::default() })
    }

    fn of(changes: &[Change]) -> StateDigest {
        let mut digest = StateDigest::default();
        changes.iter().for_each(|change| digest.add(change));
        digest
    }

    #[test]
    fn order_does_not_matter_and_what_is_counted_out_leaves_no_trace() {
        let whole = of(&[plan("a", 1), plan("b", 2)]);
        assert_eq!(whole, of(&[plan("b", 2), plan("a", 1)]));
        let mut changed = of(&[plan("b", 9), plan("a", 1), plan("c", 3)]);
        changed.remove(&plan("b", 9));
        changed.remove(&plan("c", 3));
        changed.add(&plan("b", 2));
        assert_eq!(whole, changed);
        changed.remove(&plan("a", 1));
        changed.remove(&plan("b", 2));
        assert_eq!(changed, StateDigest::default());
    }

    #[test]
    fn a_missing_a_surplus_and_a_changed_object_each_differ() {
        let theirs = of(&[plan("a", 1), plan("b", 2)]).to_wire();
        let rows = [
            (vec![plan("a", 1)], "plan: 1 objects instead of 2"),
            (vec![plan("a", 1), plan("b", 2), plan("c", 3)], "plan: 3 objects instead of 2"),
            (vec![plan("a", 2), plan("b", 1)], "plan: 2 objects, of which some differ"),
            (vec![], "plan: 0 objects instead of 2"),
        ];
        for (own, expected) in rows {
            assert_eq!(of(&own).differences(&theirs), [expected], "{own:?}");
        }
        assert!(of(&[plan("b", 2), plan("a", 1)]).differences(&theirs).is_empty());
        assert_eq!(of(&[plan("a", 1)]).differences(&[]), ["plan: 1 objects instead of 0"]);
    }

    #[test]
    fn a_tombstone_names_what_it_takes() {
        let gone = Change::Tombstone(Tombstone::Plan("a".into()));
        assert_eq!(ObjectId::of(&gone), ObjectId::of(&plan("a", 1)));
    }
}
