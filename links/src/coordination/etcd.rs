//! The carrier over etcd: one task that is there, tells and hears, and that comes back for ever when it cannot.
//!
//! `watch` hears, `election` is there and tells, `diff` knows, `client` is one connection. Nothing waits for etcd: what is
//! to be told waits in `outbox`.

mod client;
mod diff;
mod election;
mod keys;
mod outbox;
mod watch;

use super::board::{Board, Tenure};
use super::{Coordination, Duty, Member, Topic};
use crate::ReconnectSettings;
use crate::reconnect::Backoff;
use client::Client;
use domain::id::Revision;
use election::Presence;
use keys::{Key, Keys};
use outbox::Outbox;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use thiserror::Error;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use watch::Hearing;

/// How long giving back what we hold may take when the process ends.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Where etcd is, and how patient we are with it.
#[derive(Clone, Debug)]
pub struct EtcdSettings {
    /// `http://host:port`, or `https://`; tried in turn.
    pub endpoints: Vec<String>,
    /// For `https`.
    pub tls: Option<EtcdTls>,
    /// What all keys begin with.
    pub prefix: String,
    /// How often we say that we are there. Three beats without hearing anything, and the connection is given up.
    pub beat: Duration,
    /// How long we hold what we have won when we say nothing.
    pub lease: Duration,
    /// After how long without etcd a chore is anybody's.
    pub open_after: Duration,
    /// How often all keys are listed to find what a watch has lost.
    pub audit_every: Duration,
    /// How long any answer may take.
    pub call_timeout: Duration,
    /// How often the connection is pinged, and how long the answer may take.
    pub ping_interval: Duration,
    /// See there.
    pub ping_timeout: Duration,
    /// How it comes back after a break.
    pub reconnect: ReconnectSettings,
}

/// Files with PEM. They are read for each connection.
#[derive(Clone, Debug)]
pub struct EtcdTls {
    /// Who must have signed for etcd.
    pub ca: PathBuf,
    /// What we show, and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Default for EtcdSettings {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            tls: None,
            prefix: "/turnpike".to_owned(),
            beat: Duration::from_secs(3),
            lease: Duration::from_secs(10),
            open_after: Duration::from_secs(60),
            audit_every: Duration::from_secs(60),
            call_timeout: Duration::from_secs(5),
            ping_interval: Duration::from_secs(3),
            ping_timeout: Duration::from_secs(3),
            reconnect: ReconnectSettings {
                longest_wait: Duration::from_secs(5),
                ..ReconnectSettings::default()
            },
        }
    }
}

impl EtcdSettings {
    /// How long nothing may be heard.
    fn silence(&self) -> Duration {
        self.beat.saturating_mul(3)
    }

    fn lease_seconds(&self) -> i64 {
        i64::try_from(self.lease.as_secs().max(1)).unwrap_or(i64::MAX)
    }
}

/// Why the settings cannot work.
#[derive(Debug, Error)]
pub enum EtcdError {
    /// No endpoint is named.
    #[error("no endpoint of etcd is named")]
    NoEndpoint,
    /// One is no address, or TLS cannot be made with it.
    #[error("etcd cannot be reached like this: {}", with_causes(.0))]
    Endpoint(#[from] tonic::transport::Error),
    /// A certificate or a key cannot be read.
    #[error("{path} cannot be read: {error}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Why a connection ended.
#[derive(Debug, Error)]
pub enum Broken {
    /// It never began.
    #[error(transparent)]
    Unreachable(#[from] EtcdError),
    /// A call took too long.
    #[error("no answer came in time")]
    NoAnswer,
    /// By its word.
    #[error("{}: {}", .0.code(), .0.message())]
    Refused(#[from] Status),
    /// It is no etcd.
    #[error("an answer has no header")]
    NoHeader,
    /// By its word, too.
    #[error("the watch was cancelled: {0}")]
    Canceled(String),
    /// Without a word.
    #[error("the watch ended")]
    Ended,
    /// A watch that tells nothing.
    #[error("the watch says nothing, not even what we put ourselves")]
    Silent,
}

/// How it stands with etcd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether there is a connection on which all is well, as far as is known.
    pub is_connected: bool,
    /// Connections that broke, and attempts at one.
    pub breaks: u64,
    /// News that came from others.
    pub pokes_heard: u64,
    /// How often all keys were listed, and why.
    pub lists: Lists,
}

/// How often all keys were listed, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// Nothing was known yet.
    pub begun: u64,
    /// etcd had forgotten what came next.
    pub compacted: u64,
    /// etcd was restored, or is another one.
    pub rewound: u64,
    /// To find what a watch has lost.
    pub audits: u64,
}

/// What is there, for whoever only looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Who says that he is there.
    pub members: Vec<Member>,
    /// The newest revision that was told.
    pub head: Option<Revision>,
}

/// Looks at what one endpoint has, and changes nothing.
///
/// # Errors
/// When it does not answer, or refuses.
pub async fn look(settings: &EtcdSettings, endpoint: &str) -> Result<Seen, Broken> {
    let keys = Keys::new(&settings.prefix);
    let client = Client::connect(settings, endpoint).await?;
    let listing = client.list(&keys).await?;
    let mut seen = Seen::default();
    for held in listing.keys {
        let text = String::from_utf8_lossy(&held.value);
        match keys.read(&held.key) {
            Some(Key::Head) => seen.head = keys::read_head(&text).map(|(head, _)| head),
            Some(Key::Member(id)) => seen.members.extend(keys::read_member(&id, &text)),
            Some(Key::Poke(_)) | None => {}
        }
    }
    Ok(seen)
}

/// The carrier. Clones are the same one.
#[derive(Clone, Debug)]
pub struct EtcdCoordination {
    shared: Arc<Shared>,
}

/// What the task and those who use it share.
#[derive(Debug)]
struct Shared {
    settings: EtcdSettings,
    keys: Keys,
    me: Member,
    board: Board,
    outbox: Outbox,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    is_connected: AtomicBool,
    breaks: AtomicU64,
    pokes_heard: AtomicU64,
    begun: AtomicU64,
    compacted: AtomicU64,
    rewound: AtomicU64,
    audits: AtomicU64,
}

impl EtcdCoordination {
    /// Begins, and goes on until the token is cancelled: then all that is held is given back. etcd need not be there.
    ///
    /// # Errors
    /// When the settings cannot work.
    pub fn start(
        settings: EtcdSettings,
        me: Member,
        stop: CancellationToken,
    ) -> Result<(Coordination, JoinHandle<()>), EtcdError> {
        if settings.endpoints.is_empty() {
            return Err(EtcdError::NoEndpoint);
        }
        for endpoint in &settings.endpoints {
            client::describe(&settings, endpoint)?;
        }
        let open_from = Instant::now() + settings.open_after;
        let board = Board::new(&me, Tenure::Shared { won_until: None, open_from });
        let keys = Keys::new(&settings.prefix);
        let (outbox, counts) = (Outbox::default(), Counts::default());
        let shared = Arc::new(Shared { settings, keys, me, board, outbox, counts });
        let task = tokio::spawn(Session::new(Arc::clone(&shared)).run(stop));
        Ok((Coordination::Etcd(Self { shared }), task))
    }

    pub(super) fn poke(&self, topic: Topic) {
        self.shared.board.wake(topic);
        self.shared.outbox.poke(topic);
    }

    pub(super) fn tell_head(&self, head: Revision) {
        self.shared.board.wake(Topic::Config);
        // Who found out from etcd has nothing to tell it.
        let is_new = self.shared.board.head().is_none_or(|shown| shown < head);
        self.shared.outbox.head(head, is_new);
    }

    pub(super) fn board(&self) -> &Board {
        &self.shared.board
    }

    pub(super) fn standing(&self) -> Standing {
        let counts = &self.shared.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Standing {
            is_connected: counts.is_connected.load(Ordering::Relaxed),
            breaks: read(&counts.breaks),
            pokes_heard: read(&counts.pokes_heard),
            lists: Lists {
                begun: read(&counts.begun),
                compacted: read(&counts.compacted),
                rewound: read(&counts.rewound),
                audits: read(&counts.audits),
            },
        }
    }
}

/// One connection after another.
struct Session {
    shared: Arc<Shared>,
    hearing: Hearing,
    presence: Presence,
    client: Option<Client>,
    /// Which endpoint is next.
    turn: usize,
}

impl Shared {
    /// The watch has begun.
    fn note_connection(&self) {
        if !self.counts.is_connected.swap(true, Ordering::Relaxed) {
            tracing::info!(prefix = self.settings.prefix, "connected to etcd");
        }
    }

    fn note_break(&self, broken: &Broken) {
        self.counts.breaks.fetch_add(1, Ordering::Relaxed);
        if self.counts.is_connected.swap(false, Ordering::Relaxed) {
            tracing::warn!(reason = %broken, "not connected to etcd: others are followed by polling");
        } else {
            tracing::debug!(reason = %broken, "etcd cannot be reached yet");
        }
    }
}

impl Session {
    fn new(shared: Arc<Shared>) -> Self {
        let hearing = Hearing::new(shared.keys.clone());
        Self { shared, hearing, presence: Presence::default(), client: None, turn: 0 }
    }

    async fn run(mut self, stop: CancellationToken) {
        let mut backoff = Backoff::new("etcd", self.shared.settings.reconnect, 1);
        loop {
            let began = Instant::now();
            let Some(broken) = stop.run_until_cancelled(self.live()).await else { break };
            self.shared.note_break(&broken);
            let wait = backoff.next_wait(began.elapsed());
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                break;
            }
        }
        self.resign().await;
    }

    /// One connection, to its end.
    async fn live(&mut self) -> Broken {
        let Self { shared, hearing, presence, .. } = self;
        let endpoints = &shared.settings.endpoints;
        let endpoint = &endpoints[self.turn % endpoints.len()];
        self.turn = self.turn.wrapping_add(1);
        let client = match Client::connect(&shared.settings, endpoint).await {
            Ok(client) => self.client.insert(client),
            Err(broken) => return broken,
        };
        tokio::select! {
            broken = hearing.hear(client, shared) => broken,
            broken = presence.keep(client, shared) => broken,
        }
    }

    async fn resign(&mut self) {
        self.shared.counts.is_connected.store(false, Ordering::Relaxed);
        let nothing = Tenure::Shared { won_until: None, open_from: far_away() };
        Duty::ALL.into_iter().for_each(|duty| self.shared.board.hold(duty, nothing));
        let Some(client) = &self.client else { return };
        match tokio::time::timeout(LAST_WORDS, self.presence.resign(client)).await {
            Ok(Ok(())) => {}
            Ok(Err(broken)) => tracing::debug!(reason = %broken, "what we hold runs out by itself"),
            Err(_) => tracing::debug!("what we hold runs out by itself"),
        }
    }
}

/// Never, for a process that ends.
fn far_away() -> Instant {
    Instant::now() + Duration::from_hours(24)
}

/// The error of a transport says little, its causes more.
fn with_causes(error: &tonic::transport::Error) -> String {
    let mut told = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        told = format!("{told}: {next}");
        cause = next.source();
    }
    told
}
