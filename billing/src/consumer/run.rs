//! The loop: takes batches from a source, applies each until it is applied, and tells how far that is.
//!
//! An outage of the database pauses it and loses nothing: what is not told as billed is kept by whoever sent it.

use super::apply::{Applied, KnownAccounts, apply_with};
use super::error::ApplyError;
use super::fence::Fence;
use super::{audit, backlog, marks, poison, retry};
use crate::metric;
use crate::now;
use crate::rating::PriceHistory;
use crate::slices::Holder;
use domain::id::Partition;
use links::usage::{UsageSource, UsageSourceError};
use proto::usage::v1::UsageEnvelope;
use std::time::Duration;
use storage::Database;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// Limits of the consumer.
#[derive(Clone, Copy, Debug)]
pub struct ConsumerSettings {
    /// Events of one transaction at most.
    pub batch: usize,
    /// How long events may gather after a batch that was not full, so that many share a commit.
    pub linger: Duration,
    /// The first wait after a failure; each further one is twice as long.
    pub retry_after: Duration,
    /// The longest wait after a failure.
    pub retry_after_max: Duration,
    /// How often it is looked again: for events that could not be applied, and for what operators wrote off.
    pub look_again: Duration,
    /// How often it is written down who takes in what this data plane ships, and looked whether lives of it are to be forgotten.
    pub renew_every: Duration,
}

impl Default for ConsumerSettings {
    fn default() -> Self {
        Self {
            batch: 500,
            linger: Duration::from_millis(50),
            retry_after: Duration::from_millis(50),
            retry_after_max: Duration::from_secs(5),
            look_again: Duration::from_secs(60),
            renew_every: Duration::from_secs(3),
        }
    }
}

/// Applies usage events as they come.
#[derive(Debug)]
pub struct Consumer {
    database: Database,
    source: UsageSource,
    settings: ConsumerSettings,
    token: CancellationToken,
    known: KnownAccounts,
    prices: PriceHistory,
    /// Claimed before anything is applied.
    fence: Option<Fence>,
    /// Somebody else goes on.
    is_replaced: bool,
    /// Says that this one is there, also while a batch waits for the database.
    renewing: JoinSet<()>,
}

impl Consumer {
    /// Starts consuming, until the token is cancelled or the source is closed and all of it applied.
    #[must_use]
    pub fn start(
        database: Database,
        source: UsageSource,
        token: CancellationToken,
    ) -> JoinHandle<()> {
        Self::start_with(ConsumerSettings::default(), database, source, token)
    }

    /// The same with other settings.
    #[must_use]
    pub fn start_with(
        settings: ConsumerSettings,
        database: Database,
        source: UsageSource,
        token: CancellationToken,
    ) -> JoinHandle<()> {
        let (known, prices) = (KnownAccounts::default(), PriceHistory::default());
        let consumer = Self {
            database,
            source,
            settings,
            token,
            known,
            prices,
            fence: None,
            is_replaced: false,
            renewing: JoinSet::new(),
        };
        tokio::spawn(consumer.run())
    }

    async fn run(mut self) {
        let token = self.token.clone();
        let mut look_again = interval_at(Instant::now(), self.settings.look_again);
        look_again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut renewal = interval(self.settings.renew_every);
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.claim().await;
        let mut failures = 0;
        while !token.is_cancelled() && !self.is_replaced {
            let taken = tokio::select! {
                () = token.cancelled() => return,
                _ = look_again.tick() => {
                    self.retry_poison().await;
                    self.tell_marks().await;
                    continue;
                }
                _ = renewal.tick() => {
                    self.attend().await;
                    continue;
                }
                taken = self.source.next_batch(self.settings.batch.max(1)) => taken,
            };
            match taken {
                Ok(batch) => {
                    failures = 0;
                    let span = tracing::info_span!(
                        "billing batch",
                        otel.kind = "consumer",
                        messaging.batch.message_count = batch.len()
                    );
                    self.consume(&batch).instrument(span).await;
                    if batch.len() < self.settings.batch {
                        self.pause(self.settings.linger).await;
                    }
                }
                Err(UsageSourceError::Closed) => return self.close().await,
                Err(error) => {
                    tracing::error!(%error, "usage events cannot be read; trying again");
                    self.pause(self.wait_after(failures)).await;
                    failures = failures.saturating_add(1);
                }
            }
        }
    }

    /// Takes the place of whoever took in what this data plane ships before.
    async fn claim(&mut self) {
        let mut failures = 0;
        while !self.token.is_cancelled() {
            let claiming = Fence::claim(&self.database, self.source.data_plane());
            match self.database.in_time(claiming).await {
                Ok(fence) => {
                    self.renewing.abort_all();
                    let renewing =
                        fence.clone().keep(self.database.clone(), self.settings.renew_every);
                    self.renewing.spawn(renewing);
                    self.fence = Some(fence);
                    return;
                }
                Err(error) => {
                    tracing::warn!(%error, "usage cannot be taken in yet; nothing is lost");
                    self.pause(self.wait_after(failures)).await;
                    failures = failures.saturating_add(1);
                }
            }
        }
    }

    /// What is not counted goes to whoever took its place. The spool of this process has nobody else.
    async fn give_way(&mut self) {
        tracing::warn!(data_plane = self.source.data_plane(), "somebody else takes in this usage");
        match self.source {
            UsageSource::Spool { .. } => {
                self.claim().await;
                self.source.rewind();
            }
            UsageSource::Link(_) => self.is_replaced = true,
        }
    }

    /// Says that all is counted, where somebody waits for that.
    async fn attend(&mut self) {
        let Some(fence) = self.fence.clone() else { return };
        let is_settled = match self.database.in_time(fence.ordered(&self.database)).await {
            Ok(Some(newest)) => self.has_counted(newest).await,
            Ok(None) => false,
            Err(error) => {
                tracing::debug!(%error, "what is to be forgotten cannot be read");
                return;
            }
        };
        if is_settled
            && let Err(error) = self.database.in_time(fence.renew(&self.database, true)).await
        {
            tracing::warn!(%error, "that all usage is counted could not be written down");
        }
    }

    /// Whether all that had come of a life, and of those before it, is counted. They come in order.
    async fn has_counted(&mut self, incarnation: u64) -> bool {
        let more = self.source.next_batch(self.settings.batch.max(1));
        match timeout(self.settings.linger, more).await {
            Ok(Ok(batch)) => {
                let is_past = batch.iter().all(|event| event.incarnation > incarnation);
                self.consume(&batch).await;
                is_past
            }
            Ok(Err(_)) => false,
            Err(_) => true,
        }
    }

    /// All that came is counted, and nothing more will come.
    async fn close(&self) {
        let Some(fence) = &self.fence else { return };
        if let Err(error) = self.database.in_time(fence.close(&self.database)).await {
            tracing::debug!(%error, "that all usage is counted could not be written down");
        }
    }

    /// Applies a batch whatever it takes, but for a cancelled token: then it will be delivered again.
    async fn consume(&mut self, batch: &[UsageEnvelope]) {
        match self.apply_patiently(batch).await {
            Some(Ok(applied)) => self.tell(&applied).await,
            Some(Err(ApplyError::Fenced)) => return self.give_way().await,
            Some(Err(error)) => {
                tracing::error!(%error, "a batch is refused; its events are applied one by one");
                self.isolate(batch).await;
            }
            None => return,
        }
        let auditing = audit::audit(&self.database, &mut self.prices, batch);
        if let Err(error) = self.database.in_time(auditing).await {
            tracing::warn!(%error, "charges of a batch could not be computed again");
        }
    }

    /// Finds the events that the ledger refuses and keeps them as poison, so that the others count.
    async fn isolate(&mut self, batch: &[UsageEnvelope]) {
        for envelope in batch {
            match self.apply_patiently(std::slice::from_ref(envelope)).await {
                Some(Ok(applied)) => self.tell(&applied).await,
                Some(Err(ApplyError::Fenced)) => return self.give_way().await,
                Some(Err(error)) => {
                    if let Err(error) = poison::keep_refused(&self.database, envelope, &error).await
                    {
                        // It is not billed, so it comes again.
                        tracing::error!(%error, "a refused event could not be kept");
                        self.source.rewind();
                        return;
                    }
                }
                None => return,
            }
        }
    }

    /// `None` when the token was cancelled before the database was back.
    async fn apply_patiently(
        &mut self,
        batch: &[UsageEnvelope],
    ) -> Option<Result<Applied, ApplyError>> {
        let mut failures = 0;
        loop {
            let fence = self.fence.as_ref();
            let applying = apply_with(&self.database, fence, &mut self.known, batch, now());
            match self.database.in_time(applying).await {
                Err(error) if error.is_conflict() => {
                    tracing::debug!(%error, "a batch gave way to another transaction");
                    metric::conflicted();
                    self.pause(self.settings.retry_after).await;
                    if self.token.is_cancelled() {
                        return None;
                    }
                }
                Err(error) if error.is_transient() => {
                    tracing::warn!(%error, failures, "billing pauses; nothing is lost");
                    metric::paused();
                    self.pause(self.wait_after(failures)).await;
                    failures = failures.saturating_add(1);
                    if self.token.is_cancelled() {
                        return None;
                    }
                }
                outcome => return Some(outcome),
            }
        }
    }

    /// Tells the source what it may forget, and asks for what is missing.
    async fn tell(&mut self, applied: &Applied) {
        let current = self.source.incarnation();
        let marks: Vec<(Partition, u64)> = applied
            .billed
            .iter()
            .filter(|mark| mark.incarnation == current)
            .map(|mark| (mark.partition, mark.next_seq))
            .collect();
        if let Err(error) = self.source.billed(&marks).await {
            tracing::warn!(%error, "the billed marks could not be told; they are told again");
        }
        if applied.gaps_opened > 0 {
            tracing::error!(gaps = applied.gaps_opened, "usage events are missing; asking again");
            metric::gaps(applied.gaps_opened);
            self.source.rewind();
        }
        if applied.gaps_opened > 0 || applied.poisoned > 0 {
            self.show_backlog().await;
        }
    }

    /// Tells how far it is billed, though no batch came: a gap may have been written off meanwhile.
    async fn tell_marks(&mut self) {
        let data_plane = self.source.data_plane().to_owned();
        let holder = Holder { data_plane, incarnation: self.source.incarnation() };
        let billed = match self.database.in_time(marks::billed_of(&self.database, &holder)).await {
            Ok(billed) => billed,
            Err(error) => {
                tracing::warn!(%error, "how far it is billed cannot be read; it is looked again");
                return;
            }
        };
        if let Err(error) = self.source.billed(&billed).await {
            tracing::debug!(%error, "the billed marks could not be told; they are told again");
        }
    }

    async fn show_backlog(&self) {
        if let Err(error) = self.database.in_time(backlog::show(&self.database)).await {
            tracing::warn!(%error, "what billing could not apply cannot be counted");
        }
    }

    async fn retry_poison(&self) {
        match retry::retry_poison(&self.database, now()).await {
            Ok(0) => {}
            Ok(applied) => tracing::info!(applied, "events that were kept are applied now"),
            Err(error) => tracing::warn!(%error, "events that are kept could not be tried again"),
        }
        self.show_backlog().await;
    }

    async fn pause(&self, wait: Duration) {
        tokio::select! {
            () = self.token.cancelled() => {}
            () = sleep(wait) => {}
        }
    }

    fn wait_after(&self, failures: u32) -> Duration {
        let doubled = self.settings.retry_after.saturating_mul(2_u32.saturating_pow(failures));
        doubled.min(self.settings.retry_after_max)
    }
}
