//! What nodes of the money world say to each other, ask of the database, and set themselves to do later.

use super::database::Holder;
use crate::network::Node;
use crate::schedule::Time;
use domain::escrow::office::Told;
use domain::escrow::wallet::Ask;
use domain::id::{Account, Partition};
use domain::money::Nano;
use proto::usage::v1::UsageEnvelope;

/// What happens.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// A step of the seed.
    Step(usize),
    /// A fault of the seed.
    Fault(usize),
    /// A message arrives.
    Arrive { from: Node, to: Node, message: Message },
    /// A node does what it set itself to do, if its process is still the same.
    Alarm { node: Node, life: u64, alarm: Alarm },
    /// The database takes up a transaction.
    Transact { node: Node, life: u64, job: Job },
    /// Who asked for a transaction is told what came of it.
    Done { node: Node, life: u64, job: Job, reply: Reply },
    /// A process that ended is started again.
    Restart(Node),
}

impl Event {
    /// Whose processor it needs.
    pub(super) const fn node(&self) -> Option<Node> {
        match self {
            Self::Arrive { to, .. } => Some(*to),
            Self::Alarm { node, .. } | Self::Done { node, .. } => Some(*node),
            Self::Step(_) | Self::Fault(_) | Self::Transact { .. } | Self::Restart(_) => None,
        }
    }
}

/// What one node says to another.
#[derive(Clone, Debug)]
pub(super) enum Message {
    Hello(Holder, Vec<(Account, Told)>),
    Report(Holder, Vec<(Account, Told)>),
    Want(Want),
    Welcome(Holder, Vec<(Account, Nano)>),
    Grant(Holder, Account, Nano),
    Denial(Holder, Account),
    Recall(Holder, Account),
    Billed(Holder, Vec<(Partition, u64)>),
    Produce(Vec<UsageEnvelope>),
    /// Only heeded by a data plane that trims on the topic's word.
    Acknowledged(Vec<UsageEnvelope>),
}

/// What a data plane wants of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Want {
    pub(super) holder: Holder,
    pub(super) account: Account,
    pub(super) ask: Ask,
    pub(super) granted_seen: Nano,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alarm {
    /// A data plane syncs its spool.
    Sync,
    /// A data plane tells its totals, gives back what is idle, and sees to it that it has a control plane.
    Report,
    /// A data plane sends again what is not billed.
    Resend,
    /// A request goes on.
    Meter(usize),
    /// A request has waited long enough for money.
    GiveUp(usize),
    /// A control plane tells data planes what is billed, and looks at wants that wait.
    Round,
    /// A consumer looks at its partitions.
    Poll,
}

/// One transaction.
#[derive(Clone, Debug)]
pub(super) enum Job {
    Credit {
        account: Account,
        amount: Nano,
        limit: Nano,
    },
    /// Until a moment, if others were asked for the money already.
    Answer {
        want: Want,
        data_planes: u32,
        until: Option<Time>,
    },
    Learn {
        holder: Holder,
        told: Vec<(Account, Told)>,
    },
    Welcome {
        holder: Holder,
        told: Vec<(Account, Told)>,
    },
    Marks {
        holder: Holder,
    },
    FreeSilent {
        holder: Holder,
    },
    Claim {
        partition: Partition,
        consumer: usize,
    },
    Batch(Batch),
    ApplyPoison,
}

/// Events of one partition of the topic, and the offsets that they stand for.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) partition: Partition,
    pub(super) consumer: usize,
    pub(super) epoch: u64,
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) events: Vec<UsageEnvelope>,
    /// What the topic had taken in by then.
    pub(super) fetched: u64,
}

/// What came of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Done,
    Granted(Nano),
    /// Money of these came free.
    Freed(Vec<Account>),
    Short {
        holders: Vec<Holder>,
    },
    Totals(Vec<(Account, Nano)>),
    Marks(Vec<(Partition, u64)>),
    Claimed(Option<(u64, usize)>),
    /// The epoch or the offset is not the consumer's any more.
    Fenced,
    /// It was not done, or it was and nobody can tell.
    Failed,
}

/// What a request will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Script {
    pub(super) data_plane: usize,
    pub(super) org: i64,
    pub(super) hold: i64,
    /// What it costs, part by part.
    pub(super) parts: Vec<i64>,
    /// What it costs in the end beyond all that was foreseen.
    pub(super) overrun: i64,
    pub(super) pace: Time,
    /// Whether billing can read its event.
    pub(super) is_readable: bool,
}
