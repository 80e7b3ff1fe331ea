//! Networks as operators name them, and where upstreams may be: at public addresses, and in networks that were opened.
//! What an address leads to is asked twice, when an upstream is written and each time it is dialled; resolving names is
//! not done here.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use thiserror::Error;

/// IPv4 that is no public unicast (IANA's registry of special purposes).
const SPECIAL_V4: [Ipv4Net; 16] = [
    v4(0, 0, 0, 8),
    v4(10, 0, 0, 8),
    v4(100, 64, 0, 10),
    v4(127, 0, 0, 8),
    v4(169, 254, 0, 16),
    v4(172, 16, 0, 12),
    v4(192, 0, 0, 24),
    v4(192, 0, 2, 24),
    v4(192, 88, 99, 24),
    v4(192, 168, 0, 16),
    v4(198, 18, 0, 15),
    v4(198, 51, 100, 24),
    v4(203, 0, 113, 24),
    v4(224, 0, 0, 4),
    v4(240, 0, 0, 4),
    v4(255, 255, 255, 32),
];

/// The only IPv6 that is public unicast.
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);
/// What of it is not: protocol assignments with Teredo, documentation, 6to4.
const SPECIAL_V6: [Ipv6Net; 4] = [
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    v6([0x2001, 0x0db8, 0, 0, 0, 0, 0, 0], 32),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
];
/// IPv6 that a translator turns into the IPv4 of its last four bytes.
const NAT64: Ipv6Net = v6([0x0064, 0xff9b, 0, 0, 0, 0, 0, 0], 96);

const fn v4(a: u8, b: u8, c: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, 0), length)
}

const fn v6(parts: [u16; 8], length: u8) -> Ipv6Net {
    let [a, b, c, d, e, f, g, h] = parts;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), length)
}

/// Networks that an operator lists: open to upstreams beside public addresses, or of proxies that are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

/// Not a network.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "\"{0}\" is neither a network nor an address: write it as 10.0.0.0/8, fd00::/8 or 10.1.2.3"
)]
pub struct NotANetwork(pub String);

/// Where an upstream must not be.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Closed {
    /// Private, local, or otherwise not public.
    #[error(
        "{0} is not a public address: put its network into egress.allowed_networks if upstreams may be there"
    )]
    Address(IpAddr),
    /// An IPv4 address as only some readers understand it.
    #[error("\"{0}\" is not a name, and no address in its usual form: write it as four numbers")]
    Notation(String),
}

impl Networks {
    /// Reads networks such as `10.0.0.0/8`; an address is a network of one.
    ///
    /// # Errors
    /// When one of them is none.
    pub fn parse<T: AsRef<str>>(texts: &[T]) -> Result<Self, NotANetwork> {
        let network = |text: &T| {
            let text = text.as_ref();
            let address = || text.parse::<IpAddr>().map(IpNet::from);
            text.parse().or_else(|_| address()).map_err(|_| NotANetwork(text.to_owned()))
        };
        texts.iter().map(network).collect::<Result<_, _>>().map(Self)
    }

    /// Whether an address is in one of them.
    #[must_use]
    pub fn hold(&self, address: IpAddr) -> bool {
        let meant = meant(address);
        self.0.iter().any(|network| network.contains(&address) || network.contains(&meant))
    }

    /// With this machine itself, which the demo's simulator runs on.
    #[must_use]
    pub fn and_loopback(mut self) -> Self {
        self.0.push(IpNet::V4(v4(127, 0, 0, 8)));
        self.0.push(IpNet::V6(v6([0, 0, 0, 0, 0, 0, 0, 1], 128)));
        self
    }

    /// Whether an upstream may be at an address.
    ///
    /// # Errors
    /// When it is neither public nor in an open network.
    pub fn permit(&self, address: IpAddr) -> Result<(), Closed> {
        if is_public(meant(address)) || self.hold(address) {
            return Ok(());
        }
        Err(Closed::Address(address))
    }

    /// Whether an upstream may have this base URL, as far as its text tells: names are resolved when they are dialled.
    ///
    /// # Errors
    /// When its host is an address that is not permitted, or looks like none and is one.
    pub fn permit_url(&self, base_url: &str) -> Result<(), Closed> {
        let rest = base_url.split_once("://").map_or(base_url, |(_, rest)| rest);
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        self.permit_host(host(authority))
    }

    /// The same for a host without its port.
    ///
    /// # Errors
    /// As for a URL.
    pub fn permit_host(&self, host: &str) -> Result<(), Closed> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse() {
            return self.permit(address);
        }
        let name = bare.trim_end_matches('.').to_ascii_lowercase();
        if name == "localhost" || name.ends_with(".localhost") {
            return self.permit(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        if is_number(name.rsplit('.').next().unwrap_or_default()) || bare.contains(':') {
            return Err(Closed::Notation(bare.to_owned()));
        }
        Ok(())
    }
}

fn host(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => authority,
    }
}

/// `0x7f.1` and `2130706433` are 127.0.0.1 to a resolver: a name never ends in a number.
fn is_number(label: &str) -> bool {
    let hexadecimal = label.strip_prefix("0x");
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    hexadecimal.is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit())) || digits(label)
}

/// The address that is reached in the end.
fn meant(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    if let Some(mapped) = v6.to_ipv4_mapped() {
        return IpAddr::V4(mapped);
    }
    if NAT64.contains(&v6) {
        let [.., a, b, c, d] = v6.octets();
        return IpAddr::V4(Ipv4Addr::new(a, b, c, d));
    }
    address
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !SPECIAL_V4.iter().any(|network| network.contains(&v4)),
        IpAddr::V6(v6) => {
            GLOBAL_V6.contains(&v6) && !SPECIAL_V6.iter().any(|network| network.contains(&v6))
        }
    }
}
