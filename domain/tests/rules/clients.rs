//! Client addresses are kept only as hashes that another key, another day and another client change.

use domain::client::{AddressKey, ClientDigest};
use domain::key::{Pepper, digest};
use domain::time::Timestamp;
use std::net::IpAddr;

const DAY_US: u64 = 24 * 60 * 60 * 1_000_000;
const MIDNIGHT: Timestamp = Timestamp(20_000 * DAY_US);

fn hashed(pepper: u8, address: &str, at: Timestamp) -> ClientDigest {
    let address: IpAddr = address.parse().expect("an address");
    AddressKey::derive(&Pepper([pepper; 32])).digest(address, at)
}

#[test]
fn requests_of_one_address_and_day_are_alike_and_no_others() {
    let first = hashed(1, "203.0.113.7", MIDNIGHT);
    let (evening, tomorrow) = (Timestamp(MIDNIGHT.0 + DAY_US - 1), Timestamp(MIDNIGHT.0 + DAY_US));
    let rows = [
        ("the same", hashed(1, "203.0.113.7", MIDNIGHT), true),
        ("mapped into IPv6", hashed(1, "::ffff:203.0.113.7", MIDNIGHT), true),
        ("the last moment of the day", hashed(1, "203.0.113.7", evening), true),
        ("the next day", hashed(1, "203.0.113.7", tomorrow), false),
        ("the neighbour", hashed(1, "203.0.113.8", MIDNIGHT), false),
        ("another zone's secret", hashed(2, "203.0.113.7", MIDNIGHT), false),
    ];
    for (what, other, is_same) in rows {
        assert_eq!(other == first, is_same, "{what}");
    }
}

#[test]
fn of_ipv6_the_network_counts() {
    let first = hashed(1, "2001:db8:1:2::1", MIDNIGHT);
    assert_eq!(hashed(1, "2001:db8:1:2:ffff:ffff:ffff:ffff", MIDNIGHT), first);
    assert_ne!(hashed(1, "2001:db8:1:3::1", MIDNIGHT), first);
}

#[test]
fn the_key_is_not_the_one_that_digests_api_keys() {
    let pepper = Pepper([1; 32]);
    let address: IpAddr = "203.0.113.7".parse().expect("an address");
    let ours = AddressKey::derive(&pepper).digest(address, MIDNIGHT);
    assert_ne!(ours.0, digest(&pepper, "203.0.113.7").0);
    assert_eq!(format!("{:?}", AddressKey::derive(&pepper)), "AddressKey(…)");
}
