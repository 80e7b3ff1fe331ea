//! No interleaving of requests gets more than a plan allows, and a refusal takes nothing.

use super::*;
use domain::id::{KeyUid, OrgUid};
use domain::jurisdiction::Allowed;
use domain::key::KeyDigest;
use domain::snapshot::Key;
use domain::time::MINUTE_US;
use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest};
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
        previous: None,
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
fn what_a_lagging_thread_took_too_much_comes_back_as_well() {
    let (entry, plan) = (entry(), plan(None, Some(100), None));
    let left = || remaining(entry.limits.standing(&plan, NOON).tokens);
    drop(admit(&entry, &plan, NOON, 10).unwrap());
    let lagging = admit(&entry, &plan, Timestamp(NOON.0 - 1), 40).unwrap();
    assert_eq!(left(), 50);
    lagging.settle(NOON, 0);
    assert_eq!(left(), 90);
}

#[test]
fn an_unlimited_plan_limits_nothing() {
    let (entry, plan) = (entry(), plan(None, None, None));
    let tickets: Vec<_> =
        (0..1_000).map(|_| admit(&entry, &plan, NOON, u64::MAX).unwrap()).collect();
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
        assert_eq!(
            remaining(left.requests),
            requests - got.requests,
            "{row}: refused takes nothing"
        );
        assert_eq!(remaining(left.tokens), tokens - got.tokens, "{row}: refused takes nothing");
    }
}

/// What can happen to a key's limits.
#[derive(Clone, Copy, Debug)]
enum Event {
    Request { estimate: u64 },
    Settled { which: usize, actual: u64 },
    Ended { which: usize },
    TimePasses { microseconds: u64 },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (0..60_u64).prop_map(|estimate| Event::Request { estimate }),
        2 => (0..8_usize, 0..90_u64).prop_map(|(which, actual)| Event::Settled { which, actual }),
        2 => (0..8_usize).prop_map(|which| Event::Ended { which }),
        1 => (0..MINUTE_US).prop_map(|microseconds| Event::TimePasses { microseconds }),
    ];
    proptest::collection::vec(event, 1..120)
}

/// The limits as one would keep them on paper.
#[derive(Default)]
struct Paper {
    requests: u64,
    tokens: u64,
}

proptest! {
    #[test]
    fn limits_are_kept_as_on_paper(events in events()) {
        let (entry, plan) = (entry(), plan(Some(5), Some(100), Some(3)));
        let mut now = NOON;
        let mut paper = Paper::default();
        let mut running: Vec<(LimitTicket, Timestamp, u64)> = Vec::new();
        for event in events {
            let before = entry.limits.standing(&plan, now);
            match event {
                Event::Request { estimate } => match admit(&entry, &plan, now, estimate) {
                    Ok(ticket) => {
                        prop_assert!(running.len() < 3 && paper.requests < 5);
                        prop_assert!(paper.tokens + estimate <= 100 || paper.tokens == 0);
                        paper.requests += 1;
                        paper.tokens += estimate;
                        running.push((ticket, now, estimate));
                    }
                    Err(refused) => {
                        let has_reason = match refused.kind {
                            LimitKind::Concurrency => running.len() == 3,
                            LimitKind::Requests => paper.requests == 5,
                            LimitKind::Tokens => paper.tokens + estimate > 100 && paper.tokens > 0,
                        };
                        prop_assert!(has_reason, "{refused:?}");
                        prop_assert_eq!(entry.limits.standing(&plan, now), before);
                    }
                },
                Event::Settled { which, actual } => {
                    if let Some((ticket, taken_at, counted)) = running.get_mut(which) {
                        ticket.settle(now, actual);
                        let is_same_minute = taken_at.minute() == now.minute();
                        paper.tokens += actual.saturating_sub(*counted);
                        if is_same_minute {
                            paper.tokens -= counted.saturating_sub(actual);
                        }
                        *counted = actual;
                    }
                }
                Event::Ended { which } => {
                    if which < running.len() {
                        drop(running.remove(which));
                    }
                }
                Event::TimePasses { microseconds } => {
                    let next = later(now, microseconds);
                    if next.minute() > now.minute() {
                        paper = Paper::default();
                    }
                    now = next;
                }
            }
            let standing = entry.limits.standing(&plan, now);
            prop_assert_eq!(remaining(standing.requests), 5 - paper.requests);
            prop_assert_eq!(remaining(standing.tokens), 100_u64.saturating_sub(paper.tokens));
            prop_assert_eq!(entry.limits.running(), u64::try_from(running.len()).unwrap());
        }
    }
}
