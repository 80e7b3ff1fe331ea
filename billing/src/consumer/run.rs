//! The loop: takes batches from where it reads, applies each until it is applied, and tells how far that is.
//!
//! An outage of the database pauses it and loses nothing: what is not told as billed is kept by whoever sent it.

use super::apply::{Applied, KnownAccounts, apply_with};
use super::error::ApplyError;
use super::inflow::{Inflow, Line, TopicConsumer, TopicShare};
use super::pace::Pace;
use super::{audit, backlog, marks, ownership, poison, retry};
use crate::metric;
use crate::now;
use crate::rating::PriceHistory;
use crate::slices::Holder;
use domain::id::Partition;
use links::usage::{UsageBatch, UsageSource, UsageSourceError};
use std::time::Duration;
use storage::Database;
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
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
    /// How often it is written down who takes in what a data plane ships, and looked whether lives of it are to be forgotten.
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
    inflow: Inflow,
    settings: ConsumerSettings,
    pace: Pace,
    known: KnownAccounts,
    prices: PriceHistory,
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
        let pace = settings.pace(token);
        tokio::spawn(async move {
            let line = Line::claim(&database, source, settings.renew_every, &pace).await;
            let Some(line) = line else { return };
            Self::of(settings, database, Inflow::DataPlane(Box::new(line)), pace).run().await;
        })
    }

    /// Starts consuming a topic together with others, until the token is cancelled.
    #[must_use]
    pub fn start_on_topic(
        settings: ConsumerSettings,
        database: Database,
        topic: TopicConsumer,
        token: CancellationToken,
    ) -> JoinHandle<()> {
        let inflow = Inflow::Topic(Box::new(TopicShare::of(topic)));
        let consumer = Self::of(settings, database, inflow, settings.pace(token));
        tokio::spawn(consumer.run())
    }

    fn of(settings: ConsumerSettings, database: Database, inflow: Inflow, pace: Pace) -> Self {
        let (known, prices) = (KnownAccounts::default(), PriceHistory::default());
        Self { database, inflow, settings, pace, known, prices }
    }

    async fn run(mut self) {
        self.consume_all().await;
        if let Inflow::Topic(share) = &self.inflow {
            share.end(&self.database).await;
        }
    }

    async fn consume_all(&mut self) {
        let token = self.pace.token.clone();
        let mut look_again = every(self.settings.look_again);
        let mut renewal = every(match &self.inflow {
            Inflow::DataPlane(_) => self.settings.renew_every,
            Inflow::Topic(share) => share.renew_every(),
        });
        let mut failures = 0;
        while !token.is_cancelled() && !self.inflow.is_replaced() {
            let taken = tokio::select! {
                () = token.cancelled() => return,
                _ = renewal.tick() => {
                    self.renew().await;
                    continue;
                }
                _ = look_again.tick() => {
                    self.retry_poison().await;
                    self.tell_marks().await;
                    continue;
                }
                taken = self.inflow.next_batch(self.settings.batch.max(1)) => taken,
            };
            match taken {
                Ok(batch) => {
                    failures = 0;
                    let span = tracing::info_span!(
                        "billing batch",
                        otel.kind = "consumer",
                        messaging.batch.message_count = batch.events.len()
                    );
                    self.consume(&batch).instrument(span).await;
                    if batch.events.len() < self.settings.batch {
                        self.pace.pause(self.settings.linger).await;
                    }
                }
                Err(UsageSourceError::Closed) => return self.close().await,
                Err(error) => {
                    tracing::error!(%error, "usage events cannot be read; trying again");
                    self.pace.pause_after(failures).await;
                    failures = failures.saturating_add(1);
                }
            }
        }
    }

    /// Says that it is there, and looks at what others wait for.
    async fn renew(&mut self) {
        match &mut self.inflow {
            Inflow::DataPlane(_) => self.attend().await,
            Inflow::Topic(share) => share.renew(&self.database).await,
        }
    }

    /// Says that all is counted, where somebody waits for that.
    async fn attend(&mut self) {
        let Inflow::DataPlane(line) = &self.inflow else { return };
        let fence = line.fence();
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
        let more = self.inflow.next_batch(self.settings.batch.max(1));
        match timeout(self.settings.linger, more).await {
            Ok(Ok(batch)) => {
                let is_past = batch.events.iter().all(|event| event.incarnation > incarnation);
                self.consume(&batch).await;
                is_past
            }
            Ok(Err(_)) => false,
            Err(_) => true,
        }
    }

    /// There is nothing more to come.
    async fn close(&self) {
        match &self.inflow {
            Inflow::DataPlane(line) => line.close(&self.database).await,
            Inflow::Topic(_) => tracing::error!("the reader of the usage topic has ended"),
        }
    }

    /// Applies a batch whatever it takes, but for a cancelled token, or a right that somebody else has by now: then it will be
    /// delivered again.
    async fn consume(&mut self, batch: &UsageBatch) {
        match self.apply_patiently(batch).await {
            Some(Ok(applied)) => {
                metric::skipped(batch.skipped);
                self.tell(&applied).await;
            }
            Some(Err(ApplyError::Fenced)) => return self.give_way().await,
            Some(Err(error)) => {
                tracing::error!(%error, "a batch is refused; its events are applied one by one");
                self.isolate(batch).await;
            }
            None => return,
        }
        let auditing = audit::audit(&self.database, &mut self.prices, &batch.events);
        if let Err(error) = self.database.in_time(auditing).await {
            tracing::warn!(%error, "charges of a batch could not be computed again");
        }
    }

    /// Finds the events that the ledger refuses and keeps them as poison, so that the others count. Where a topic was read from
    /// moves behind all of them.
    async fn isolate(&mut self, batch: &UsageBatch) {
        let standing = ownership::standing(&batch.upto);
        for envelope in &batch.events {
            let (events, upto) = (vec![envelope.clone()], standing.clone());
            let one = UsageBatch { events, upto, ..UsageBatch::default() };
            match self.apply_patiently(&one).await {
                Some(Ok(applied)) => self.tell(&applied).await,
                Some(Err(ApplyError::Fenced)) => return self.give_way().await,
                Some(Err(error)) => {
                    let right = self.inflow.right(&one);
                    let kept = poison::keep_refused(&self.database, right, envelope, &error).await;
                    if let Err(error) = kept {
                        // It is not billed, so it comes again.
                        tracing::error!(%error, "a refused event could not be kept");
                        self.inflow.rewind();
                        return;
                    }
                }
                None => return,
            }
        }
        if batch.upto.is_empty() {
            return;
        }
        let rest = UsageBatch { events: Vec::new(), ..batch.clone() };
        if let Some(Err(error)) = self.apply_patiently(&rest).await {
            tracing::error!(%error, "the offsets of a topic were not moved; it is read again");
            self.inflow.rewind();
        }
    }

    /// Somebody else has the right to what was read.
    async fn give_way(&mut self) {
        match &mut self.inflow {
            Inflow::DataPlane(line) => line.give_way(&self.database, &self.pace).await,
            Inflow::Topic(share) => share.give_way(&self.database).await,
        }
    }

    /// `None` when the token was cancelled before the database was back.
    async fn apply_patiently(&mut self, batch: &UsageBatch) -> Option<Result<Applied, ApplyError>> {
        let mut failures = 0;
        loop {
            let right = Some(self.inflow.right(batch));
            let applying = apply_with(&self.database, right, &mut self.known, &batch.events, now());
            match self.database.in_time(applying).await {
                Err(error) if error.is_conflict() => {
                    tracing::debug!(%error, "a batch gave way to another transaction");
                    metric::conflicted();
                    self.pace.pause(self.settings.retry_after).await;
                }
                Err(error) if error.is_transient() => {
                    tracing::warn!(%error, failures, "billing pauses; nothing is lost");
                    metric::paused();
                    self.pace.pause_after(failures).await;
                    failures = failures.saturating_add(1);
                }
                outcome => return Some(outcome),
            }
            if self.pace.is_over() {
                return None;
            }
        }
    }

    /// Tells the source what it may forget, and asks for what is missing.
    async fn tell(&mut self, applied: &Applied) {
        let current = self.inflow.holder().map(|(_, incarnation)| incarnation);
        let marks: Vec<(Partition, u64)> = applied
            .billed
            .iter()
            .filter(|mark| Some(mark.incarnation) == current)
            .map(|mark| (mark.partition, mark.next_seq))
            .collect();
        if let Err(error) = self.inflow.billed(&marks).await {
            tracing::warn!(%error, "the billed marks could not be told; they are told again");
        }
        if applied.gaps_opened > 0 {
            tracing::error!(gaps = applied.gaps_opened, "usage events are missing; asking again");
            metric::gaps(applied.gaps_opened);
            // Data planes that ship into a topic are asked by the desk.
            if current.is_some() {
                self.inflow.rewind();
            }
        }
        if applied.gaps_opened > 0 || applied.poisoned > 0 {
            self.show_backlog().await;
        }
    }

    /// Tells how far it is billed, though no batch came: a gap may have been written off meanwhile.
    async fn tell_marks(&mut self) {
        let Some((data_plane, incarnation)) = self.inflow.holder() else { return };
        let holder = Holder { data_plane: data_plane.to_owned(), incarnation };
        let billed = match self.database.in_time(marks::billed_of(&self.database, &holder)).await {
            Ok(billed) => billed,
            Err(error) => {
                tracing::warn!(%error, "how far it is billed cannot be read; it is looked again");
                return;
            }
        };
        if let Err(error) = self.inflow.billed(&billed).await {
            tracing::debug!(%error, "the billed marks could not be told; they are told again");
        }
    }

    async fn show_backlog(&self) {
        if let Err(error) = self.database.in_time(backlog::show(&self.database)).await {
            tracing::warn!(%error, "what billing could not apply cannot be counted");
        }
    }

    async fn retry_poison(&self) {
        match self.retry_kept().await {
            Ok(0) => {}
            Ok(applied) => tracing::info!(applied, "events that were kept are applied now"),
            Err(error) => tracing::warn!(%error, "events that are kept could not be tried again"),
        }
        self.show_backlog().await;
    }

    async fn retry_kept(&self) -> Result<u64, ApplyError> {
        match &self.inflow {
            Inflow::DataPlane(_) => Ok(retry::retry_poison(&self.database, now()).await?),
            Inflow::Topic(share) => share.retry_kept(&self.database).await,
        }
    }
}

impl ConsumerSettings {
    const fn pace(&self, token: CancellationToken) -> Pace {
        Pace { retry_after: self.retry_after, retry_after_max: self.retry_after_max, token }
    }
}

/// The first time at once.
fn every(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
