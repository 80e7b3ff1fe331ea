//! How an admitted request can end, what is charged for each end, and which ends have been counted in (`progress`).

pub mod progress;

use crate::tokens::Quantities;

/// How an admitted request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The upstream finished and the client was given everything.
    Completed,
    /// The client hung up before the end.
    ClientGone,
    /// Ended by us after the last covered event.
    OutOfMoney,
    /// No upstream answered, or the last one broke off.
    UpstreamFailed,
    /// Our process died; closed with its last progress.
    Interrupted,
}

impl Outcome {
    /// All.
    pub const ALL: [Self; 5] = [
        Self::Completed,
        Self::ClientGone,
        Self::OutOfMoney,
        Self::UpstreamFailed,
        Self::Interrupted,
    ];

    /// Its name in events, explanations and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::ClientGone => "client_gone",
            Self::OutOfMoney => "out_of_money",
            Self::UpstreamFailed => "upstream_failed",
            Self::Interrupted => "interrupted",
        }
    }

    /// The outcome of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }
}

/// What an entity charges for answers that went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChargePolicy {
    /// Answers without any output.
    pub empty: bool,
    /// Answers that their upstream broke off.
    pub cut: bool,
}

/// What of a request is charged: all that was metered, or nothing where policy says so. A hang-up is never free.
#[must_use]
pub fn chargeable(outcome: Outcome, metered: Quantities, policy: ChargePolicy) -> Quantities {
    let empty = metered.output_total() == 0;
    let free = match outcome {
        Outcome::Completed => empty && !policy.empty,
        Outcome::UpstreamFailed => !policy.cut,
        Outcome::ClientGone | Outcome::OutOfMoney | Outcome::Interrupted => false,
    };
    if free { Quantities::NONE } else { metered }
}
