//! What the keys are called, and what is in them: text that `etcdctl` shows. What cannot be read is nobody's, and left alone.

use super::super::{Duty, Member, Topic};
use domain::id::Revision;
use std::fmt::Write as _;

/// The keys of one installation.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    /// Without a slash at its end.
    prefix: String,
}

/// What a key is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Head,
    Poke(Topic),
    /// By its id.
    Member(String),
}

/// Who put a value, and which one of his it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) member: String,
    pub(super) count: u64,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.trim_end_matches('/').to_owned() }
    }

    /// The first and the one after the last.
    pub(super) fn range(&self) -> (Vec<u8>, Vec<u8>) {
        // '0' comes after '/'.
        (format!("{}/", self.prefix).into_bytes(), format!("{}0", self.prefix).into_bytes())
    }

    pub(super) fn head(&self) -> Vec<u8> {
        format!("{}/head", self.prefix).into_bytes()
    }

    pub(super) fn poke(&self, topic: Topic) -> Vec<u8> {
        format!("{}/poke/{}", self.prefix, topic.name()).into_bytes()
    }

    pub(super) fn member(&self, id: &str) -> Vec<u8> {
        format!("{}/member/{id}", self.prefix).into_bytes()
    }

    pub(super) fn duty(&self, duty: Duty) -> Vec<u8> {
        format!("{}/duty/{}", self.prefix, duty.name()).into_bytes()
    }

    /// What a key is about, if anything that is watched.
    pub(super) fn read(&self, key: &[u8]) -> Option<Key> {
        let rest = std::str::from_utf8(key).ok()?.strip_prefix(&self.prefix)?.strip_prefix('/')?;
        match rest.split_once('/') {
            None if rest == "head" => Some(Key::Head),
            Some(("poke", name)) => Topic::parse(name).map(Key::Poke),
            Some(("member", id)) => Some(Key::Member(id.to_owned())),
            _ => None,
        }
    }
}

/// `17 of 6f…`
pub(super) fn write_origin(origin: &Origin) -> String {
    format!("{} of {}", origin.count, origin.member)
}

pub(super) fn read_origin(text: &str) -> Option<Origin> {
    let (count, member) = text.split_once(" of ")?;
    Some(Origin { member: member.to_owned(), count: count.parse().ok()? })
}

/// `1.17, 3 of 6f…`
pub(super) fn write_head(head: Revision, origin: &Origin) -> String {
    format!("{}.{}, {}", head.generation, head.rev, write_origin(origin))
}

pub(super) fn read_head(text: &str) -> Option<(Revision, Origin)> {
    let (head, origin) = text.split_once(", ")?;
    let (generation, rev) = head.split_once('.')?;
    let head = Revision { generation: generation.parse().ok()?, rev: rev.parse().ok()? };
    Some((head, read_origin(origin)?))
}

/// A line for each field, and one that is another one with each beat.
pub(super) fn write_member(member: &Member, beat: u64) -> String {
    let Member { address, zone, version, .. } = member;
    let mut text = String::new();
    for (name, value) in [("address", address), ("zone", zone), ("version", version)] {
        // A line break in a setting must not become a field.
        let value: String = value.chars().filter(|it| !it.is_control()).collect();
        // Writing to a text does not fail.
        let _ = writeln!(text, "{name}={value}");
    }
    let _ = writeln!(text, "beat={beat}");
    text
}

pub(super) fn read_member(id: &str, text: &str) -> Option<Member> {
    let field = |name: &str| {
        let lines = text.lines().filter_map(|line| line.split_once('='));
        lines.filter(|(it, _)| *it == name).map(|(_, value)| value.to_owned()).next()
    };
    Some(Member {
        id: id.to_owned(),
        address: field("address")?,
        zone: field("zone")?,
        version: field("version")?,
    })
}

#[cfg(test)]
mod tests;
