//! P11: what a request and a streamed chunk cost in instructions of our own, counted by valgrind, which no busy machine can
//! change. The figures are those of `bench/instructions.json`, for the profile and the Rust version that CI builds with.
//!
//! A change that moves one by more than a tenth says so there: `bench/README.md` tells how.

use integration_tests::{cargo, workspace};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

/// Exchanges of the shorter and the longer run; what is more in the longer one is what the others cost.
const ROUNDS: [u64; 2] = [20, 120];
/// Chunks of one stream of `data-plane/src/instructions.rs`.
const CHUNKS: u64 = 100;
const TOLERANCE_PERCENT: u64 = 10;

/// The test binary of the data plane, as these tests were built.
fn data_plane() -> PathBuf {
    let built = Command::new(cargo())
        .current_dir(workspace())
        .args([
            "test",
            "--package",
            "data-plane",
            "--lib",
            "--no-run",
            "--message-format",
            "json-render-diagnostics",
        ])
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let messages = String::from_utf8(built.stdout).unwrap();
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let path =
        messages.filter_map(|message| message["executable"].as_str().map(PathBuf::from)).next();
    path.expect("cargo names the executable that it built")
}

/// Instructions of a process that makes so many exchanges of a kind.
fn instructions(binary: &PathBuf, kind: &str, rounds: u64) -> u64 {
    let counted = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(binary)
        .args(["--exact", "instructions::exchanges", "--test-threads", "1"])
        .envs([("TURNPIKE_EXCHANGE", kind), ("TURNPIKE_ROUNDS", &rounds.to_string())])
        .output()
        .expect("valgrind is installed: see scripts/setup");
    let said = String::from_utf8_lossy(&counted.stderr);
    assert!(counted.status.success(), "{said}\n{}", String::from_utf8_lossy(&counted.stdout));
    let collected = said
        .lines()
        .find_map(|line| line.split_once("Collected : "))
        .map(|(_, number)| number.trim());
    collected
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("no count in: {said}"))
}

#[test]
fn a_request_and_a_chunk_cost_the_instructions_that_are_written_down() {
    let binary = data_plane();
    let [few, many] = ROUNDS;
    let one = |kind: &str| {
        let (less, more) = (instructions(&binary, kind, few), instructions(&binary, kind, many));
        (more - less) / (many - few)
    };
    let (request, alike, unlike) = (one("request"), one("stream"), one("unlike"));
    let found = BTreeMap::from([
        ("request", request),
        ("chunk_alike", alike / CHUNKS),
        ("chunk_read_whole", unlike / CHUNKS),
    ]);
    let file = workspace().join("bench/instructions.json");
    let known: BTreeMap<String, u64> =
        serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    for (what, count) in &found {
        let known = known[*what];
        let is_near = count.abs_diff(known) * 100 <= known * TOLERANCE_PERCENT;
        assert!(
            is_near,
            "{what} costs {count} instructions, and {known} were written down: {found:?}"
        );
    }
}
