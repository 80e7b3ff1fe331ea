//! One life of a data plane, as the control plane knows it: how long it has been silent, and whether somebody knows it to be over.
//!
//! Silence frees nothing for a day, and then only at the company's cost; a word frees once what was sent is counted. Whoever
//! is heard of again lives. All times are of one clock, the database's.

use crate::time::Timestamp;
use std::time::Duration;

/// What is known of a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifeState {
    /// It was heard of, and nobody said that it is over.
    Active,
    /// It said itself that it has given back all that it will not spend.
    Final,
    /// Somebody said that it can never dispatch again; what it sent is waited for.
    Forgetting,
    /// What it held was given up.
    GivenUp,
}

impl LifeState {
    const ALL: [Self; 4] = [Self::Active, Self::Final, Self::Forgetting, Self::GivenUp];

    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Final => "final",
            Self::Forgetting => "forgetting",
            Self::GivenUp => "given-up",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// How long silence means what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Whoever is connected is heard of within this time.
    pub live_within: Duration,
    /// Then it is suspect: nobody waits for it any more.
    pub suspect_after: Duration,
    /// Then the company pays for what it held.
    pub give_up_after: Duration,
}

/// What silence means, ascending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Silence {
    /// None: it is connected.
    Live,
    /// It may come back at any moment.
    Quiet,
    /// It may be gone.
    Suspect,
    /// It is not waited for any more.
    Lost,
}

impl Patience {
    /// What it means that somebody has not been heard of since then.
    #[must_use]
    pub fn judge(&self, heard: Timestamp, now: Timestamp) -> Silence {
        let silent_for = since(heard, now);
        if silent_for > self.give_up_after {
            Silence::Lost
        } else if silent_for > self.suspect_after {
            Silence::Suspect
        } else if silent_for > self.live_within {
            Silence::Quiet
        } else {
            Silence::Live
        }
    }
}

/// How far whoever takes in what a data plane ships has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intake {
    /// Its connection has not ended, as far as anybody told.
    pub is_open: bool,
    /// When whoever serves that was last heard of.
    pub renewed: Timestamp,
    /// When all that had come of the lives that are to be forgotten was counted.
    pub settled: Timestamp,
}

impl Intake {
    /// Whether all that a life sent before that order is counted: its connection has ended and all of it was, or it was
    /// looked for since, or whoever had it is gone, and its fence keeps the rest out.
    #[must_use]
    pub fn has_counted(&self, ordered: Timestamp, now: Timestamp, gone_after: Duration) -> bool {
        !self.is_open || self.settled >= ordered || since(self.renewed, now) > gone_after
    }
}

/// No time, where clocks went back.
const fn since(moment: Timestamp, now: Timestamp) -> Duration {
    Duration::from_micros(now.0.saturating_sub(moment.0))
}
