//! On both kinds of database: what is committed is there, what is not is gone, and errors say what they are.

use crate::place::Place;
use sqlx::Row;
use std::time::Duration;
use storage::{
    Database, DatabaseSettings, Insert, PostgresSettings, SqliteSettings, StorageError, Write,
};

const LOT: Insert =
    Insert::into("lot", &["id", "org_uid", "kind", "amount", "remaining", "created_us"]);

fn place() -> Place {
    Place::of(module_path!())
}

async fn add_lots(write: &mut Write, from: i64, to: i64) -> Result<(), StorageError> {
    let ids: Vec<i64> = (from..to).collect();
    LOT.rows(write, &ids, |statement, id| {
        statement.bind(*id).bind(1_i64).bind("paid").bind(10_i64).bind(*id % 10).bind(0_i64)
    })
    .await
}

async fn lots(database: &Database) -> i64 {
    let mut read = database.read().await.unwrap();
    let row = sqlx::query("SELECT COUNT(*) AS lots FROM lot").fetch_one(&mut *read).await.unwrap();
    read.finish().await.unwrap();
    row.get("lots")
}

#[tokio::test]
async fn what_is_not_committed_is_not_there() {
    let place = place();
    let database = place.database().await;

    let mut dropped = database.write().await.unwrap();
    add_lots(&mut dropped, 0, 10).await.unwrap();
    drop(dropped);
    let mut undone = database.write().await.unwrap();
    add_lots(&mut undone, 0, 10).await.unwrap();
    undone.rollback().await.unwrap();
    assert_eq!(lots(&database).await, 0);

    let mut kept = database.write().await.unwrap();
    add_lots(&mut kept, 0, 10).await.unwrap();
    kept.commit().await.unwrap();
    assert_eq!(lots(&database).await, 10);
}

#[tokio::test]
async fn rows_of_any_number_are_inserted_once_each() {
    let place = place();
    let database = place.database().await;
    let mut from = 0;
    for rows in [0, 1, 2, 3, 127, 128, 129, 300] {
        let mut write = database.write().await.unwrap();
        add_lots(&mut write, from, from + rows).await.unwrap();
        write.commit().await.unwrap();
        from += rows;
        assert_eq!(lots(&database).await, from, "after {rows} more");
    }
    let mut read = database.read().await.unwrap();
    let row = sqlx::query("SELECT CAST(SUM(remaining - id % 10) AS BIGINT) AS off FROM lot")
        .fetch_one(&mut *read)
        .await
        .unwrap();
    assert_eq!(row.get::<i64, _>("off"), 0, "every value is in its own column");
}

#[tokio::test]
async fn a_reader_sees_one_state_while_others_write() {
    let place = place();
    let database = place.database().await;
    let count = "SELECT COUNT(*) AS lots FROM lot";

    let mut read = database.read().await.unwrap();
    let before: i64 = sqlx::query(count).fetch_one(&mut *read).await.unwrap().get("lots");
    let mut write = database.write().await.unwrap();
    add_lots(&mut write, 0, 5).await.unwrap();
    write.commit().await.unwrap();
    let after: i64 = sqlx::query(count).fetch_one(&mut *read).await.unwrap().get("lots");
    assert_eq!((before, after), (0, 0));
    read.finish().await.unwrap();
    assert_eq!(lots(&database).await, 5);
}

#[tokio::test]
async fn readers_that_were_dropped_do_not_see_the_past_for_ever() {
    let place = place();
    let database = place.database().await;
    for _ in 0..10 {
        let mut read = database.read().await.unwrap();
        sqlx::query("SELECT * FROM lot").fetch_all(&mut *read).await.unwrap();
        drop(read);
    }
    let mut write = database.write().await.unwrap();
    add_lots(&mut write, 0, 5).await.unwrap();
    write.commit().await.unwrap();
    for _ in 0..10 {
        assert_eq!(lots(&database).await, 5);
    }
}

#[tokio::test]
async fn a_refused_row_rolls_back_and_the_next_transaction_works() {
    let place = place();
    let database = place.database().await;
    let mut write = database.write().await.unwrap();
    add_lots(&mut write, 0, 1).await.unwrap();
    write.commit().await.unwrap();

    let mut twice = database.write().await.unwrap();
    add_lots(&mut twice, 1, 2).await.unwrap();
    let error = add_lots(&mut twice, 0, 1).await.unwrap_err();
    assert!(matches!(error, StorageError::Exists(_)), "{error:?}");
    assert!(!error.is_transient());
    drop(twice);

    let mut negative = database.write().await.unwrap();
    let error =
        sqlx::query("UPDATE lot SET remaining = -1").execute(&mut *negative).await.unwrap_err();
    let error = StorageError::from(error);
    assert!(matches!(error, StorageError::Refused(_)), "{error:?}");
    drop(negative);

    let mut write = database.write().await.unwrap();
    add_lots(&mut write, 5, 6).await.unwrap();
    write.commit().await.unwrap();
    assert_eq!(lots(&database).await, 2);
}

/// SQLite has one lock, Postgres one for each row.
async fn lock_something(database: &Database) -> Result<Write, StorageError> {
    let mut write = database.write().await?;
    sqlx::query("UPDATE ledger_head SET last_transaction = 7 WHERE id = 1")
        .execute(&mut *write)
        .await?;
    Ok(write)
}

#[tokio::test]
async fn another_programs_lock_is_told_and_passes() {
    let place = place();
    let first = place.database().await;
    let wait = Duration::from_millis(50);
    let impatient = DatabaseSettings {
        sqlite: SqliteSettings { busy_timeout: wait, ..SqliteSettings::default() },
        postgres: PostgresSettings { lock_timeout: wait, ..PostgresSettings::default() },
        ..DatabaseSettings::default()
    };
    let second = place.open(impatient).await;

    let writing = lock_something(&first).await.unwrap();
    let error = lock_something(&second).await.unwrap_err();
    assert!(matches!(error, StorageError::Locked(_) | StorageError::Conflict(_)), "{error:?}");
    assert!(error.is_transient());
    drop(writing);
    // The dropped transaction closes its connection behind our back; the lock is waited for.
    let patient = place.open(DatabaseSettings::default()).await;
    lock_something(&patient).await.unwrap().commit().await.unwrap();
    lock_something(&second).await.unwrap().commit().await.unwrap();
}

#[tokio::test]
async fn commits_survive_closing_and_migrating_again() {
    let place = place();
    let first = place.database().await;
    let mut write = first.write().await.unwrap();
    add_lots(&mut write, 0, 3).await.unwrap();
    write.commit().await.unwrap();
    first.close().await;
    assert_eq!(lots(&place.database().await).await, 3);
}
