//! One batch, one transaction.

use super::billable::{Billable, Unbillable};
use super::error::ApplyError;
use super::key_usage::KeyUsage;
use super::marks::Marks;
use super::right::{Right, TopicPart};
use super::settle::{self, Charges};
use super::{foreign, poison, record};
use crate::{accounts, metric, retention, rows};
use domain::id::{Account, Partition};
use domain::money::Currency;
use domain::time::Timestamp;
use domain::usage::progress::Arrival;
use proto::usage::v1::UsageEnvelope;
use sqlx::AssertSqlSafe;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use storage::{Database, Statement, StorageError, Write};

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Events that count from now on.
    pub applied: u64,
    /// Events that had been seen before.
    pub duplicates: u64,
    /// Events that were kept because they cannot be applied.
    pub poisoned: u64,
    /// Gaps that were seen for the first time.
    pub gaps_opened: u64,
    /// For each stream of the batch, how far its sender may forget.
    pub billed: Vec<BilledMark>,
}

/// Everything of one stream below `next_seq` is in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BilledMark {
    /// Who sent it.
    pub data_plane: String,
    /// In which life.
    pub incarnation: u64,
    /// In which partition.
    pub partition: Partition,
    /// The first that is not in yet.
    pub next_seq: u64,
}

/// Applies a batch of usage events: each counts once, whatever is repeated or out of order.
///
/// # Errors
/// When nothing was applied; the same batch can be applied again.
pub async fn apply(
    database: &Database,
    batch: &[UsageEnvelope],
    now: Timestamp,
) -> Result<Applied, ApplyError> {
    apply_with(database, None, &mut KnownAccounts::default(), batch, now).await
}

/// The same by somebody who has the right to, and only as long as that is so; accounts are remembered from one batch to the next.
pub(crate) async fn apply_with(
    database: &Database,
    right: Option<Right<'_>>,
    known: &mut KnownAccounts,
    batch: &[UsageEnvelope],
    now: Timestamp,
) -> Result<Applied, ApplyError> {
    let mut write = database.write().await?;
    if let Some(right) = right
        && let Err(error) = right.assert(&mut write).await
    {
        write.rollback().await?;
        return Err(error);
    }
    let topic = right.and_then(Right::topic);
    if let Some(TopicPart { cell, foreign, .. }) = topic {
        foreign::keep(&mut write, cell, foreign, now).await?;
    }
    let applied = apply_in(&mut write, known, batch, now).await?;
    write.commit().await?;
    if let Some(TopicPart { cell, foreign, .. }) = topic {
        foreign::tell(cell, foreign);
    }
    let oldest_us =
        batch.iter().filter_map(|envelope| Some(envelope.event.as_ref()?.ended_us)).min();
    let lag = oldest_us.map(|oldest| Duration::from_micros(now.0.saturating_sub(oldest)));
    metric::applied(applied.applied, applied.duplicates, applied.poisoned, lag);
    Ok(applied)
}

/// The same in a transaction of the caller.
pub(super) async fn apply_in(
    write: &mut Write,
    known: &mut KnownAccounts,
    batch: &[UsageEnvelope],
    now: Timestamp,
) -> Result<Applied, ApplyError> {
    let mut marks = Marks::lock(write, batch, now).await?;
    let Arrived { fresh, mut refused, duplicates } = arrive(&mut marks, batch);
    let mut billables = Vec::with_capacity(fresh.len());
    for envelope in fresh {
        match Billable::read(envelope) {
            Ok(billable) => billables.push(billable),
            Err(reason) => refused.push((envelope, reason)),
        }
    }
    refused.extend(sort_out(write, known, &mut billables).await?);
    marks.save(write).await?;
    post(write, &mut billables, now).await?;
    poison::keep(write, &refused).await?;
    Ok(Applied {
        applied: rows::length(billables.len()),
        duplicates,
        poisoned: rows::length(refused.len()),
        gaps_opened: marks.gaps_opened(),
        billed: billed(&marks),
    })
}

struct Arrived<'a> {
    fresh: Vec<&'a UsageEnvelope>,
    refused: Vec<(&'a UsageEnvelope, Unbillable)>,
    duplicates: u64,
}

/// Counts a batch in, in the order of its streams, so that a shuffled batch opens no gaps.
fn arrive<'a>(marks: &mut Marks, batch: &'a [UsageEnvelope]) -> Arrived<'a> {
    let mut ordered: Vec<&UsageEnvelope> = batch.iter().collect();
    ordered.sort_by_key(|e| (e.data_plane.as_str(), e.incarnation, e.partition, e.seq));
    let mut arrived = Arrived { fresh: Vec::new(), refused: Vec::new(), duplicates: 0 };
    for envelope in ordered {
        match marks.arrive(envelope) {
            Arrival::Fresh => arrived.fresh.push(envelope),
            Arrival::Duplicate => arrived.duplicates = arrived.duplicates.saturating_add(1),
            Arrival::Impossible => arrived.refused.push((envelope, Unbillable::Sequence)),
        }
    }
    arrived
}

/// Takes out the events that can be read, but not be charged: of accounts that are not there, and of requests that are
/// billed already from another place.
pub(crate) async fn sort_out<'a>(
    write: &mut Write,
    known: &mut KnownAccounts,
    batch: &mut Vec<Billable<'a>>,
) -> Result<Vec<(&'a UsageEnvelope, Unbillable)>, StorageError> {
    known.look_up(write, batch).await?;
    let mut billed = billed_requests(write, batch).await?;
    let mut refused = Vec::new();
    batch.retain(|billable| {
        let request_id = &billable.event.request_id;
        let outcome = match known.check(billable) {
            Ok(()) if request_id.is_empty() || billed.insert(request_id.clone()) => Ok(()),
            Ok(()) => Err(Unbillable::ToldTwice(request_id.clone())),
            Err(reason) => Err(reason),
        };
        let is_billable = outcome.is_ok();
        refused.extend(outcome.err().map(|reason| (billable.envelope, reason)));
        is_billable
    });
    Ok(refused)
}

/// Which requests of these events are billed already, though their places were never seen.
async fn billed_requests(
    write: &mut Write,
    batch: &[Billable<'_>],
) -> Result<HashSet<String>, StorageError> {
    let mut billed = retention::rolled_up_among(write, batch).await?;
    for batch in storage::chunks(batch) {
        let list = storage::values(write, 1, batch.len());
        let text = format!("SELECT request_id FROM usage_record WHERE request_id IN {list}");
        let bind = |statement: Statement, billable: &Billable<'_>| {
            statement.bind(billable.event.request_id.clone())
        };
        let statement = batch.iter().fold(sqlx::query(AssertSqlSafe(text)), bind);
        for row in statement.fetch_all(&mut **write).await? {
            billed.insert(rows::text(&row, "request_id")?);
        }
    }
    Ok(billed)
}

/// Charges, posts and records events, none of which was applied before. Posting takes the one row that numbers all
/// transactions, and keeps it until the commit: what can be written without it is written before.
pub(crate) async fn post(
    write: &mut Write,
    batch: &mut [Billable<'_>],
    now: Timestamp,
) -> Result<(), ApplyError> {
    let Some(key) = batch.first().map(record::transaction_key) else { return Ok(()) };
    let shortfalls = Charges::of(batch)?.settle(write).await?;
    settle::attribute(batch, shortfalls);
    KeyUsage::of(batch)?.save(write).await?;
    let transaction = record::Postings::of(batch)?.post(write, key, now).await?;
    Ok(record::insert(write, batch, transaction).await?)
}

fn billed(marks: &Marks) -> Vec<BilledMark> {
    let mark = |(stream, next_seq): (&super::marks::Stream, u64)| BilledMark {
        data_plane: stream.holder.data_plane.clone(),
        incarnation: stream.holder.incarnation,
        partition: stream.partition,
        next_seq,
    };
    marks.billed().map(mark).collect()
}

/// Which accounts there are, and in which currency. Neither ever changes, so it may be remembered.
#[derive(Debug, Default)]
pub(crate) struct KnownAccounts(HashMap<Account, Currency>);

/// Accounts that are remembered at most.
const KNOWN_MAX: usize = 100_000;

impl KnownAccounts {
    /// Looks the accounts of events up, unless they are known.
    pub(crate) async fn look_up(
        &mut self,
        write: &mut Write,
        events: &[Billable<'_>],
    ) -> Result<(), StorageError> {
        if self.0.len() >= KNOWN_MAX {
            self.0.clear();
        }
        let unknown: HashSet<Account> = events
            .iter()
            .flat_map(Billable::accounts)
            .filter(|account| !self.0.contains_key(account))
            .collect();
        let unknown: Vec<Account> = unknown.into_iter().collect();
        self.0.extend(accounts::currencies(write, &unknown).await?);
        Ok(())
    }

    /// Why an event cannot be charged, if it cannot.
    pub(crate) fn check(&self, billable: &Billable<'_>) -> Result<(), Unbillable> {
        let charged = billable.currency;
        for account in billable.accounts() {
            let kept = *self.0.get(&account).ok_or(Unbillable::UnknownAccount(account))?;
            if kept != charged {
                return Err(Unbillable::Currency { account, kept, charged });
            }
        }
        Ok(())
    }
}
