//! The topic itself: made once, and looked at before it is used.

use super::settings::{MESSAGE_BYTES, TopicSettings};
use domain::id::PARTITIONS;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer as _};
use std::time::Duration;
use thiserror::Error;
use tokio::time::{Instant, sleep};

/// How long brokers may take to make a topic.
const MADE_WITHIN: Duration = Duration::from_secs(20);
/// How long they may take to say what there is.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How soon it is looked again whether a topic is there that was just made.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How a topic is made. Where it exists, it stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicShape {
    /// Brokers that have a copy of it.
    pub replication: u16,
    /// How many of them must have an event before it is acknowledged.
    pub min_in_sync: u16,
    /// How long events stay.
    pub retention: Duration,
}

impl Default for TopicShape {
    fn default() -> Self {
        let retention = Duration::from_secs(7 * 24 * 60 * 60);
        Self { replication: 3, min_in_sync: 2, retention }
    }
}

/// Why a topic cannot be used.
#[derive(Debug, Error)]
pub enum TopicError {
    /// No broker answers, or it refuses.
    #[error("the brokers {brokers}: {reason}")]
    Brokers {
        /// As they were told.
        brokers: String,
        /// What the client says.
        reason: String,
    },
    /// It was not made.
    #[error("there is no topic {0}: run turnpike migrate")]
    Missing(String),
    /// Events would go into other partitions than their numbers are of.
    #[error(
        "the topic {topic} has {partitions} partitions, and it must have {PARTITIONS}: make it anew"
    )]
    Partitions {
        /// Which.
        topic: String,
        /// How many it has.
        partitions: usize,
    },
}

/// Makes a topic unless it exists. Returns whether it was made.
///
/// # Errors
/// When it can be neither made nor used.
pub async fn make_topic(settings: &TopicSettings, shape: TopicShape) -> Result<bool, TopicError> {
    let failed =
        |reason: String| TopicError::Brokers { brokers: settings.brokers.join(","), reason };
    let client: AdminClient<DefaultClientContext> =
        settings.client().create().map_err(|error: KafkaError| failed(error.to_string()))?;
    let topic = settings.topic();
    let [min_in_sync, bytes, retention] = [
        shape.min_in_sync.to_string(),
        MESSAGE_BYTES.to_string(),
        shape.retention.as_millis().to_string(),
    ];
    let copies = TopicReplication::Fixed(shape.replication.into());
    let wanted = NewTopic::new(&topic, i32::try_from(PARTITIONS).unwrap_or(i32::MAX), copies)
        .set("min.insync.replicas", &min_in_sync)
        .set("max.message.bytes", &bytes)
        .set("retention.ms", &retention)
        .set("cleanup.policy", "delete")
        .set("unclean.leader.election.enable", "false");
    let options =
        AdminOptions::new().request_timeout(Some(MADE_WITHIN)).operation_timeout(Some(MADE_WITHIN));
    let made = client.create_topics([&wanted], &options).await;
    let made = made.map_err(|error| failed(error.to_string()))?;
    match made.into_iter().next() {
        Some(Ok(_)) => seen(settings).await.map(|()| true),
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => {
            seen(settings).await.map(|()| false)
        }
        Some(Err((_, code))) => Err(failed(code.to_string())),
        None => Err(failed("no answer".to_owned())),
    }
}

/// A broker may not have heard yet of what another one, or it itself, has just made.
async fn seen(settings: &TopicSettings) -> Result<(), TopicError> {
    let until = Instant::now() + MADE_WITHIN;
    loop {
        match check_topic(settings).await {
            Err(TopicError::Missing(_)) if Instant::now() < until => sleep(LOOK_AGAIN).await,
            outcome => return outcome,
        }
    }
}

/// Looks whether a topic is there, and is as it must be.
///
/// # Errors
/// When it is not, or cannot be looked at.
pub async fn check_topic(settings: &TopicSettings) -> Result<(), TopicError> {
    let failed =
        |reason: String| TopicError::Brokers { brokers: settings.brokers.join(","), reason };
    let client: BaseProducer =
        settings.client().create().map_err(|error: KafkaError| failed(error.to_string()))?;
    let topic = settings.topic();
    let asked = topic.clone();
    let partitions = tokio::task::spawn_blocking(move || {
        let metadata = client.client().fetch_metadata(Some(&asked), ANSWER_WITHIN)?;
        Ok(metadata.topics().first().map_or(0, |found| found.partitions().len()))
    });
    let partitions = partitions.await.map_err(|error| failed(error.to_string()))?;
    let partitions = partitions.map_err(|error: KafkaError| failed(error.to_string()))?;
    match u32::try_from(partitions) {
        Ok(0) => Err(TopicError::Missing(topic)),
        Ok(PARTITIONS) => Ok(()),
        _ => Err(TopicError::Partitions { topic, partitions }),
    }
}
