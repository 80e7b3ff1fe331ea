//! Takes what a spool holds to the topic, and takes it there again until it is billed.
//!
//! Nothing here trims the spool: that is done by what billing says, which comes on another way.

use super::producer::{Producer, Refusal, Report, Reports};
use super::settings::TopicSettings;
use super::shipping::{Sent, Shipping};
use crate::spool::{EventId, Spool, SpoolError, SpoolReader};
use domain::id::Partition;
use prost::Message;
use proto::usage::v1::UsageEnvelope;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

/// Events that are read at once.
const BATCH: usize = 500;
/// Requests to send again that may wait.
const WAITING_ASKS: usize = 16;
/// How often it is looked whether something is late.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long a stop waits for what was written last to be read.
const LAST_READ: Duration = Duration::from_millis(50);

/// A spool on its way into a topic, until told to stop.
#[derive(Debug)]
pub struct TopicShipper {
    resend: Resend,
    status: watch::Receiver<ShipmentStatus>,
    task: JoinHandle<()>,
}

/// Asks for events again. Clones ask the same.
#[derive(Clone, Debug)]
pub struct Resend(mpsc::Sender<Vec<(Partition, u64)>>);

/// How far behind the topic is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShipmentStatus {
    /// Events that are on their way without an acknowledgement.
    pub waiting: usize,
    /// When the oldest of them ended, in microseconds since the Unix epoch.
    pub oldest_us: Option<u64>,
    /// Events since the start that may not have arrived, and are sent again.
    pub failures: u64,
    /// Times since the start that acknowledged events were sent again, because they were not billed or missing.
    pub resent: u64,
}

impl Resend {
    /// Asks for what is not billed from these numbers on. Asked too often, it is not asked: whoever misses it asks again.
    pub fn ask(&self, from: Vec<(Partition, u64)>) {
        if self.0.try_send(from).is_err() {
            tracing::debug!("usage events are asked for again already");
        }
    }
}

impl TopicShipper {
    /// Begins. Must be called inside a tokio runtime; the client starts with the first event.
    #[must_use]
    pub fn start(spool: Spool, settings: TopicSettings, token: CancellationToken) -> Self {
        let (asks, asked) = mpsc::channel(WAITING_ASKS);
        let (tell, status) = watch::channel(ShipmentStatus::default());
        let shipper = Shipper {
            reader: spool.reader(),
            shipping: Shipping::new(spool.incarnation()),
            late: Late::new(&settings),
            spool,
            settings,
            producer: None,
            reports: Arc::default(),
            read: VecDeque::new(),
            held_back: None,
            trouble: Trouble::default(),
            tell,
        };
        Self { resend: Resend(asks), status, task: tokio::spawn(shipper.run(asked, token)) }
    }

    /// How events are asked for again.
    #[must_use]
    pub fn resend(&self) -> Resend {
        self.resend.clone()
    }

    /// How far behind the topic is, now and later.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<ShipmentStatus> {
        self.status.clone()
    }

    /// Waits for the end, once it was told to stop.
    pub async fn ended(self) {
        if let Err(error) = self.task.await {
            tracing::error!(%error, "shipping usage events failed");
        }
    }
}

struct Shipper {
    spool: Spool,
    settings: TopicSettings,
    reader: SpoolReader,
    shipping: Shipping,
    producer: Option<Producer>,
    reports: Arc<Reports>,
    /// Read, and not taken on their way yet.
    read: VecDeque<UsageEnvelope>,
    /// Taken, but the client had no room.
    held_back: Option<(Sent, Vec<u8>)>,
    trouble: Trouble,
    late: Late,
    tell: watch::Sender<ShipmentStatus>,
}

/// Failures in a row, and when what failed is sent again.
#[derive(Debug, Default)]
struct Trouble {
    in_a_row: u32,
    last: Option<Instant>,
    mend_at: Option<Instant>,
}

/// The oldest event that is not billed: since when that is so, and how long it may be.
#[derive(Debug)]
struct Late {
    oldest_us: Option<u64>,
    since: Instant,
    after: Duration,
}

impl Late {
    fn new(settings: &TopicSettings) -> Self {
        Self { oldest_us: None, since: Instant::now(), after: settings.reship_after }
    }
}

impl Shipper {
    async fn run(
        mut self,
        mut asked: mpsc::Receiver<Vec<(Partition, u64)>>,
        token: CancellationToken,
    ) {
        let reports = Arc::clone(&self.reports);
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !token.is_cancelled() {
            self.go_on().await;
            let mend_at = self.trouble.mend_at;
            tokio::select! {
                () = token.cancelled() => {}
                () = reports.news.notified() => {}
                Some(from) = asked.recv() => self.send_again(&from),
                () = sleep_until(mend_at.unwrap_or_else(Instant::now)), if mend_at.is_some() => self.mend(),
                _ = looks.tick() => self.look(),
                batch = self.reader.next_batch(BATCH), if self.has_room() => match batch {
                    Ok(batch) => self.read.extend(batch),
                    Err(SpoolError::Closed) => break,
                    Err(error) => {
                        tracing::error!(%error, "usage events cannot be read; trying again");
                        self.break_off();
                    }
                },
            }
        }
        self.finish(&reports).await;
    }

    /// Takes in what was reported, and sends on what was read.
    async fn go_on(&mut self) {
        for report in self.reports.take() {
            match report {
                Report::Acknowledged(sent) => self.shipping.acknowledged(sent),
                Report::Failed(sent, reason) => self.fail(sent, &reason),
            }
        }
        if let Some(reason) = self.producer.as_ref().and_then(Producer::fatal_error) {
            tracing::error!(reason, "the client of the usage topic gave up; a new one goes on");
            self.give_up_producer().await;
        }
        self.send();
        if self.shipping.is_broken() {
            self.break_off();
        }
        self.tell.send_modify(|status| {
            status.waiting = self.shipping.waiting();
            status.oldest_us = self.shipping.oldest_us();
        });
    }

    fn has_room(&self) -> bool {
        let is_full = self.shipping.waiting() >= self.settings.waiting_events;
        self.read.is_empty() && self.held_back.is_none() && !is_full
    }

    fn send(&mut self) {
        if self.held_back.is_none() && self.read.is_empty() {
            return;
        }
        if self.producer.is_none() {
            match Producer::start(&self.settings, &self.reports) {
                Ok(producer) => self.producer = Some(producer),
                Err(reason) => {
                    tracing::error!(reason, "the client of the usage topic cannot be started");
                    return self.break_off();
                }
            }
        }
        while let Some((sent, payload)) = self.next() {
            let Some(producer) = &self.producer else { return };
            match producer.send(sent, &payload) {
                Ok(()) => {}
                Err(Refusal::Full) => {
                    self.held_back = Some((sent, payload));
                    return;
                }
                Err(Refusal::Failed(reason)) => self.fail(sent, &reason),
            }
        }
    }

    /// The next event to be sent, unless what is in front of it failed.
    fn next(&mut self) -> Option<(Sent, Vec<u8>)> {
        if let Some(held_back) = self.held_back.take() {
            return Some(held_back);
        }
        while let Some(envelope) = self.read.pop_front() {
            let event = EventId { partition: Partition(envelope.partition), seq: envelope.seq };
            let ended_us = envelope.event.as_ref().map_or(0, |event| event.ended_us);
            if let Some(sent) = self.shipping.take(envelope.incarnation, event, ended_us) {
                return Some((sent, envelope.encode_to_vec()));
            }
        }
        None
    }

    fn fail(&mut self, sent: Sent, reason: &str) {
        if self.trouble.mend_at.is_none() {
            let partition = sent.partition().0;
            tracing::warn!(
                partition,
                reason,
                "a usage event may not have arrived; it is sent again"
            );
        }
        self.shipping.failed(sent);
        self.tell.send_modify(|status| status.failures = status.failures.saturating_add(1));
    }

    /// What failed is sent again after a while.
    fn break_off(&mut self) {
        let Trouble { in_a_row, last, mend_at } = &mut self.trouble;
        if mend_at.is_some() {
            return;
        }
        let now = Instant::now();
        if last.is_none_or(|last| now - last > self.settings.retry_after_max * 2) {
            *in_a_row = 0;
        }
        let doubled = self.settings.retry_after.saturating_mul(2_u32.saturating_pow(*in_a_row));
        *in_a_row = in_a_row.saturating_add(1);
        *last = Some(now);
        *mend_at = Some(now + doubled.min(self.settings.retry_after_max));
    }

    fn mend(&mut self) {
        self.trouble.mend_at = None;
        let places = self.shipping.mend();
        self.read_from(&places);
    }

    fn read_from(&mut self, places: &[(Partition, u64)]) {
        self.read.clear();
        self.reader.rewind_to(places);
    }

    fn send_again(&mut self, from: &[(Partition, u64)]) {
        tracing::info!(partitions = from.len(), "billing misses usage events; they are sent again");
        let places = self.shipping.rewind(from);
        self.read_from(&places);
        self.tell.send_modify(|status| status.resent = status.resent.saturating_add(1));
    }

    /// What was acknowledged and is not billed for long is sent again: nobody may know that it was lost.
    fn look(&mut self) {
        let oldest_us = self.spool.status().oldest_unbilled_us;
        if oldest_us.is_none() || oldest_us != self.late.oldest_us {
            self.late = Late { oldest_us, ..Late::new(&self.settings) };
        } else if self.late.since.elapsed() >= self.late.after && !self.shipping.is_broken() {
            let after = self.late.after.saturating_mul(2).min(self.settings.reship_after_max);
            self.late = Late { after, oldest_us, since: Instant::now() };
            let places = self.shipping.rewind_idle();
            self.read_from(&places);
            self.tell.send_modify(|status| status.resent = status.resent.saturating_add(1));
        }
    }

    /// Ends a client, which may take a moment, so that another begins.
    async fn give_up_producer(&mut self) {
        let producer = self.producer.take();
        if tokio::task::spawn_blocking(move || drop(producer)).await.is_err() {
            tracing::error!("the client of the usage topic did not end well");
        }
        self.shipping.all_failed();
        // Of events that count as failed already.
        self.reports.take();
        self.held_back = None;
    }

    /// What was written last is sent, too, as far as the topic takes it at once; the rest comes after the next start.
    async fn finish(mut self, reports: &Reports) {
        let until = Instant::now() + self.settings.flush_within;
        while Instant::now() < until {
            self.go_on().await;
            if self.has_room()
                && let Ok(Ok(batch)) = timeout(LAST_READ, self.reader.next_batch(BATCH)).await
            {
                self.read.extend(batch);
                continue;
            }
            let is_done = self.shipping.waiting() == 0 || self.shipping.is_broken();
            if is_done || timeout_at(until, reports.news.notified()).await.is_err() {
                break;
            }
        }
        self.give_up_producer().await;
    }
}
