//! Where billing gets usage events from, and where it tells how far it has come.
//!
//! Three carriers: the spool of the same process, read in place; a data plane of another process that ships its spool; and,
//! with a reader of its own, a topic that many data planes fill and several billing processes share.

mod listener;
mod shipper;
pub mod topic;

pub use listener::{
    UsageConnection, UsageDoor, UsageListener, UsageListenerSettings, usage_listener,
};
pub use shipper::{ShipperSettings, ship_usage};

use crate::spool::{Spool, SpoolError, SpoolReader};
use domain::id::Partition;
use proto::usage::v1::UsageEnvelope;
use thiserror::Error;
use topic::{ForeignMessage, TopicMark};

/// All usage events of one data plane.
#[derive(Debug)]
pub enum UsageSource {
    /// The spool of a data plane in this process.
    Spool {
        /// Told what is billed.
        spool: Spool,
        /// Read from.
        reader: SpoolReader,
    },
    /// A data plane in another process.
    Link(Box<UsageConnection>),
}

/// Events, and what else a topic tells of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UsageBatch {
    /// In order within each partition.
    pub events: Vec<UsageEnvelope>,
    /// What is no event, beside them.
    pub foreign: Vec<ForeignMessage>,
    /// Up to where a topic is read with all of it.
    pub upto: Vec<TopicMark>,
    /// Messages that were gone from a topic before they were read.
    pub skipped: u64,
}

impl From<Vec<UsageEnvelope>> for UsageBatch {
    fn from(events: Vec<UsageEnvelope>) -> Self {
        Self { events, ..Self::default() }
    }
}

/// Why a source gives nothing.
#[derive(Debug, Error)]
pub enum UsageSourceError {
    /// The spool does not.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// There is nothing more to come from it: what is not billed comes from another one, later.
    #[error("the source of usage events is closed")]
    Closed,
}

impl UsageSource {
    /// Reads a spool in place.
    #[must_use]
    pub fn spool(spool: Spool) -> Self {
        let reader = spool.reader();
        Self::Spool { spool, reader }
    }

    /// Whose they are, and whose marks it can be told: the data plane and its incarnation.
    #[must_use]
    pub fn holder(&self) -> (&str, u64) {
        match self {
            Self::Spool { spool, .. } => (spool.data_plane(), spool.incarnation()),
            Self::Link(connection) => (connection.data_plane(), connection.incarnation()),
        }
    }

    /// The next events in order within each partition; waits until there are some. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the source cannot be read now, or was closed.
    pub async fn next_batch(&mut self, max: usize) -> Result<UsageBatch, UsageSourceError> {
        match self {
            Self::Spool { reader, .. } => match reader.next_batch(max).await {
                Err(SpoolError::Closed) => Err(UsageSourceError::Closed),
                batch => Ok(batch?.into()),
            },
            Self::Link(connection) => Ok(connection.next_batch(max).await?.into()),
        }
    }

    /// Tells up to where the current incarnation's partitions are billed, as the next sequence number that is not.
    ///
    /// # Errors
    /// When it cannot be told; it may be told again.
    pub async fn billed(&mut self, marks: &[(Partition, u64)]) -> Result<(), UsageSourceError> {
        match self {
            Self::Spool { spool, .. } => Ok(trim(spool, marks.to_vec()).await?),
            Self::Link(connection) => connection.billed(marks).await,
        }
    }

    /// Goes back to the oldest event that is not billed.
    pub fn rewind(&mut self) {
        match self {
            Self::Spool { reader, .. } => reader.rewind(),
            Self::Link(connection) => connection.rewind(),
        }
    }
}

/// Deleting files may take a while.
async fn trim(spool: &Spool, marks: Vec<(Partition, u64)>) -> Result<(), SpoolError> {
    let spool = spool.clone();
    tokio::task::spawn_blocking(move || spool.trim(&marks)).await.map_err(|_| SpoolError::Closed)
}
