//! Looks at every account, on a connection of its own, as often as it can: no look may ever show money that is not there.

use crate::patience::eventually;
use sqlx::{Connection, PgConnection, Row};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

const BETWEEN: Duration = Duration::from_millis(20);
/// A server that is gone or stands still does not answer; the next connection may find it again.
const ANSWER: Duration = Duration::from_secs(1);

const OVERDRAWN: &str = "SELECT org_uid, key_uid, posted, held FROM account
     WHERE posted < -credit_limit OR held > posted + credit_limit";

/// A look at everything, again and again.
pub(crate) struct Poller {
    is_over: Arc<AtomicBool>,
    looks: Arc<AtomicU64>,
    looking: JoinHandle<()>,
}

impl Poller {
    /// Begins to look into this database.
    pub(crate) fn start(database: &str) -> Self {
        let (is_over, looks) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let looking = tokio::spawn(look(database.to_owned(), is_over.clone(), looks.clone()));
        Self { is_over, looks, looking }
    }

    /// Waits until it has looked so many times more. Panics if it has seen what must not be.
    pub(crate) async fn looks(&self, more: u64) {
        let enough = self.looks.load(Ordering::Relaxed) + more;
        eventually("somebody looks at the money", async || {
            assert!(!self.looking.is_finished(), "it has seen what must not be");
            (self.looks.load(Ordering::Relaxed) >= enough).then_some(())
        })
        .await;
    }

    /// Stops; returns how often it could look. Panics if it has ever seen what must not be.
    pub(crate) async fn end(self) -> u64 {
        self.is_over.store(true, Ordering::Relaxed);
        self.looking.await.unwrap();
        self.looks.load(Ordering::Relaxed)
    }
}

async fn look(database: String, is_over: Arc<AtomicBool>, looks: Arc<AtomicU64>) {
    let mut connection = None;
    while !is_over.load(Ordering::Relaxed) {
        sleep(BETWEEN).await;
        let looked = timeout(ANSWER, look_once(&database, connection.take())).await;
        if let Ok(Ok(kept)) = looked {
            connection = Some(kept);
            looks.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn look_once(database: &str, kept: Option<PgConnection>) -> sqlx::Result<PgConnection> {
    let mut connection = match kept {
        Some(kept) => kept,
        None => PgConnection::connect(database).await?,
    };
    let overdrawn = sqlx::query(OVERDRAWN).fetch_all(&mut connection).await?;
    let shown =
        |row| ["org_uid", "key_uid", "posted", "held"].map(|name| Row::get::<i64, _>(row, name));
    let overdrawn: Vec<[i64; 4]> = overdrawn.iter().map(shown).collect();
    assert!(overdrawn.is_empty(), "org, key, posted, held: {overdrawn:?}");
    Ok(connection)
}
