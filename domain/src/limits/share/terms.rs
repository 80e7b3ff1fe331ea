//! What a step on a share needs to know, and could mix up.

use crate::limits::minute::{Local, Span};
use crate::limits::place::Place;
use crate::time::Timestamp;

/// Whose share it is, in which minutes, and of which limit.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    pub(super) place: &'a Place,
    pub(super) span: Span,
    pub(super) limit: u64,
}

impl<'a> Terms<'a> {
    /// `None` if the control plane's clock was set since the place began: then it has to begin again first.
    #[must_use]
    pub fn new(place: &'a Place, span: Span, limit: u64) -> Option<Self> {
        (place.era() == span.era).then_some(Self { place, span, limit })
    }
}

/// The time by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// By the control plane's, likely.
    pub now: Timestamp,
    /// By one's own.
    pub local: Local,
}
