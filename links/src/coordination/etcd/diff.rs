//! What is known of the keys, and what a listing or an event adds to that. Pure.
//!
//! Whatever was missed, a listing finds; nothing is ever cleared before it is compared. That a key is gone only says that
//! nobody keeps it any more.

use std::collections::BTreeMap;

/// A key as etcd has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    /// The revision that put it.
    pub(super) revision: i64,
}

/// All keys at one moment.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    pub(super) cluster: u64,
    pub(super) revision: i64,
    pub(super) keys: Vec<Held>,
}

/// What the watch says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Put(Held),
    Gone { key: Vec<u8>, revision: i64 },
}

impl Event {
    pub(super) const fn revision(&self) -> i64 {
        match self {
            Self::Put(Held { revision, .. }) | Self::Gone { revision, .. } => *revision,
        }
    }
}

/// What is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// A value that was not there before.
    Value { key: Vec<u8>, value: Vec<u8> },
    /// Nobody keeps it any more.
    Gone { key: Vec<u8> },
}

/// What came of a listing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) news: Vec<News>,
    /// Time went back there, or it is another etcd: what was put since then is lost.
    pub(super) is_rewound: bool,
}

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Known {
    cluster: u64,
    /// Everything up to here was seen. 0: nothing yet.
    at: i64,
    keys: BTreeMap<Vec<u8>, (i64, Vec<u8>)>,
}

impl Known {
    /// From where a watch must begin, so that nothing is missed. None: only a listing can tell.
    pub(super) fn next(&self, cluster: u64, revision: i64) -> Option<i64> {
        let goes_on = self.at > 0 && !self.is_rewound(cluster, revision);
        goes_on.then(|| self.at.saturating_add(1))
    }

    /// The same after a listing.
    pub(super) const fn after(&self) -> i64 {
        self.at.saturating_add(1)
    }

    /// Compares with all that is there now.
    pub(super) fn list(&mut self, listing: Listing) -> Found {
        let is_rewound = self.is_rewound(listing.cluster, listing.revision);
        let mut before = std::mem::take(&mut self.keys);
        let mut news = Vec::new();
        for Held { key, value, revision } in listing.keys {
            let known = before.remove(&key);
            // Between a restored etcd and the one before, revisions do not compare, but values do.
            let is_same =
                known.is_some_and(|(at, was)| was == value && (at == revision || is_rewound));
            if !is_same {
                news.push(News::Value { key: key.clone(), value: value.clone() });
            }
            self.keys.insert(key, (revision, value));
        }
        news.extend(before.into_keys().map(|key| News::Gone { key }));
        self.cluster = listing.cluster;
        self.at = listing.revision;
        Found { news, is_rewound }
    }

    /// Takes what the watch says. What a listing was ahead of is no news.
    pub(super) fn take(&mut self, event: Event) -> Option<News> {
        match event {
            Event::Put(Held { key, value, revision }) if revision > self.at => {
                self.keys.insert(key.clone(), (revision, value.clone()));
                Some(News::Value { key, value })
            }
            Event::Gone { key, revision } if revision > self.at => {
                self.keys.remove(&key).map(|_| News::Gone { key })
            }
            Event::Put(_) | Event::Gone { .. } => None,
        }
    }

    /// All up to here was seen. Of one message, all events are taken first: several may be of one revision.
    pub(super) fn seen(&mut self, revision: i64) {
        self.at = self.at.max(revision);
    }

    fn is_rewound(&self, cluster: u64, revision: i64) -> bool {
        self.at > 0 && (self.cluster != cluster || revision < self.at)
    }
}

#[cfg(test)]
mod tests;
