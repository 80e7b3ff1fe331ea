//! What Postgres does that SQLite does not: it answers while it undoes, dies while others go on, hands out locks by row.

use servers::Postgres;
use sqlx::Row as _;
use std::time::Duration;
use storage::{Database, DatabaseSettings, Holding, PostgresSettings, StorageError, Write};
use tokio::time::timeout;

/// Longer than anything here takes, shorter than waiting for ever.
const A_WHILE: Duration = Duration::from_millis(1500);

async fn open(postgres: &Postgres) -> Database {
    open_with(&postgres.database(), PostgresSettings::default()).await
}

async fn open_with(url: &str, postgres: PostgresSettings) -> Database {
    let settings = DatabaseSettings { postgres, ..DatabaseSettings::default() };
    let database = Database::open_with(url, settings).await.unwrap();
    database.migrate().await.unwrap();
    database
}

async fn run(write: &mut Write, statement: &'static str) -> Result<(), StorageError> {
    sqlx::query(statement).execute(&mut **write).await?;
    Ok(())
}

const RAISE: &str = "UPDATE ledger_head SET last_transaction = last_transaction + 1 WHERE id = 1";
const RAISE_ANOTHER: &str = "UPDATE config_head SET rev = rev + 1 WHERE id = 1";

async fn raise(database: &Database) -> Result<(), StorageError> {
    let mut write = database.write().await?;
    run(&mut write, RAISE).await?;
    write.commit().await
}

async fn raised(database: &Database) -> i64 {
    let mut read = database.read().await.unwrap();
    let head = "SELECT last_transaction FROM ledger_head";
    let raised = sqlx::query(head).fetch_one(&mut *read).await.unwrap().get(0);
    read.finish().await.unwrap();
    raised
}

#[tokio::test]
async fn a_commit_of_an_aborted_transaction_is_an_error() {
    let database = open(Postgres::shared()).await;
    let mut write = database.write().await.unwrap();
    run(&mut write, RAISE).await.unwrap();
    let refused = run(&mut write, "UPDATE config_head SET id = 2").await.unwrap_err();
    assert!(matches!(refused, StorageError::Refused(_)), "{refused:?}");
    // Whoever forgets to look at that error must not believe that the rest was kept.
    let error = write.commit().await.unwrap_err();
    assert!(matches!(error, StorageError::Unreachable(_)), "{error:?}");
    assert_eq!(raised(&database).await, 0);
    raise(&database).await.unwrap();
    assert_eq!(raised(&database).await, 1);
}

/// A server that serves a connection looks for new settings before each statement, once it was told that there are some.
async fn has_read_its_settings(write: &mut Write) {
    let setting = "SELECT current_setting('synchronous_standby_names')";
    while sqlx::query(setting).fetch_one(&mut **write).await.unwrap().get::<String, _>(0)
        != "nobody"
    {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_commit_is_not_told_before_its_standby_has_it() {
    let postgres = Postgres::start();
    let settings = PostgresSettings {
        statement_timeout: Duration::from_millis(200),
        ..PostgresSettings::default()
    };
    let database = open_with(&postgres.database(), settings).await;
    raise(&database).await.unwrap();
    postgres.execute("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    postgres.execute("postgres", "SELECT pg_reload_conf()");
    let mut write = database.write().await.unwrap();
    has_read_its_settings(&mut write).await;
    run(&mut write, RAISE).await.unwrap();
    let told = timeout(A_WHILE, write.commit()).await;
    assert!(told.is_err(), "the time-out of statements ended the wait: {told:?}");
}

#[tokio::test]
async fn a_server_that_dies_is_used_again_as_soon_as_it_lives() {
    let mut postgres = Postgres::start();
    let database = open(&postgres).await;
    // Several connections that lie idle.
    let writes = [database.write().await.unwrap(), database.write().await.unwrap()];
    for write in writes {
        write.rollback().await.unwrap();
    }
    let mut open = database.write().await.unwrap();
    run(&mut open, RAISE).await.unwrap();
    postgres.kill();
    let error = open.commit().await.unwrap_err();
    assert!(matches!(error, StorageError::OutcomeUnknown(_)), "{error:?}");
    assert!(!error.is_transient(), "it must be looked for, not repeated");
    postgres.run();
    raise(&database).await.unwrap();
    assert_eq!(raised(&database).await, 1);
}

#[tokio::test]
async fn a_server_that_takes_no_writes_is_refused() {
    let postgres = Postgres::shared();
    let url = postgres.database();
    let database = open_with(&url, PostgresSettings::default()).await;
    let name = url.rsplit_once('/').unwrap().1.split_once('?').unwrap().0;
    postgres.execute(
        "postgres",
        &format!("ALTER DATABASE {name} SET default_transaction_read_only = on"),
    );
    database.close().await;
    let fenced = Database::open(&url).await.unwrap();
    let error = fenced.write().await.unwrap_err();
    assert!(matches!(error, StorageError::ReadOnly), "{error:?}");
    assert!(error.is_transient());
    assert_eq!(raised(&fenced).await, 0, "it may be read");
}

#[tokio::test]
async fn of_two_that_wait_for_each_other_one_gives_way() {
    let database = open(Postgres::shared()).await;
    let mut first = database.write().await.unwrap();
    let mut second = database.write().await.unwrap();
    run(&mut first, RAISE).await.unwrap();
    run(&mut second, RAISE_ANOTHER).await.unwrap();
    let (first_ran, second_ran) =
        tokio::join!(async { run(&mut first, RAISE_ANOTHER).await.map(|()| first) }, async {
            run(&mut second, RAISE).await.map(|()| second)
        },);
    let (winner, error) = match (first_ran, second_ran) {
        (Ok(winner), Err(error)) | (Err(error), Ok(winner)) => (winner, error),
        both => panic!("{both:?}"),
    };
    assert!(matches!(error, StorageError::Conflict(_)), "{error:?}");
    assert!(error.is_transient());
    winner.commit().await.unwrap();
}

#[tokio::test]
async fn one_that_stands_still_in_a_transaction_locks_nobody_out() {
    let url = Postgres::shared().database();
    let idle_timeout = Duration::from_millis(200);
    let still = open_with(&url, PostgresSettings { idle_timeout, ..PostgresSettings::default() });
    let still = still.await;
    let mut stopped = still.write().await.unwrap();
    run(&mut stopped, RAISE).await.unwrap();
    let other = Database::open(&url).await.unwrap();
    raise(&other).await.unwrap();
    let error = stopped.commit().await.unwrap_err();
    assert!(
        matches!(error, StorageError::Unreachable(_) | StorageError::OutcomeUnknown(_)),
        "{error:?}"
    );
    assert_eq!(raised(&other).await, 1);
}

#[tokio::test]
async fn a_text_that_no_column_holds_is_told_as_such() {
    let database = open(Postgres::shared()).await;
    // It must not be one that is short once it is compressed.
    let long = (0..4000).scan(1_u32, |state, _| {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from_u32(33 + (*state >> 16) % 90)
    });
    let long: String = long.collect();
    for text in ["a\0b".to_owned(), long] {
        let mut write = database.write().await.unwrap();
        let error = sqlx::query("INSERT INTO usage_rolled_up VALUES ($1, 0)")
            .bind(text)
            .execute(&mut *write)
            .await
            .unwrap_err();
        let error = StorageError::from(error);
        assert!(matches!(error, StorageError::Unstorable(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_commit_is_on_the_disk_although_the_server_would_rather_not() {
    let postgres = Postgres::shared();
    let url = postgres.database();
    let name = url.rsplit_once('/').unwrap().1.split_once('?').unwrap().0;
    for (default, expected) in [("off", "on"), ("remote_apply", "remote_apply")] {
        postgres.execute(
            "postgres",
            &format!("ALTER DATABASE {name} SET synchronous_commit = {default}"),
        );
        let database = open_with(&url, PostgresSettings::default()).await;
        let mut write = database.write().await.unwrap();
        let shown = "SELECT current_setting('synchronous_commit')";
        let shown: String = sqlx::query(shown).fetch_one(&mut *write).await.unwrap().get(0);
        assert_eq!(shown, expected);
    }
}

#[tokio::test]
async fn of_several_that_migrate_at_once_one_does() {
    let url = Postgres::shared().database();
    let database = Database::open(&url).await.unwrap();
    let before = database.schema(Holding::Main).await.unwrap();
    assert_eq!(before.applied, 0);
    let other = Database::open(&url).await.unwrap();
    let (first, second, third) =
        tokio::join!(database.migrate(), other.migrate(), database.migrate());
    for migrated in [first, second, third] {
        migrated.unwrap();
    }
    let after = database.schema(Holding::Main).await.unwrap();
    assert_eq!((after.applied, after.known), (before.known, before.known));
}

#[tokio::test]
async fn a_database_of_another_encoding_is_refused() {
    let postgres = Postgres::shared();
    postgres.execute(
        "postgres",
        "CREATE DATABASE other_encoding TEMPLATE template0 ENCODING 'SQL_ASCII'
         LOCALE_PROVIDER libc LOCALE 'C'",
    );
    let database = Database::open(&postgres.url("other_encoding")).await.unwrap();
    let error = database.migrate().await.unwrap_err();
    assert!(matches!(error, StorageError::Unfit(_)), "{error:?}");
    assert!(error.to_string().contains("ENCODING 'UTF8'"), "{error}");
}

#[tokio::test]
async fn a_promoted_standby_takes_over_with_all_that_was_told() {
    let mut primary = Postgres::start();
    let standby = primary.standby();
    primary.execute("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'");
    primary.execute("postgres", "SELECT pg_reload_conf()");
    let url = primary.database();
    let name = url.rsplit_once('/').unwrap().1.split_once('?').unwrap().0;
    // Whichever is named first.
    let database = open_with(&standby.url_with(&primary, name), PostgresSettings::default()).await;
    raise(&database).await.unwrap();
    assert_eq!(raised(&database).await, 1);
    primary.kill();
    let error = raise(&database).await.unwrap_err();
    assert!(error.is_transient(), "nothing was done: {error:?}");
    standby.promote();
    raise(&database).await.unwrap();
    assert_eq!(raised(&database).await, 2, "what was told before is there");
    // Who only knew the old one is not led astray by it when it comes back.
    primary.run();
    raise(&database).await.unwrap();
    assert_eq!(raised(&database).await, 3);
}

#[tokio::test]
async fn a_standby_answers_nobody() {
    let primary = Postgres::start();
    let standby = primary.standby();
    // The standby has what a statement did by the time it is done.
    primary.execute("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'");
    primary.execute("postgres", "ALTER SYSTEM SET synchronous_commit = 'remote_apply'");
    primary.execute("postgres", "SELECT pg_reload_conf()");
    let url = primary.database();
    let name = url.rsplit_once('/').unwrap().1.split_once('?').unwrap().0;
    let database = open_with(&url, PostgresSettings::default()).await;
    raise(&database).await.unwrap();
    let lagging = Database::open(&standby.url(name)).await.unwrap();
    let read = lagging.read().await.unwrap_err();
    let write = lagging.write().await.unwrap_err();
    for error in [read, write] {
        assert!(matches!(error, StorageError::ReadOnly), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_at_once() {
    let nobody = format!("postgres://postgres@127.0.0.1:{}/any", servers::free_port());
    let opened = timeout(A_WHILE, Database::open(&nobody)).await.expect("at once");
    let error = opened.unwrap_err();
    assert!(matches!(error, StorageError::Unreachable(_)), "{error:?}");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("refused"), "{cause}");
}
