//! Which topic, and how its brokers are reached. What the promises rest on cannot be set.

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use std::time::Duration;

/// A topic, and the limits of both its ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSettings {
    /// `host:port` of some of its brokers.
    pub brokers: Vec<String>,
    /// The cell whose usage it is.
    pub cell: String,
    /// Events that may be on their way without an acknowledgement.
    pub waiting_events: usize,
    /// How long events may gather before they are sent.
    pub linger: Duration,
    /// The first wait after an event was not acknowledged; each further one is twice as long.
    pub retry_after: Duration,
    /// The longest wait after that.
    pub retry_after_max: Duration,
    /// What is acknowledged and not billed for so long is sent again, after twice the time the next time.
    pub reship_after: Duration,
    /// The longest of these times.
    pub reship_after_max: Duration,
    /// How long a stop waits for acknowledgements.
    pub flush_within: Duration,
    /// Messages that are fetched ahead of whoever bills them.
    pub fetched_ahead: usize,
}

impl TopicSettings {
    /// The usage of a cell.
    #[must_use]
    pub fn new(brokers: Vec<String>, cell: &str) -> Self {
        Self {
            brokers,
            cell: cell.to_owned(),
            waiting_events: 10_000,
            linger: Duration::from_millis(10),
            retry_after: Duration::from_millis(100),
            retry_after_max: Duration::from_secs(10),
            reship_after: Duration::from_secs(60),
            reship_after_max: Duration::from_secs(600),
            flush_within: Duration::from_secs(2),
            fetched_ahead: 2000,
        }
    }

    /// What it is called.
    #[must_use]
    pub fn topic(&self) -> String {
        format!("turnpike.usage.{}", self.cell)
    }

    /// What every client of the brokers has.
    pub(super) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set_log_level(RDKafkaLogLevel::Notice)
            .set("bootstrap.servers", self.brokers.join(","))
            .set("client.id", "turnpike")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "2000")
            // A topic that is made, or made anew, is seen soon.
            .set("topic.metadata.refresh.fast.interval.ms", "100")
            .set("topic.metadata.propagation.max.ms", "5000")
            .set("allow.auto.create.topics", "false");
        config
    }

    /// Whoever fills the topic. An event that is not acknowledged is never given up by the client: the spool has it.
    pub(super) fn producer(&self) -> ClientConfig {
        let mut config = self.client();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("message.timeout.ms", "0")
            .set("linger.ms", self.linger.as_millis().to_string())
            .set("compression.type", "lz4")
            .set("message.max.bytes", MESSAGE_BYTES.to_string())
            .set("queue.buffering.max.messages", self.waiting_events.max(1).to_string())
            .set("queue.buffering.max.kbytes", "65536");
        config
    }

    /// Whoever reads it. Which partitions, and from where, the database says.
    pub(super) fn consumer(&self) -> ClientConfig {
        let mut config = self.client();
        config
            .set("group.id", "turnpike.billing")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "false")
            .set("fetch.wait.max.ms", "100")
            .set("statistics.interval.ms", "2000")
            .set("fetch.message.max.bytes", MESSAGE_BYTES.to_string())
            .set("queued.max.messages.kbytes", "16384");
        config
    }
}

/// Most bytes of one message; a spool writes no event that is as long.
pub(super) const MESSAGE_BYTES: u32 = 4 << 20;
