//! Where a request comes from: the connection's other end, or whom a trusted proxy names.
//!
//! The address itself goes no further than this file; what is kept of it is `domain::client`'s digest.

use crate::clock::now;
use crate::plane::Core;
use domain::client::ClientDigest;
use domain::network::Networks;
use http::request::Parts;
use http::{HeaderMap, Request};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::task::{Context, Poll};
use tower::Service;

/// The other end of a connection.
#[derive(Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Tells every request of a connection where that comes from.
#[derive(Clone)]
pub(crate) struct WithPeer<S> {
    service: S,
    peer: Peer,
}

impl<S> WithPeer<S> {
    pub(crate) fn new(service: S, peer: Peer) -> Self {
        Self { service, peer }
    }
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for WithPeer<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        request.extensions_mut().insert(self.peer);
        self.service.call(request)
    }
}

/// What is kept of the address of whoever sent this.
pub(crate) fn digest(core: &Core, head: &Parts) -> ClientDigest {
    let peer = head.extensions.get::<Peer>();
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Peer(address)| *address);
    let trusted = &core.plane.parts.settings.trusted_proxies;
    core.plane.address_key.digest(client(peer, &head.headers, trusted), now())
}

/// The last one in the chain of proxies that we do not trust: whoever stands before it could have written anything.
fn client(peer: IpAddr, headers: &HeaderMap, trusted: &Networks) -> IpAddr {
    let mut client = peer;
    let mut told = headers.get_all("x-forwarded-for").iter().rev().flat_map(|line| {
        let line = line.to_str().unwrap_or_default();
        line.rsplit(',').map(|hop| address(hop.trim()))
    });
    while trusted.hold(client) {
        match told.next().flatten() {
            Some(before) => client = before,
            None => break,
        }
    }
    client
}

/// Some proxies add the port.
fn address(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']')).unwrap_or(hop);
    bare.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
}

#[cfg(test)]
mod tests {
    use super::client;
    use domain::network::Networks;
    use http::{HeaderMap, HeaderName, HeaderValue};

    #[test]
    fn only_what_trusted_proxies_say_is_believed() {
        let proxies = Networks::parse(&["10.0.0.0/8", "192.0.2.1"]).expect("networks");
        let rows: [(&str, &[&str], &str); 10] = [
            // the connection comes from, X-Forwarded-For, the client is
            ("203.0.113.7", &[], "203.0.113.7"),
            ("203.0.113.7", &["198.51.100.1"], "203.0.113.7"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["6.6.6.6, 198.51.100.1, 192.0.2.1, 10.9.9.9"], "198.51.100.1"),
            ("10.0.0.1", &["6.6.6.6", "198.51.100.1", "192.0.2.1"], "198.51.100.1"),
            ("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("10.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1"),
            ("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
        ];
        for (peer, lines, expected) in rows {
            let mut headers = HeaderMap::new();
            for line in lines {
                let name = HeaderName::from_static("x-forwarded-for");
                headers.append(name, HeaderValue::from_static(line));
            }
            let found = client(peer.parse().expect("an address"), &headers, &proxies);
            assert_eq!(found.to_string(), expected, "{peer} {lines:?}");
        }
    }
}
