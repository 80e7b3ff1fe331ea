//! Operators, as they are kept.

use super::{from_database, to_database, unreadable};
use crate::errors::Failure;
use crate::operator::{Operator, Role, Scope};
use domain::key::KeyDigest;
use domain::name::is_printable;
use domain::time::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};

const TABLE: &str = "operator";

/// What `read` reads: never the digest.
const COLUMNS: &str = "name, uid, rev, role, entity, org, expires_us, disabled, created_us";

/// The operator whose token has this digest.
pub(crate) async fn operator_by_digest(
    connection: &mut AnyConnection,
    digest: KeyDigest,
) -> Result<Option<Operator>, Failure> {
    let text = format!("SELECT {COLUMNS} FROM operator WHERE digest = $1");
    let row = sqlx::query(AssertSqlSafe(text))
        .bind(hex::encode(digest.0))
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(read).transpose()
}

/// The operator of that name.
pub(crate) async fn find_operator(
    connection: &mut AnyConnection,
    name: &str,
) -> Result<Option<Operator>, Failure> {
    if !is_printable(name) {
        return Ok(None);
    }
    let text = format!("SELECT {COLUMNS} FROM operator WHERE name = $1");
    let row = sqlx::query(AssertSqlSafe(text)).bind(name).fetch_optional(connection).await?;
    row.as_ref().map(read).transpose()
}

/// Up to `limit` operators whose names come after `after`, by name.
pub(crate) async fn operators_after(
    connection: &mut AnyConnection,
    after: &str,
    limit: u32,
) -> Result<Vec<Operator>, Failure> {
    let text = format!("SELECT {COLUMNS} FROM operator WHERE name > $1 ORDER BY name LIMIT $2");
    let rows = sqlx::query(AssertSqlSafe(text))
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    rows.iter().map(read).collect()
}

/// The first names of operators with exactly this scope.
pub(crate) async fn operators_of(
    connection: &mut AnyConnection,
    scope: &Scope,
    limit: u32,
) -> Result<Vec<String>, Failure> {
    let (entity, org) = scope.parts();
    let rows = sqlx::query(
        "SELECT name FROM operator WHERE entity = $1 AND org = $2 ORDER BY name LIMIT $3",
    )
    .bind(entity)
    .bind(org)
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok(row.try_get("name")?)).collect()
}

/// Adds an operator.
pub(crate) async fn insert_operator(
    connection: &mut AnyConnection,
    operator: &Operator,
    digest: KeyDigest,
) -> Result<(), Failure> {
    let (entity, org) = operator.scope.parts();
    sqlx::query(
        "INSERT INTO operator
             (name, uid, rev, digest, role, entity, org, expires_us, disabled, created_us)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(operator.name.as_str())
    .bind(operator.uid)
    .bind(to_database(operator.rev))
    .bind(hex::encode(digest.0))
    .bind(operator.role.name())
    .bind(entity)
    .bind(org)
    .bind(expiry(operator))
    .bind(i64::from(operator.disabled))
    .bind(to_database(operator.created.0))
    .execute(connection)
    .await?;
    Ok(())
}

/// Replaces what can be changed of an operator.
pub(crate) async fn update_operator(
    connection: &mut AnyConnection,
    operator: &Operator,
) -> Result<(), Failure> {
    sqlx::query(
        "UPDATE operator SET rev = $2, role = $3, expires_us = $4, disabled = $5 WHERE uid = $1",
    )
    .bind(operator.uid)
    .bind(to_database(operator.rev))
    .bind(operator.role.name())
    .bind(expiry(operator))
    .bind(i64::from(operator.disabled))
    .execute(connection)
    .await?;
    Ok(())
}

/// Removes an operator.
pub(crate) async fn delete_operator(
    connection: &mut AnyConnection,
    uid: i64,
) -> Result<(), Failure> {
    sqlx::query("DELETE FROM operator WHERE uid = $1").bind(uid).execute(connection).await?;
    Ok(())
}

/// Columns hold 0 for "never"; nobody's token ended in 1970.
fn expiry(operator: &Operator) -> i64 {
    operator.expires.map_or(0, |at| to_database(at.0))
}

fn read(row: &AnyRow) -> Result<Operator, Failure> {
    let name: String = row.try_get("name")?;
    let role: String = row.try_get("role")?;
    let (entity, org): (String, String) = (row.try_get("entity")?, row.try_get("org")?);
    let expires = from_database(row.try_get("expires_us")?);
    Ok(Operator {
        uid: row.try_get("uid")?,
        rev: from_database(row.try_get("rev")?),
        role: Role::parse(&role)
            .ok_or_else(|| unreadable(TABLE, &name, format!("there is no role {role:?}")))?,
        scope: Scope::new(&entity, &org),
        expires: (expires != 0).then_some(Timestamp(expires)),
        disabled: row.try_get::<i64, _>("disabled")? != 0,
        created: Timestamp(from_database(row.try_get("created_us")?)),
        name,
    })
}
