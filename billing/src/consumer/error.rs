//! Why a batch was not applied.

use domain::id::Account;
use domain::money::AmountOutOfRange;
use storage::StorageError;
use thiserror::Error;

/// A batch that was not applied, not even in part.
#[derive(Debug, Error)]
pub enum ApplyError {
    /// The database.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A sum of charges is beyond any balance.
    #[error(transparent)]
    OutOfRange(#[from] AmountOutOfRange),
    /// Somebody else has the right to what was read, or it does not stand where it was read.
    #[error("somebody else takes in this usage")]
    Fenced,
    /// An account's row contradicts its slices. Nothing that the program does leads there.
    #[error("{0:?} holds less than its slices; run reconcile")]
    Unsound(Account),
}

impl ApplyError {
    /// Whether it gave way to another transaction, and may be tried at once.
    pub(super) const fn is_conflict(&self) -> bool {
        matches!(self, Self::Storage(StorageError::Conflict(_)))
    }

    /// Whether the same batch may be applied later. One whose commit may have happened may: the marks, which moved with it,
    /// show its events to be duplicates then.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Storage(StorageError::OutcomeUnknown(_)) => true,
            Self::Storage(error) => error.is_transient(),
            Self::OutOfRange(_) | Self::Fenced | Self::Unsound(_) => false,
        }
    }
}
