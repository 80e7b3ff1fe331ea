//! The harness: starts the built `turnpike` as an operator does, and speaks to it as a client does, over real sockets.
//!
//! In reading order: the binary and its processes, a running gateway, the command line and what it says about money, customers, the
//! client's side, the simulator, what operators look at, ordeals of a whole cluster and who watches them, and small helps. What must
//! hold is the tests' business.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "this crate is tests alone; a step that fails must end its test and say why"
)]

mod binary;
mod process;

mod demo_env;
mod gateway;
mod plane;
mod split;
mod certificates;
mod cluster;
mod builder;
mod strace;

mod cli;
mod money;
mod books;
mod org;
mod account;

mod http;
mod raw;
mod client;
mod events;
mod wanderer;
mod load;

mod simulator;

mod collector;
mod metrics;

mod ordeal;
mod spree;
mod poller;
mod auditor;

mod disk;
mod patience;
mod chance;
mod stress;

pub use binary::{cargo, workspace};
pub use builder::GatewayBuilder;
pub use process::Exited;

pub use certificates::{Authority, FleetCertificates};
pub use cluster::{Cluster, ClusterSize, Footing, Member, Role};
pub use demo_env::DemoEnv;
pub use gateway::Gateway;
pub use plane::Plane;
pub use split::SplitGateway;
pub use strace::Tripwire;

pub use account::{Account, Bill};
pub use books::Balance;
pub use cli::{Cli, Output};
pub use money::{nano, units};
pub use org::{NewOrg, OrgHandle};

pub use client::{Client, say};
pub use events::{Event, EventStream};
pub use http::{Answer, Connection, End, Head, Reply, Request};
pub use load::{Load, Told};
pub use raw::{RawConnection, Transcript};

pub use simulator::{LogReader, SimulatorClient, SimulatorProcess};

pub use collector::{Collector, Span};
pub use metrics::{Family, Metrics, Series};

pub use ordeal::{Fault, Ordeal, Outcome, Target, Trial};
pub use spree::Spree;

pub use chance::Chance;
pub use disk::{Ballast, SmallDisk};
pub use patience::{PATIENCE, eventually};
pub use stress::load_factor;
