//! What can be wrong with a page token. How tokens are made and read is `listing`'s business.

use thiserror::Error;

/// Why a token is refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum TokenFault {
    /// Cut, changed, or made up.
    #[error(
        "it is not whole, or no token at all: pass on `next_page_token` as it was given, or leave it out to begin again"
    )]
    Garbled,
    /// Of another list, filter or order.
    #[error(
        "it belongs to another list, filter or order: repeat those of the first page, or leave it out to begin again"
    )]
    Foreign,
    /// Of a configuration that was lost with its commits.
    #[error(
        "it is of generation {token} of the configuration, which is now at {current}: leave it out to begin again"
    )]
    Stale {
        /// What it was made of.
        token: u64,
        /// What there is.
        current: u64,
    },
}
