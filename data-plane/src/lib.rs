//! The data plane: stateless proxies that admit, route and stream, and write down what was used.
//!
//! In reading order: what is set, what operators see, what the client sees when something is wrong, the listener, the
//! endpoints, the life of a request, what upstreams speak and where they are; then what a data plane keeps between
//! requests: configuration, keys, limits, money, and the tokeniser.

mod settings;
mod clock;
pub mod genai;
mod metric;
mod trace;
mod access;
mod error;

mod server;
mod client_address;
mod api;
mod body;
mod respond;
mod idempotency;
mod joined;
mod pipeline;

mod dialect;
mod transcript;
mod record;
mod upstream;

mod plane;
mod stopping;
pub mod configuration;
pub mod keys;
pub mod limits;
pub mod purse;
pub mod recovery;
pub mod tokenizer;
#[cfg(test)]
mod instructions;

pub use access::AccessLog;
pub use metric::describe as describe_metrics;
pub use plane::{DataPlane, DataPlaneParts};
pub use record::ContentSink;
pub use server::{Listener, StartError};
pub use settings::{DataPlaneSettings, Limits, Pace};
pub use trace::TraceSettings;
