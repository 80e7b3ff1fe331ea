//! The databases of this process: opened, and with a schema that this program can work on. SQLite's file is brought up to
//! date by whoever opens it; a Postgres server, which others use too, by `turnpike migrate` alone.

use crate::config::{Config, without_password};
use anyhow::{Context, bail};
use storage::{Database, DatabaseSettings, Holding, SqliteSettings};

/// Configuration, money and usage.
pub(super) async fn open(config: &Config, is_demo: bool) -> anyhow::Result<Database> {
    let url = config.database_url();
    open_for(Holding::Main, &url, DatabaseSettings::default(), is_demo).await
}

/// Prompts and completions.
pub(super) async fn open_contents(config: &Config, is_demo: bool) -> anyhow::Result<Database> {
    let settings = DatabaseSettings {
        sqlite: SqliteSettings { erases: true, ..SqliteSettings::default() },
        ..DatabaseSettings::default()
    };
    open_for(Holding::Content, &config.content_database_url(), settings, is_demo).await
}

async fn open_for(
    holding: Holding,
    url: &str,
    settings: DatabaseSettings,
    is_demo: bool,
) -> anyhow::Result<Database> {
    let place = without_password(url);
    let database = Database::open_with(url, settings)
        .await
        .with_context(|| format!("the database {place} does not open"))?;
    if !database.is_shared() || is_demo {
        let migrated = database.migrate_to(holding).await;
        migrated
            .with_context(|| format!("the schema of {place} could not be created or upgraded"))?;
        return Ok(database);
    }
    let schema = database.schema(holding).await;
    let schema = schema.with_context(|| format!("the schema of {place} cannot be read"))?;
    if schema.applied < schema.known {
        bail!(
            "the schema of {place} is at version {}, and this program needs version {}: run `turnpike migrate` with the same \
             configuration first",
            schema.applied,
            schema.known
        );
    }
    Ok(database)
}
