//! The ledger, transaction by transaction: numbered without gaps, none empty, and each posting what its cause says.

use super::records::{self, Pair, Sums};
use super::report::Report;
use super::rollups;
use crate::ledger::{PSP_MANUAL, WALLET};
use crate::rating::PriceHistory;
use crate::rows;
use domain::time::Timestamp;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use storage::{Read, StorageError};

/// Transactions that are compared at once.
const RANGE: i64 = 200;

/// A posting as it was found.
#[derive(Clone, Debug)]
struct Found {
    ord: i64,
    pair: Pair,
    amount: i64,
}

/// What is known of one transaction.
#[derive(Debug, Default)]
struct Transaction {
    kind: String,
    postings: Vec<Found>,
    /// What its usage records add up to.
    usage: BTreeMap<Pair, i128>,
    /// The top-up's lot: its org and amount.
    lot: Option<(i64, i64)>,
    /// Some of its records are only there as sums.
    is_rolled_up: bool,
}

/// How many records were looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    pub(super) events: u64,
    pub(super) rolled_up: u64,
}

impl Counted {
    fn add(&mut self, sums: &Sums) {
        self.events = self.events.saturating_add(sums.events);
        self.rolled_up = self.rolled_up.saturating_add(sums.rolled_up);
    }
}

/// Checks transactions since a moment with their records.
pub(super) async fn check(
    read: &mut Read,
    prices: &mut Read,
    since: Timestamp,
    report: &mut Report,
) -> Result<Counted, StorageError> {
    let (first, last) = bounds(read, since, report).await?;
    let mut history = PriceHistory::default();
    let mut counted = Counted::default();
    let mut free = records::check_free(read, prices, &mut history, since, report).await?;
    rollups::add_free(read, since, &mut free).await?;
    counted.add(&free);
    for ((number, pair), amount) in free.pairs {
        let row = format!("ledger_transaction {number}");
        report.differ(row, "postings", format!("{amount} {pair}"), "no transaction".to_owned());
    }
    let mut from = first;
    while from <= last {
        let to = from.saturating_add(RANGE - 1).min(last);
        let mut transactions = load(read, from..=to, report).await?;
        let mut sums = records::check_paid(read, prices, &mut history, from..=to, report).await?;
        rollups::add_paid(read, from..=to, &mut sums).await?;
        counted.add(&sums);
        for ((number, pair), amount) in sums.pairs {
            transactions.entry(number).or_default().usage.insert(pair, amount);
        }
        for number in sums.rollups {
            transactions.entry(number).or_default().is_rolled_up = true;
        }
        for (number, transaction) in &transactions {
            compare(*number, transaction, report);
        }
        from = to.saturating_add(1);
    }
    Ok(counted)
}

/// The first transaction to look at, and the last there is.
async fn bounds(
    read: &mut Read,
    since: Timestamp,
    report: &mut Report,
) -> Result<(i64, i64), StorageError> {
    let row = sqlx::query(
        "SELECT CAST(COALESCE(MAX(id), 0) AS BIGINT) AS last_id, COUNT(*) AS transactions,
             CAST(COALESCE(MIN(CASE WHEN at_us >= $1 THEN id END), MAX(id) + 1, 1) AS BIGINT) AS first_id
         FROM ledger_transaction",
    )
    .bind(rows::stored(since.0))
    .fetch_one(&mut **read)
    .await?;
    let (last, count) = (rows::integer(&row, "last_id")?, rows::integer(&row, "transactions")?);
    let first = if since.0 == 0 { 1 } else { rows::integer(&row, "first_id")? };
    let head =
        sqlx::query("SELECT last_transaction FROM ledger_head").fetch_one(&mut **read).await?;
    let head = rows::integer(&head, "last_transaction")?;
    report.compare(|| "ledger_head".to_owned(), "last_transaction", last, head);
    report.compare(|| "ledger_transaction".to_owned(), "number of rows", last, count);
    Ok((first, last.max(head)))
}

async fn load(
    read: &mut Read,
    range: RangeInclusive<i64>,
    report: &mut Report,
) -> Result<BTreeMap<i64, Transaction>, StorageError> {
    let mut transactions = BTreeMap::new();
    let found = sqlx::query("SELECT id, kind FROM ledger_transaction WHERE id BETWEEN $1 AND $2")
        .bind(*range.start())
        .bind(*range.end())
        .fetch_all(&mut **read)
        .await?;
    for row in found {
        let kind = rows::text(&row, "kind")?;
        let transaction = Transaction { kind, ..Transaction::default() };
        transactions.insert(rows::integer(&row, "id")?, transaction);
    }
    for number in range.clone().filter(|number| !transactions.contains_key(number)) {
        let row = format!("ledger_transaction {number}");
        report.differ(row, "id", number.to_string(), "nothing".to_owned());
    }
    load_postings(read, &range, &mut transactions).await?;
    load_lots(read, &range, &mut transactions).await?;
    Ok(transactions)
}

async fn load_postings(
    read: &mut Read,
    range: &RangeInclusive<i64>,
    transactions: &mut BTreeMap<i64, Transaction>,
) -> Result<(), StorageError> {
    let found = sqlx::query(
        "SELECT transaction_id, ord, debit, credit, amount, currency FROM posting
         WHERE transaction_id BETWEEN $1 AND $2 ORDER BY transaction_id, ord",
    )
    .bind(*range.start())
    .bind(*range.end())
    .fetch_all(&mut **read)
    .await?;
    for row in found {
        let pair = Pair {
            debit: rows::text(&row, "debit")?,
            credit: rows::text(&row, "credit")?,
            currency: rows::text(&row, "currency")?,
        };
        let (ord, amount) = (rows::integer(&row, "ord")?, rows::integer(&row, "amount")?);
        let number = rows::integer(&row, "transaction_id")?;
        transactions.entry(number).or_default().postings.push(Found { ord, pair, amount });
    }
    Ok(())
}

async fn load_lots(
    read: &mut Read,
    range: &RangeInclusive<i64>,
    transactions: &mut BTreeMap<i64, Transaction>,
) -> Result<(), StorageError> {
    let found = sqlx::query("SELECT id, org_uid, amount FROM lot WHERE id BETWEEN $1 AND $2")
        .bind(*range.start())
        .bind(*range.end())
        .fetch_all(&mut **read)
        .await?;
    for row in found {
        let lot = (rows::integer(&row, "org_uid")?, rows::integer(&row, "amount")?);
        transactions.entry(rows::integer(&row, "id")?).or_default().lot = Some(lot);
    }
    Ok(())
}

fn compare(number: i64, transaction: &Transaction, report: &mut Report) {
    if transaction.postings.is_empty() {
        let row = format!("ledger_transaction {number}");
        report.differ(row, "postings", "at least one".to_owned(), "none".to_owned());
    }
    let is_top_up = transaction.kind == "topup" || transaction.lot.is_some();
    let mut expected = transaction.usage.clone();
    if is_top_up {
        expected.extend(top_up(transaction));
    }
    let source = match (is_top_up, transaction.is_rolled_up) {
        (true, _) => format!(" (lot {number})"),
        (false, true) => format!(" (usage_rollup {number})"),
        (false, false) => String::new(),
    };
    for Found { ord, pair, amount } in &transaction.postings {
        let row = || format!("posting {number}/{ord}{source}");
        match expected.remove(pair) {
            Some(expected) => report.compare(row, "amount", expected, i128::from(*amount)),
            None => {
                report.differ(row(), "amount", "nothing".to_owned(), format!("{amount} {pair}"));
            }
        }
    }
    for (pair, amount) in expected {
        let row = format!("posting {number}{source}");
        report.differ(row, "amount", format!("{amount} {pair}"), "nothing".to_owned());
    }
}

/// What a top-up posts: its lot's amount, from where money comes in to the wallet of its org.
fn top_up(transaction: &Transaction) -> Option<(Pair, i128)> {
    let (org, amount) = transaction.lot?;
    let currency = transaction.postings.first()?.pair.currency.clone();
    let pair = Pair { debit: PSP_MANUAL.to_owned(), credit: format!("{WALLET}{org}"), currency };
    Some((pair, i128::from(amount)))
}
