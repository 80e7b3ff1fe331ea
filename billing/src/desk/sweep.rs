//! Looks after lives that are silent, or are to be forgotten: what they held is given up, by a word once all that they sent is
//! counted, and after a day of silence without. Every control plane does so; rows see to it that it happens once.

use super::{DeskSettings, recalls};
use crate::consumer::is_of_this_process;
use crate::lives::{self, Cause, Life};
use crate::slices::Holder;
use crate::{metric, rows};
use domain::escrow::life::{Intake, LifeState, Silence};
use domain::time::Timestamp;
use std::collections::HashSet;
use storage::{Database, Read, StorageError};
use tokio::time::{Instant, sleep};

/// Sweeps until it is dropped.
pub(super) async fn run(database: Database, settings: DeskSettings) {
    let mut sweep =
        Sweep { database, settings, listening_since: None, swept: None, unproved: HashSet::new() };
    loop {
        if let Err(error) = sweep.once().await {
            tracing::warn!(%error, "silent data planes could not be looked after");
            sweep.listening_since = None;
        }
        sleep(settings.sweep_every).await;
    }
}

struct Sweep {
    database: Database,
    settings: DeskSettings,
    /// Since when data planes can have said that they are there: no silence before that is theirs.
    listening_since: Option<Instant>,
    /// When it was swept last, by the clock that silence is judged by.
    swept: Option<Timestamp>,
    /// Those that are to be forgotten, and of which nobody can prove that all is counted.
    unproved: HashSet<Holder>,
}

impl Sweep {
    async fn once(&mut self) -> Result<(), StorageError> {
        if self.listening_since.is_none() {
            lives::adopt(&self.database).await?;
        }
        if self.database.is_shared() {
            self.database.in_time(recalls::sweep(&self.database)).await?;
        }
        let (silent, now) = self.database.in_time(self.silent()).await?;
        let since = self.listening_since(now);
        let patience = self.settings.patience();
        let silences = silent.iter().map(|life| patience.judge(life.heard, now));
        metric::suspects(silences.filter(|it| *it >= Silence::Suspect).count());
        // Whoever lives has come back by then.
        let may_judge = since.elapsed() > self.settings.suspect_after;
        let database = self.database.clone();
        for life in &silent {
            let is_lost = patience.judge(life.heard, now) == Silence::Lost;
            let cause = match life.state {
                LifeState::Forgetting if database.in_time(self.has_counted(life, now)).await? => {
                    Cause::Word
                }
                // It went on, without saying Hello again, with those who had not heard that it was given up.
                LifeState::GivenUp => Cause::Word,
                LifeState::Active | LifeState::Final | LifeState::Forgetting
                    if is_lost && may_judge =>
                {
                    Cause::Silence
                }
                LifeState::Active | LifeState::Final | LifeState::Forgetting => continue,
            };
            lives::give_up(&self.database, life, cause).await?;
        }
        Ok(())
    }

    /// A machine that slept, a process that was stopped, or a clock that was set: nobody can have been heard of in between.
    fn listening_since(&mut self, now: Timestamp) -> Instant {
        let patience = self.settings.patience();
        let swept = self.swept.replace(now);
        if swept.is_some_and(|swept| patience.judge(swept, now) >= Silence::Suspect) {
            self.listening_since = None;
        }
        *self.listening_since.get_or_insert_with(Instant::now)
    }

    async fn silent(&self) -> Result<(Vec<Life>, Timestamp), StorageError> {
        let suspect_after = i64::try_from(self.settings.suspect_after.as_micros());
        let mut read = self.database.read().await?;
        let now = read.now_us().await?;
        let before = now.saturating_sub(suspect_after.unwrap_or(i64::MAX));
        let silent = lives::silent_or_ordered(&mut read, before).await?;
        read.finish().await?;
        Ok((silent, Timestamp(u64::try_from(now).unwrap_or(0))))
    }

    /// Whether all that it sent is counted. If so, nothing of it that somebody still has can be counted later: a fence keeps
    /// it out.
    async fn has_counted(&mut self, life: &Life, now: Timestamp) -> Result<bool, StorageError> {
        let mut read = self.database.read().await?;
        let is_shared = self.database.is_shared();
        let may_be_in_topic = self.settings.marks_every.is_some() || has_topic(&mut read).await?;
        let intake = intake(&mut read, &life.holder.data_plane, is_shared).await?;
        read.finish().await?;
        if may_be_in_topic {
            self.tell_unproved(&life.holder);
            return Ok(false);
        }
        let gone_after = self.settings.gone_after;
        let Some((epoch, intake)) = intake else { return Ok(true) };
        if !intake.has_counted(life.ordered, now, gone_after) {
            return Ok(false);
        }
        let is_there = intake.is_open && intake.settled >= life.ordered;
        Ok(is_there || self.fence(&life.holder.data_plane, epoch).await?)
    }

    /// What is still in a topic is kept out by no fence of one data plane.
    fn tell_unproved(&mut self, holder: &Holder) {
        if self.unproved.insert(holder.clone()) {
            tracing::warn!(
                data_plane = holder.data_plane,
                incarnation = holder.incarnation,
                "what it held is given up only after billing.escrow.give_up_after of silence: usage goes through a topic, where it \
                 cannot be proved that all of it is counted"
            );
        }
    }

    /// False: somebody has begun to take in what it ships.
    async fn fence(&self, data_plane: &str, epoch: i64) -> Result<bool, StorageError> {
        let mut write = self.database.write().await?;
        let done = sqlx::query(
            "UPDATE usage_owner SET epoch = epoch + 1, is_open = 0
             WHERE data_plane = $1 AND epoch = $2",
        )
        .bind(data_plane)
        .bind(epoch)
        .execute(&mut *write)
        .await?;
        write.commit().await?;
        Ok(done.rows_affected() == 1)
    }
}

/// Whether usage goes through a topic, or did: billing has made its rows.
async fn has_topic(read: &mut Read) -> Result<bool, StorageError> {
    let found = sqlx::query("SELECT 1 FROM usage_partition LIMIT 1").fetch_optional(&mut **read);
    Ok(found.await?.is_some())
}

/// How far whoever takes in what a data plane ships has come, and its epoch; nobody ever did where there is none.
async fn intake(
    read: &mut Read,
    data_plane: &str,
    is_shared: bool,
) -> Result<Option<(i64, Intake)>, StorageError> {
    let found = sqlx::query(
        "SELECT epoch, owner, is_open, renewed_us, settled_us FROM usage_owner
         WHERE data_plane = $1",
    )
    .bind(data_plane)
    .fetch_optional(&mut **read)
    .await?;
    let Some(row) = found else { return Ok(None) };
    // Of a database of its own, this process is the only user: who is not of it is gone, who is need not say so.
    let (is_here, renewed) = match is_shared {
        true => (true, rows::moment(&row, "renewed_us")?),
        false => (is_of_this_process(&rows::text(&row, "owner")?), Timestamp(u64::MAX)),
    };
    let intake = Intake {
        is_open: is_here && rows::integer(&row, "is_open")? == 1,
        renewed,
        settled: rows::moment(&row, "settled_us")?,
    };
    Ok(Some((rows::integer(&row, "epoch")?, intake)))
}
