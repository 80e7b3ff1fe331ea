//! The built binary over real sockets, one file per promise. How it is started and spoken to is the harness's business
//! (`integration_tests`).

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy.toml allows them in tests, but clippy does not see that a helper is one"
)]

mod recall;
mod forget;
mod roles;
mod ordeals;
mod cluster_script;
mod coordination;
mod p1_no_overspend;
mod p2_nothing_lost;
mod full_disk;
mod p3_fair_stop;
mod p5_everywhere_at_once;
mod p6_keeps_serving;
mod several_addresses;
mod fleet_tls;
mod p7_faithful;
mod failover;
mod streams_broken;
mod usage_lies;
mod money_races;
mod drain;
mod process_faults;
mod starved;
mod slow_readers;
mod own_upstream;
mod upstream_faults;
mod operations;
mod operators;
mod kafka;
mod key_secrets;
mod preferences;
mod hangup;
mod p9_explains;
mod p10_private;
mod p11_cheap;
mod limits;
mod errors;
mod edge_account;
mod edge_idempotency;
mod edge_connections;
mod edge_framing;
mod edge_paths;
mod edge_headers;
mod edge_json;
mod edge_upstreams;
mod edge_http2;
mod sdk;
mod conformance;
mod up;
mod logs;
mod metrics;
mod metrics_that_move;
mod usage_write_off;
mod traces;
mod grpcurl;
mod samples;
mod command_line;
mod killed;
mod tidy;
