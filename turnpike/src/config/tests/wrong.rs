//! What is wrong in a file is told with its place, its key and what to do.

use super::load;

/// What a file must say to be wrong, and what is said of it.
fn each_is_told(table: &[(&str, &str)]) {
    for (text, says) in table {
        let error = load(text, &[]).expect_err(text);
        assert!(error.contains(says), "{text}\n  said: {error}\n  not:  {says}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_key() {
    each_is_told(&[
        (
            "data_plane: {listn: 127.0.0.1:1}",
            "turnpike.yaml: unknown key `data_plane.listn`; did you mean `data_plane.listen`?",
        ),
        (
            "data_plane: {limits: {body_byte: 1}}",
            "unknown key `data_plane.limits.body_byte`; did you mean `data_plane.limits.body_bytes`?",
        ),
        ("dataplane: {}", "unknown key `dataplane`; did you mean `data_plane`?"),
        ("hedging: {}", "unknown key `hedging`; known here: data_dir, log, "),
        (
            "data_plane: {limits: {head_timeout: 10}}",
            "`data_plane.limits.head_timeout`: \"10\" is no length of time",
        ),
        (
            "data_plane: {limits: {head_timeout: soon}}",
            "write it as 30 s, 300 ms, 10 min or 90 days",
        ),
        ("data_plane: {limits: {head_timeout: 0 s}}", "`data_plane.limits.head_timeout`"),
        ("data_plane: {limits: {head_timeout: -3 s}}", "`data_plane.limits.head_timeout`"),
        (
            "data_plane: {limits: {body_bytes: 3 parsecs}}",
            "\"3 parsecs\" is no size; write it as 32 MiB",
        ),
        (
            "data_plane: {limits: {body_bytes: 0}}",
            "`data_plane.limits.body_bytes`: must be more than 0",
        ),
        ("data_plane: {limits: {attempts: 0}}", "`data_plane.limits.attempts`"),
        ("data_plane: {listen: everywhere}", "`data_plane.listen`"),
        ("data_plane: {name: Sg 1}", "`data_plane.name` must have 1 to 63 of a-z, 0-9 and '-'"),
        (
            "data_plane: {spool: {high_water_percent: 100}}",
            "`data_plane.spool.high_water_percent` must be from 1 to 99",
        ),
        ("data_plane: {spool: {capacity_bytes: 1 MiB}}", "must hold at least four segments"),
        ("data_plane: {limits: {cooldown: 10 min}}", "`data_plane.limits.cooldown_max`"),
        ("log: {format: xml}", "`log.format`"),
        (
            "log: {filter: info}\nlog: {filter: debug}",
            "turnpike.yaml is no YAML mapping: duplicate entry",
        ),
        ("- a\n- b", "turnpike.yaml is no YAML mapping"),
        ("log: [", "turnpike.yaml is no YAML mapping"),
    ]);
}

#[test]
fn what_is_wrong_about_how_processes_reach_each_other_is_told() {
    each_is_told(&[
        (
            "coordination: {etcd: {endpoints: ['etcd:2379']}}",
            "`coordination.etcd.endpoints` must hold addresses such as http://127.0.0.1:2379",
        ),
        (
            "coordination: {etcd: {endpoints: ['http://a:1', 'https://b:2'], ca_file: ca.pem}}",
            "or https:// for all of them",
        ),
        (
            "coordination: {etcd: {endpoints: ['https://etcd:2379']}}",
            "`coordination.etcd.ca_file` must name the certificate",
        ),
        (
            "coordination: {etcd: {endpoints: ['https://a:1'], ca_file: a, cert_file: b}}",
            "`coordination.etcd.cert_file` must be given together with key_file, or not at all",
        ),
        (
            "coordination: {etcd: {prefix: turnpike}}",
            "`coordination.etcd.prefix` must begin with a slash",
        ),
        (
            "data_plane: {control_plane_addr: 'http://a:1', control_plane_addrs: ['http://b:1']}",
            "`data_plane.control_plane_addr` is the older name of data_plane.control_plane_addrs: set only one",
        ),
        (
            "data_plane: {control_plane_addrs: ['http://a:1', 'http://b:1', 'http://a:1']}",
            "`data_plane.control_plane_addrs` must not hold an address twice",
        ),
        (
            "data_plane: {cell: a b}\nlinks: {usage: {topic: {brokers: ['kafka:9092']}}}",
            "`data_plane.cell` must have 1 to 100 of A-Z, a-z, 0-9, '-' and '_' to name a topic",
        ),
        (
            "links: {usage: {topic: {cells: [eu, a.b]}}}",
            "`links.usage.topic.cells` must hold names of 1 to 100",
        ),
        (
            "links: {usage: {topic: {renew_interval: 6 s}}}",
            "`links.usage.topic.stale_after` must be at least twice links.usage.topic.renew_interval",
        ),
        ("links: {snapshots_at_once: 0}", "`links.snapshots_at_once`"),
        (
            "data_plane: {fleet_tls: {cert_file: a, key_file: b}}",
            "`data_plane.fleet_tls` needs cert_file, key_file and ca_file, or none",
        ),
        ("control_plane: {fleet_tls: {ca_file: a}}", "`control_plane.fleet_tls` needs"),
        ("billing: {fleet_tls: {key_file: a}}", "`billing.fleet_tls` needs"),
    ]);
}
