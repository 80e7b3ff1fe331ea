//! The servers that Turnpike stands on, as tests start them: real ones, as children of the test, on free ports of this
//! machine. What they are used for is not known here. Whatever fails, panics with what the server said.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod etcd;
mod folder;
mod kafka;
mod network;
mod place;
mod postgres;
mod process;

pub use etcd::{Etcd, EtcdBackup, EtcdCertificates};
pub use kafka::Kafka;
pub use network::{Host, Network};
pub use place::Place;
pub use postgres::Postgres;
pub use process::{Server, free_port};
