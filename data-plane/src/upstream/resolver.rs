//! Names of upstreams → addresses that may be dialled. What is checked here is what is connected to, so that a name which
//! changes between the two cannot lead elsewhere. The rule is `domain::network`'s.

use domain::network::{Closed, Networks};
use futures::FutureExt;
use futures::future::BoxFuture;
use hyper_util::client::legacy::connect::dns::Name;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use thiserror::Error;
use tower::Service;

/// Why a name leads nowhere.
#[derive(Debug, Error)]
pub(crate) enum ResolveError {
    #[error("it has no address")]
    Nothing,
    #[error(transparent)]
    Unresolved(#[from] io::Error),
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// One core's resolver. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Resolver(Arc<Resolving>);

struct Resolving {
    networks: Arc<Networks>,
    patience: Duration,
    /// What each name led to last: a name server that is away takes no upstream with it.
    known: Mutex<HashMap<String, Vec<SocketAddr>>>,
}

impl Resolver {
    pub(crate) fn new(networks: Arc<Networks>, patience: Duration) -> Self {
        Self(Arc::new(Resolving { networks, patience, known: Mutex::default() }))
    }

    async fn resolve(&self, name: &str) -> Result<Vec<SocketAddr>, ResolveError> {
        let Resolving { networks, patience, known } = &*self.0;
        let found = look_up(name, *patience).await;
        let addresses = match found {
            Ok(addresses) => addresses,
            Err(error) => {
                let known = known.lock().get(name).cloned();
                tracing::warn!(host = name, %error, is_known = known.is_some(), "a name was not resolved");
                return known.ok_or(error);
            }
        };
        // One that may not be dialled spoils them all: who mixes them in means no good.
        for address in &addresses {
            networks.permit(address.ip())?;
        }
        known.lock().insert(name.to_owned(), addresses.clone());
        Ok(addresses)
    }
}

async fn look_up(name: &str, patience: Duration) -> Result<Vec<SocketAddr>, ResolveError> {
    // No name server is asked for this machine's own name, and not every system has a file that says it (RFC 6761, 6.3).
    if name.trim_end_matches('.').eq_ignore_ascii_case("localhost") {
        return Ok(vec![(Ipv4Addr::LOCALHOST, 0).into(), (Ipv6Addr::LOCALHOST, 0).into()]);
    }
    let found = tokio::time::timeout(patience, tokio::net::lookup_host((name, 0))).await;
    let found = found.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let addresses: Vec<SocketAddr> = found.collect();
    if addresses.is_empty() { Err(ResolveError::Nothing) } else { Ok(addresses) }
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = ResolveError;
    type Future = BoxFuture<'static, Result<Self::Response, ResolveError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ResolveError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolver = self.clone();
        async move {
            let resolved = resolver.resolve(name.as_str()).await;
            if let Err(ResolveError::Closed(closed)) = &resolved {
                tracing::warn!(host = name.as_str(), %closed, "an upstream is not called");
            }
            resolved.map(IntoIterator::into_iter)
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
