//! What is written down about applied events: the ledger's postings, the lots used, and one record per event.

use super::billable::Billable;
use crate::ledger::{self, Entry, Kind, Posting, UNCOLLECTED};
use crate::{lots, rows};
use domain::id::OrgUid;
use domain::money::{AmountOutOfRange, Currency, Nano};
use domain::time::Timestamp;
use prost::Message;
use std::collections::BTreeMap;
use storage::{Insert, StorageError, Write};

const RECORD: Insert = Insert::into(
    "usage_record",
    &[
        "data_plane",
        "incarnation",
        "partition_no",
        "seq",
        "request_id",
        "upstream_id",
        "org_uid",
        "key_uid",
        "model",
        "outcome",
        "currency",
        "charge_nano",
        "uncollected_nano",
        "shortfall_nano",
        "budget_shortfall_nano",
        "budgeted",
        "input_tokens",
        "output_tokens",
        "ended_us",
        "transaction_id",
        "event",
    ],
);

/// What a batch posts: one set of postings per wallet, and what nobody pays.
#[derive(Debug, Default)]
pub(crate) struct Postings {
    wallets: BTreeMap<OrgUid, Nano>,
    pairs: BTreeMap<(String, String, Currency), Nano>,
}

impl Postings {
    /// Adds a batch up.
    pub(crate) fn of(batch: &[Billable<'_>]) -> Result<Self, AmountOutOfRange> {
        let mut postings = Self::default();
        for billable in batch {
            let paid = billable.charge.minus(billable.shortfall)?;
            let unpaid = billable.uncollected.plus(billable.shortfall)?;
            let wallet = postings.wallets.entry(billable.org).or_default();
            *wallet = wallet.plus(paid)?;
            postings.add(ledger::wallet(billable.org), billable, paid)?;
            postings.add(UNCOLLECTED.to_owned(), billable, unpaid)?;
        }
        Ok(postings)
    }

    fn add(
        &mut self,
        debit: String,
        billable: &Billable<'_>,
        amount: Nano,
    ) -> Result<(), AmountOutOfRange> {
        if amount.is_positive() {
            let pair = (debit, billable.revenue.clone(), billable.currency);
            let sum = self.pairs.entry(pair).or_default();
            *sum = sum.plus(amount)?;
        }
        Ok(())
    }

    /// Uses up lots and posts. Returns the transaction's number, 0 if there was nothing to post.
    pub(crate) async fn post(
        self,
        write: &mut Write,
        idempotency_key: String,
        at: Timestamp,
    ) -> Result<i64, StorageError> {
        lots::consume(write, &self.wallets).await?;
        if self.pairs.is_empty() {
            return Ok(0);
        }
        let posting =
            |((debit, credit, currency), amount)| Posting { debit, credit, amount, currency };
        let postings = self.pairs.into_iter().map(posting).collect();
        ledger::post(write, &Entry { kind: Kind::Usage, idempotency_key, at, postings }).await
    }
}

/// The key of the transaction that applies this event first: no event is ever applied twice.
pub(crate) fn transaction_key(first: &Billable<'_>) -> String {
    let place = first.envelope;
    let (incarnation, partition) = (place.incarnation, place.partition);
    format!("usage:{}:{incarnation}:{partition}:{}", place.data_plane, place.seq)
}

/// Writes one record per event.
pub(crate) async fn insert(
    write: &mut Write,
    batch: &[Billable<'_>],
    transaction: i64,
) -> Result<(), StorageError> {
    RECORD
        .rows(write, batch, |statement, billable| {
            let event = billable.event;
            let quantities = &billable.metered.quantities;
            statement
                .bind(billable.envelope.data_plane.clone())
                .bind(billable.stream.holder.incarnation_column())
                .bind(i64::from(billable.envelope.partition))
                .bind(rows::stored(billable.envelope.seq))
                .bind(event.request_id.clone())
                .bind(event.upstream_id.clone())
                .bind(billable.org.0)
                .bind(billable.key.0)
                .bind(event.model.clone())
                .bind(billable.outcome.name())
                .bind(billable.currency.as_str().to_owned())
                .bind(billable.charge.get())
                .bind(billable.uncollected.get())
                .bind(billable.shortfall.get())
                .bind(billable.budget_shortfall.get())
                .bind(i64::from(event.budgeted))
                .bind(rows::stored(quantities.input_total()))
                .bind(rows::stored(quantities.output_total()))
                .bind(rows::stored(event.ended_us))
                .bind(transaction)
                .bind(rows::hex_text(&event.encode_to_vec()))
        })
        .await
}
