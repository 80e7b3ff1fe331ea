//! Columns as domain types.

use domain::id::{Account, Partition};
use domain::money::{Currency, Nano};
use domain::time::Timestamp;
use domain::usage::Outcome;
use prost::Message;
use proto::usage::v1::UsageEvent;
use sqlx::Row;
use sqlx::any::AnyRow;
use std::error::Error;
use std::time::Duration;
use storage::{Read, StorageError};

/// A number as it is.
pub(crate) fn integer(row: &AnyRow, column: &str) -> Result<i64, StorageError> {
    Ok(row.try_get(column)?)
}

/// A text as it is.
pub(crate) fn text(row: &AnyRow, column: &str) -> Result<String, StorageError> {
    Ok(row.try_get(column)?)
}

/// A text that an outer join may have found nothing for.
pub(crate) fn optional_text(row: &AnyRow, column: &str) -> Result<String, StorageError> {
    Ok(row.try_get::<Option<String>, _>(column)?.unwrap_or_default())
}

/// An amount. The schema keeps it in range.
pub(crate) fn nano(row: &AnyRow, column: &str) -> Result<Nano, StorageError> {
    Ok(Nano::saturating(i128::from(integer(row, column)?)))
}

/// A count, a sequence number or a revision: never negative.
pub(crate) fn count(row: &AnyRow, column: &str) -> Result<u64, StorageError> {
    Ok(u64::try_from(integer(row, column)?).unwrap_or(0))
}

/// A moment.
pub(crate) fn moment(row: &AnyRow, column: &str) -> Result<Timestamp, StorageError> {
    Ok(Timestamp(count(row, column)?))
}

/// The account of `org_uid` and `key_uid`.
pub(crate) fn account(row: &AnyRow) -> Result<Account, StorageError> {
    Ok(Account::from_uids(integer(row, "org_uid")?, integer(row, "key_uid")?))
}

/// A currency, written by us and so always readable.
pub(crate) fn currency(row: &AnyRow, column: &str) -> Result<Currency, StorageError> {
    Currency::parse(&text(row, column)?).map_err(unreadable)
}

/// How a request ended, from `outcome`.
pub(crate) fn outcome(row: &AnyRow) -> Result<Outcome, StorageError> {
    let name = text(row, "outcome")?;
    Outcome::parse(&name).ok_or_else(|| unreadable(format!("unknown outcome {name:?}")))
}

/// A usage event, from the hex of `event`.
pub(crate) fn event(row: &AnyRow) -> Result<UsageEvent, StorageError> {
    let body = hex::decode(text(row, "event")?).map_err(unreadable)?;
    UsageEvent::decode(body.as_slice()).map_err(unreadable)
}

/// A value that we wrote and cannot read.
pub(crate) fn unreadable(error: impl Into<Box<dyn Error + Send + Sync>>) -> StorageError {
    sqlx::Error::Decode(error.into()).into()
}

/// The name of an org or key; empty if it was deleted.
pub(crate) async fn name_of(read: &mut Read, uid: i64) -> Result<String, StorageError> {
    let row = sqlx::query("SELECT name FROM config_object WHERE uid = $1")
        .bind(uid)
        .fetch_optional(&mut **read)
        .await?;
    row.map_or_else(|| Ok(String::new()), |row| text(&row, "name"))
}

/// A number as a column holds it. What is beyond i64 is beyond anything that can be counted.
pub(crate) fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A span of time as a column holds it.
pub(crate) fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

/// The partition of `partition_no`.
pub(crate) fn partition(row: &AnyRow) -> Result<Partition, StorageError> {
    Ok(Partition(u32::try_from(integer(row, "partition_no")?).unwrap_or(u32::MAX)))
}

/// A length as a count.
pub(crate) fn length(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Bytes as a column holds them. `hex::encode` goes through characters one by one.
pub(crate) fn hex_text(bytes: &[u8]) -> String {
    let mut text = vec![0; bytes.len().saturating_mul(2)];
    hex::encode_to_slice(bytes, &mut text)
        .map_or_else(|_| hex::encode(bytes), |()| String::from_utf8(text).unwrap_or_default())
}
