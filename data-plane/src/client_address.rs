//! Where a request comes from: the connection's other end, or whom a trusted proxy names.
//!
//! The address itself goes no further than this file; what is kept of it is `domain::client`'s digest.

use crate::clock::now;
use crate::plane::Core;
use domain::client::ClientDigest;
use domain::network::Networks;
use http::{HeaderMap, HeaderName};
use parking_lot::Mutex;
use std::net::{IpAddr, SocketAddr};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The other end of a connection.
pub(crate) struct Peer {
    address: IpAddr,
    /// What is kept of the last address that asked through it, which seldom changes.
    last: Mutex<Option<Digested>>,
}

#[derive(Clone, Copy)]
struct Digested {
    address: IpAddr,
    day: u64,
    digest: ClientDigest,
}

impl Peer {
    pub(crate) fn new(address: IpAddr) -> Self {
        Self { address, last: Mutex::default() }
    }

    /// What is kept of the address of whoever sent a request with these headers.
    pub(crate) fn digest(&self, core: &Core, headers: &HeaderMap) -> ClientDigest {
        let trusted = &core.plane.parts.settings.trusted_proxies;
        let (address, now) = (client(self.address, headers, trusted), now());
        let (mut last, day) = (self.last.lock(), now.day());
        match *last {
            Some(last) if last.address == address && last.day == day => last.digest,
            _ => {
                let digest = core.plane.address_key.digest(address, now);
                *last = Some(Digested { address, day, digest });
                digest
            }
        }
    }
}

/// The last one in the chain of proxies that we do not trust: whoever stands before it could have written anything.
fn client(peer: IpAddr, headers: &HeaderMap, trusted: &Networks) -> IpAddr {
    let mut client = peer;
    let mut told = headers.get_all(X_FORWARDED_FOR).iter().rev().flat_map(|line| {
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
