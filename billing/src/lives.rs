//! Lives of data planes: rows that say when each was heard of, by the database's clock, and whether it is known to be over.
//!
//! What follows from them is decided by `domain::escrow::life`. A life is written behind all that it holds.

mod forget;
mod give_up;

pub use forget::{ForgetError, ForgetOrder, Forgotten, forget};
pub(crate) use give_up::{Cause, give_up};

use crate::rows;
use crate::slices::Holder;
use domain::escrow::life::LifeState;
use domain::time::Timestamp;
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;
use storage::{Database, Read, Statement, StorageError};

/// A life, as its row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) holder: Holder,
    pub(crate) state: LifeState,
    pub(crate) heard: Timestamp,
    pub(crate) ordered: Timestamp,
}

impl Life {
    pub(crate) fn of(row: &AnyRow) -> Result<Self, StorageError> {
        let state = rows::text(row, "state")?;
        let state = LifeState::parse(&state)
            .ok_or_else(|| rows::unreadable(format!("unknown state {state:?} of a life")))?;
        Ok(Self {
            holder: holder(row)?,
            state,
            heard: rows::moment(row, "heard_us")?,
            ordered: rows::moment(row, "ordered_us")?,
        })
    }
}

/// Who holds, from `data_plane` and `incarnation`.
pub(crate) fn holder(row: &AnyRow) -> Result<Holder, StorageError> {
    let incarnation = rows::integer(row, "incarnation")?.cast_unsigned();
    Ok(Holder { data_plane: rows::text(row, "data_plane")?, incarnation })
}

/// It said Hello: whatever was said of it, it lives. Returns what was said of it before.
pub(crate) async fn arrive(
    database: &Database,
    holder: &Holder,
) -> Result<LifeState, StorageError> {
    let mut write = database.write().await?;
    let now = write.now_us().await?;
    // The lock that shows what somebody else has just written.
    let found = sqlx::query(
        "UPDATE life SET heard_us = CASE WHEN heard_us < $3 THEN $3 ELSE heard_us END
         WHERE data_plane = $1 AND incarnation = $2
         RETURNING data_plane, incarnation, state, heard_us, ordered_us",
    )
    .bind(holder.data_plane.as_str())
    .bind(holder.incarnation_column())
    .bind(now)
    .fetch_optional(&mut *write)
    .await?;
    let before = found.as_ref().map(Life::of).transpose()?;
    let before = before.map_or(LifeState::Active, |life| life.state);
    sqlx::query(
        "INSERT INTO life (data_plane, incarnation, state, heard_us, ordered_us, reason)
         VALUES ($1, $2, 'active', $3, 0, '')
         ON CONFLICT (data_plane, incarnation) DO UPDATE SET state = 'active', ordered_us = 0",
    )
    .bind(holder.data_plane.as_str())
    .bind(holder.incarnation_column())
    .bind(now)
    .execute(&mut *write)
    .await?;
    write.commit().await?;
    Ok(before)
}

/// They are connected.
pub(crate) async fn heard(database: &Database, holders: &[Holder]) -> Result<(), StorageError> {
    let mut write = database.write().await?;
    let now = write.now_us().await?;
    for holders in storage::chunks(holders) {
        let values = storage::values(&write, holders.len(), 3);
        let text = format!(
            "UPDATE life SET heard_us = heard.column3 FROM (VALUES {values}) AS heard
             WHERE data_plane = heard.column1 AND incarnation = heard.column2
             AND heard_us < heard.column3"
        );
        let bind = |statement: Statement, holder: &Holder| {
            let incarnation = holder.incarnation_column();
            statement.bind(holder.data_plane.clone()).bind(incarnation).bind(now)
        };
        let statement = holders.iter().fold(sqlx::query(AssertSqlSafe(text)), bind);
        statement.execute(&mut *write).await?;
    }
    write.commit().await
}

/// It said that it has given back all that it will not spend.
pub(crate) async fn finish(database: &Database, holder: &Holder) -> Result<(), StorageError> {
    let mut write = database.write().await?;
    let now = write.now_us().await?;
    sqlx::query(
        "UPDATE life SET state = 'final', heard_us = $3
         WHERE data_plane = $1 AND incarnation = $2 AND state = 'active'",
    )
    .bind(holder.data_plane.as_str())
    .bind(holder.incarnation_column())
    .bind(now)
    .execute(&mut *write)
    .await?;
    write.commit().await
}

/// Those that hold money and are not written down: from before lives were. They are heard of from now on.
pub(crate) async fn adopt(database: &Database) -> Result<(), StorageError> {
    let mut write = database.write().await?;
    let now = write.now_us().await?;
    sqlx::query(
        "INSERT INTO life (data_plane, incarnation, state, heard_us, ordered_us, reason)
         SELECT DISTINCT slice.data_plane, slice.incarnation, 'active', CAST($1 AS BIGINT),
             CAST(0 AS BIGINT), ''
         FROM slice LEFT JOIN life ON life.data_plane = slice.data_plane
             AND life.incarnation = slice.incarnation
         WHERE life.data_plane IS NULL
         ON CONFLICT DO NOTHING",
    )
    .bind(now)
    .execute(&mut *write)
    .await?;
    write.commit().await
}

/// How many data planes are connected to any control plane: of several lives of one, only the last can be.
pub(crate) async fn count_live(read: &mut Read, since_us: i64) -> Result<u32, StorageError> {
    let found = sqlx::query(
        "SELECT CAST(COUNT(DISTINCT data_plane) AS BIGINT) AS lives FROM life
         WHERE heard_us > $1 AND state = 'active'",
    )
    .bind(since_us)
    .fetch_one(&mut **read)
    .await?;
    Ok(u32::try_from(rows::integer(&found, "lives")?).unwrap_or(u32::MAX))
}

/// The newest life of a data plane that is to be forgotten.
pub(crate) async fn newest_ordered(
    read: &mut Read,
    data_plane: &str,
) -> Result<Option<u64>, StorageError> {
    let found = sqlx::query(
        "SELECT incarnation FROM life WHERE data_plane = $1 AND state = 'forgetting'
         ORDER BY incarnation DESC LIMIT 1",
    )
    .bind(data_plane)
    .fetch_optional(&mut **read)
    .await?;
    let incarnation = |row: AnyRow| rows::integer(&row, "incarnation").map(i64::cast_unsigned);
    found.map(incarnation).transpose()
}

/// Those that hold money and were not heard of since then, and those that are to be forgotten.
pub(crate) async fn silent_or_ordered(
    read: &mut Read,
    heard_before_us: i64,
) -> Result<Vec<Life>, StorageError> {
    let found = sqlx::query(
        "SELECT data_plane, incarnation, state, heard_us, ordered_us FROM life
         WHERE state = 'forgetting' OR (heard_us < $1 AND EXISTS (
             SELECT 1 FROM slice WHERE slice.data_plane = life.data_plane
             AND slice.incarnation = life.incarnation
             AND slice.granted - slice.released - slice.settled - slice.unbacked > 0))
         ORDER BY data_plane, incarnation",
    )
    .bind(heard_before_us)
    .fetch_all(&mut **read)
    .await?;
    found.iter().map(Life::of).collect()
}
