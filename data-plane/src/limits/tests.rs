use super::*;
use domain::id::{KeyUid, OrgUid};
use domain::jurisdiction::Allowed;
use domain::key::KeyDigest;
use domain::snapshot::Key;
use domain::time::MINUTE_US;
use std::sync::Barrier;
use std::thread;

const NOON: Timestamp = Timestamp(720 * MINUTE_US);

fn entry() -> Arc<KeyEntry> {
    let key = Key {
        uid: KeyUid(1),
        digest: KeyDigest([1; 16]),
        org: OrgUid(1),
        name: "acme/key".to_owned(),
        models: Vec::new(),
        budgeted: false,
        expires: None,
        disabled: false,
        allowed: Allowed::Any,
    };
    Arc::new(KeyEntry { key, limits: KeyLimits::default() })
}

fn plan(requests: Option<u64>, tokens: Option<u64>, concurrency: Option<u64>) -> Plan {
    Plan {
        name: "plan".to_owned(),
        requests_per_minute: requests,
        tokens_per_minute: tokens,
        concurrency,
    }
}

fn later(now: Timestamp, microseconds: u64) -> Timestamp {
    Timestamp(now.0 + microseconds)
}

fn remaining(standing: Option<WindowStanding>) -> u64 {
    standing.unwrap().remaining
}

#[test]
fn the_whole_limit_of_requests_is_usable_at_once_and_again_in_the_next_minute() {
    let (entry, plan) = (entry(), plan(Some(3), None, None));
    for left in [2, 1, 0] {
        let ticket = admit(&entry, &plan, NOON, 10).unwrap();
        assert_eq!(remaining(ticket.standing().requests), left);
        assert_eq!(ticket.standing().tokens, None, "tokens are not limited");
    }
    let refused = admit(&entry, &plan, later(NOON, 1_000_000), 10).unwrap_err();
    assert_eq!((refused.kind, refused.limit), (LimitKind::Requests, 3));
    assert_eq!(refused.retry_after_us, 59_000_000);
    assert_eq!(refused.standing.requests.unwrap().reset_us, 59_000_000);
    drop(admit(&entry, &plan, later(NOON, MINUTE_US), 10).unwrap());
}

#[test]
fn a_request_refused_for_tokens_takes_nothing_of_the_other_limits() {
    let (entry, plan) = (entry(), plan(Some(10), Some(100), Some(10)));
    let first = admit(&entry, &plan, NOON, 90).unwrap();
    let refused = admit(&entry, &plan, NOON, 11).unwrap_err();
    assert_eq!((refused.kind, refused.limit), (LimitKind::Tokens, 100));
    assert_eq!(remaining(refused.standing.requests), 9, "only the first request counts");
    assert_eq!(remaining(refused.standing.tokens), 10);
    assert_eq!(entry.limits.running(), 1);
    drop(first);
    assert_eq!(entry.limits.running(), 0);
}

#[test]
fn a_request_refused_for_requests_or_concurrency_takes_nothing_either() {
    let entry = entry();
    let _running = admit(&entry, &plan(Some(1), Some(100), Some(1)), NOON, 40).unwrap();
    let crowded = admit(&entry, &plan(Some(9), Some(100), Some(1)), NOON, 40).unwrap_err();
    assert_eq!((crowded.kind, crowded.limit), (LimitKind::Concurrency, 1));
    let too_often = admit(&entry, &plan(Some(1), Some(100), Some(9)), NOON, 40).unwrap_err();
    assert_eq!(too_often.kind, LimitKind::Requests);
    for refused in [crowded, too_often] {
        assert_eq!(remaining(refused.standing.tokens), 60);
    }
    assert_eq!(entry.limits.running(), 1);
}

#[test]
fn settling_corrects_the_estimate_of_tokens() {
    let (entry, plan) = (entry(), plan(None, Some(1_000), None));
    let left = |now| remaining(entry.limits.standing(&plan, now).tokens);
    let ticket = admit(&entry, &plan, NOON, 600).unwrap();
    assert_eq!(left(NOON), 400);
    ticket.settle(later(NOON, 5), 100);
    assert_eq!(left(NOON), 900, "what was too much comes back");
    ticket.settle(later(NOON, 6), 150);
    assert_eq!(left(NOON), 850, "a second word corrects the first");

    let next_minute = later(NOON, MINUTE_US);
    let long = admit(&entry, &plan, NOON, 600).unwrap();
    long.settle(next_minute, 700);
    assert_eq!(left(next_minute), 900, "the excess is charged to the minute in which it is known");
}

#[test]
fn an_estimate_above_the_whole_limit_is_served_by_a_fresh_minute() {
    let (entry, plan) = (entry(), plan(None, Some(100), None));
    let ticket = admit(&entry, &plan, NOON, 5_000).unwrap();
    assert_eq!(remaining(ticket.standing().tokens), 0);
    assert_eq!(admit(&entry, &plan, NOON, 1).unwrap_err().kind, LimitKind::Tokens);
}

#[test]
fn a_thread_whose_clock_lags_over_the_minute_does_not_reopen_the_window() {
    let (entry, plan) = (entry(), plan(Some(2), None, None));
    let just_before = Timestamp(NOON.0 - 1);
    drop(admit(&entry, &plan, NOON, 0).unwrap());
    let lagging = admit(&entry, &plan, just_before, 0).unwrap();
    assert_eq!(remaining(lagging.standing().requests), 0, "counted to the minute that runs");
    assert!(admit(&entry, &plan, NOON, 0).is_err());
}

#[test]
fn an_unlimited_plan_limits_nothing() {
    let (entry, plan) = (entry(), plan(None, None, None));
    let tickets: Vec<_> = (0..1_000).map(|_| admit(&entry, &plan, NOON, u64::MAX).unwrap()).collect();
    assert_eq!(entry.limits.running(), 1_000);
    drop(tickets);
    assert_eq!(entry.limits.running(), 0);
}

/// What threads that hammer one key got in one minute.
struct Hammered {
    requests: u64,
    tokens: u64,
    most_running: u64,
}

fn hammer(entry: &Arc<KeyEntry>, plan: &Plan, estimates: &[u64]) -> Hammered {
    let threads = 8;
    let barrier = Barrier::new(threads);
    let one = |seed: usize| {
        barrier.wait();
        let mut got = Hammered { requests: 0, tokens: 0, most_running: 0 };
        for step in 0..400 {
            let estimate = estimates[(seed * 7 + step) % estimates.len()];
            // Threads read their clocks a little apart, around the turn of a minute.
            let now = Timestamp(NOON.0 + u64::try_from(step % 2).unwrap());
            if let Ok(_ticket) = admit(entry, plan, now, estimate) {
                got.requests += 1;
                got.tokens += estimate;
                got.most_running = got.most_running.max(entry.limits.running());
            }
        }
        got
    };
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|seed| scope.spawn(move || one(seed))).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).fold(
            Hammered { requests: 0, tokens: 0, most_running: 0 },
            |sum, one| Hammered {
                requests: sum.requests + one.requests,
                tokens: sum.tokens + one.tokens,
                most_running: sum.most_running.max(one.most_running),
            },
        )
    })
}

#[test]
fn many_threads_never_get_more_than_the_limits_and_lose_nothing_of_them() {
    let rows = [
        (50, u64::MAX, u64::MAX),
        (u64::MAX, 1_000, u64::MAX),
        (u64::MAX, u64::MAX, 3),
        (200, 1_500, 4),
        (1_000, 777, 2),
    ];
    for (requests, tokens, concurrency) in rows {
        let entry = entry();
        let plan = plan(Some(requests), Some(tokens), Some(concurrency));
        let got = hammer(&entry, &plan, &[1, 2, 3, 5, 8, 13]);
        let row = format!("{requests} requests, {tokens} tokens, {concurrency} at once");
        assert!(got.requests <= requests, "{row}: {} requests", got.requests);
        assert!(got.tokens <= tokens, "{row}: {} tokens", got.tokens);
        assert!(got.most_running <= concurrency, "{row}: {} at once", got.most_running);
        assert_eq!(entry.limits.running(), 0, "{row}: concurrency is given back");
        let left = entry.limits.standing(&plan, NOON);
        assert_eq!(remaining(left.requests), requests - got.requests, "{row}: refused takes nothing");
        assert_eq!(remaining(left.tokens), tokens - got.tokens, "{row}: refused takes nothing");
    }
}
