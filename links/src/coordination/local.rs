//! The carrier of a process that nobody tells anything: what it tells itself is all the news there is.

use super::Member;
use super::board::{Board, Tenure};

/// Nobody but this process. Clones are the same one.
#[derive(Clone, Debug)]
pub struct LocalCoordination {
    board: Board,
}

impl LocalCoordination {
    /// For this process.
    #[must_use]
    pub fn new(me: &Member) -> Self {
        Self { board: Board::new(me, Tenure::Always) }
    }

    pub(super) const fn board(&self) -> &Board {
        &self.board
    }
}
