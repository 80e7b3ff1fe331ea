//! Prompts and completions of orgs that want them kept: sealed, in a database of their own, for as long as the operator
//! keeps such. An org that no longer wants it, or is gone, has nothing left after the next sweep.
//!
//! How contents get here is `links::content`'s business, who may read them that of the gate.

mod rows;

use crate::authority::Authority;
use crate::{metric, now};
use domain::id::OrgUid;
use domain::name::{REQUEST_ID_LENGTH_MAX, is_printable};
use domain::time::Timestamp;
use links::content::{ContentKey, ContentListener, Delivery, UnreadableContent};
use proto::content::v1::{Content, SealedContent};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use storage::{Database, StorageError};
use thiserror::Error;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// How long contents are kept.
#[derive(Clone, Copy, Debug)]
pub struct ContentSettings {
    /// Those that ended longer ago are erased.
    pub keep: Duration,
    /// How often it is looked for what must be erased.
    pub sweep_every: Duration,
}

impl Default for ContentSettings {
    fn default() -> Self {
        Self { keep: Duration::from_secs(90 * 24 * 60 * 60), sweep_every: Duration::from_secs(60) }
    }
}

/// What was kept of one request.
pub(crate) struct Kept {
    /// Whose.
    pub(crate) org: OrgUid,
    /// When it ended.
    pub(crate) ended: Timestamp,
    /// What was said.
    pub(crate) content: Content,
}

/// Content that cannot be had.
#[derive(Debug, Error)]
pub(crate) enum ContentError {
    /// The database.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// It is there, and does not open.
    #[error("the stored content cannot be opened: {0}")]
    Unreadable(#[from] UnreadableContent),
}

/// Keeps contents.
#[derive(Clone)]
pub(crate) struct ContentStore {
    database: Database,
    key: ContentKey,
    settings: ContentSettings,
}

impl ContentStore {
    pub(crate) fn new(database: Database, key: ContentKey, settings: ContentSettings) -> Self {
        Self { database, key, settings }
    }

    /// Takes contents in and erases what is due, until the token is cancelled.
    pub(crate) async fn run(
        self,
        authority: Arc<Authority>,
        mut listener: ContentListener,
        token: CancellationToken,
    ) {
        let mut sweep = interval(self.settings.sweep_every);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = token.cancelled() => return,
                _ = sweep.tick() => {
                    let wanted = wanted_by(&authority).await;
                    if let Err(error) = self.sweep(&wanted).await {
                        tracing::warn!(%error, "stored contents could not be erased; trying again");
                    }
                }
                delivery = listener.next() => {
                    let Some(delivery) = delivery else { return };
                    let wanted = wanted_by(&authority).await;
                    self.keep(delivery, &wanted).await;
                }
            }
        }
    }

    /// A data plane may not know yet that an org does not want it any more.
    async fn keep(&self, delivery: Delivery, wanted: &BTreeSet<OrgUid>) {
        let is_wanted = |content: &&SealedContent| {
            wanted.contains(&OrgUid(content.org_uid)) && is_request(&content.request_id)
        };
        let contents: Vec<&SealedContent> = delivery.contents.iter().filter(is_wanted).collect();
        match rows::insert(&self.database, &contents).await {
            Ok(()) => {
                metric::contents_kept(contents.len());
                delivery.kept();
            }
            Err(error) => tracing::warn!(%error, "contents could not be stored; they come again"),
        }
    }

    /// Erases what is too old, and all of orgs that do not want it.
    async fn sweep(&self, wanted: &BTreeSet<OrgUid>) -> Result<(), StorageError> {
        let keep_us = u64::try_from(self.settings.keep.as_micros()).unwrap_or(u64::MAX);
        let before = Timestamp(now().0.saturating_sub(keep_us));
        let erased = rows::delete(&self.database, before, wanted).await?;
        if erased > 0 {
            // Deleted rows are overwritten as they go; this also empties the log that they came through.
            self.database.give_back().await?;
            metric::contents_erased(erased);
            tracing::info!(erased, "stored contents were erased");
        }
        Ok(())
    }

    /// What was kept of a request.
    pub(crate) async fn read(&self, request_id: &str) -> Result<Option<Kept>, ContentError> {
        if !is_request(request_id) {
            return Ok(None);
        }
        let Some(found) = rows::find(&self.database, request_id).await? else { return Ok(None) };
        let content = self.key.open(request_id, &found.sealed)?;
        Ok(Some(Kept { org: OrgUid(found.org_uid), ended: Timestamp(found.ended_us), content }))
    }
}

/// Whether a request can have that id. What has another one would come again for ever, since no row can hold it.
fn is_request(id: &str) -> bool {
    id.len() <= REQUEST_ID_LENGTH_MAX && is_printable(id)
}

/// Orgs that want their contents kept as of now.
async fn wanted_by(authority: &Authority) -> BTreeSet<OrgUid> {
    let catalog = authority.catalog().await;
    catalog.orgs.values().filter(|org| org.store_content).map(|org| org.uid).collect()
}
