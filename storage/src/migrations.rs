//! The schemas: which migrations there are, and how they are run.

use crate::StorageError;
use crate::backend::Backend;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, Row as _, SqlSafeStr as _};

/// What a database holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding {
    /// Configuration, money and usage.
    Main,
    /// Stored prompts and completions, and nothing else.
    Content,
}

/// Versions of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema {
    /// Of the database; 0 when it has none.
    pub applied: i64,
    /// Of this program.
    pub known: i64,
}

/// One migration: its version, what it is about, its statements.
type Step = (i64, &'static str, &'static str);

const SQLITE: &[Step] = &[
    (1, "foundation", include_str!("../migrations/sqlite/0001_foundation.sql")),
    (2, "authority", include_str!("../migrations/sqlite/0002_authority.sql")),
    (3, "privacy", include_str!("../migrations/sqlite/0003_privacy.sql")),
    (4, "account", include_str!("../migrations/sqlite/0004_account.sql")),
    (5, "listing", include_str!("../migrations/sqlite/0005_listing.sql")),
    (7, "rotation", include_str!("../migrations/sqlite/0007_rotation.sql")),
    (8, "write off", include_str!("../migrations/sqlite/0008_write_off.sql")),
    (9, "fleet", include_str!("../migrations/sqlite/0009_fleet.sql")),
    (10, "lives", include_str!("../migrations/sqlite/0010_lives.sql")),
    (11, "usage topic", include_str!("../migrations/sqlite/0011_usage_topic.sql")),
];

const SQLITE_CONTENT: &[Step] =
    &[(1, "content", include_str!("../migrations/sqlite_content/0001_content.sql"))];

/// Begins where SQLite's had come to; the same numbers from there on.
const POSTGRES: &[Step] = &[
    (8, "foundation", include_str!("../migrations/postgres/0008_foundation.sql")),
    (9, "fleet", include_str!("../migrations/postgres/0009_fleet.sql")),
    (10, "lives", include_str!("../migrations/postgres/0010_lives.sql")),
    (11, "usage topic", include_str!("../migrations/postgres/0011_usage_topic.sql")),
];

const POSTGRES_CONTENT: &[Step] =
    &[(1, "content", include_str!("../migrations/postgres_content/0001_content.sql"))];

const fn steps(backend: Backend, holding: Holding) -> &'static [Step] {
    match (backend, holding) {
        (Backend::Sqlite, Holding::Main) => SQLITE,
        (Backend::Sqlite, Holding::Content) => SQLITE_CONTENT,
        (Backend::Postgres, Holding::Main) => POSTGRES,
        (Backend::Postgres, Holding::Content) => POSTGRES_CONTENT,
    }
}

pub(crate) async fn run(
    connection: &mut AnyConnection,
    backend: Backend,
    holding: Holding,
) -> Result<(), StorageError> {
    backend.prepare_to_migrate(connection).await?;
    let migration = |(version, description, sql): &Step| {
        let sql = sql.into_sql_str();
        Migration::new(*version, (*description).into(), MigrationType::Simple, sql, false)
    };
    let migrations = steps(backend, holding).iter().map(migration).collect();
    Migrator::with_migrations(migrations).run_direct(None, connection, false).await?;
    Ok(())
}

pub(crate) async fn schema(
    connection: &mut AnyConnection,
    backend: Backend,
    holding: Holding,
) -> Result<Schema, StorageError> {
    let known = steps(backend, holding).iter().map(|(version, ..)| *version).max();
    let known = known.unwrap_or(0);
    let tables = sqlx::query(backend.was_migrated()).fetch_one(&mut *connection).await?;
    if tables.try_get::<i64, _>("tables")? == 0 {
        return Ok(Schema { applied: 0, known });
    }
    let applied =
        "SELECT CAST(COALESCE(MAX(version), 0) AS BIGINT) AS version FROM _sqlx_migrations";
    let applied = sqlx::query(applied).fetch_one(connection).await?.try_get("version")?;
    Ok(Schema { applied, known })
}
