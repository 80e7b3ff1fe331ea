//! How much billing knows of that it could not apply yet, for operators.

use crate::{gaps, metric, rows};
use storage::{Database, StorageError};

/// Counts what is kept and what is missing.
pub(crate) async fn show(database: &Database) -> Result<(), StorageError> {
    let mut read = database.read().await?;
    let poison =
        sqlx::query("SELECT COUNT(*) AS poison FROM usage_poison").fetch_one(&mut *read).await?;
    let missing = gaps::missing(&mut read).await?;
    read.finish().await?;
    metric::backlog(rows::count(&poison, "poison")?, missing);
    Ok(())
}
