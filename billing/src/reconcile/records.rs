//! Usage records: each what its event says, each event what its quantities and its price make it, and what they add up to
//! in each transaction.

use super::report::Report;
use crate::ledger::{self, UNCOLLECTED};
use crate::rating::{self, PriceHistory};
use crate::rows;
use domain::id::OrgUid;
use domain::time::Timestamp;
use futures::TryStreamExt;
use proto::convert::usage;
use proto::usage::v1::UsageEvent;
use sqlx::any::AnyRow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;
use storage::{Read, StorageError};

/// Between which accounts money moves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pair {
    pub(super) debit: String,
    pub(super) credit: String,
    pub(super) currency: String,
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {} to {}", self.currency, self.debit, self.credit)
    }
}

/// What records add up to.
#[derive(Debug, Default)]
pub(super) struct Sums {
    pub(super) events: u64,
    pub(super) rolled_up: u64,
    /// Transactions of which some records are rolled up.
    pub(super) rollups: BTreeSet<i64>,
    /// By transaction and pair.
    pub(super) pairs: BTreeMap<(i64, Pair), i128>,
}

const COLUMNS: &str =
    "data_plane, incarnation, partition_no, seq, request_id, upstream_id, org_uid, key_uid,
    model, outcome, currency, charge_nano, uncollected_nano, shortfall_nano, budgeted, input_tokens,
    output_tokens, ended_us, transaction_id, event";

/// Checks the records of some transactions and adds them up.
pub(super) async fn check_paid(
    read: &mut Read,
    prices: &mut Read,
    history: &mut PriceHistory,
    range: RangeInclusive<i64>,
    report: &mut Report,
) -> Result<Sums, StorageError> {
    let text = format!("SELECT {COLUMNS} FROM usage_record WHERE transaction_id BETWEEN $1 AND $2");
    let mut found = sqlx::query(sqlx::AssertSqlSafe(text))
        .bind(*range.start())
        .bind(*range.end())
        .fetch(&mut **read);
    let mut sums = Sums::default();
    while let Some(row) = found.try_next().await? {
        check_one(&row, prices, history, report).await?;
        sums.add(&row)?;
    }
    Ok(sums)
}

/// Checks the records that cost nothing and so have no transaction. Their sums should be empty.
pub(super) async fn check_free(
    read: &mut Read,
    prices: &mut Read,
    history: &mut PriceHistory,
    since: Timestamp,
    report: &mut Report,
) -> Result<Sums, StorageError> {
    let text =
        format!("SELECT {COLUMNS} FROM usage_record WHERE transaction_id <= 0 AND ended_us >= $1");
    let mut found =
        sqlx::query(sqlx::AssertSqlSafe(text)).bind(rows::stored(since.0)).fetch(&mut **read);
    let mut sums = Sums::default();
    while let Some(row) = found.try_next().await? {
        check_one(&row, prices, history, report).await?;
        sums.add(&row)?;
    }
    Ok(sums)
}

impl Sums {
    fn add(&mut self, row: &AnyRow) -> Result<(), StorageError> {
        self.events = self.events.saturating_add(1);
        self.add_amounts(row, rows::moment(row, "ended_us")?)
    }

    /// Adds what a record or a rollup says was charged at a moment.
    pub(super) fn add_amounts(&mut self, row: &AnyRow, at: Timestamp) -> Result<(), StorageError> {
        let transaction = rows::integer(row, "transaction_id")?;
        let currency = rows::text(row, "currency")?;
        let wallet = ledger::wallet(OrgUid(rows::integer(row, "org_uid")?));
        let revenue = ledger::usage(at).unwrap_or_default();
        let amount = |column| Ok::<_, StorageError>(i128::from(rows::integer(row, column)?));
        let shortfall = amount("shortfall_nano")?;
        let paid = amount("charge_nano")?.saturating_sub(shortfall);
        let unpaid = amount("uncollected_nano")?.saturating_add(shortfall);
        for (debit, amount) in [(wallet, paid), (UNCOLLECTED.to_owned(), unpaid)] {
            if amount != 0 {
                let pair = Pair { debit, credit: revenue.clone(), currency: currency.clone() };
                let sum = self.pairs.entry((transaction, pair)).or_default();
                *sum = sum.saturating_add(amount);
            }
        }
        Ok(())
    }
}

async fn check_one(
    row: &AnyRow,
    prices: &mut Read,
    history: &mut PriceHistory,
    report: &mut Report,
) -> Result<(), StorageError> {
    let event = match rows::event(row) {
        Ok(event) => event,
        Err(error) => {
            report.differ(name(row)?, "event", "a readable event".to_owned(), error.to_string());
            return Ok(());
        }
    };
    check_columns(row, &event, report)?;
    let schedule = history.schedule(prices, &event).await?;
    for wrong in rating::check(&event, schedule.as_deref()) {
        report.differ(name(row)?, &wrong.field, wrong.expected, wrong.found);
    }
    Ok(())
}

fn name(row: &AnyRow) -> Result<String, StorageError> {
    let request = rows::text(row, "request_id")?;
    let data_plane = rows::text(row, "data_plane")?;
    let incarnation = rows::integer(row, "incarnation")?.cast_unsigned();
    let (partition, seq) = (rows::integer(row, "partition_no")?, rows::integer(row, "seq")?);
    Ok(format!("usage_record {request} ({data_plane}:{incarnation}:{partition}:{seq})"))
}

fn check_columns(
    row: &AnyRow,
    event: &UsageEvent,
    report: &mut Report,
) -> Result<(), StorageError> {
    let name = name(row)?;
    let metered = usage::metered(&event.lines).unwrap_or_default();
    let outcome = usage::outcome(event.outcome).map_or("unreadable", domain::usage::Outcome::name);
    let texts = [
        ("request_id", event.request_id.as_str()),
        ("upstream_id", event.upstream_id.as_str()),
        ("model", event.model.as_str()),
        ("outcome", outcome),
        ("currency", event.currency.as_str()),
    ];
    for (column, expected) in texts {
        let found = rows::text(row, column)?;
        report.compare(|| name.clone(), column, expected, found.as_str());
    }
    let numbers = [
        ("org_uid", event.org_uid),
        ("key_uid", event.key_uid),
        ("charge_nano", event.charge_nano),
        ("uncollected_nano", event.uncollected_nano),
        ("budgeted", i64::from(event.budgeted)),
        ("input_tokens", rows::stored(metered.quantities.input_total())),
        ("output_tokens", rows::stored(metered.quantities.output_total())),
        ("ended_us", rows::stored(event.ended_us)),
    ];
    for (column, expected) in numbers {
        report.compare(|| name.clone(), column, expected, rows::integer(row, column)?);
    }
    Ok(())
}
