//! Looks at every account, on a connection of its own, as often as it can: no look may ever show money that is not there.

use sqlx::{Connection, PgConnection, Row};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
    looking: JoinHandle<u64>,
}

impl Poller {
    /// Begins to look into this database.
    pub(crate) fn start(database: &str) -> Self {
        let is_over = Arc::<AtomicBool>::default();
        let looking = tokio::spawn(look(database.to_owned(), is_over.clone()));
        Self { is_over, looking }
    }

    /// Stops; returns how often it could look. Panics if it has ever seen what must not be.
    pub(crate) async fn end(self) -> u64 {
        self.is_over.store(true, Ordering::Relaxed);
        self.looking.await.unwrap()
    }
}

async fn look(database: String, is_over: Arc<AtomicBool>) -> u64 {
    let (mut looks, mut connection) = (0, None);
    while !is_over.load(Ordering::Relaxed) {
        sleep(BETWEEN).await;
        let looked = timeout(ANSWER, look_once(&database, connection.take())).await;
        if let Ok(Ok(kept)) = looked {
            connection = Some(kept);
            looks += 1;
        }
    }
    looks
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
