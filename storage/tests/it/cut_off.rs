//! A Postgres that is cut off: it closes no connection and answers nothing, for ever as far as anybody can tell.

use servers::{Network, Postgres};
use std::time::Duration;
use storage::{Database, DatabaseSettings, PostgresSettings, StorageError, Write};
use tokio::time::timeout;

/// Longer than all that is waited for here together, and much shorter than the system waits for whoever is cut off.
const A_WHILE: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_millis(200);

const SETTINGS: PostgresSettings = PostgresSettings {
    writers: 3,
    statement_timeout: Duration::from_secs(10),
    lock_timeout: Duration::from_secs(5),
    idle_timeout: Duration::from_secs(5),
    idle_read_timeout: Duration::from_secs(60),
    reach_timeout: SOON,
    transaction_timeout: SOON,
    long_transaction_timeout: SOON,
    lifetime: Duration::from_secs(600),
};

async fn raise(write: &mut Write) -> Result<(), StorageError> {
    let raise = "UPDATE ledger_head SET last_transaction = last_transaction + 1 WHERE id = 1";
    sqlx::query(raise).execute(&mut **write).await?;
    Ok(())
}

async fn open(postgres: &Postgres) -> Database {
    let acquire_timeout = Duration::from_secs(2);
    let settings =
        DatabaseSettings { postgres: SETTINGS, acquire_timeout, ..DatabaseSettings::default() };
    let database = Database::open_with(&postgres.database(), settings).await.unwrap();
    database.migrate().await.unwrap();
    database
}

/// Each of its connections is in a transaction.
async fn begun(database: &Database) -> [Write; 3] {
    let [mut first, second, third] =
        [database.write().await, database.write().await, database.write().await]
            .map(Result::unwrap);
    raise(&mut first).await.unwrap();
    [first, second, third]
}

#[tokio::test]
async fn nobody_waits_long_for_a_server_that_is_cut_off_and_it_is_used_again_once_it_is_not() {
    let network = Network::start();
    let postgres = Postgres::start_on(network.host());
    let database = open(&postgres).await;
    let [committing, mut whole, mut part] = begun(&database).await;

    postgres.host().cut();
    let cut_off = async {
        let told = database.in_time(raise(&mut whole)).await;
        assert!(matches!(told, Err(StorageError::OutcomeUnknown(_))), "{told:?}");
        let told = database.without_commit_in_time(raise(&mut part)).await;
        assert!(matches!(told, Err(StorageError::Unreachable(_))), "{told:?}");
        let told = committing.commit().await;
        assert!(matches!(told, Err(StorageError::OutcomeUnknown(_))), "{told:?}");
        drop((whole, part));
        let told = database.write().await.map(drop);
        assert!(matches!(told, Err(StorageError::Unreachable(_))), "{told:?}");
    };
    timeout(A_WHILE, cut_off).await.unwrap();

    postgres.host().mend();
    let mut write = written_again(&database).await;
    raise(&mut write).await.unwrap();
    write.commit().await.unwrap();
}

#[tokio::test]
async fn a_connection_that_lay_idle_while_its_server_was_cut_off_costs_a_moment() {
    let network = Network::start();
    let postgres = Postgres::start_on(network.host());
    let database = open(&postgres).await;
    for write in begun(&database).await {
        write.rollback().await.unwrap();
    }
    postgres.host().cut();
    let told = timeout(A_WHILE, database.write()).await.unwrap().map(drop);
    assert!(matches!(told, Err(StorageError::Unreachable(_))), "{told:?}");
    postgres.host().mend();
    written_again(&database).await.rollback().await.unwrap();
}

/// Once the network has found again who is where: for a moment it still knows of no way there.
async fn written_again(database: &Database) -> Write {
    let again = async {
        loop {
            match database.write().await {
                Err(StorageError::Unreachable(_)) => tokio::task::yield_now().await,
                other => return other.unwrap(),
            }
        }
    };
    timeout(A_WHILE, again).await.unwrap()
}
