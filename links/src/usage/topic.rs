//! Usage events through a Kafka topic: one for each cell, with a partition for each partition of the numbering.
//!
//! In reading order: which topic, the topic itself, what is known of events on their way (pure), who takes them there, the
//! loop that does so, and who reads them. Kafka is trusted with nothing that the numbers of events do not show: what it
//! acknowledged and lost is sent again, and what comes twice counts once. None of its library's types leave this folder.

mod settings;
mod admin;
mod shipping;
mod producer;
mod shipper;
mod reader;
mod fetching;

pub use admin::{TopicError, TopicShape, check_topic, make_topic};
pub use reader::{Claim, ForeignMessage, TopicMark, TopicReader, read_message};
pub use settings::TopicSettings;
pub use shipper::{Resend, ShipmentStatus, TopicShipper};
