//! Settings of what is not the data plane: log, database, control plane, billing, ops, simulator.

use super::admin::{Connections as AdminConnections, Limits as AdminLimits};
use super::human;
use ::links::tls::TlsFiles;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// As `RUST_LOG` is written, for instance `info,data_plane=debug`.
    pub(crate) filter: String,
    /// For people or for machines.
    pub(crate) format: LogFormat,
    /// Which requests get a line.
    pub(crate) access: LoggedRequests,
    /// The share of them that gets one when they are sampled, from 0 to 1.
    pub(crate) access_ratio: f64,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            filter: "info".to_owned(),
            format: LogFormat::Text,
            access: LoggedRequests::Off,
            access_ratio: 0.01,
        }
    }
}

/// Which requests get a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LoggedRequests {
    /// None.
    Off,
    /// A share.
    Sampled,
    /// All.
    On,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where configuration and money are kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Database {
    /// `sqlite:///path`, or `postgres://user:password@host/database`; absent: `turnpike.db` in the data directory.
    pub(crate) url: Option<String>,
}

/// Where upstreams may be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Egress {
    /// Networks that are open to upstreams beside public addresses.
    pub(crate) allowed_networks: Vec<String>,
}

/// What a member of a fleet shows to others, and whom it trusts; all three in PEM, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct FleetTls {
    /// Its certificate, whose URI says who it is, followed by those between it and the authority.
    pub(crate) cert_file: Option<PathBuf>,
    /// The key of it.
    pub(crate) key_file: Option<PathBuf>,
    /// The authorities that sign for the members of the fleet.
    pub(crate) ca_file: Option<PathBuf>,
}

impl FleetTls {
    /// The files; none without TLS.
    pub(crate) fn files(&self) -> Option<TlsFiles> {
        let (cert, key) = (self.cert_file.clone()?, self.key_file.clone()?);
        Some(TlsFiles { cert, key, ca: self.ca_file.clone()? })
    }

    /// Whether it is all or nothing.
    pub(crate) fn is_whole(&self) -> bool {
        self.files().is_some() || *self == Self::default()
    }
}

/// Operators' side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ControlPlane {
    /// The admin API.
    pub(crate) admin_listen: SocketAddr,
    /// Feed, escrow and usage, for data planes of other processes; unused while all roles share one.
    pub(crate) fleet_listen: SocketAddr,
    /// Its certificate for data planes of other machines; without it only those of this one are served.
    pub(crate) fleet_tls: FleetTls,
    /// Console and status page; accepted, so that one file serves every version.
    pub(crate) console_listen: SocketAddr,
    /// What operators authenticate with.
    pub(crate) operator_token_file: Option<PathBuf>,
    /// What upstream credentials are encrypted with.
    pub(crate) seal_key_file: Option<PathBuf>,
    /// What keys are hashed with.
    pub(crate) pepper_file: Option<PathBuf>,
    /// How often it is looked for what other control planes changed.
    #[serde(with = "human::duration")]
    pub(crate) follow_interval: Duration,
    /// What one call of the admin API may ask.
    pub(crate) limits: AdminLimits,
    /// What one connection to the admin API may ask.
    pub(crate) connections: AdminConnections,
    /// Prompts and completions of orgs that want them kept.
    pub(crate) content: Content,
}

impl Default for ControlPlane {
    fn default() -> Self {
        Self {
            admin_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7070)),
            fleet_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7071)),
            fleet_tls: FleetTls::default(),
            console_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8081)),
            operator_token_file: None,
            seal_key_file: None,
            pepper_file: None,
            follow_interval: Duration::from_millis(250),
            limits: AdminLimits::default(),
            connections: AdminConnections::default(),
            content: Content::default(),
        }
    }
}

/// Prompts and completions of orgs that want them kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Content {
    /// Where they are kept, apart from everything else; absent: `content.db` in the data directory.
    pub(crate) database_url: Option<String>,
    /// How long.
    #[serde(with = "human::duration")]
    pub(crate) retention: Duration,
    /// How often it is looked for what is older, or not wanted any more.
    #[serde(with = "human::duration")]
    pub(crate) sweep_interval: Duration,
}

impl Default for Content {
    fn default() -> Self {
        Self {
            database_url: None,
            retention: Duration::from_secs(90 * 24 * 60 * 60),
            sweep_interval: Duration::from_secs(60),
        }
    }
}

/// The ledger's side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Billing {
    /// Where data planes ship to when billing runs apart from the control plane.
    pub(crate) fleet_listen: SocketAddr,
    /// Its certificate, as that of the control plane.
    pub(crate) fleet_tls: FleetTls,
    /// Most usage events in one transaction.
    pub(crate) batch_events: NonZeroUsize,
    /// How long events may gather after a batch that was not full, so that many share a commit.
    #[serde(with = "human::duration")]
    pub(crate) linger: Duration,
    /// The first wait after the database failed; doubles with each failure in a row.
    #[serde(with = "human::duration")]
    pub(crate) retry_after: Duration,
    /// The longest of these waits.
    #[serde(with = "human::duration")]
    pub(crate) retry_after_max: Duration,
    /// How often it is looked again for events that could not be applied, and for what operators wrote off.
    #[serde(with = "human::duration")]
    pub(crate) look_again: Duration,
    /// How long the record of each request is kept, then only sums; absent: for ever.
    #[serde(with = "human::optional_duration")]
    pub(crate) usage_retention: Option<Duration>,
    /// How often records that are too old are looked for.
    #[serde(with = "human::duration")]
    pub(crate) retention_sweep: Duration,
    /// Money that data planes hold.
    pub(crate) escrow: Escrow,
}

impl Default for Billing {
    fn default() -> Self {
        Self {
            fleet_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7072)),
            fleet_tls: FleetTls::default(),
            batch_events: NonZeroUsize::MIN.saturating_add(499),
            linger: Duration::from_millis(50),
            retry_after: Duration::from_millis(50),
            retry_after_max: Duration::from_secs(5),
            look_again: Duration::from_secs(60),
            usage_retention: None,
            retention_sweep: Duration::from_secs(60 * 60),
            escrow: Escrow::default(),
        }
    }
}

/// Money that data planes hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Escrow {
    /// How long a want waits for idle money of other data planes.
    #[serde(with = "human::duration")]
    pub(crate) recall_wait: Duration,
    /// How often it is written down which data planes are connected, where control planes share a database.
    #[serde(with = "human::duration")]
    pub(crate) heard_interval: Duration,
    /// A data plane that is silent for so long is suspect.
    #[serde(with = "human::duration")]
    pub(crate) suspect_after: Duration,
    /// What a silent data plane holds is given up after so long, at the company's cost.
    #[serde(with = "human::duration")]
    pub(crate) give_up_after: Duration,
}

impl Default for Escrow {
    fn default() -> Self {
        Self {
            recall_wait: Duration::from_millis(200),
            heard_interval: Duration::from_secs(5),
            suspect_after: Duration::from_secs(5 * 60),
            give_up_after: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// Health and metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Ops {
    /// `/healthz`, `/readyz` and `/metrics`.
    pub(crate) listen: SocketAddr,
}

impl Default for Ops {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9090)) }
    }
}

/// The fake provider of `up --demo`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Simulator {
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// A file that gets its log as JSON lines; absent: in memory only.
    pub(crate) log: Option<PathBuf>,
}

impl Default for Simulator {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8099)), log: None }
    }
}
