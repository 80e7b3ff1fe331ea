//! Transactions that wait for each other, which only Postgres lets run at once: one gives way, and can be done again.

use crate::on_postgres::consumer::{records, until};
use crate::on_postgres::events::{Shape, envelopes};
use crate::on_postgres::world::{Amounts, NOW, World, wallet};
use billing::consumer::{ApplyError, apply};
use sqlx::AssertSqlSafe;
use storage::{StorageError, Write};

/// Sessions of this database that wait for a row.
const WAITING: &str = "SELECT COUNT(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'";

async fn run(write: &mut Write, statement: &str) {
    sqlx::query(AssertSqlSafe(statement)).execute(&mut **write).await.unwrap();
}

#[tokio::test]
async fn a_batch_that_waits_for_one_that_waits_for_it_gives_way_and_changes_nothing() {
    let world = World::new().await;
    for org in [1, 2] {
        world.credit(org, 1000, &format!("for-{org}")).await;
        world.grant("dp", wallet(org), 1000).await;
    }
    // Against the order, and with more patience: the batch has the first wallet when it finds the second one locked.
    let mut other = world.database.write().await.unwrap();
    run(&mut other, "SET LOCAL deadlock_timeout = '60s'").await;
    run(&mut other, "UPDATE account SET held = held WHERE org_uid = 2 AND key_uid = 0").await;
    let batch = envelopes(&[Shape::new("dp", 1, 1, 10), Shape::new("dp", 2, 2, 20)]);
    let (database, events) = (world.database.clone(), batch.clone());
    let waiting = tokio::spawn(async move { apply(&database, &events, NOW).await });
    until("the batch waits", async || world.number(WAITING).await == 1).await;
    run(&mut other, "UPDATE account SET held = held WHERE org_uid = 1 AND key_uid = 0").await;
    other.commit().await.unwrap();
    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(error, ApplyError::Storage(StorageError::Conflict(_))), "{error:?}");
    assert!(error.is_transient());
    assert_eq!(records(&world).await, 0);
    assert_eq!(world.amounts(wallet(1)).await, Amounts { posted: 1000, held: 1000 });

    assert_eq!(apply(&world.database, &batch, NOW).await.unwrap().applied, 2);
    assert_eq!(world.amounts(wallet(1)).await, Amounts { posted: 990, held: 990 });
    assert_eq!(world.amounts(wallet(2)).await, Amounts { posted: 980, held: 980 });
    world.assert_sound().await;
}
