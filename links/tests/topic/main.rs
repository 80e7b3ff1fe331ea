//! Usage events through a real broker: what a spool holds arrives, whatever dies or is refused, and nothing else passes for
//! an event.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod admin;
mod arrival;
mod foreign;
mod refused;
mod resend;
mod site;
