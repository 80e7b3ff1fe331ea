//! What can be set, where it comes from, and its defaults: the built-in values, then one YAML file, then
//! `TURNPIKE__SECTION__KEY` variables. `config.example.yaml` shows every key; a test holds the two together.
//!
//! What the values do is the business of the roles that get them.

mod human;
mod load;
mod links;
mod coordination;
mod data_plane;
mod roles;
mod admin;
mod traces;
mod secrets;

pub(crate) use coordination::Coordination;
pub(crate) use data_plane::DataPlane;
pub(crate) use links::Links;
pub(crate) use load::ConfigError;
pub(crate) use roles::{
    Billing, ControlPlane, Database, Egress, FleetTls, Log, LogFormat, LoggedRequests, Ops,
    Simulator,
};
pub(crate) use secrets::{CellSecrets, Secrets, SecretsError};
pub(crate) use traces::Traces;

use domain::name::check_data_plane;
use domain::network::Networks;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What is wrong with one or two of its files.
const TLS_IS_WHOLE: &str = "needs cert_file, key_file and ca_file, or none of them";

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Where everything that must survive is kept.
    pub(crate) data_dir: PathBuf,
    /// What is logged, and how.
    pub(crate) log: Log,
    /// Where configuration and money are kept.
    pub(crate) database: Database,
    /// Where upstreams may be.
    pub(crate) egress: Egress,
    /// The proxies.
    pub(crate) data_plane: DataPlane,
    /// Operators' side.
    pub(crate) control_plane: ControlPlane,
    /// The ledger's side.
    pub(crate) billing: Billing,
    /// What crosses between the roles.
    pub(crate) links: Links,
    /// What control planes tell each other.
    pub(crate) coordination: Coordination,
    /// Health and metrics.
    pub(crate) ops: Ops,
    /// Spans.
    pub(crate) traces: Traces,
    /// The fake provider.
    pub(crate) simulator: Simulator,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("data"),
            log: Log::default(),
            database: Database::default(),
            egress: Egress::default(),
            data_plane: DataPlane::default(),
            control_plane: ControlPlane::default(),
            billing: Billing::default(),
            links: Links::default(),
            coordination: Coordination::default(),
            ops: Ops::default(),
            traces: Traces::default(),
            simulator: Simulator::default(),
        }
    }
}

impl Config {
    /// Reads the file, if one is named, and the `TURNPIKE__` variables among `environment` on top of it.
    ///
    /// # Errors
    /// When something cannot be read, a key is unknown, or a value makes no sense; the error names the key.
    pub(crate) fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let config = load::layered(file, environment)?;
        config.check()?;
        Ok(config)
    }

    /// The database's URL; by default a SQLite file in the data directory.
    pub(crate) fn database_url(&self) -> String {
        let embedded = || format!("sqlite://{}", self.data_dir.join("turnpike.db").display());
        self.database.url.clone().unwrap_or_else(embedded)
    }

    /// Whether several processes may share the database.
    pub(crate) fn is_on_postgres(&self) -> bool {
        self.database_url().starts_with("postgres")
    }

    /// The URL of the database of contents; by default a SQLite file in the data directory.
    pub(crate) fn content_database_url(&self) -> String {
        let embedded = || format!("sqlite://{}", self.data_dir.join("content.db").display());
        self.control_plane.content.database_url.clone().unwrap_or_else(embedded)
    }

    /// Where usage events wait until they are billed.
    pub(crate) fn spool_dir(&self) -> PathBuf {
        self.data_plane.spool.dir.clone().unwrap_or_else(|| self.data_dir.join("spool"))
    }

    /// Where the data plane keeps what it goes by.
    pub(crate) fn configuration_dir(&self) -> PathBuf {
        let own = self.data_plane.configuration.dir.clone();
        own.unwrap_or_else(|| self.data_dir.join("configuration"))
    }

    /// Where upstreams may be; the demo's are on this machine.
    pub(crate) fn networks(&self, is_demo: bool) -> Result<Networks, ConfigError> {
        let networks = networks_of("egress.allowed_networks", &self.egress.allowed_networks)?;
        Ok(if is_demo { networks.and_loopback() } else { networks })
    }

    /// Proxies in front of the data plane.
    pub(crate) fn trusted_proxies(&self) -> Result<Networks, ConfigError> {
        networks_of("data_plane.trusted_proxies", &self.data_plane.trusted_proxies)
    }

    /// Refuses what parses, but cannot work.
    fn check(&self) -> Result<(), ConfigError> {
        self.networks(false)?;
        self.trusted_proxies()?;
        let spool = &self.data_plane.spool;
        let claims = [
            (
                (1..=99).contains(&spool.high_water_percent),
                "data_plane.spool.high_water_percent",
                "must be from 1 to 99",
            ),
            (
                spool.segment_bytes.saturating_mul(4) <= spool.capacity_bytes,
                "data_plane.spool.capacity_bytes",
                "must hold at least four segments (data_plane.spool.segment_bytes)",
            ),
            (
                self.data_plane.limits.cooldown <= self.data_plane.limits.cooldown_max,
                "data_plane.limits.cooldown_max",
                "must not be less than data_plane.limits.cooldown",
            ),
            (
                (0.0..=1.0).contains(&self.traces.sample_ratio),
                "traces.sample_ratio",
                "must be from 0 to 1",
            ),
            (
                (0.0..=1.0).contains(&self.log.access_ratio),
                "log.access_ratio",
                "must be from 0 to 1",
            ),
            (
                self.data_plane.configuration.deleted_percent <= 100,
                "data_plane.configuration.deleted_percent",
                "must be from 0 to 100",
            ),
            (
                self.links.message_bytes >= 2 << 20,
                "links.message_bytes",
                "must be at least 2 MiB: a usage event may be that long",
            ),
            (
                check_data_plane(&self.data_plane.name).is_ok(),
                "data_plane.name",
                "must have 1 to 63 of a-z, 0-9 and '-'",
            ),
            (
                self.data_plane.cors_origins.iter().all(|origin| is_origin(origin)),
                "data_plane.cors_origins",
                "must hold origins such as https://app.example.com, or * for any",
            ),
        ];
        let claims = claims.into_iter().chain(self.claims_of_links()).chain(self.topic_claims());
        let claims = claims.chain(self.coordination.etcd.claims());
        match { claims }.find(|(holds, ..)| !holds) {
            None => Ok(()),
            Some((_, key, claim)) => {
                Err(ConfigError::Nonsense { key: key.to_owned(), claim: claim.to_owned() })
            }
        }
    }

    /// What must hold of how processes reach each other, with the key and what is said when it does not.
    fn claims_of_links(&self) -> [(bool, &'static str, &'static str); 5] {
        [
            (
                self.data_plane.control_plane_addr.is_none()
                    || self.data_plane.control_plane_addrs.is_empty(),
                "data_plane.control_plane_addr",
                "is the older name of data_plane.control_plane_addrs: set only one of them",
            ),
            (
                has_no_twins(&self.data_plane.control_plane_addrs),
                "data_plane.control_plane_addrs",
                "must not hold an address twice",
            ),
            (self.data_plane.fleet_tls.is_whole(), "data_plane.fleet_tls", TLS_IS_WHOLE),
            (self.control_plane.fleet_tls.is_whole(), "control_plane.fleet_tls", TLS_IS_WHOLE),
            (self.billing.fleet_tls.is_whole(), "billing.fleet_tls", TLS_IS_WHOLE),
        ]
    }

    /// What must hold where usage goes through Kafka.
    fn topic_claims(&self) -> [(bool, &'static str, &'static str); 3] {
        let topic = &self.links.usage.topic;
        [
            (
                is_topic(&self.data_plane.cell) || topic.brokers.is_empty(),
                "data_plane.cell",
                "must have 1 to 100 of A-Z, a-z, 0-9, '-' and '_' to name a topic",
            ),
            (
                topic.cells.iter().all(|cell| is_topic(cell)),
                "links.usage.topic.cells",
                "must hold names of 1 to 100 of A-Z, a-z, 0-9, '-' and '_'",
            ),
            (
                topic.renew_interval.saturating_mul(2) <= topic.stale_after,
                "links.usage.topic.stale_after",
                "must be at least twice links.usage.topic.renew_interval",
            ),
        ]
    }
}

/// Whether a cell's name may be part of a topic's.
fn is_topic(cell: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (1..=100).contains(&cell.len()) && cell.bytes().all(is_plain)
}

/// A database's URL as it may be shown.
pub(crate) fn without_password(url: &str) -> String {
    let Some((kind, rest)) = url.split_once("://") else { return url.to_owned() };
    // What follows the place may hold a password, too.
    let rest = rest.split('?').next().unwrap_or_default();
    match rest.rsplit_once('@') {
        Some((user, place)) => {
            let user = user.split(':').next().unwrap_or_default();
            format!("{kind}://{user}@{place}")
        }
        None => format!("{kind}://{rest}"),
    }
}

fn networks_of(key: &str, texts: &[String]) -> Result<Networks, ConfigError> {
    Networks::parse(texts).map_err(|wrong| ConfigError::Nonsense {
        key: key.to_owned(),
        claim: format!("must hold networks: {wrong}"),
    })
}

fn has_no_twins(texts: &[String]) -> bool {
    let different: BTreeSet<&String> = texts.iter().collect();
    different.len() == texts.len()
}

/// As browsers write it: scheme and host, no path.
fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_host = |host: &str| !host.is_empty() && !host.contains(['/', '*', ' ']);
    text == "*" || (rest.is_some_and(is_host) && text.bytes().all(|byte| byte.is_ascii_graphic()))
}

#[cfg(test)]
mod tests;
