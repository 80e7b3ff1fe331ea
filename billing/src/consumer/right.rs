//! By what right a batch counts: what its transaction asserts as its first statement, so that nothing counts of somebody who
//! was replaced.

use super::error::ApplyError;
use super::fence::Fence;
use super::ownership;
use links::usage::topic::{ForeignMessage, TopicMark};
use storage::Write;

/// One of the two; there is no batch that both speak of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Right<'a> {
    /// What one data plane ships is the caller's to take in.
    DataPlane(&'a Fence),
    /// Partitions of a topic are the caller's, and stand where it read them.
    Topic(TopicPart<'a>),
}

/// Where in a topic a batch was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TopicPart<'a> {
    /// Whose topic.
    pub(super) cell: &'a str,
    /// Who reads it.
    pub(super) owner: &'a str,
    /// What it moves.
    pub(super) upto: &'a [TopicMark],
    /// What was between the events.
    pub(super) foreign: &'a [ForeignMessage],
}

impl<'a> Right<'a> {
    /// Locks what proves it until the transaction ends, and moves the offsets of a topic.
    pub(super) async fn assert(self, write: &mut Write) -> Result<(), ApplyError> {
        let is_held = match self {
            Self::DataPlane(fence) => fence.hold(write).await?,
            Self::Topic(part) => ownership::fence(write, part).await?,
        };
        if is_held { Ok(()) } else { Err(ApplyError::Fenced) }
    }

    /// The part of a topic that it speaks of.
    pub(super) const fn topic(self) -> Option<TopicPart<'a>> {
        match self {
            Self::DataPlane(_) => None,
            Self::Topic(part) => Some(part),
        }
    }
}
