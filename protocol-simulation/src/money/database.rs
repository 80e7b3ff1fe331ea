//! The database as a model: one transaction after the other, a log of commits of which a failover may lose the last, and
//! outcomes that nobody is told. What is decided about its rows is decided by the real rules (`desk`, `billing`).

mod billing;
mod desk;

pub(super) use self::billing::{CURRENCY, key, name};
use super::message::{Job, Reply};
use crate::chance::Chance;
use crate::coverage::Seen;
use crate::mutant::Mutant;
use crate::schedule::Time;
use domain::escrow::row::SliceRow;
use domain::escrow::wallet::Wallet;
use domain::id::{Account, Partition};
use domain::money::Nano;
use domain::usage::progress::Progress;
use std::collections::{BTreeMap, VecDeque};

/// One life of a data plane's spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Holder {
    pub(super) data_plane: usize,
    pub(super) incarnation: u64,
}

/// The place of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EventKey {
    pub(super) holder: Holder,
    pub(super) partition: Partition,
    pub(super) seq: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct WalletRow {
    pub(super) wallet: Wallet,
    pub(super) credited: Nano,
    /// What the company bears of what was charged here.
    pub(super) uncollected: Nano,
}

/// Who consumes a partition of the topic, and how far that has come.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct PartitionRow {
    pub(super) owner: Option<usize>,
    pub(super) epoch: u64,
    pub(super) next_offset: usize,
    renewed: i64,
}

/// An event that is in the ledger.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) account: Account,
    pub(super) charge: Nano,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rows {
    pub(super) wallets: BTreeMap<Account, WalletRow>,
    pub(super) slices: BTreeMap<(Account, Holder), SliceRow>,
    pub(super) streams: BTreeMap<(Holder, Partition), Progress>,
    pub(super) partitions: BTreeMap<Partition, PartitionRow>,
    pub(super) ledger: BTreeMap<EventKey, Entry>,
    pub(super) poison: BTreeMap<EventKey, Entry>,
    /// Events that were entered although they were there: never, unless a rule is broken.
    pub(super) entered_twice: Vec<EventKey>,
}

/// Commits that a failover can lose.
const LOG: usize = 16;

#[derive(Debug)]
pub(super) struct Database {
    pub(super) rows: Rows,
    /// The rows before each of the last commits.
    log: VecDeque<Rows>,
    pub(super) has_lost: bool,
    pub(super) down_until: Time,
    pub(super) unsure_until: Time,
    chance: Chance,
}

/// What a transaction may know besides the rows.
pub(super) struct Context<'a> {
    /// The database's clock.
    pub(super) clock: i64,
    pub(super) mutant: Option<Mutant>,
    pub(super) seen: &'a mut Seen,
}

impl Context<'_> {
    pub(super) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}

impl Database {
    pub(super) fn new(chance: Chance) -> Self {
        Self {
            rows: Rows::default(),
            log: VecDeque::new(),
            has_lost: false,
            down_until: 0,
            unsure_until: 0,
            chance,
        }
    }

    /// Takes a transaction up at that time. Returns what its client is told, and the rows as they were if it was committed.
    pub(super) fn transact(
        &mut self,
        job: &Job,
        now: Time,
        context: &mut Context<'_>,
    ) -> (Reply, Option<Rows>) {
        if now < self.down_until {
            context.seen.note("database down");
            return (Reply::Failed, None);
        }
        let is_unsure = now < self.unsure_until && self.chance.percent(60);
        if is_unsure && self.chance.percent(50) {
            context.seen.note("not committed, and nobody was told");
            return (Reply::Failed, None);
        }
        let before = self.rows.clone();
        let Some(reply) = self.rows.apply(job, context) else {
            self.rows = before;
            return (Reply::Fenced, None);
        };
        if self.rows != before {
            self.log.push_back(before.clone());
        }
        if self.log.len() > LOG {
            self.log.pop_front();
        }
        if is_unsure {
            context.seen.note("committed, and nobody was told");
            return (Reply::Failed, Some(before));
        }
        (reply, Some(before))
    }

    /// A standby takes over that did not have the last commits.
    pub(super) fn lose_commits(&mut self, count: usize) -> bool {
        let kept = self.log.len().saturating_sub(count);
        let mut lost = self.log.drain(kept..);
        let Some(rows) = lost.next() else { return false };
        drop(lost);
        self.rows = rows;
        self.has_lost = true;
        true
    }
}

impl Rows {
    /// Does what is asked for. `None`: it is to be rolled back.
    fn apply(&mut self, job: &Job, context: &mut Context<'_>) -> Option<Reply> {
        match job {
            Job::Credit { account, amount, limit } => self.credit(*account, *amount, *limit),
            Job::Answer { want, data_planes, .. } => self.answer(*want, *data_planes, context),
            Job::Learn { holder, told } => self.learn(*holder, told, context),
            Job::Welcome { holder, told } => self.welcome(*holder, told, context),
            Job::FreeSilent { holder } => self.free_silent(*holder),
            Job::Marks { holder } => Some(self.marks(*holder, context)),
            Job::Claim { partition, consumer } => Some(self.claim(*partition, *consumer, context)),
            Job::Batch(batch) => self.batch(batch, context),
            Job::ApplyPoison => self.apply_poison(context),
        }
    }

    pub(super) fn wallet(&mut self, account: Account) -> &mut WalletRow {
        self.wallets.entry(account).or_default()
    }

    fn slice(&self, account: Account, holder: Holder) -> SliceRow {
        self.slices.get(&(account, holder)).copied().unwrap_or_default()
    }
}
