//! The escrow link: slices of wallets and budgets, between one data plane and a control plane.
//!
//! It carries totals and wants; what they mean is in `domain::escrow`. Every total only grows and is merged by maximum, so
//! a message lost with its connection does no harm: the next Hello and its Welcome repeat all that matters.

mod wire;
mod patience;
mod link;
mod listener;

pub use link::{EscrowLink, NotConnected};
pub use listener::{
    EscrowConnection, EscrowDoor, EscrowListener, EscrowSender, Gone, escrow_listener,
    escrow_listener_with,
};

use crate::ReconnectSettings;
use domain::id::{Account, Partition};
use domain::money::Nano;
use std::time::Duration;

/// Limits of the control plane's end.
#[derive(Clone, Copy, Debug)]
pub struct EscrowListenerSettings {
    /// Connections that may wait to be accepted.
    pub backlog: usize,
    /// Messages that may wait to be sent to one data plane.
    pub waiting_messages: usize,
    /// A data plane that takes nothing for so long while messages wait is cut off; it comes back with a fresh Hello.
    pub send_timeout: Duration,
    /// How long a data plane may take to say who it is.
    pub hello_timeout: Duration,
    /// Bytes of one message.
    pub message_bytes: usize,
}

impl Default for EscrowListenerSettings {
    fn default() -> Self {
        Self {
            backlog: 64,
            waiting_messages: 1024,
            send_timeout: Duration::from_secs(5),
            hello_timeout: Duration::from_secs(10),
            message_bytes: 64 * 1024 * 1024,
        }
    }
}

/// Limits of the data plane's end.
#[derive(Clone, Copy, Debug)]
pub struct EscrowLinkSettings {
    /// How it comes back.
    pub reconnect: ReconnectSettings,
    /// A control plane that leaves wants unanswered for so long is left for another one, if there is one.
    pub answer_within: Duration,
    /// Messages that may wait to be sent; beyond them the link counts as not connected.
    pub waiting_to_send: usize,
    /// Messages that may wait to be taken.
    pub waiting_to_take: usize,
    /// Bytes of one message.
    pub message_bytes: usize,
}

impl Default for EscrowLinkSettings {
    fn default() -> Self {
        Self {
            reconnect: ReconnectSettings::default(),
            answer_within: Duration::from_secs(1),
            waiting_to_send: 4096,
            waiting_to_take: 1024,
            message_bytes: 64 * 1024 * 1024,
        }
    }
}

/// What a data plane knows of one slice. All but `inflight` are totals that only grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceReport {
    /// Whose money.
    pub account: Account,
    /// The largest total of grants it has learned.
    pub granted_seen: Nano,
    /// Given back.
    pub released: Nano,
    /// Charged.
    pub spent: Nano,
    /// Held by running requests right now.
    pub inflight: Nano,
}

/// The first message of a connection: who speaks, and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Its name.
    pub data_plane: String,
    /// The life of its spool.
    pub incarnation: u64,
    /// All its slices.
    pub slices: Vec<SliceReport>,
}

/// Asks for money. Answered by one grant or denial with the same `want_id`, unless the connection breaks first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// Chosen by the data plane.
    pub want_id: u64,
    /// Whose money.
    pub account: Account,
    /// Below this the request cannot go on.
    pub need: Nano,
    /// What would save the next round trip.
    pub want: Nano,
    /// The largest total of grants it has learned.
    pub granted_seen: Nano,
}

/// From a data plane to the control plane, after Hello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromDataPlane {
    /// Asks for money.
    Want(Want),
    /// Tells of slices.
    Report(Vec<SliceReport>),
    /// Tells of all slices for the last time: what is not released is spent. Answered by the end of the connection.
    Final(Vec<SliceReport>),
}

/// The control plane's total of one slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The want that it answers; 0 in a welcome.
    pub want_id: u64,
    /// Whose money.
    pub account: Account,
    /// All that was ever granted.
    pub granted_total: Nano,
    /// What remains in the wallet.
    pub free: Nano,
}

/// Why there is no grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DenialReason {
    /// The money is not there, and nobody holds any of it.
    Insufficient,
    /// It is there but held: worth another try.
    InFlight,
    /// The org or its account does not exist, or may not spend.
    Frozen,
}

/// No grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The want that it answers.
    pub want_id: u64,
    /// Whose money.
    pub account: Account,
    /// Why.
    pub reason: DenialReason,
    /// What is free in the wallet.
    pub free: Nano,
}

/// From the control plane to a data plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToDataPlane {
    /// Answers Hello: the control plane's side of every slice.
    Welcome(Vec<Grant>),
    /// Answers a want.
    Grant(Grant),
    /// Answers a want.
    Denial(Denial),
    /// Asks for idle money back.
    Recall(Account),
    /// Billing has applied every event below these marks (the next sequence number of each partition).
    Billed(Vec<(Partition, u64)>),
    /// Billing misses events from these numbers on.
    Resend(Vec<(Partition, u64)>),
    /// Made by the data plane's end itself: the connection broke, wants sent before this will not be answered.
    Disconnected,
}
