//! Where an upstream is → a connection that its request may be written to: its name resolved, the address permitted and reached,
//! TLS agreed with who the name says. Tells which of these failed; nothing was sent by then.

use crate::upstream::resolver::{ResolveError, Resolver};
use crate::upstream::wire::Stream;
use domain::network::Networks;
use http::Uri;
use http::uri::Scheme;
use hyper_rustls::ConfigBuilderExt;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::error::Error as StdError;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tower::Service;

/// Plain or encrypted, which differ much in size.
pub(crate) type Connection = Box<dyn Stream>;

/// Why there is no connection.
#[derive(Debug, Error)]
pub(crate) enum ConnectError {
    /// No address that may be dialled.
    #[error("its name leads nowhere")]
    Unresolved,
    /// No address answers.
    #[error("it cannot be reached")]
    Unreachable,
    /// Certificate, version, or what it said is no TLS.
    #[error("TLS could not be agreed")]
    Tls(#[source] io::Error),
}

/// One core's connector.
pub(crate) struct Connector {
    tcp: HttpConnector<Resolver>,
    tls: TlsConnector,
    patience: Duration,
}

impl Connector {
    /// Trusts whom the machine trusts (`SSL_CERT_FILE` is heeded). Name, connection and TLS may each take as long as that.
    pub(crate) fn new(networks: Arc<Networks>, patience: Duration) -> io::Result<Self> {
        let mut tcp = HttpConnector::new_with_resolver(Resolver::new(networks, patience));
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(patience));
        tcp.enforce_http(false);
        let trusted = ClientConfig::builder().with_native_roots()?.with_no_client_auth();
        Ok(Self { tcp, tls: TlsConnector::from(Arc::new(trusted)), patience })
    }

    /// A new connection to an origin.
    pub(crate) async fn connect(&self, to: &Uri) -> Result<Connection, ConnectError> {
        let connected = self.reach(to).await?;
        if to.scheme() != Some(&Scheme::HTTPS) {
            return Ok(Box::new(connected));
        }
        let agreed = timeout(self.patience, self.agree(to, connected)).await;
        let agreed = agreed.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        agreed.map_err(|error| {
            let host = to.host().unwrap_or_default();
            tracing::warn!(host, %error, "TLS could not be agreed with an upstream: nothing was sent");
            ConnectError::Tls(error)
        })
    }

    async fn reach(&self, to: &Uri) -> Result<TcpStream, ConnectError> {
        let mut tcp = self.tcp.clone();
        let reached = match poll_fn(|context| tcp.poll_ready(context)).await {
            Ok(()) => tcp.call(to.clone()).await,
            Err(unready) => Err(unready),
        };
        let reached = reached.map_err(|error| {
            // Why a name was not resolved is told by the resolver.
            let was_resolver = error.source().is_some_and(<dyn StdError>::is::<ResolveError>);
            if was_resolver { ConnectError::Unresolved } else { ConnectError::Unreachable }
        });
        reached.map(TokioIo::into_inner)
    }

    /// TLS with whom the address names.
    async fn agree(&self, to: &Uri, stream: TcpStream) -> io::Result<Connection> {
        let host = to.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let server = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        Ok(Box::new(self.tls.connect(server, stream).await?))
    }
}
