//! From the wire to `domain::config`, one file per kind: text becomes money, dates, names of things. All that cannot be
//! read is told at once, each with its field and what to write instead.
//!
//! Whether what was read makes sense is `domain::catalog`'s business.

mod entity;
mod plan;
mod upstream;
mod fx_rate;
mod price_book;
mod markup_rule;
mod model;
mod org;
mod key;

use crate::resource::Spec;
use crate::rows::Row;
use domain::catalog::{Catalog, Object, Violation};
use domain::config::Kind;
use domain::key::PreviousDigest;
use domain::money::{Currency, Money, Nano, ParseError, parse_decimal};
use domain::time::Timestamp;
use std::fmt::Display;

/// What is known of an org or key besides its spec.
#[derive(Clone, Copy)]
struct Identity<'a> {
    name: &'a str,
    uid: i64,
    /// A key's digest.
    secret: &'a [u8],
    /// And the one that it had before.
    previous: Option<PreviousDigest>,
    /// Of the entity that it belongs to. None: it cannot be told, which the catalog will refuse.
    currency: Option<Currency>,
}

/// Reads an object of any kind. Money of orgs and keys must be in the currency of their entity in `catalog`.
///
/// # Errors
/// With every field that cannot be read.
pub(crate) fn object(catalog: &Catalog, row: &Row) -> Result<Object, Vec<Violation>> {
    let name = row.name.as_str();
    let Row { uid, secret, previous, .. } = row;
    let identity = |currency| Identity { name, uid: *uid, secret, previous: *previous, currency };
    match &row.spec {
        Spec::Entity(spec) => entity::read(name, spec).map(Object::Entity),
        Spec::Plan(spec) => Ok(Object::Plan(plan::read(name, spec))),
        Spec::Upstream(spec) => upstream::read(name, spec, &row.secret).map(Object::Upstream),
        Spec::FxRate(spec) => fx_rate::read(name, spec).map(Object::FxRate),
        Spec::PriceBook(spec) => price_book::read(name, spec).map(Object::PriceBook),
        Spec::MarkupRule(spec) => markup_rule::read(name, spec).map(Object::MarkupRule),
        Spec::Model(spec) => model::read(name, spec).map(Object::Model),
        Spec::Org(spec) => {
            let currency = catalog.entities.get(&spec.entity).map(|entity| entity.currency);
            org::read(identity(currency), spec).map(Object::Org)
        }
        Spec::Key(spec) => {
            key::read(identity(catalog.currency_of_org(&spec.org)), spec).map(Object::Key)
        }
    }
}

/// Reads the fields of one object and remembers what is wrong with them.
struct Reader {
    kind: Kind,
    name: String,
    violations: Vec<Violation>,
}

impl Reader {
    fn new(kind: Kind, name: &str) -> Self {
        Self { kind, name: name.to_owned(), violations: Vec::new() }
    }

    /// The value, or None and a violation.
    fn field<T, E: Display>(&mut self, field: impl Into<String>, value: Result<T, E>) -> Option<T> {
        value
            .map_err(|wrong| {
                self.violations.push(Violation {
                    kind: self.kind,
                    name: self.name.clone(),
                    field: field.into(),
                    reason: wrong.to_string(),
                });
            })
            .ok()
    }

    /// The object, whose parts are all there unless something was refused.
    fn finish<T>(self, object: impl FnOnce() -> Option<T>) -> Result<T, Vec<Violation>> {
        match object() {
            Some(object) if self.violations.is_empty() => Ok(object),
            _ => Err(self.violations),
        }
    }
}

/// An amount, in the currency that the context asks for. Empty text: None.
fn amount(text: &str, currency: Option<Currency>) -> Result<Option<Nano>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let money = Money::parse(text).map_err(|wrong| wrong.to_string())?;
    match currency {
        Some(currency) if currency != money.currency => {
            Err(format!("\"{text}\" must be in {currency}, the currency of the entity"))
        }
        _ => Ok(Some(money.amount)),
    }
}

/// Decimal text, times ten to the power of `decimals`.
fn decimal(text: &str, decimals: u32) -> Result<i64, String> {
    let number = parse_decimal(text, decimals).map_err(|wrong| wrong.to_string())?;
    i64::try_from(number).map_err(|_| ParseError::Range(text.to_owned()).to_string())
}

/// All that may be written, for a message.
fn listed<T>(all: impl IntoIterator<Item = T>, name: fn(T) -> &'static str) -> String {
    all.into_iter().map(name).collect::<Vec<_>>().join(", ")
}

/// A moment on the wire, to the microsecond.
pub(crate) fn moment(at: &prost_types::Timestamp) -> Result<Timestamp, &'static str> {
    const MICROS_PER_SECOND: u64 = 1_000_000;
    const NANOS_PER_MICRO: u64 = 1_000;
    let refused = "a time from 1970 on is needed, for instance 2026-01-31T00:00:00Z";
    let seconds = u64::try_from(at.seconds).map_err(|_| refused)?;
    let nanos = u64::try_from(at.nanos).map_err(|_| refused)?;
    seconds
        .checked_mul(MICROS_PER_SECOND)
        .and_then(|micros| micros.checked_add(nanos.wrapping_div(NANOS_PER_MICRO)))
        .filter(|micros| i64::try_from(*micros).is_ok())
        .map(Timestamp)
        .ok_or(refused)
}

/// Text, or None when it is empty.
fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
