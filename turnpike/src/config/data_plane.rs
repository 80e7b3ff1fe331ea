//! Settings of the data plane: listener, limits, money in flight, spool.

use super::human;
use super::roles::FleetTls;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Where a control plane on the same machine listens if nothing else is said, without and with TLS.
const CONTROL_PLANE_ADDR: &str = "http://127.0.0.1:7071";
const SECURED_CONTROL_PLANE_ADDR: &str = "https://127.0.0.1:7071";

/// The proxies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DataPlane {
    /// Where clients connect.
    pub(crate) listen: SocketAddr,
    /// Proxies in front of it, whose `X-Forwarded-For` is believed.
    pub(crate) trusted_proxies: Vec<String>,
    /// What it is called by the control plane and in its spool; unique and lasting.
    pub(crate) name: String,
    /// The cell it belongs to.
    pub(crate) cell: String,
    /// Where its control plane is, when that is another process: each replica of it. Empty: `CONTROL_PLANE_ADDR`.
    pub(crate) control_plane_addrs: Vec<String>,
    /// An older name of one such address.
    pub(crate) control_plane_addr: Option<String>,
    /// Where its billing is, when that is another process than its control plane.
    pub(crate) billing_addr: Option<String>,
    /// Its certificate for these; without it they are on this machine.
    pub(crate) fleet_tls: FleetTls,
    /// Threads that serve clients; absent: one per processor.
    pub(crate) cores: Option<NonZeroUsize>,
    /// What it goes by, and how long.
    pub(crate) configuration: Configuration,
    /// Sizes, counts and times beyond which a request is refused or given up.
    pub(crate) limits: Limits,
    /// Money in flight.
    pub(crate) money: Money,
    /// Usage events on their way to billing.
    pub(crate) spool: Spool,
    /// How it stops.
    pub(crate) drain: Drain,
    /// Origins whose pages may call the API from a browser.
    pub(crate) cors_origins: Vec<String>,
    /// Prompts and completions on their way to whoever keeps them.
    pub(crate) content: Content,
}

impl Default for DataPlane {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            trusted_proxies: Vec::new(),
            name: "local".to_owned(),
            cell: "local".to_owned(),
            control_plane_addrs: Vec::new(),
            control_plane_addr: None,
            billing_addr: None,
            fleet_tls: FleetTls::default(),
            cores: None,
            configuration: Configuration::default(),
            limits: Limits::default(),
            money: Money::default(),
            spool: Spool::default(),
            drain: Drain::default(),
            cors_origins: Vec::new(),
            content: Content::default(),
        }
    }
}

impl DataPlane {
    /// Where its control plane is.
    pub(crate) fn control_planes(&self) -> Vec<String> {
        match &self.control_plane_addr {
            Some(only) => vec![only.clone()],
            None if !self.control_plane_addrs.is_empty() => self.control_plane_addrs.clone(),
            None if self.fleet_tls.files().is_some() => vec![SECURED_CONTROL_PLANE_ADDR.to_owned()],
            None => vec![CONTROL_PLANE_ADDR.to_owned()],
        }
    }
}

/// What it goes by: where that is kept, how long it is good, and what a bad push is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Configuration {
    /// Where it is kept; absent: `configuration` in the data directory.
    pub(crate) dir: Option<PathBuf>,
    /// How long it is served without a word from the control plane.
    #[serde(with = "human::duration")]
    pub(crate) max_config_age: Duration,
    /// Bytes of changes, beyond which a new snapshot is written.
    #[serde(with = "human::bytes")]
    pub(crate) journal_bytes: u64,
    /// Most bytes of a snapshot.
    #[serde(with = "human::bytes")]
    pub(crate) snapshot_bytes: u64,
    /// Most objects of a snapshot.
    pub(crate) snapshot_objects: NonZeroUsize,
    /// An update that deletes more than this share of all keys or models is held back.
    pub(crate) deleted_percent: u8,
    /// An update that deletes fewer is not.
    pub(crate) deleted_min: u64,
    /// How long it is held back.
    #[serde(with = "human::duration")]
    pub(crate) held_back_for: Duration,
    /// How soon a snapshot that did not mend a divergence is asked for again.
    #[serde(with = "human::duration")]
    pub(crate) mend_again_after: Duration,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            dir: None,
            max_config_age: Duration::from_secs(24 * 60 * 60),
            journal_bytes: 4 * MIB,
            snapshot_bytes: 4 * GIB,
            snapshot_objects: at_least_one(20_000_000),
            deleted_percent: 30,
            deleted_min: 20,
            held_back_for: Duration::from_secs(60),
            mend_again_after: Duration::from_secs(10 * 60),
        }
    }
}

/// Sizes, counts and times beyond which a request is refused or given up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    /// Most bytes of a request's body.
    #[serde(with = "human::bytes")]
    pub(crate) body_bytes: u64,
    /// Most bytes of a request's head.
    #[serde(with = "human::bytes")]
    pub(crate) head_bytes: u64,
    /// Deepest nesting of a request's JSON.
    pub(crate) json_depth: NonZeroUsize,
    /// Most bytes of the head of an upstream's answer.
    #[serde(with = "human::bytes")]
    pub(crate) answer_head_bytes: u64,
    /// Most bytes of an answer that is not a stream.
    #[serde(with = "human::bytes")]
    pub(crate) answer_bytes: u64,
    /// Most bytes of one event of a stream.
    #[serde(with = "human::bytes")]
    pub(crate) event_bytes: u64,
    /// Most choices (`n`) that one request may ask for.
    pub(crate) choices: NonZeroU64,
    /// Most web searches that one request is held for, and charged.
    pub(crate) web_searches: u64,
    /// Most bytes of text that our own tokeniser counts of a prompt, or of a whole answer; a longer one is estimated.
    #[serde(with = "human::bytes")]
    pub(crate) counted_bytes: u64,
    /// Most models that one request may name.
    pub(crate) models: NonZeroUsize,
    /// Longest `session_id`.
    #[serde(with = "human::bytes")]
    pub(crate) session_id_bytes: u64,
    /// Most upstreams that one request is tried on.
    pub(crate) attempts: NonZeroUsize,
    /// Most bytes of `HTTP-Referer` and of `X-Title` that are recorded.
    #[serde(with = "human::bytes")]
    pub(crate) app_bytes: u64,
    /// Most connections of clients, per core.
    pub(crate) connections: NonZeroUsize,
    /// How many times its size a compressed body may unpack to.
    pub(crate) unpacked_ratio: NonZeroUsize,
    /// Most bytes of an id that a client asks for.
    #[serde(with = "human::bytes")]
    pub(crate) id_bytes: u64,
    /// Most questions about accounts that wait for the control plane at once.
    pub(crate) account_questions: NonZeroUsize,
    /// How long one of them waits.
    #[serde(with = "human::duration")]
    pub(crate) account_timeout: Duration,
    /// Most idempotency keys that are remembered.
    pub(crate) idempotency_keys: NonZeroUsize,
    /// Most bytes of one.
    #[serde(with = "human::bytes")]
    pub(crate) idempotency_key_bytes: u64,
    /// How long one stays used.
    #[serde(with = "human::duration")]
    pub(crate) idempotency_window: Duration,
    /// A client to send a request's head.
    #[serde(with = "human::duration")]
    pub(crate) head_timeout: Duration,
    /// A client to send any next part of its body.
    #[serde(with = "human::duration")]
    pub(crate) body_timeout: Duration,
    /// A client to send its whole body.
    #[serde(with = "human::duration")]
    pub(crate) body_whole_timeout: Duration,
    /// A client to take any next part of what is written to it.
    #[serde(with = "human::duration")]
    pub(crate) write_timeout: Duration,
    /// A connection to an upstream to stand: its name, the connection, and then TLS, each.
    #[serde(with = "human::duration")]
    pub(crate) connect_timeout: Duration,
    /// A connection to an upstream to stay open without a request.
    #[serde(with = "human::duration")]
    pub(crate) upstream_idle_timeout: Duration,
    /// An upstream to begin its answer.
    #[serde(with = "human::duration")]
    pub(crate) first_token_timeout: Duration,
    /// An upstream to go on with a stream.
    #[serde(with = "human::duration")]
    pub(crate) between_tokens_timeout: Duration,
    /// A stream in all.
    #[serde(with = "human::duration")]
    pub(crate) stream_timeout: Duration,
    /// An answer that is not a stream, in all.
    #[serde(with = "human::duration")]
    pub(crate) answer_timeout: Duration,
    /// How long a stream's headers wait for its first event; keep-alives flow at this interval afterwards.
    #[serde(with = "human::duration")]
    pub(crate) stream_headers_wait: Duration,
    /// How long an upstream that failed is tried last; doubles with each failure in a row.
    #[serde(with = "human::duration")]
    pub(crate) cooldown: Duration,
    /// Longest cooldown, also when the upstream asks for more.
    #[serde(with = "human::duration")]
    pub(crate) cooldown_max: Duration,
    /// How long what is known of an upstream's speed is good.
    #[serde(with = "human::duration")]
    pub(crate) speed_age_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 32 * MIB,
            head_bytes: 64 * KIB,
            json_depth: at_least_one(128),
            answer_head_bytes: 64 * KIB,
            answer_bytes: 64 * MIB,
            event_bytes: 32 * MIB,
            choices: NonZeroU64::MIN.saturating_add(127),
            web_searches: 10,
            counted_bytes: 4 * MIB,
            models: at_least_one(8),
            session_id_bytes: 256,
            attempts: at_least_one(4),
            app_bytes: 128,
            connections: at_least_one(32_768),
            unpacked_ratio: at_least_one(100),
            id_bytes: 256,
            account_questions: at_least_one(32),
            account_timeout: Duration::from_secs(2),
            idempotency_keys: at_least_one(100_000),
            idempotency_key_bytes: 255,
            idempotency_window: Duration::from_secs(24 * 3600),
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(60),
            body_whole_timeout: Duration::from_secs(10 * 60),
            write_timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(5),
            upstream_idle_timeout: Duration::from_secs(90),
            first_token_timeout: Duration::from_secs(30),
            between_tokens_timeout: Duration::from_secs(60),
            stream_timeout: Duration::from_secs(30 * 60),
            answer_timeout: Duration::from_secs(10 * 60),
            stream_headers_wait: Duration::from_secs(10),
            cooldown: Duration::from_secs(2),
            cooldown_max: Duration::from_secs(5 * 60),
            speed_age_max: Duration::from_secs(30 * 60),
        }
    }
}

/// Money in flight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Money {
    /// Tokens of output that a stream holds ahead of what was delivered.
    pub(crate) output_window_tokens: NonZeroU64,
    /// Longest that a request waits for its first slice.
    #[serde(with = "human::duration")]
    pub(crate) wait_max: Duration,
    /// How often the control plane is told what was spent.
    #[serde(with = "human::duration")]
    pub(crate) report_every: Duration,
    /// When money that no request used is given back.
    #[serde(with = "human::duration")]
    pub(crate) idle_release_after: Duration,
}

impl Default for Money {
    fn default() -> Self {
        Self {
            output_window_tokens: NonZeroU64::MIN.saturating_add(255),
            wait_max: Duration::from_millis(300),
            report_every: Duration::from_secs(5),
            idle_release_after: Duration::from_secs(30),
        }
    }
}

/// Usage events on their way to billing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Spool {
    /// Where it is; absent: `spool` in the data directory.
    pub(crate) dir: Option<PathBuf>,
    /// Size of one file.
    #[serde(with = "human::bytes")]
    pub(crate) segment_bytes: u64,
    /// Size of all files.
    #[serde(with = "human::bytes")]
    pub(crate) capacity_bytes: u64,
    /// Longest that a written event waits for the disk's word.
    #[serde(with = "human::duration")]
    pub(crate) sync_interval: Duration,
    /// How full it may be before new requests are refused.
    pub(crate) high_water_percent: u8,
}

impl Default for Spool {
    fn default() -> Self {
        Self {
            dir: None,
            segment_bytes: 16 * MIB,
            capacity_bytes: 10 * GIB,
            sync_interval: Duration::from_millis(5),
            high_water_percent: 95,
        }
    }
}

/// How it stops. What is absent depends on what else the process is: `turnpike/src/up/drain.rs` knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Drain {
    /// How long it serves on after it has said that it is not ready.
    #[serde(with = "human::optional_pause")]
    pub(crate) grace: Option<Duration>,
    /// How long running requests may then go on.
    #[serde(with = "human::optional_pause")]
    pub(crate) limit: Option<Duration>,
}

/// Prompts and completions of orgs that want them kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Content {
    /// Most bytes that are kept of a prompt, and of a completion.
    #[serde(with = "human::bytes")]
    pub(crate) bytes: u64,
    /// Most bytes that wait to be sent.
    #[serde(with = "human::bytes")]
    pub(crate) waiting_bytes: u64,
}

impl Default for Content {
    fn default() -> Self {
        Self { bytes: MIB, waiting_bytes: 64 * MIB }
    }
}

/// A default that is known not to be zero.
const fn at_least_one(count: usize) -> NonZeroUsize {
    NonZeroUsize::MIN.saturating_add(count.saturating_sub(1))
}
