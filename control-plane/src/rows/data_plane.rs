//! `data_plane`: who follows which control plane, and how far. A row is its replica's: only a data plane that joins another
//! one gets another.

use super::bytes;
use crate::errors::Failure;
use prost::Message;
use proto::admin::v1;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};
use storage::{Insert, chunks, values};

const TABLE: &str = "data_plane";
const JOINED: Insert = Insert::into(TABLE, &["name", "replica", "told", "heard_us"]).on_conflict(
    "ON CONFLICT (name) DO UPDATE SET
         replica = excluded.replica, told = excluded.told, heard_us = excluded.heard_us",
);

/// Writes down those that joined this replica.
pub(crate) async fn joined(
    connection: &mut AnyConnection,
    replica: &str,
    planes: &[v1::DataPlane],
    heard_us: i64,
) -> Result<(), Failure> {
    let bind = |statement: storage::Statement, plane: &v1::DataPlane| {
        let told = hex::encode(plane.encode_to_vec());
        statement.bind(plane.name.clone()).bind(replica.to_owned()).bind(told).bind(heard_us)
    };
    Ok(JOINED.rows(connection, planes, bind).await?)
}

/// Renews those that are still this replica's; `heard_us` 0 of those that left it.
pub(crate) async fn heard(
    connection: &mut AnyConnection,
    replica: &str,
    planes: &[v1::DataPlane],
    heard_us: i64,
) -> Result<(), Failure> {
    for chunk in chunks(planes) {
        let rows = values(connection, chunk.len(), 4);
        let text = format!(
            "UPDATE data_plane SET told = heard.column3, heard_us = heard.column4
             FROM (VALUES {rows}) AS heard
             WHERE data_plane.name = heard.column1 AND data_plane.replica = heard.column2"
        );
        let statement = chunk.iter().fold(sqlx::query(AssertSqlSafe(text)), |statement, plane| {
            let told = hex::encode(plane.encode_to_vec());
            statement.bind(plane.name.clone()).bind(replica.to_owned()).bind(told).bind(heard_us)
        });
        statement.execute(&mut *connection).await?;
    }
    Ok(())
}

/// All that were heard of since, by name.
pub(crate) async fn heard_since(
    connection: &mut AnyConnection,
    since_us: i64,
) -> Result<Vec<v1::DataPlane>, Failure> {
    let rows = sqlx::query("SELECT name, told FROM data_plane WHERE heard_us > $1 ORDER BY name")
        .bind(since_us)
        .fetch_all(connection)
        .await?;
    let read = |row: &sqlx::any::AnyRow| {
        let name: String = row.try_get("name")?;
        let told = bytes(TABLE, &name, &row.try_get::<String, _>("told")?)?;
        v1::DataPlane::decode(told.as_slice())
            .map_err(|wrong| super::unreadable(TABLE, &name, wrong))
    };
    rows.iter().map(read).collect()
}
