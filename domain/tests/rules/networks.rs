//! Where upstreams may be: public addresses, and what an operator opened, in every notation that leads there.

use domain::network::{Closed, Networks};

const PUBLIC: [&str; 7] = [
    "https://api.openai.com/v1",
    "https://8.8.8.8/v1",
    "http://[2606:4700::1111]:8000/v1",
    "https://[::ffff:8.8.8.8]/",
    "https://[64:ff9b::808:808]/",
    "https://4pi.example/v1",
    "https://host.local-looking.example:443/",
];

const CLOSED: [&str; 36] = [
    "http://127.0.0.1:8080/v1",
    "http://127.255.0.1/",
    "http://0.0.0.0/",
    "http://0.1.2.3/",
    "http://10.1.2.3/",
    "http://100.64.0.1/",
    "http://100.127.255.255/",
    "http://169.254.169.254/latest/meta-data",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.0.0.8/",
    "http://192.0.2.1/",
    "http://192.168.1.1/",
    "http://198.18.0.1/",
    "http://203.0.113.9/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://[::1]:9/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[64:ff9b:1::1]/",
    "http://[fe80::1]/",
    "http://[fc00::1]/",
    "http://[fd12:3456::1]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://[2001:db8::1]/",
    "http://[2001::1]/",
    "http://[2002:7f00:1::]/",
    "http://localhost:11434/v1",
    "http://LOCALHOST./",
    "http://api.localhost/",
    "http://2130706433/",
    "http://0x7f.1/",
];

#[test]
fn upstreams_may_be_at_public_addresses_alone() {
    let networks = Networks::default();
    for url in PUBLIC {
        assert_eq!(networks.permit_url(url), Ok(()), "{url}");
    }
    for url in CLOSED {
        assert!(networks.permit_url(url).is_err(), "{url}");
    }
}

#[test]
fn an_operator_can_open_networks_and_only_these() {
    let open = Networks::parse(&["10.0.0.0/8", "fd00::/8"]).unwrap();
    for url in ["http://10.9.8.7/", "http://[fd00::1]/", "http://[::ffff:10.0.0.1]/"] {
        assert_eq!(open.permit_url(url), Ok(()), "{url}");
    }
    for url in
        ["http://11.0.0.1.1/", "http://192.168.0.1/", "http://[fe80::1]/", "http://127.0.0.1/"]
    {
        assert!(open.permit_url(url).is_err(), "{url}");
    }
    let demo = Networks::default().and_loopback();
    for url in ["http://127.0.0.1:8099/v1", "http://[::1]/", "http://localhost/"] {
        assert_eq!(demo.permit_url(url), Ok(()), "{url}");
    }
    assert!(demo.permit_url("http://10.0.0.1/").is_err());
}

#[test]
fn a_notation_that_only_a_resolver_understands_is_refused_even_where_all_is_open() {
    let open = Networks::parse(&["0.0.0.0/0", "::/0"]).unwrap();
    for host in ["0x7f.1", "2130706433", "127.1", "010.0.0.1", "1.2.3.4.5", "::g"] {
        let notation = Err(Closed::Notation(host.to_owned()));
        assert_eq!(open.permit_host(host), notation, "{host}");
    }
}

#[test]
fn what_is_no_network_is_told() {
    for text in ["10.0.0", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "10.0.0.0/8/8", "everywhere", ""]
    {
        let error = Networks::parse(&[text]).unwrap_err().to_string();
        assert!(error.contains("10.0.0.0/8"), "{error}");
    }
}

#[test]
fn a_network_holds_what_begins_like_it() {
    let rows = [
        ("10.0.0.0/8", "10.255.1.2", true),
        ("10.0.0.0/8", "11.0.0.1", false),
        ("10.1.2.3", "10.1.2.3", true),
        ("10.1.2.3", "10.1.2.4", false),
        ("0.0.0.0/0", "203.0.113.7", true),
        ("0.0.0.0/0", "2001:db8::1", false),
        ("::/0", "2001:db8::1", true),
        ("2001:db8::/32", "2001:db8:ffff::1", true),
        ("2001:db8::/32", "2001:db9::1", false),
        ("10.0.0.0/8", "::ffff:10.1.1.1", true),
    ];
    for (text, address, holds) in rows {
        let networks = Networks::parse(&[text]).unwrap();
        assert_eq!(networks.hold(address.parse().unwrap()), holds, "{text} {address}");
    }
}
