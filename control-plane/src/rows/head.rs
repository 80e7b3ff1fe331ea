//! The one row whose update serialises every change.

use super::{from_database, to_database};
use crate::errors::Failure;
use domain::id::Revision;
use domain::time::Timestamp;
use sqlx::{AnyConnection, Row as _};

/// A revision that exists once its transaction is committed, and the uids that came with it.
pub(crate) struct Minted {
    /// The new state.
    pub(crate) revision: Revision,
    next_uid: i64,
}

impl Minted {
    /// The state that it follows.
    pub(crate) fn before(&self) -> Revision {
        Revision { rev: self.revision.rev.saturating_sub(1), ..self.revision }
    }

    /// A uid that nothing ever had.
    pub(crate) fn take_uid(&mut self) -> i64 {
        let uid = self.next_uid;
        self.next_uid = uid.saturating_add(1);
        uid
    }
}

/// Mints the next revision, and as many uids as may be needed. Must be the first statement of its transaction.
pub(crate) async fn mint(connection: &mut AnyConnection, uids: usize) -> Result<Minted, Failure> {
    let uids = i64::try_from(uids).unwrap_or(i64::MAX);
    let row = sqlx::query(
        "UPDATE config_head SET rev = rev + 1, next_uid = next_uid + $1 WHERE id = 1
         RETURNING generation, rev, next_uid",
    )
    .bind(uids)
    .fetch_one(connection)
    .await?;
    let revision = Revision {
        generation: from_database(row.try_get("generation")?),
        rev: from_database(row.try_get("rev")?),
    };
    let after: i64 = row.try_get("next_uid")?;
    Ok(Minted { revision, next_uid: after.saturating_sub(uids) })
}

/// The newest revision.
pub(crate) async fn head(connection: &mut AnyConnection) -> Result<Revision, Failure> {
    let row = sqlx::query("SELECT generation, rev FROM config_head WHERE id = 1")
        .fetch_one(connection)
        .await?;
    Ok(Revision {
        generation: from_database(row.try_get("generation")?),
        rev: from_database(row.try_get("rev")?),
    })
}

/// A uid that nothing ever had, without a new revision. As the first statement of its transaction it keeps the
/// configuration as it is until the end.
pub(crate) async fn take_uid(connection: &mut AnyConnection) -> Result<i64, Failure> {
    let row = sqlx::query(
        "UPDATE config_head SET next_uid = next_uid + 1 WHERE id = 1 RETURNING next_uid - 1 AS uid",
    )
    .fetch_one(connection)
    .await?;
    Ok(row.try_get("uid")?)
}

/// Gives a database that nothing was ever configured in the moment of its birth as its generation. One that was made anew
/// is thus never taken for the one before it by data planes that knew that.
pub(crate) async fn begin_generation(
    connection: &mut AnyConnection,
    birth: Timestamp,
) -> Result<bool, Failure> {
    let done = sqlx::query(
        "UPDATE config_head SET generation = $1 WHERE id = 1 AND generation = 1 AND rev = 0",
    )
    .bind(to_database(birth.0))
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// A generation that began because commits were lost.
pub(crate) struct Raised {
    /// What the database had.
    pub(crate) before: Revision,
    /// Where the new one begins.
    pub(crate) begun: Revision,
}

/// Begins the next generation if a revision that somebody has applied is beyond the head. Revisions and uids go on where
/// nothing that was lost can have been: whoever proves the loss need not know the last of it. As the first statement of its
/// transaction it keeps the configuration as it is until the end.
pub(crate) async fn raise_generation(
    connection: &mut AnyConnection,
    applied: Revision,
) -> Result<Option<Raised>, Failure> {
    let touched = sqlx::query("UPDATE config_head SET rev = rev WHERE id = 1 RETURNING rev")
        .fetch_one(&mut *connection)
        .await?;
    let before = Revision { rev: from_database(touched.try_get("rev")?), ..applied };
    let row = sqlx::query(
        "UPDATE config_head SET
             generation = generation + 1, rev = $2 + 1000, next_uid = next_uid + 1000000
         WHERE id = 1 AND generation = $1 AND rev < $2
         RETURNING generation, rev",
    )
    .bind(to_database(applied.generation))
    .bind(to_database(applied.rev))
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let begun = Revision {
        generation: from_database(row.try_get("generation")?),
        rev: from_database(row.try_get("rev")?),
    };
    Ok(Some(Raised { before, begun }))
}
