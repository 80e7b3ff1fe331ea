//! Billing in this process: what data planes wrote down becomes records, postings and settled slices; and old records
//! become sums.

use super::drain::ended;
use crate::config::Config;
use billing::consumer::{Consumer, ConsumerSettings, OwnershipSettings, TopicConsumer};
use billing::retention::{self, RetentionSettings};
use links::spool::Spool;
use links::usage::topic::{TopicError, TopicReader, TopicSettings, check_topic};
use links::usage::{UsageListener, UsageSource, usage_listener};
use storage::Database;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

/// What runs until the process stops.
pub(super) struct BillingRole {
    database: Database,
    usage: ConsumerSettings,
    stop: CancellationToken,
    tasks: Vec<(&'static str, JoinHandle<()>)>,
}

impl BillingRole {
    /// Begins, and tells what data planes ship to.
    pub(super) async fn start(
        config: &Config,
        database: Database,
        stop: &CancellationToken,
    ) -> anyhow::Result<(Self, Routes)> {
        let (service, shipped) = usage_listener(config.links.usage_listener());
        let retention =
            retention::start(retention_settings(config), database.clone(), stop.clone());
        let mut role = Self {
            database,
            usage: consumer_settings(config),
            stop: stop.clone(),
            tasks: vec![("retention", retention)],
        };
        role.bill_what_is_shipped(shipped);
        for topic in config.links.topics() {
            role.bill_topic(config, topic).await?;
        }
        Ok((role, Routes::new(service)))
    }

    /// Bills what the data plane of this process writes down.
    pub(super) fn bill(&mut self, spool: Spool) {
        let source = UsageSource::spool(spool);
        let consumer =
            Consumer::start_with(self.usage, self.database.clone(), source, self.stop.clone());
        self.tasks.push(("usage", consumer));
    }

    /// Bills what comes through a topic, together with other processes.
    async fn bill_topic(&mut self, config: &Config, topic: TopicSettings) -> anyhow::Result<()> {
        let from = &config.links.usage.topic;
        // Brokers that are away are waited for, as a database that is away is; a topic that does not fit is not.
        match check_topic(&topic).await {
            Ok(()) => {}
            Err(error @ TopicError::Brokers { .. }) => {
                tracing::warn!(%error, "the usage topic cannot be looked at yet");
            }
            Err(error) => return Err(error.into()),
        }
        let reader = TopicReader::start(&topic).map_err(|reason| {
            anyhow::anyhow!("the topic {} cannot be read: {reason}", topic.topic())
        })?;
        let ownership =
            OwnershipSettings { renew_every: from.renew_interval, stale_after: from.stale_after };
        let topic = TopicConsumer { cell: topic.cell, reader, ownership };
        let (database, stop) = (self.database.clone(), self.stop.clone());
        let consumer = Consumer::start_on_topic(self.usage, database, topic, stop);
        self.tasks.push(("usage topic", consumer));
        Ok(())
    }

    /// Ends with another task.
    pub(super) fn and(&mut self, what: &'static str, task: JoinHandle<()>) {
        self.tasks.push((what, task));
    }

    /// Waits for what was told to stop.
    pub(super) async fn end(self, latest: Instant) {
        let ends = self.tasks.into_iter().map(|(what, task)| ended(what, task, latest));
        futures::future::join_all(ends).await;
    }

    /// Each data plane that connects is billed for itself: one that has much to tell makes no other wait.
    fn bill_what_is_shipped(&mut self, mut listener: UsageListener) {
        let (usage, database, stop) = (self.usage, self.database.clone(), self.stop.clone());
        let billing = tokio::spawn(async move {
            let mut consumers = JoinSet::new();
            while let Some(connection) = stop.run_until_cancelled(listener.accept()).await.flatten()
            {
                tracing::info!(data_plane = connection.data_plane(), "a data plane ships usage");
                let source = UsageSource::Link(Box::new(connection));
                consumers.spawn(Consumer::start_with(
                    usage,
                    database.clone(),
                    source,
                    stop.clone(),
                ));
                while consumers.try_join_next().is_some() {}
            }
            while consumers.join_next().await.is_some() {}
        });
        self.tasks.push(("shipped usage", billing));
    }
}

fn consumer_settings(config: &Config) -> ConsumerSettings {
    let from = &config.billing;
    ConsumerSettings {
        batch: from.batch_events.get(),
        linger: from.linger,
        retry_after: from.retry_after,
        retry_after_max: from.retry_after_max,
        look_again: from.look_again,
        ..ConsumerSettings::default()
    }
}

fn retention_settings(config: &Config) -> RetentionSettings {
    RetentionSettings {
        keep: config.billing.usage_retention,
        sweep_every: config.billing.retention_sweep,
        ..RetentionSettings::default()
    }
}
