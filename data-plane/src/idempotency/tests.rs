//! Keys claimed, kept, given up and forgotten.

use super::*;

fn keys(most: usize) -> UsedKeys {
    let limits = Limits { idempotency_keys: most, ..Limits::default() };
    let pace = Pace { idempotency_window: Duration::from_secs(10), ..Pace::default() };
    UsedKeys::new(&limits, &pace)
}

fn key(n: u8) -> KeyDigest {
    KeyDigest([n; 16])
}

const START: Timestamp = Timestamp(1_000_000);

fn after(seconds: u64) -> Timestamp {
    Timestamp(START.0 + seconds * 1_000_000)
}

/// Which request has the key; this claim gets nothing out of asking.
fn holder(keys: &UsedKeys, n: u8, now: Timestamp) -> Option<String> {
    keys.claim(key(n), "asking", now).err().map(|first| first.to_string())
}

#[test]
fn a_key_is_used_once_while_its_request_runs_and_until_the_window_ends() {
    let keys = keys(10);
    let running = keys.claim(key(1), "first", START).ok().unwrap();
    assert_eq!(holder(&keys, 1, START).as_deref(), Some("first"));
    running.keep();
    assert_eq!(holder(&keys, 1, after(9)).as_deref(), Some("first"));
    assert_eq!(holder(&keys, 2, after(9)), None);
    assert_eq!(holder(&keys, 1, after(10)), None);
}

#[test]
fn a_request_that_was_not_admitted_gives_its_key_up() {
    let keys = keys(10);
    drop(keys.claim(key(1), "refused", START));
    let second = keys.claim(key(1), "second", after(1)).ok().unwrap();
    second.keep();
    // What the refused one left behind takes nothing from the second.
    assert_eq!(holder(&keys, 1, after(10)).as_deref(), Some("second"));
    assert_eq!(holder(&keys, 1, after(11)), None);
}

#[test]
fn beyond_the_count_the_oldest_is_forgotten() {
    let keys = keys(3);
    for n in 1..=4 {
        keys.claim(key(n), &format!("request {n}"), after(u64::from(n))).ok().unwrap().keep();
    }
    assert_eq!(holder(&keys, 2, after(4)).as_deref(), Some("request 2"));
    assert_eq!(holder(&keys, 1, after(4)), None);
}

#[test]
fn what_an_earlier_process_admitted_is_remembered() {
    let keys = keys(10);
    let used = |digest: Vec<u8>, request_id: &str| UsedKey {
        digest,
        request_id: request_id.to_owned(),
        admitted_us: START.0,
    };
    keys.remember(vec![
        used(vec![1; 16], "first"),
        used(vec![1; 16], "second"),
        used(vec![2; 3], "another form"),
    ]);
    assert_eq!(holder(&keys, 1, after(1)).as_deref(), Some("first"));
    assert_eq!(holder(&keys, 2, after(1)), None);
}
