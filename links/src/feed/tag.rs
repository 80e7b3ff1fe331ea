//! The tag of a snapshot on the wire: a keyed hash of whom it is for, what it is, and every change in order. Whoever lacks the
//! cell's seal key cannot make one, and damage, loss and mixing show.

use crate::seal;
use bytes::Bytes;
use domain::id::Revision;
use std::fmt;

const PURPOSE: &str = "turnpike feed snapshot v1";

/// Makes and checks tags. Made of the seal key, but not that key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SnapshotKey([u8; 32]);

impl fmt::Debug for SnapshotKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SnapshotKey(…)")
    }
}

impl SnapshotKey {
    /// That of a cell.
    #[must_use]
    pub fn derive(seal_key: &[u8; 32]) -> Self {
        Self(seal::derive(seal_key, PURPOSE))
    }
}

/// Tags the snapshots of one cell in one zone.
#[derive(Clone, Debug)]
pub(super) struct Tagging {
    pub(super) key: SnapshotKey,
    pub(super) cell: String,
    pub(super) zone: String,
}

impl Tagging {
    /// For the snapshot at that revision.
    pub(super) fn begin(&self, at: Revision) -> Tagger {
        let mut tagger = Tagger(Box::new(blake3::Hasher::new_keyed(&self.key.0)));
        tagger.add(self.cell.as_bytes());
        tagger.add(self.zone.as_bytes());
        tagger.add(&at.generation.to_le_bytes());
        tagger.add(&at.rev.to_le_bytes());
        tagger
    }
}

/// The tag of one snapshot in the making.
#[derive(Clone, Debug)]
pub(super) struct Tagger(Box<blake3::Hasher>);

impl Tagger {
    /// What comes next, as it is encoded. Its length goes first, so that no two sequences are the same bytes.
    pub(super) fn add(&mut self, part: &[u8]) {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        self.0.update(&length.to_le_bytes()).update(part);
    }

    pub(super) fn tag(&self) -> Bytes {
        Bytes::copy_from_slice(self.0.finalize().as_bytes())
    }

    /// In a time that does not tell how much of a tag was right.
    pub(super) fn fits(&self, tag: &[u8]) -> bool {
        <[u8; 32]>::try_from(tag).is_ok_and(|tag| self.0.finalize() == blake3::Hash::from(tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(key: u8, cell: &str, zone: &str, at: (u64, u64), changes: &[&[u8]]) -> Bytes {
        let key = SnapshotKey::derive(&[key; 32]);
        let tagging = Tagging { key, cell: cell.into(), zone: zone.into() };
        let mut tagger = tagging.begin(Revision { generation: at.0, rev: at.1 });
        changes.iter().for_each(|change| tagger.add(change));
        assert!(tagger.fits(&tagger.tag()));
        tagger.tag()
    }

    #[test]
    fn everything_that_a_snapshot_is_changes_its_tag() {
        let tags = [
            tag(7, "sg", "apac", (1, 2), &[b"one", b"two"]),
            tag(8, "sg", "apac", (1, 2), &[b"one", b"two"]),
            tag(7, "s", "gapac", (1, 2), &[b"one", b"two"]),
            tag(7, "sg", "", (1, 2), &[b"one", b"two"]),
            tag(7, "sg", "apac", (2, 1), &[b"one", b"two"]),
            tag(7, "sg", "apac", (1, 3), &[b"one", b"two"]),
            tag(7, "sg", "apac", (1, 2), &[b"two", b"one"]),
            tag(7, "sg", "apac", (1, 2), &[b"onetwo"]),
            tag(7, "sg", "apac", (1, 2), &[b"one", b"two", b""]),
            tag(7, "sg", "apac", (1, 2), &[]),
        ];
        for (index, one) in tags.iter().enumerate() {
            assert!(tags.iter().skip(index + 1).all(|other| one != other), "{index}");
        }
    }

    #[test]
    fn a_tag_that_is_cut_or_missing_does_not_fit() {
        let tagging =
            Tagging { key: SnapshotKey::derive(&[7; 32]), cell: "sg".into(), zone: String::new() };
        let tagger = tagging.begin(Revision::default());
        let tag = tagger.tag();
        for length in 0..tag.len() {
            assert!(!tagger.fits(&tag[..length]), "{length}");
        }
        assert!(tagger.fits(&tag));
        assert!(!tagger.fits(&[&tag[..], &[0]].concat()));
    }
}
