//! Where billing gets usage events from, and where it tells how far it has come.
//!
//! Two carriers so far: the spool of the same process, read in place, and a data plane of another process that ships its
//! spool.

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

/// A source of usage events.
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

    /// Whose events they are.
    #[must_use]
    pub fn data_plane(&self) -> &str {
        match self {
            Self::Spool { spool, .. } => spool.data_plane(),
            Self::Link(connection) => connection.data_plane(),
        }
    }

    /// The incarnation whose marks it can be told.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        match self {
            Self::Spool { spool, .. } => spool.incarnation(),
            Self::Link(connection) => connection.incarnation(),
        }
    }

    /// The next events, at least one, in order within each partition; waits until there is one. Dropping the future loses
    /// nothing.
    ///
    /// # Errors
    /// When the source cannot be read now, or was closed.
    pub async fn next_batch(&mut self, max: usize) -> Result<Vec<UsageEnvelope>, UsageSourceError> {
        match self {
            Self::Spool { reader, .. } => match reader.next_batch(max).await {
                Err(SpoolError::Closed) => Err(UsageSourceError::Closed),
                batch => Ok(batch?),
            },
            Self::Link(connection) => connection.next_batch(max).await,
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
