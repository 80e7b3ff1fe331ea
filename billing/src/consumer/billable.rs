//! What one usage event says, checked: what cannot be applied is told why, and kept.

use super::marks::Stream;
use crate::ledger;
use domain::id::{Account, KeyUid, OrgUid};
use domain::money::{Currency, Nano};
use domain::name::{NAME_LENGTH_MAX, REQUEST_ID_LENGTH_MAX, is_printable};
use domain::time::Timestamp;
use domain::tokens::Metered;
use domain::usage::Outcome;
use proto::convert::usage;
use proto::usage::v1::{UsageEnvelope, UsageEvent};
use thiserror::Error;

/// Longest id of an upstream that is billed; data planes write down no longer one.
const UPSTREAM_ID_LENGTH_MAX: usize = 256;

/// Why an event cannot be applied. It is kept, with its slice's hold, until it can.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum Unbillable {
    #[error("the envelope holds no event")]
    Empty,
    #[error("the sequence number is impossible")]
    Sequence,
    #[error("it is of schema {0}, which this version does not know")]
    Schema(u32),
    #[error("{field}: {reason}")]
    Field { field: &'static str, reason: String },
    #[error("there is no account {0:?}")]
    UnknownAccount(Account),
    #[error("the account {account:?} is kept in {kept}, not in {charged}")]
    Currency { account: Account, kept: Currency, charged: Currency },
    /// A damaged spool may tell of the end of a request again, under another number.
    #[error("the request {0} is billed already, from another place")]
    ToldTwice(String),
    #[error("the ledger refused it: {0}")]
    Refused(String),
}

/// An event that can be applied.
#[derive(Clone, Debug)]
pub(crate) struct Billable<'a> {
    pub(crate) envelope: &'a UsageEnvelope,
    pub(crate) event: &'a UsageEvent,
    pub(crate) stream: Stream,
    pub(crate) org: OrgUid,
    pub(crate) key: KeyUid,
    pub(crate) currency: Currency,
    pub(crate) charge: Nano,
    pub(crate) uncollected: Nano,
    pub(crate) metered: Metered,
    pub(crate) outcome: Outcome,
    /// The revenue account of its month.
    pub(crate) revenue: String,
    /// What of the charge the wallet could not pay.
    pub(crate) shortfall: Nano,
    /// What of the charge the key's budget could not pay.
    pub(crate) budget_shortfall: Nano,
}

impl<'a> Billable<'a> {
    /// Reads an event.
    pub(crate) fn read(envelope: &'a UsageEnvelope) -> Result<Self, Unbillable> {
        let event = envelope.event.as_ref().ok_or(Unbillable::Empty)?;
        if envelope.schema > usage::USAGE_SCHEMA {
            return Err(Unbillable::Schema(envelope.schema));
        }
        check_texts(event)?;
        let unreadable = |field, reason: String| Unbillable::Field { field, reason };
        let currency = Currency::parse(&event.currency)
            .map_err(|error| unreadable("currency", error.to_string()))?;
        let revenue = ledger::usage(Timestamp(event.ended_us))
            .ok_or_else(|| unreadable("ended_us", "not a date".to_owned()))?;
        Ok(Self {
            envelope,
            event,
            stream: Stream::of(envelope),
            org: OrgUid(event.org_uid),
            key: KeyUid(event.key_uid),
            currency,
            charge: amount("charge_nano", event.charge_nano)?,
            uncollected: amount("uncollected_nano", event.uncollected_nano)?,
            metered: usage::metered(&event.lines)
                .map_err(|error| unreadable("lines", error.to_string()))?,
            outcome: usage::outcome(event.outcome)
                .map_err(|error| unreadable("outcome", error.to_string()))?,
            revenue,
            shortfall: Nano::ZERO,
            budget_shortfall: Nano::ZERO,
        })
    }

    /// The org's wallet.
    pub(crate) const fn wallet(&self) -> Account {
        Account::Wallet(self.org)
    }

    /// The key's budget, if it has one.
    pub(crate) fn budget(&self) -> Option<Account> {
        self.event.budgeted.then_some(Account::Budget(self.org, self.key))
    }

    /// The accounts that it charges.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = Account> {
        [Some(self.wallet()), self.budget()].into_iter().flatten()
    }
}

/// These become columns, and keys of rows: an index has no room for any length, nor a database for any character.
fn check_texts(event: &UsageEvent) -> Result<(), Unbillable> {
    let texts = [
        ("request_id", &event.request_id, REQUEST_ID_LENGTH_MAX),
        ("upstream_id", &event.upstream_id, UPSTREAM_ID_LENGTH_MAX),
        ("model", &event.model, NAME_LENGTH_MAX),
    ];
    for (field, text, most) in texts {
        if text.len() > most || !is_printable(text) {
            let reason = format!("must have at most {most} bytes, all of them printable");
            return Err(Unbillable::Field { field, reason });
        }
    }
    Ok(())
}

fn amount(field: &'static str, nano: i64) -> Result<Nano, Unbillable> {
    Nano::new(nano)
        .ok()
        .filter(|amount| *amount >= Nano::ZERO)
        .ok_or_else(|| Unbillable::Field { field, reason: format!("{nano} is no amount to pay") })
}
