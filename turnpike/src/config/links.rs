//! Settings of what crosses between the roles: heartbeats, coming back, sizes and queues; and what the links make of them.

use super::human;
use ::links::ReconnectSettings;
use ::links::escrow::{EscrowLinkSettings, EscrowListenerSettings};
use ::links::feed::{PublisherSettings, SnapshotKey, WireSettings};
use ::links::tcp::{TcpLimits, TcpSettings};
use ::links::usage::topic::{TopicSettings, TopicShape};
use ::links::usage::{ShipperSettings, UsageListenerSettings};
use serde::{Deserialize, Serialize};
use std::num::{NonZeroU16, NonZeroUsize};
use std::time::Duration;

/// Both ends of all links.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Links {
    /// How often each side says that it is there.
    #[serde(with = "human::duration")]
    pub(crate) heartbeat_interval: Duration,
    /// How long the other may take to answer.
    #[serde(with = "human::duration")]
    pub(crate) heartbeat_timeout: Duration,
    /// How long a connection may take to stand.
    #[serde(with = "human::duration")]
    pub(crate) connect_timeout: Duration,
    /// How long a data plane may take to say who it is, and the other side to let it in.
    #[serde(with = "human::duration")]
    pub(crate) hello_timeout: Duration,
    /// The wait before a data plane comes back for the first time; doubles with each further one.
    #[serde(with = "human::duration")]
    pub(crate) reconnect_wait: Duration,
    /// The longest of these waits; a connection that lived as long was a good one.
    #[serde(with = "human::duration")]
    pub(crate) reconnect_wait_max: Duration,
    /// How long a data plane waits for one control plane to let it in before it goes on to another one.
    #[serde(with = "human::duration")]
    pub(crate) next_way_after: Duration,
    /// How long it waits for an answer about money before it does.
    #[serde(with = "human::duration")]
    pub(crate) answer_within: Duration,
    /// Within what time a control plane that stops sends its data planes to others.
    #[serde(with = "human::duration")]
    pub(crate) goaway_within: Duration,
    /// Data planes that are sent a whole configuration at the same time.
    pub(crate) snapshots_at_once: NonZeroUsize,
    /// One that takes nothing of it for so long loses its turn.
    #[serde(with = "human::duration")]
    pub(crate) snapshot_patience: Duration,
    /// How often the files of certificates are looked at.
    #[serde(with = "human::duration")]
    pub(crate) certificate_interval: Duration,
    /// Most bytes of one message.
    #[serde(with = "human::bytes")]
    pub(crate) message_bytes: u64,
    /// Usage events on their way to billing in another process.
    pub(crate) usage: Usage,
}

/// Usage events on their way to billing in another process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Usage {
    /// Most events of one message.
    pub(crate) batch_events: NonZeroUsize,
    /// Messages that may wait to be sent before the spool is read on.
    pub(crate) waiting_batches: NonZeroUsize,
    /// Data planes that may wait for billing to take them.
    pub(crate) waiting_connections: NonZeroUsize,
    /// Marks that may wait to be sent to one data plane.
    pub(crate) waiting_marks: NonZeroUsize,
    /// Instead of all that: through Kafka.
    pub(crate) topic: Topic,
}

/// Usage events through Kafka: a topic for each cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Topic {
    /// `host:port` of some of its brokers; empty: not through Kafka.
    pub(crate) brokers: Vec<String>,
    /// Whose topics billing reads, and `turnpike migrate` makes.
    pub(crate) cells: Vec<String>,
    /// Brokers that have a copy of each event.
    pub(crate) replication: NonZeroU16,
    /// How many of them must have it before it is acknowledged.
    pub(crate) min_in_sync: NonZeroU16,
    /// How long events stay.
    #[serde(with = "human::duration")]
    pub(crate) retention: Duration,
    /// What is acknowledged and not billed for so long is sent again.
    #[serde(with = "human::duration")]
    pub(crate) reship_after: Duration,
    /// How often a billing process says that it lives.
    #[serde(with = "human::duration")]
    pub(crate) renew_interval: Duration,
    /// Who was not heard of for so long has lost its partitions to the others.
    #[serde(with = "human::duration")]
    pub(crate) stale_after: Duration,
    /// How often data planes are told how far they are billed.
    #[serde(with = "human::duration")]
    pub(crate) marks_interval: Duration,
}

impl Default for Topic {
    fn default() -> Self {
        Self {
            brokers: Vec::new(),
            cells: vec!["local".to_owned()],
            replication: NonZeroU16::MIN.saturating_add(2),
            min_in_sync: NonZeroU16::MIN.saturating_add(1),
            retention: Duration::from_secs(7 * 24 * 60 * 60),
            reship_after: Duration::from_secs(60),
            renew_interval: Duration::from_secs(3),
            stale_after: Duration::from_secs(10),
            marks_interval: Duration::from_secs(1),
        }
    }
}

impl Default for Links {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_secs(5),
            heartbeat_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            hello_timeout: Duration::from_secs(10),
            reconnect_wait: Duration::from_millis(100),
            reconnect_wait_max: Duration::from_secs(10),
            next_way_after: Duration::from_secs(2),
            answer_within: Duration::from_secs(1),
            goaway_within: Duration::from_secs(5),
            snapshots_at_once: count(8),
            snapshot_patience: Duration::from_secs(60),
            certificate_interval: Duration::from_secs(2),
            message_bytes: 64 << 20,
            usage: Usage::default(),
        }
    }
}

fn count(count: usize) -> NonZeroUsize {
    NonZeroUsize::MIN.saturating_add(count.saturating_sub(1))
}

impl Default for Usage {
    fn default() -> Self {
        Self {
            batch_events: count(500),
            waiting_batches: count(4),
            waiting_connections: count(64),
            waiting_marks: count(16),
            topic: Topic::default(),
        }
    }
}

impl Links {
    fn bytes(&self) -> usize {
        usize::try_from(self.message_bytes).unwrap_or(usize::MAX)
    }

    /// Connections over TCP.
    pub(crate) fn tcp(&self) -> TcpSettings {
        TcpSettings {
            heartbeat_interval: self.heartbeat_interval,
            heartbeat_timeout: self.heartbeat_timeout,
            connect_timeout: self.connect_timeout,
            limits: TcpLimits::default(),
        }
    }

    /// How a data plane comes back.
    pub(crate) const fn reconnect(&self) -> ReconnectSettings {
        ReconnectSettings {
            first_wait: self.reconnect_wait,
            longest_wait: self.reconnect_wait_max,
            good_after: self.reconnect_wait_max,
            accept_timeout: self.hello_timeout,
            next_way_after: self.next_way_after,
        }
    }

    /// Whoever says nothing for so long is taken for gone.
    const fn silence(&self) -> Duration {
        self.heartbeat_interval.saturating_add(self.heartbeat_timeout)
    }

    /// What the feed's sink sees to when its source is another process.
    pub(crate) const fn wire(&self, snapshot_key: SnapshotKey) -> WireSettings {
        let (beat_interval, silence) = (self.heartbeat_interval, self.silence());
        WireSettings { beat_interval, silence, snapshot_key }
    }

    /// The feed's source.
    pub(crate) fn publisher(&self) -> PublisherSettings {
        PublisherSettings {
            hello_timeout: self.hello_timeout,
            heartbeat_interval: self.heartbeat_interval,
            silence: self.silence(),
            snapshots_at_once: self.snapshots_at_once.get(),
            snapshot_patience: self.snapshot_patience,
            ..PublisherSettings::default()
        }
    }

    /// The desk's end of the escrow.
    pub(crate) fn escrow_listener(&self) -> EscrowListenerSettings {
        EscrowListenerSettings {
            hello_timeout: self.hello_timeout,
            message_bytes: self.bytes(),
            ..EscrowListenerSettings::default()
        }
    }

    /// The data plane's end of the escrow.
    pub(crate) fn escrow_link(&self) -> EscrowLinkSettings {
        EscrowLinkSettings {
            reconnect: self.reconnect(),
            answer_within: self.answer_within,
            message_bytes: self.bytes(),
            ..EscrowLinkSettings::default()
        }
    }

    /// Billing's end of the usage link.
    pub(crate) fn usage_listener(&self) -> UsageListenerSettings {
        UsageListenerSettings {
            waiting_connections: self.usage.waiting_connections.get(),
            waiting_marks: self.usage.waiting_marks.get(),
            hello_timeout: self.hello_timeout,
            message_bytes: self.bytes(),
        }
    }

    /// The topic of a cell, where usage goes through Kafka.
    pub(crate) fn topic(&self, cell: &str) -> Option<TopicSettings> {
        let from = &self.usage.topic;
        (!from.brokers.is_empty()).then(|| TopicSettings {
            reship_after: from.reship_after,
            ..TopicSettings::new(from.brokers.clone(), cell)
        })
    }

    /// The topics that billing reads.
    pub(crate) fn topics(&self) -> Vec<TopicSettings> {
        self.usage.topic.cells.iter().filter_map(|cell| self.topic(cell)).collect()
    }

    /// How they are made.
    pub(crate) const fn topic_shape(&self) -> TopicShape {
        let Topic { replication, min_in_sync, retention, .. } = &self.usage.topic;
        TopicShape {
            replication: replication.get(),
            min_in_sync: min_in_sync.get(),
            retention: *retention,
        }
    }

    /// The data plane's end of the usage link.
    pub(crate) fn shipper(&self) -> ShipperSettings {
        ShipperSettings {
            reconnect: self.reconnect(),
            batch_events: self.usage.batch_events.get(),
            waiting_batches: self.usage.waiting_batches.get(),
            message_bytes: self.bytes(),
        }
    }
}
