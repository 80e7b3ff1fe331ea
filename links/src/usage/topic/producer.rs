//! The client that fills the topic. What it reports is put into a list by its own thread, and nothing else is done there.

use super::settings::TopicSettings;
use super::shipping::Sent;
use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use std::fmt;
use std::sync::Arc;
use tokio::sync::Notify;

/// What became of one event.
#[derive(Debug)]
pub(super) enum Report {
    Acknowledged(Sent),
    /// It may be in the topic or not.
    Failed(Sent, String),
}

/// Reports that nobody has looked at yet.
#[derive(Debug, Default)]
pub(super) struct Reports {
    list: Mutex<Vec<Report>>,
    pub(super) news: Notify,
}

impl Reports {
    pub(super) fn take(&self) -> Vec<Report> {
        std::mem::take(&mut *self.list.lock())
    }
}

/// Why an event was not taken.
#[derive(Debug)]
pub(super) enum Refusal {
    /// So much is on its way that there is no room.
    Full,
    /// It never will be, by this client.
    Failed(String),
}

/// A client. Dropping it gives up what it has not sent, and may take a moment.
pub(super) struct Producer {
    client: ThreadedProducer<Reporter>,
    topic: String,
}

impl fmt::Debug for Producer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Producer").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl Producer {
    pub(super) fn start(settings: &TopicSettings, reports: &Arc<Reports>) -> Result<Self, String> {
        let reporter = Reporter(Arc::clone(reports));
        let client = settings.producer().create_with_context(reporter);
        let client = client.map_err(|error: KafkaError| error.to_string())?;
        Ok(Self { client, topic: settings.topic() })
    }

    /// Takes an event on its way; a report follows.
    pub(super) fn send(&self, sent: Sent, payload: &[u8]) -> Result<(), Refusal> {
        let partition = i32::try_from(sent.partition().0).unwrap_or(i32::MAX);
        let record: BaseRecord<'_, (), [u8], Box<Sent>> =
            BaseRecord::with_opaque_to(&self.topic, Box::new(sent))
                .partition(partition)
                .payload(payload);
        let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
        self.client.send(record).map_err(|(error, _)| match error {
            error if error == full => Refusal::Full,
            error => Refusal::Failed(error.to_string()),
        })
    }

    /// Why it will send nothing any more, if that is so.
    pub(super) fn fatal_error(&self) -> Option<String> {
        self.client.client().fatal_error().map(|(_, reason)| reason)
    }
}

struct Reporter(Arc<Reports>);

impl ClientContext for Reporter {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        say(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "the client of the usage topic has trouble");
    }
}

impl ProducerContext for Reporter {
    type DeliveryOpaque = Box<Sent>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Box<Sent>) {
        let report = match result {
            Ok(_) => Report::Acknowledged(*sent),
            Err((error, _)) => Report::Failed(*sent, error.to_string()),
        };
        self.0.list.lock().push(report);
        self.0.news.notify_one();
    }
}

/// What the library says goes to the log; it repeats itself, so that hardly any of it is a warning.
pub(super) fn say(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::warn!(facility, message, "the client of the usage topic");
        }
        RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning
        | RDKafkaLogLevel::Notice
        | RDKafkaLogLevel::Info
        | RDKafkaLogLevel::Debug => {
            tracing::debug!(facility, message, "the client of the usage topic");
        }
    }
}
