//! Where billing gets usage events from, and where it tells how far it has come.
//!
//! One carrier so far: the spool of the same process, read in place.

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
}

/// Why a source gives nothing.
#[derive(Debug, Error)]
pub enum UsageSourceError {
    /// The spool does not.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

impl UsageSource {
    /// Reads a spool in place.
    #[must_use]
    pub fn spool(spool: Spool) -> Self {
        let reader = spool.reader();
        Self::Spool { spool, reader }
    }

    /// The next events, at least one, in order within each partition; waits until there is one. Dropping the future loses
    /// nothing.
    ///
    /// # Errors
    /// When the source cannot be read now, or was closed.
    pub async fn next_batch(&mut self, max: usize) -> Result<Vec<UsageEnvelope>, UsageSourceError> {
        match self {
            Self::Spool { reader, .. } => Ok(reader.next_batch(max).await?),
        }
    }

    /// Tells up to where the current incarnation's partitions are billed, as the next sequence number that is not.
    ///
    /// # Errors
    /// When it cannot be told; it may be told again.
    pub async fn billed(&mut self, marks: &[(Partition, u64)]) -> Result<(), UsageSourceError> {
        match self {
            Self::Spool { spool, .. } => {
                let (spool, marks) = (spool.clone(), marks.to_vec());
                // Deleting files may take a while.
                let trimmed = tokio::task::spawn_blocking(move || spool.trim(&marks)).await;
                trimmed.map_err(|_| SpoolError::Closed)?;
                Ok(())
            }
        }
    }

    /// Goes back to the oldest event that is not billed.
    pub fn rewind(&mut self) {
        match self {
            Self::Spool { reader, .. } => reader.rewind(),
        }
    }
}
