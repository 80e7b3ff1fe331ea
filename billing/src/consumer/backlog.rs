//! How much billing knows of that it could not apply yet, for operators.

use crate::{metric, rows};
use storage::{Database, StorageError};

/// Counts what is kept and what is missing.
pub(crate) async fn show(database: &Database) -> Result<(), StorageError> {
    let mut read = database.read().await?;
    let found = sqlx::query(
        "SELECT CAST((SELECT COUNT(*) FROM usage_poison) AS BIGINT) AS poison,
                CAST((SELECT COALESCE(SUM(to_seq - from_seq + 1), 0) FROM usage_gap) AS BIGINT) AS missing",
    )
    .fetch_one(&mut *read)
    .await?;
    read.finish().await?;
    metric::backlog(rows::count(&found, "poison")?, rows::count(&found, "missing")?);
    Ok(())
}
