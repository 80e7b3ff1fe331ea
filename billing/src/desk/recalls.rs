//! What crosses between control planes on one database: that money is wanted back from data planes of others, as rows that
//! each reads, and how many data planes there are in all. A control plane that is the only one has no need of it.

use super::DeskSettings;
use super::connection::Heard;
use super::poke::Poke;
use crate::slices::Holder;
use crate::{lives, rows};
use domain::id::Account;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use storage::{Database, Read, StorageError};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Counting is not urgent: a wrong count only makes slices larger or smaller.
const COUNTED_EVERY: Duration = Duration::from_secs(1);
/// Recalls are kept for much longer than anybody waits for them.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// What the clerk and the reader of recalls share.
#[derive(Clone, Debug, Default)]
pub(super) struct Elsewhere {
    /// Data planes that are connected to any control plane; 0 as long as nobody has counted.
    live: Arc<AtomicU32>,
    pub(super) poke: Poke,
}

impl Elsewhere {
    pub(super) fn live(&self) -> u32 {
        self.live.load(Ordering::Relaxed)
    }
}

/// Asks the others for money of these accounts.
pub(super) async fn write(
    database: &Database,
    accounts: impl Iterator<Item = Account>,
) -> Result<(), StorageError> {
    let mut write = database.write().await?;
    let now = write.now_us().await?;
    for account in accounts {
        let (org, key) = account.uids();
        // Whoever comes next waits here for the commit, so that no number is seen before a smaller one.
        let head = sqlx::query("UPDATE recall_head SET seq = seq + 1 WHERE id = 1 RETURNING seq")
            .fetch_one(&mut *write)
            .await?;
        sqlx::query("INSERT INTO recall (seq, org_uid, key_uid, at_us) VALUES ($1, $2, $3, $4)")
            .bind(rows::integer(&head, "seq")?)
            .bind(org)
            .bind(key)
            .bind(now)
            .execute(&mut *write)
            .await?;
    }
    write.commit().await
}

/// Forgets those that nobody waits for any more.
pub(super) async fn sweep(database: &Database) -> Result<(), StorageError> {
    let mut write = database.write().await?;
    let kept_for = i64::try_from(KEPT_FOR.as_micros()).unwrap_or(i64::MAX);
    let since = write.now_us().await?.saturating_sub(kept_for);
    sqlx::query("DELETE FROM recall WHERE at_us < $1").bind(since).execute(&mut *write).await?;
    write.commit().await
}

/// Reads what others write, until nobody listens.
pub(super) async fn follow(
    database: Database,
    settings: DeskSettings,
    elsewhere: Elsewhere,
    messages: mpsc::Sender<Heard>,
) {
    let mut reader = Reader { last: None, counted: None };
    let mut is_failing = false;
    while !messages.is_closed() {
        let looking = reader.look(&database, &settings, &elsewhere);
        match database.in_time(looking).await {
            Ok(recalls) => {
                is_failing = false;
                for (account, holders) in recalls {
                    let recalled = Heard::Recalled { account, holders };
                    if messages.send(recalled).await.is_err() {
                        return;
                    }
                }
            }
            Err(error) if is_failing => tracing::debug!(%error, "recalls cannot be read"),
            Err(error) => {
                tracing::warn!(%error, "recalls of other control planes cannot be read");
                is_failing = true;
            }
        }
        elsewhere.poke.taken_within(settings.look_every).await;
    }
}

struct Reader {
    /// What was recalled before this began concerns nobody who is here.
    last: Option<i64>,
    counted: Option<Instant>,
}

impl Reader {
    async fn look(
        &mut self,
        database: &Database,
        settings: &DeskSettings,
        elsewhere: &Elsewhere,
    ) -> Result<BTreeMap<Account, Vec<Holder>>, StorageError> {
        let mut read = database.read().await?;
        let head = sqlx::query("SELECT seq FROM recall_head").fetch_one(&mut *read).await?;
        let head = rows::integer(&head, "seq")?;
        let recalls = match self.last {
            Some(last) if last < head => recalled_since(&mut read, last).await?,
            _ => BTreeMap::new(),
        };
        if self.counted.is_none_or(|counted| counted.elapsed() >= COUNTED_EVERY) {
            let live_within = i64::try_from(settings.patience().live_within.as_micros());
            let since = read.now_us().await?.saturating_sub(live_within.unwrap_or(i64::MAX));
            let live = lives::count_live(&mut read, since).await?;
            elsewhere.live.store(live, Ordering::Relaxed);
            self.counted = Some(Instant::now());
        }
        read.finish().await?;
        self.last = Some(head);
        Ok(recalls)
    }
}

/// Which accounts, and who holds some of each.
async fn recalled_since(
    read: &mut Read,
    last: i64,
) -> Result<BTreeMap<Account, Vec<Holder>>, StorageError> {
    let found = sqlx::query(
        "SELECT DISTINCT slice.org_uid AS org_uid, slice.key_uid AS key_uid,
             slice.data_plane AS data_plane, slice.incarnation AS incarnation
         FROM recall JOIN slice ON slice.org_uid = recall.org_uid AND slice.key_uid = recall.key_uid
         WHERE recall.seq > $1
         AND slice.granted - slice.released - slice.settled - slice.unbacked > 0",
    )
    .bind(last)
    .fetch_all(&mut **read)
    .await?;
    let mut recalls: BTreeMap<Account, Vec<Holder>> = BTreeMap::new();
    for row in found {
        recalls.entry(rows::account(&row)?).or_default().push(lives::holder(&row)?);
    }
    Ok(recalls)
}
