//! Upstreams as one core sees them: connections of its own, prepared addresses and credentials; and, shared by all cores,
//! which of them failed lately.

pub(crate) mod client;
pub(crate) mod health;
