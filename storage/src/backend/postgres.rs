//! Postgres: several connections that write, others that read one state each. A server that lags behind another, or takes
//! no writes, is never used.

mod hosts;

pub(crate) use hosts::Hosts;

use super::{Begin, Patience, Pools, prepare};
use crate::{DatabaseSettings, StorageError};
use sqlx::any::AnyPoolOptions;
use sqlx::{AnyConnection, Row as _};
use std::time::Duration;

/// What is Postgres's alone.
#[derive(Clone, Copy, Debug)]
pub struct PostgresSettings {
    /// Connections that write.
    pub writers: u32,
    /// How long one statement of a writer may take.
    pub statement_timeout: Duration,
    /// How long a writer waits for a row that another one has locked.
    pub lock_timeout: Duration,
    /// After how long without a statement a writer's transaction is undone: its process was stopped, or cut off, and must
    /// not keep rows locked.
    pub idle_timeout: Duration,
    /// The same for those that read. What they read is sent as they take it.
    pub idle_read_timeout: Duration,
    /// How long a server may take to answer, before others that the URL names are looked at.
    pub reach_timeout: Duration,
    /// How long a short transaction may take that others wait for, and any commit, before its server is taken for gone.
    pub transaction_timeout: Duration,
    /// The same for one that changes as much as it is told to.
    pub long_transaction_timeout: Duration,
    /// After how long a connection is replaced by a new one.
    pub lifetime: Duration,
}

impl Default for PostgresSettings {
    fn default() -> Self {
        Self {
            writers: 8,
            statement_timeout: Duration::from_secs(10),
            lock_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(5),
            idle_read_timeout: Duration::from_secs(60),
            reach_timeout: Duration::from_secs(2),
            transaction_timeout: Duration::from_secs(15),
            long_transaction_timeout: Duration::from_secs(60),
            lifetime: Duration::from_secs(600),
        }
    }
}

/// Guards in a WHERE are looked at again when a row was locked meanwhile, which only this isolation does. It does not ask
/// for READ WRITE, which would override a primary that was told to take no writes.
pub(super) const BEGIN_WRITE: Begin = Begin {
    statements: "BEGIN ISOLATION LEVEL READ COMMITTED; \
                 SELECT CAST(CASE WHEN current_setting('transaction_read_only') = 'on' THEN 1 ELSE 0 END AS BIGINT) AS unfit",
    looks: true,
};

/// The same question, outside a transaction.
const UNFIT_TO_WRITE: &str =
    "SELECT CAST(CASE WHEN pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on'
                 THEN 1 ELSE 0 END AS BIGINT) AS unfit";

pub(super) const BEGIN_READ: Begin = Begin {
    statements: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
                 SELECT CAST(CASE WHEN pg_is_in_recovery() THEN 1 ELSE 0 END AS BIGINT) AS unfit",
    looks: true,
};

/// A COMMIT of a transaction that was aborted succeeds and undoes it; any statement in front of it fails there.
pub(super) const COMMIT: &str = "SELECT 1; COMMIT";

pub(super) const WAS_MIGRATED: &str =
    "SELECT COUNT(*) AS tables FROM pg_class WHERE oid = to_regclass('_sqlx_migrations')";

pub(super) const CLOCK: &str =
    "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) AS now_us";

/// The oldest version that our statements are known to run on.
const OLDEST: i64 = 15_00_00;

pub(super) async fn open(url: &str, settings: DatabaseSettings) -> Result<Pools, StorageError> {
    let own = settings.postgres;
    let hosts = Hosts::of(url, own.reach_timeout)?;
    let first = hosts.first().ok_or(StorageError::UnknownKind)?;
    let writing = session(own.statement_timeout, own.lock_timeout, own.idle_timeout);
    // A long report is read as slowly as it is wanted.
    let reading = session(Duration::ZERO, own.lock_timeout, own.idle_read_timeout);
    let writers = pool(own.writers, writing, settings).connect_lazy_with(first.clone());
    let readers = pool(settings.readers, reading, settings).connect_lazy_with(first);
    // A pool would wait for its time to be over, and then say no more than that.
    if !hosts.find_primary([&writers, &readers]).await {
        hosts.greet().await?;
    }
    let patience = Patience {
        idle: own.reach_timeout,
        transaction: own.transaction_timeout,
        long_transaction: own.long_transaction_timeout,
    };
    Ok(Pools { writers, readers, hosts: Some(hosts), patience: Some(patience) })
}

fn pool(connections: u32, session: String, settings: DatabaseSettings) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections.max(1))
        .acquire_timeout(settings.acquire_timeout)
        // `Open::begin` notices a connection that broke meanwhile, at no cost.
        .test_before_acquire(false)
        .max_lifetime(settings.postgres.lifetime)
        .after_connect(move |connection, _| Box::pin(prepare(connection, session.clone())))
}

/// A commit that was told is at least on the server's own disk, whatever its default is.
fn session(statement: Duration, lock: Duration, idle: Duration) -> String {
    let [statement, lock, idle] = [statement, lock, idle].map(|time| time.as_millis());
    format!(
        "SET statement_timeout = {statement};
         SET lock_timeout = {lock};
         SET idle_in_transaction_session_timeout = {idle};
         SELECT CAST(set_config('synchronous_commit', 'on', false) AS TEXT)
             WHERE current_setting('synchronous_commit') = 'off';"
    )
}

pub(super) async fn prepare_to_migrate(connection: &mut AnyConnection) -> Result<(), StorageError> {
    sqlx::raw_sql("SET statement_timeout = 0").execute(&mut *connection).await?;
    let server = "SELECT CAST(current_setting('server_version_num') AS BIGINT) AS version,
                         CAST(pg_encoding_to_char(encoding) AS TEXT) AS encoding
                  FROM pg_database WHERE datname = current_database()";
    let server = sqlx::query(server).fetch_one(connection).await?;
    if server.try_get::<i64, _>("version")? < OLDEST {
        return Err(StorageError::Unfit("it is older than Postgres 15"));
    }
    if server.try_get::<String, _>("encoding")? != "UTF8" {
        return Err(StorageError::Unfit(
            "its encoding is not UTF8; create it with ENCODING 'UTF8'",
        ));
    }
    Ok(())
}
