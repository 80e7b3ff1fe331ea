//! Configured objects, as they are kept: the spec as the wire has it, without its secret.

use super::{bytes, from_database, to_database, unreadable};
use crate::errors::Failure;
use crate::resource::Spec;
use domain::config::Kind;
use domain::key::{KeyDigest, PreviousDigest};
use domain::name::is_printable;
use domain::time::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};

const TABLE: &str = "config_object";

/// What `read` reads, by name: a column that a newer program adds must not change what a prepared statement returns.
pub(super) const COLUMNS: &str =
    "name, uid, rev, spec, secret, created_us, updated_us, previous_secret, previous_until_us";

/// One object. Not printable, since it may have a digest or a credential.
#[derive(Clone)]
pub(crate) struct Row {
    /// Unique among its kind.
    pub(crate) name: String,
    /// Never reused.
    pub(crate) uid: i64,
    /// Of its last change: the etag.
    pub(crate) rev: u64,
    /// What is configured, without secrets; also says the kind.
    pub(crate) spec: Spec,
    /// An upstream's sealed credential, a key's digest; else empty.
    pub(crate) secret: Vec<u8>,
    /// A key's digest of before, while it is good or was the last.
    pub(crate) previous: Option<PreviousDigest>,
    /// When it came to be.
    pub(crate) created: Timestamp,
    /// When it last changed.
    pub(crate) updated: Timestamp,
}

/// The object of that name.
pub(crate) async fn find(
    connection: &mut AnyConnection,
    kind: Kind,
    name: &str,
) -> Result<Option<Row>, Failure> {
    if !is_printable(name) {
        return Ok(None);
    }
    let text = format!("SELECT {COLUMNS} FROM config_object WHERE kind = $1 AND name = $2");
    let row = sqlx::query(AssertSqlSafe(text))
        .bind(kind.name())
        .bind(name)
        .fetch_optional(connection)
        .await?;
    row.map(|row| read(kind, &row)).transpose()
}

/// The first names of an org's keys, which are all named `org/…`: `0` is the character after the slash.
pub(crate) async fn first_keys_of(
    connection: &mut AnyConnection,
    org: &str,
    limit: u32,
) -> Result<Vec<String>, Failure> {
    let rows = sqlx::query(
        "SELECT name FROM config_object WHERE kind = $1 AND name >= $2 AND name < $3
         ORDER BY name LIMIT $4",
    )
    .bind(Kind::Key.name())
    .bind(format!("{org}/"))
    .bind(format!("{org}0"))
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok(row.try_get("name")?)).collect()
}

/// Whether a key has this digest, or had it before its secret was changed.
pub(crate) async fn is_taken(
    connection: &mut AnyConnection,
    digest: KeyDigest,
) -> Result<bool, Failure> {
    // Two look-ups, each in an index of its own.
    let row = sqlx::query(
        "SELECT name FROM config_object WHERE kind = 'Key' AND secret = $1
         UNION ALL
         SELECT name FROM config_object WHERE previous_secret = $1 AND previous_secret <> ''",
    )
    .bind(hex::encode(digest.0))
    .fetch_optional(connection)
    .await?;
    Ok(row.is_some())
}

/// Adds an object.
pub(crate) async fn insert(connection: &mut AnyConnection, row: &Row) -> Result<(), Failure> {
    sqlx::query(
        "INSERT INTO config_object
             (kind, name, uid, rev, spec, secret, created_us, updated_us, previous_secret, previous_until_us)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(row.spec.kind().name())
    .bind(row.name.clone())
    .bind(row.uid)
    .bind(to_database(row.rev))
    .bind(hex::encode(row.spec.encode()))
    .bind(hex::encode(&row.secret))
    .bind(to_database(row.created.0))
    .bind(to_database(row.updated.0))
    .bind(previous_secret(row))
    .bind(previous_until(row))
    .execute(connection)
    .await?;
    Ok(())
}

/// Replaces what is configured of an object.
pub(crate) async fn update(connection: &mut AnyConnection, row: &Row) -> Result<(), Failure> {
    sqlx::query(
        "UPDATE config_object SET rev = $1, spec = $2, secret = $3, updated_us = $4, previous_secret = $5,
             previous_until_us = $6
         WHERE kind = $7 AND name = $8",
    )
    .bind(to_database(row.rev))
    .bind(hex::encode(row.spec.encode()))
    .bind(hex::encode(&row.secret))
    .bind(to_database(row.updated.0))
    .bind(previous_secret(row))
    .bind(previous_until(row))
    .bind(row.spec.kind().name())
    .bind(row.name.clone())
    .execute(connection)
    .await?;
    Ok(())
}

/// Removes an object.
pub(crate) async fn delete(
    connection: &mut AnyConnection,
    kind: Kind,
    name: &str,
) -> Result<(), Failure> {
    sqlx::query("DELETE FROM config_object WHERE kind = $1 AND name = $2")
        .bind(kind.name())
        .bind(name)
        .execute(connection)
        .await?;
    Ok(())
}

/// Empty: none, which is nobody's digest.
fn previous_secret(row: &Row) -> String {
    row.previous.map(|previous| hex::encode(previous.digest.0)).unwrap_or_default()
}

fn previous_until(row: &Row) -> i64 {
    row.previous.map_or(0, |previous| to_database(previous.until.0))
}

fn previous(path: &str, row: &AnyRow) -> Result<Option<PreviousDigest>, Failure> {
    let digest: String = row.try_get("previous_secret")?;
    if digest.is_empty() {
        return Ok(None);
    }
    let digest = bytes(TABLE, path, &digest)?;
    let digest = digest
        .try_into()
        .map_err(|_| unreadable(TABLE, path, "the digest of before is not 16 bytes"))?;
    let until = Timestamp(from_database(row.try_get("previous_until_us")?));
    Ok(Some(PreviousDigest { digest: KeyDigest(digest), until }))
}

pub(super) fn read(kind: Kind, row: &AnyRow) -> Result<Row, Failure> {
    let name: String = row.try_get("name")?;
    let path = format!("{kind} {name}");
    let spec: String = row.try_get("spec")?;
    let secret: String = row.try_get("secret")?;
    Ok(Row {
        uid: row.try_get("uid")?,
        rev: from_database(row.try_get("rev")?),
        spec: Spec::decode(kind, &bytes(TABLE, &path, &spec)?)
            .map_err(|wrong| unreadable(TABLE, &path, wrong))?,
        secret: bytes(TABLE, &path, &secret)?,
        previous: previous(&path, row)?,
        created: Timestamp(from_database(row.try_get("created_us")?)),
        updated: Timestamp(from_database(row.try_get("updated_us")?)),
        name,
    })
}
