//! The audit chain, as it is kept: append only.

use crate::errors::Failure;
use domain::name::is_printable;
use prost_types::Timestamp;
use proto::admin::v1::AuditRecord;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};
use storage::Insert;

const MICROS_PER_SECOND: i64 = 1_000_000;
const NANOS_PER_MICRO: i64 = 1_000;

const COLUMNS: &[&str] = &[
    "seq",
    "at_us",
    "operator",
    "operator_uid",
    "method",
    "resource",
    "etag_before",
    "etag_after",
    "request_id",
    "client",
    "outcome",
    "detail",
    "hash",
];

const RECORD: Insert = Insert::into("audit_record", COLUMNS);

/// The newest record's number and hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuditHead {
    /// 0: there is none.
    pub(crate) seq: u64,
    /// Hexadecimal.
    pub(crate) hash: String,
}

/// Takes the next `count` numbers, and with them the right to append. Returns the head before.
pub(crate) async fn lock_audit(
    connection: &mut AnyConnection,
    count: usize,
) -> Result<AuditHead, Failure> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let row = sqlx::query(
        "UPDATE audit_head SET seq = seq + $1 WHERE id = 1 RETURNING seq - $1 AS seq, hash",
    )
    .bind(count)
    .fetch_one(connection)
    .await?;
    head(&row)
}

/// Appends records whose numbers were taken.
pub(crate) async fn append_audit(
    connection: &mut AnyConnection,
    records: &[AuditRecord],
) -> Result<(), Failure> {
    RECORD
        .rows(connection, records, |statement, record| {
            statement
                .bind(super::to_database(record.seq))
                .bind(micros(record.time.as_ref()))
                .bind(record.operator.clone())
                .bind(record.operator_uid)
                .bind(record.method.clone())
                .bind(record.resource.clone())
                .bind(record.etag_before.clone())
                .bind(record.etag_after.clone())
                .bind(record.request_id.clone())
                .bind(record.client.clone())
                .bind(record.outcome.clone())
                .bind(record.detail.clone())
                .bind(record.hash.clone())
        })
        .await?;
    if let Some(last) = records.last() {
        sqlx::query("UPDATE audit_head SET hash = $1 WHERE id = 1")
            .bind(last.hash.as_str())
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// The head, as it says of itself.
pub(crate) async fn audit_head(connection: &mut AnyConnection) -> Result<AuditHead, Failure> {
    let row =
        sqlx::query("SELECT seq, hash FROM audit_head WHERE id = 1").fetch_one(connection).await?;
    head(&row)
}

/// Up to `limit` records after a number, in order. What somebody made unreadable stands for itself.
pub(crate) async fn audit_after(
    connection: &mut AnyConnection,
    seq: u64,
    limit: u32,
) -> Result<Vec<Result<AuditRecord, Failure>>, Failure> {
    let columns = COLUMNS.join(", ");
    let text = format!("SELECT {columns} FROM audit_record WHERE seq > $1 ORDER BY seq LIMIT $2");
    let rows = sqlx::query(AssertSqlSafe(text))
        .bind(super::to_database(seq))
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    Ok(rows.iter().map(read).collect())
}

/// Which records are asked for; empty text: all.
pub(crate) struct AuditQuery<'a> {
    /// Older than this one.
    pub(crate) before: u64,
    /// Whose.
    pub(crate) operator: &'a str,
    /// Of what.
    pub(crate) resource: &'a str,
    /// At most.
    pub(crate) limit: u32,
}

/// Some records, newest first.
pub(crate) async fn audit_before(
    connection: &mut AnyConnection,
    query: &AuditQuery<'_>,
) -> Result<Vec<AuditRecord>, Failure> {
    if !is_printable(query.operator) || !is_printable(query.resource) {
        return Ok(Vec::new());
    }
    let columns = COLUMNS.join(", ");
    let operator = if query.operator.is_empty() { "$2 = $2" } else { "operator = $2" };
    let resource = if query.resource.is_empty() { "$3 = $3" } else { "resource = $3" };
    let text = format!(
        "SELECT {columns} FROM audit_record WHERE seq < $1 AND {operator} AND {resource}
         ORDER BY seq DESC LIMIT $4"
    );
    let rows = sqlx::query(AssertSqlSafe(text))
        .bind(super::to_database(query.before))
        .bind(query.operator)
        .bind(query.resource)
        .bind(i64::from(query.limit))
        .fetch_all(connection)
        .await?;
    rows.iter().map(read).collect()
}

fn head(row: &AnyRow) -> Result<AuditHead, Failure> {
    Ok(AuditHead { seq: super::from_database(row.try_get("seq")?), hash: row.try_get("hash")? })
}

fn read(row: &AnyRow) -> Result<AuditRecord, Failure> {
    Ok(AuditRecord {
        seq: super::from_database(row.try_get("seq")?),
        time: Some(time(row.try_get("at_us")?)),
        operator: row.try_get("operator")?,
        operator_uid: row.try_get("operator_uid")?,
        method: row.try_get("method")?,
        resource: row.try_get("resource")?,
        etag_before: row.try_get("etag_before")?,
        etag_after: row.try_get("etag_after")?,
        request_id: row.try_get("request_id")?,
        client: row.try_get("client")?,
        outcome: row.try_get("outcome")?,
        detail: row.try_get("detail")?,
        hash: row.try_get("hash")?,
    })
}

fn time(micros: i64) -> Timestamp {
    let nanos = micros.rem_euclid(MICROS_PER_SECOND).saturating_mul(NANOS_PER_MICRO);
    Timestamp {
        seconds: micros.div_euclid(MICROS_PER_SECOND),
        nanos: i32::try_from(nanos).unwrap_or(0),
    }
}

fn micros(time: Option<&Timestamp>) -> i64 {
    let Some(time) = time else { return 0 };
    let micros = i64::from(time.nanos).div_euclid(NANOS_PER_MICRO);
    time.seconds.saturating_mul(MICROS_PER_SECOND).saturating_add(micros)
}
