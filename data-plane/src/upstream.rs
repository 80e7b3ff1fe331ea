//! Upstreams as one core sees them: connections of its own, prepared addresses and credentials; what of their words may be
//! written down or shown; and, shared by all cores, which of them failed lately, and how fast they were.

pub(crate) mod client;
pub(crate) mod words;
pub(crate) mod refusal;
pub(crate) mod health;
pub(crate) mod wire;
pub(crate) mod connector;
pub(crate) mod speed;
mod resolver;
