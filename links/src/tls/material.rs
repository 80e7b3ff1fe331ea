//! A certificate, its key and the authorities that are trusted, out of files. They are looked at now and again: a good new set
//! is used for each connection from then on, a bad one is refused and the one before stays.

use super::identity::{Identity, NoIdentity, Role};
use super::{client, server};
use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Where a set is; all in PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate, followed by those between it and the authority.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities that sign for the members of this fleet.
    pub ca: PathBuf,
}

/// Which end of connections a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// That of a control plane, or of billing.
    Serving,
    /// That of a data plane.
    Calling,
}

/// Why a set cannot be used. None of it quotes what the files hold.
#[derive(Debug, Error)]
pub enum TlsError {
    /// It is not there.
    #[error("{path} cannot be read: {cause}")]
    NotRead {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// It holds something else.
    #[error("{path} holds no {wanted} in PEM")]
    NotPem {
        /// Which file.
        path: PathBuf,
        /// What it should hold.
        wanted: &'static str,
    },
    /// The certificate says of nobody.
    #[error("{path} speaks for nobody of a fleet: {cause}")]
    Nobody {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        cause: NoIdentity,
    },
    /// The certificate is somebody else's.
    #[error("{path} is the certificate of {found}, and must be {wanted}")]
    SomebodyElse {
        /// Which file.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        wanted: String,
    },
    /// Its pieces are no set that others would take.
    #[error("the certificate, its key and the authorities do not fit together: {0}")]
    Unfit(#[from] rustls::Error),
}

/// How often sets were taken and refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loads {
    /// New sets that are used, the first one included.
    pub taken: u64,
    /// New sets that were bad.
    pub refused: u64,
}

/// The set that is used now. Clones are the same.
#[derive(Clone, Debug)]
pub struct Material(Arc<Inside>);

#[derive(Debug)]
struct Inside {
    files: TlsFiles,
    begins_with: [Stamp; 3],
    end: End,
    current: ArcSwap<Loaded>,
    loads: watch::Sender<Loads>,
}

/// One set.
#[derive(Debug)]
pub(super) struct Loaded {
    identity: Arc<Identity>,
    pub(super) server: Arc<ServerConfig>,
    pub(super) client: Arc<ClientConfig>,
}

/// What is put together to one.
pub(super) struct Pieces {
    pub(super) own: Arc<CertifiedKey>,
    pub(super) authorities: Arc<RootCertStore>,
    pub(super) provider: Arc<CryptoProvider>,
}

impl Material {
    /// Reads the files. A set that others would not take now, for instance one that has expired, is used and complained about:
    /// whoever serves without a connection must not be kept from it.
    ///
    /// # Errors
    /// When they do not hold a set for this end.
    pub fn load(files: TlsFiles, end: End) -> Result<Self, TlsError> {
        // Before they are read: what changes meanwhile is seen as a change.
        let begins_with = files.stamps();
        let (loaded, is_taken) = Loaded::read(&files, end)?;
        if let Err(error) = is_taken {
            tracing::error!(%error, cert = %files.cert.display(), "nobody takes this certificate now");
        }
        let loads = watch::Sender::new(Loads { taken: 1, refused: 0 });
        let current = ArcSwap::from_pointee(loaded);
        Ok(Self(Arc::new(Inside { files, begins_with, end, current, loads })))
    }

    /// For whom it speaks. That stays the same.
    #[must_use]
    pub fn identity(&self) -> Arc<Identity> {
        self.0.current.load().identity.clone()
    }

    /// How often sets were taken and refused, to be watched.
    #[must_use]
    pub fn loads(&self) -> watch::Receiver<Loads> {
        self.0.loads.subscribe()
    }

    /// Looks at the files at this interval, and when the process gets SIGHUP, until told to stop.
    pub async fn watch(self, every: Duration, stop: CancellationToken) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut asked = signal(SignalKind::hangup()).ok();
        let begins_with = self.0.begins_with;
        let mut seen = Seen { used: begins_with, last: begins_with, refused: None };
        loop {
            let is_asked = tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => false,
                () = hangup(&mut asked) => true,
            };
            self.look(&mut seen, is_asked);
        }
    }

    /// Files are replaced one after the other: a set is read once nothing has changed from one look to the next.
    fn look(&self, seen: &mut Seen, is_asked: bool) {
        let now = self.0.files.stamps();
        let rests = std::mem::replace(&mut seen.last, now) == now;
        if !is_asked && (now == seen.used || !rests) {
            return;
        }
        match self.read_again() {
            Ok(loaded) => {
                self.0.current.store(Arc::new(loaded));
                (seen.used, seen.refused) = (now, None);
                self.0.loads.send_modify(|loads| loads.taken = loads.taken.saturating_add(1));
                tracing::info!(cert = %self.0.files.cert.display(), "a new certificate is used from now on");
            }
            // What is not valid yet may be so soon, without another change; it is told once.
            Err(error) if is_asked || seen.refused != Some(now) => {
                seen.refused = Some(now);
                self.0.loads.send_modify(|loads| loads.refused = loads.refused.saturating_add(1));
                tracing::error!(%error, "a new certificate is refused; the one before stays in use");
            }
            Err(_) => {}
        }
    }

    fn read_again(&self) -> Result<Loaded, TlsError> {
        let (loaded, is_taken) = Loaded::read(&self.0.files, self.0.end)?;
        is_taken?;
        let before = self.identity();
        if loaded.identity != before {
            let (path, wanted) = (self.0.files.cert.clone(), before.to_string());
            let found = loaded.identity.to_string();
            return Err(TlsError::SomebodyElse { path, found, wanted });
        }
        Ok(loaded)
    }

    pub(super) fn current(&self) -> Arc<Loaded> {
        self.0.current.load_full()
    }
}

impl Loaded {
    /// A set, and whether others would take it now.
    fn read(files: &TlsFiles, end: End) -> Result<(Self, Result<(), rustls::Error>), TlsError> {
        let chain = certificates(&files.cert)?;
        let identity = identity_of(&files.cert, &chain, end)?;
        let not_pem = |_| TlsError::NotPem { path: files.key.clone(), wanted: "private key" };
        let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?).map_err(not_pem)?;
        let mut authorities = RootCertStore::empty();
        for authority in certificates(&files.ca)? {
            authorities.add(authority)?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let own = Arc::new(CertifiedKey::from_der(chain, key, &provider)?);
        let pieces = Pieces { own, authorities: Arc::new(authorities), provider };
        let is_taken = match end {
            End::Serving => client::would_take(&pieces),
            End::Calling => server::would_take(&pieces),
        };
        let (server, client) = (server::config(&pieces)?, client::config(&pieces)?);
        Ok((Self { identity: Arc::new(identity), server, client }, is_taken))
    }
}

/// What tells one state of a file from another, as long as it is there.
type Stamp = Option<(i64, i64, u64, u64)>;

struct Seen {
    used: [Stamp; 3],
    last: [Stamp; 3],
    /// The set that was complained about last.
    refused: Option<[Stamp; 3]>,
}

impl TlsFiles {
    fn stamps(&self) -> [Stamp; 3] {
        [&self.cert, &self.key, &self.ca].map(|path| {
            let found = fs::metadata(path).ok()?;
            Some((found.mtime(), found.mtime_nsec(), found.ino(), found.len()))
        })
    }
}

fn identity_of(path: &Path, chain: &[CertificateDer<'_>], end: End) -> Result<Identity, TlsError> {
    let path = path.to_owned();
    let first = chain.first().ok_or(NoIdentity::Unreadable).and_then(Identity::of);
    let identity = match first {
        Ok(identity) => identity,
        Err(cause) => return Err(TlsError::Nobody { path, cause }),
    };
    let wanted = match (end, &identity.role) {
        (End::Serving, Role::ControlPlane { .. } | Role::Billing { .. })
        | (End::Calling, Role::DataPlane { .. }) => return Ok(identity),
        (End::Serving, Role::DataPlane { .. }) => "that of a control plane or of billing",
        (End::Calling, _) => "that of a data plane",
    };
    Err(TlsError::SomebodyElse { path, found: identity.to_string(), wanted: wanted.to_owned() })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = read.ok().filter(|certificates| !certificates.is_empty());
    found.ok_or_else(|| TlsError::NotPem { path: path.to_owned(), wanted: "certificate" })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|cause| TlsError::NotRead { path: path.to_owned(), cause })
}

/// Never, if the system does not tell.
async fn hangup(asked: &mut Option<Signal>) {
    let told = match asked {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if told.is_none() {
        std::future::pending::<()>().await;
    }
}
