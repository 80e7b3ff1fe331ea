//! Where a consumer reads, and by what right: all that one data plane ships, or a share of a topic. Each knows its own way to
//! begin, to say that it is there, and to give way.

mod line;
mod topic;

pub(super) use line::Line;
pub use topic::TopicConsumer;
pub(super) use topic::TopicShare;

use super::right::Right;
use domain::id::Partition;
use links::usage::{UsageBatch, UsageSourceError};

/// One of the two.
#[derive(Debug)]
pub(super) enum Inflow {
    DataPlane(Box<Line>),
    Topic(Box<TopicShare>),
}

impl Inflow {
    /// Safe to cancel.
    pub(super) async fn next_batch(&mut self, max: usize) -> Result<UsageBatch, UsageSourceError> {
        match self {
            Self::DataPlane(line) => line.source.next_batch(max).await,
            Self::Topic(share) => share.reader.next_batch(max).await,
        }
    }

    /// By what a batch of it counts.
    pub(super) fn right<'a>(&'a self, batch: &'a UsageBatch) -> Right<'a> {
        match self {
            Self::DataPlane(line) => Right::DataPlane(&line.fence),
            Self::Topic(share) => Right::Topic(share.part(batch)),
        }
    }

    /// Whose marks it can be told: the data plane and its incarnation. A topic is nobody's alone.
    pub(super) fn holder(&self) -> Option<(&str, u64)> {
        match self {
            Self::DataPlane(line) => Some(line.source.holder()),
            Self::Topic(_) => None,
        }
    }

    /// Tells up to where it is billed. Data planes that ship into a topic are told by the desk.
    pub(super) async fn billed(
        &mut self,
        marks: &[(Partition, u64)],
    ) -> Result<(), UsageSourceError> {
        match self {
            Self::DataPlane(line) => line.source.billed(marks).await,
            Self::Topic(_) => Ok(()),
        }
    }

    /// Goes back to the oldest event that is not billed. A topic is left, until it is claimed again from there.
    pub(super) fn rewind(&mut self) {
        match self {
            Self::DataPlane(line) => line.source.rewind(),
            Self::Topic(share) => share.reader.leave_all(),
        }
    }

    /// Whether somebody else goes on with all of it.
    pub(super) const fn is_replaced(&self) -> bool {
        match self {
            Self::DataPlane(line) => line.is_replaced,
            Self::Topic(_) => false,
        }
    }
}
