//! What each revision changed, as data planes are told.

use super::{bytes, to_database, unreadable};
use crate::errors::Failure;
use domain::id::Revision;
use domain::snapshot::Change;
use prost::Message;
use proto::feed::v1;
use sqlx::{AnyConnection, Row as _};
use storage::Insert;

const TABLE: &str = "config_log";
const LOG: Insert = Insert::into(TABLE, &["generation", "rev", "ord", "body"]);

/// Writes down what a revision changes.
pub(crate) async fn append_log(
    connection: &mut AnyConnection,
    at: Revision,
    changes: &[Change],
) -> Result<(), Failure> {
    let bodies: Vec<(i64, String)> = (0_i64..).zip(changes.iter().map(body)).collect();
    LOG.rows(connection, &bodies, |statement, (ord, body)| {
        statement
            .bind(to_database(at.generation))
            .bind(to_database(at.rev))
            .bind(*ord)
            .bind(body.clone())
    })
    .await?;
    Ok(())
}

/// All that changed after a revision of the same generation, in order.
pub(crate) async fn logged_after(
    connection: &mut AnyConnection,
    after: Revision,
) -> Result<Vec<Change>, Failure> {
    let rows = sqlx::query(
        "SELECT body FROM config_log WHERE generation = $1 AND rev > $2 ORDER BY rev, ord",
    )
    .bind(to_database(after.generation))
    .bind(to_database(after.rev))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| read(after, &row.try_get::<String, _>("body")?)).collect()
}

fn body(change: &Change) -> String {
    hex::encode(v1::Change::from(change).encode_to_vec())
}

fn read(after: Revision, body: &str) -> Result<Change, Failure> {
    let row = format!("after revision {}", after.rev);
    let change = v1::Change::decode(bytes(TABLE, &row, body)?.as_slice())
        .map_err(|wrong| unreadable(TABLE, &row, wrong))?;
    Change::try_from(change).map_err(|wrong| unreadable(TABLE, &row, wrong))
}
