//! The loop: takes batches from a source, applies each until it is applied, and tells how far that is.
//!
//! An outage of the database pauses it and loses nothing: what is not told as billed is kept by whoever sent it.

use super::apply::{Applied, KnownAccounts, TopicPart, apply_with};
use super::error::ApplyError;
use super::ownership::{self, Own, Ownership, OwnershipSettings};
use super::{audit, backlog, foreign, marks, poison, retry};
use crate::metric;
use crate::now;
use crate::rating::PriceHistory;
use crate::slices::Holder;
use domain::id::Partition;
use links::usage::topic::{ForeignMessage, TopicMark, TopicReader};
use links::usage::{UsageBatch, UsageSource, UsageSourceError};
use proto::usage::v1::UsageEnvelope;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use storage::Database;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
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
}

impl Default for ConsumerSettings {
    fn default() -> Self {
        Self {
            batch: 500,
            linger: Duration::from_millis(50),
            retry_after: Duration::from_millis(50),
            retry_after_max: Duration::from_secs(5),
            look_again: Duration::from_secs(60),
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
    /// Of a topic's partitions.
    ownership: Option<Ownership>,
}

/// A topic that several consumers share.
#[derive(Debug)]
pub struct TopicConsumer {
    /// Whose topic it is.
    pub cell: String,
    /// Reads it.
    pub reader: TopicReader,
    /// How its partitions are shared.
    pub ownership: OwnershipSettings,
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
        Self::with(settings, database, source, None, token)
    }

    /// Starts consuming a topic together with others, until the token is cancelled.
    #[must_use]
    pub fn start_on_topic(
        settings: ConsumerSettings,
        database: Database,
        topic: TopicConsumer,
        token: CancellationToken,
    ) -> JoinHandle<()> {
        let TopicConsumer { cell, reader, ownership } = topic;
        let ownership = Some(Ownership::new(cell, ownership));
        Self::with(settings, database, UsageSource::Topic(Box::new(reader)), ownership, token)
    }

    fn with(
        settings: ConsumerSettings,
        database: Database,
        source: UsageSource,
        ownership: Option<Ownership>,
        token: CancellationToken,
    ) -> JoinHandle<()> {
        let (known, prices) = (KnownAccounts::default(), PriceHistory::default());
        let consumer = Self { database, source, settings, token, known, prices, ownership };
        tokio::spawn(consumer.run())
    }

    async fn run(mut self) {
        self.consume_all().await;
        if let Some(ownership) = &self.ownership
            && let Err(error) = ownership.end(&self.database).await
        {
            tracing::info!(%error, "partitions were not let go of; others take them when they are stale");
        }
    }

    async fn consume_all(&mut self) {
        let token = self.token.clone();
        let mut look_again = interval_at(Instant::now(), self.settings.look_again);
        look_again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let every = self.ownership.as_ref().map(|ownership| ownership.settings.renew_every);
        let mut renewal = interval_at(Instant::now(), every.unwrap_or(Duration::MAX / 4));
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failures = 0;
        while !token.is_cancelled() {
            let taken = tokio::select! {
                () = token.cancelled() => return,
                _ = renewal.tick(), if every.is_some() => {
                    self.renew().await;
                    continue;
                }
                _ = look_again.tick() => {
                    self.retry_poison().await;
                    self.tell_marks().await;
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
                        messaging.batch.message_count = batch.events.len()
                    );
                    self.consume(&batch).instrument(span).await;
                    if batch.events.len() < self.settings.batch {
                        self.pause(self.settings.linger).await;
                    }
                }
                Err(UsageSourceError::Closed) => return,
                Err(error) => {
                    tracing::error!(%error, "usage events cannot be read; trying again");
                    self.pause(self.wait_after(failures)).await;
                    failures = failures.saturating_add(1);
                }
            }
        }
    }

    /// Says that it lives, and reads what is its own by now; where it stood before is left as it is.
    async fn renew(&mut self) {
        let (Some(ownership), UsageSource::Topic(reader)) = (&mut self.ownership, &mut self.source)
        else {
            return;
        };
        let claims = match ownership.renew(&self.database).await {
            Ok(claims) => claims,
            Err(error) => {
                tracing::warn!(%error, "whose the partitions are cannot be looked up; it is tried again");
                return;
            }
        };
        let read: BTreeSet<(Partition, u64)> = reader.partitions().collect();
        let own = claims.iter().map(|claim| (claim.partition, claim.epoch)).collect();
        for (partition, _) in read.difference(&own) {
            reader.leave(*partition);
        }
        metric::owned(own.len());
        for claim in claims {
            if !read.contains(&(claim.partition, claim.epoch)) {
                reader.read(claim);
            }
        }
        metric::topic_lag(reader.lag());
    }

    /// Applies a batch whatever it takes, but for a cancelled token, or a partition that is somebody else's by now: then it
    /// will be delivered again.
    async fn consume(&mut self, batch: &UsageBatch) {
        let UsageBatch { events, foreign, upto, skipped } = batch;
        match self.apply_patiently(events, upto, foreign).await {
            Some(Ok(applied)) => {
                metric::skipped(*skipped);
                self.tell(&applied).await;
            }
            Some(Err(ApplyError::Fenced(lost))) => return self.lose(&lost).await,
            Some(Err(error)) => {
                tracing::error!(%error, "a batch is refused; its events are applied one by one");
                self.isolate(batch).await;
            }
            None => return,
        }
        if let Err(error) = audit::audit(&self.database, &mut self.prices, events).await {
            tracing::warn!(%error, "charges of a batch could not be computed again");
        }
    }

    /// Finds the events that the ledger refuses and keeps them as poison, so that the others count. Where it was read from
    /// moves behind all of them.
    async fn isolate(&mut self, batch: &UsageBatch) {
        let standing = ownership::standing(&batch.upto);
        for envelope in &batch.events {
            let one = std::slice::from_ref(envelope);
            match self.apply_patiently(one, &standing, &[]).await {
                Some(Ok(applied)) => self.tell(&applied).await,
                Some(Err(ApplyError::Fenced(lost))) => return self.lose(&lost).await,
                Some(Err(error)) => {
                    let part = topic_part(self.ownership.as_ref(), &standing, &[]);
                    let kept = poison::keep_refused(&self.database, envelope, part, &error).await;
                    if let Err(error) = kept {
                        // It is not billed, so it comes again.
                        tracing::error!(%error, "a refused event could not be kept");
                        self.source.rewind();
                        return;
                    }
                }
                None => return,
            }
        }
        if !batch.upto.is_empty()
            && let Some(Err(error)) = self.apply_patiently(&[], &batch.upto, &batch.foreign).await
        {
            tracing::error!(%error, "the offsets of a topic were not moved; it is read again");
            self.source.rewind();
        }
    }

    /// What is somebody else's is left, and what stands elsewhere is read from there.
    async fn lose(&mut self, lost: &BTreeSet<Partition>) {
        tracing::warn!(
            partitions = lost.len(),
            "a batch came too late: others have its partitions"
        );
        metric::fenced(lost.len());
        if let UsageSource::Topic(reader) = &mut self.source {
            // With those of the batch that were not lost: it is read again from where the rows stand.
            reader.leave_all();
        }
        self.renew().await;
    }

    /// `None` when the token was cancelled before the database was back.
    async fn apply_patiently(
        &mut self,
        batch: &[UsageEnvelope],
        upto: &[TopicMark],
        foreign: &[ForeignMessage],
    ) -> Option<Result<Applied, ApplyError>> {
        let mut failures = 0;
        loop {
            let part = topic_part(self.ownership.as_ref(), upto, foreign);
            match apply_with(&self.database, &mut self.known, batch, part, now()).await {
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
        let current = self.source.holder().map(|(_, incarnation)| incarnation);
        let marks: Vec<(Partition, u64)> = applied
            .billed
            .iter()
            .filter(|mark| Some(mark.incarnation) == current)
            .map(|mark| (mark.partition, mark.next_seq))
            .collect();
        if let Err(error) = self.source.billed(&marks).await {
            tracing::warn!(%error, "the billed marks could not be told; they are told again");
        }
        if applied.gaps_opened > 0 {
            tracing::error!(gaps = applied.gaps_opened, "usage events are missing; asking again");
            metric::gaps(applied.gaps_opened);
            if current.is_some() {
                self.source.rewind();
            }
        }
        if applied.gaps_opened > 0 || applied.poisoned > 0 {
            self.show_backlog().await;
        }
    }

    /// Tells how far it is billed, though no batch came: a gap may have been written off meanwhile.
    async fn tell_marks(&mut self) {
        let Some((data_plane, incarnation)) = self.source.holder() else { return };
        let holder = Holder { data_plane: data_plane.to_owned(), incarnation };
        let billed = match marks::billed_of(&self.database, &holder).await {
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
        if let Err(error) = backlog::show(&self.database).await {
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
        let (Some(ownership), UsageSource::Topic(reader)) = (&self.ownership, &self.source) else {
            return Ok(retry::retry_poison(&self.database, now()).await?);
        };
        let cell = ownership.cell.as_str();
        let own: BTreeMap<Partition, Own<'_>> = reader
            .partitions()
            .map(|(partition, epoch)| (partition, Own { cell, partition, epoch }))
            .collect();
        let mut applied = retry::retry_own(&self.database, &own, now()).await?;
        for own in own.into_values() {
            let now_read = foreign::retry(&self.database, own, now()).await?;
            applied = applied.saturating_add(now_read);
        }
        Ok(applied)
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

/// Where a batch was read, if that was a topic.
fn topic_part<'a>(
    ownership: Option<&'a Ownership>,
    upto: &'a [TopicMark],
    foreign: &'a [ForeignMessage],
) -> Option<TopicPart<'a>> {
    ownership.map(|ownership| TopicPart { cell: &ownership.cell, upto, foreign })
}
