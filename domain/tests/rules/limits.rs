//! Rate windows: the whole limit at once, never more of it in a minute, however threads interleave.

use domain::limits::{LIMIT_MAX, RateWindow, Take};
use domain::time::{MINUTE_US, Timestamp};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Some minute of 2026, so that the 24 bits of minute have wrapped as they have in production.
const BASE_MINUTE: u64 = 29_700_000;

fn moment(minute: u64, us: u64) -> Timestamp {
    Timestamp((BASE_MINUTE + minute) * MINUTE_US + us)
}

fn taken(take: Take) -> (RateWindow, u64) {
    match take {
        Take::Taken { window, remaining } => (window, remaining),
        Take::Refused { retry_after_us } => unreachable!("refused for {retry_after_us} µs"),
    }
}

#[test]
fn the_whole_limit_is_usable_at_once_and_again_when_the_minute_ends() {
    let mut window = RateWindow::default();
    for left in (0..3).rev() {
        let (next, remaining) = taken(window.take(moment(0, 5), 1, 3));
        assert_eq!(remaining, left);
        window = next;
    }
    let refused = window.take(moment(0, 10_000_000), 1, 3);
    assert_eq!(refused, Take::Refused { retry_after_us: 50_000_000 });
    let (next, remaining) = taken(window.take(moment(1, 0), 1, 3));
    assert_eq!((next.used(moment(1, 0)), remaining), (1, 2));
}

#[test]
fn an_amount_above_the_limit_passes_a_fresh_window_once() {
    let (window, remaining) = taken(RateWindow::default().take(moment(0, 0), 5_000, 1_000));
    assert_eq!((window.used(moment(0, 1)), remaining), (5_000, 0));
    assert!(matches!(window.take(moment(0, 1), 1, 1_000), Take::Refused { .. }));
    assert!(matches!(window.take(moment(0, 1), 5_000, 1_000), Take::Refused { .. }));
    let (used, _) = taken(RateWindow::default().take(moment(0, 0), 1, 1_000));
    assert!(matches!(used.take(moment(0, 1), 5_000, 1_000), Take::Refused { .. }));
    taken(used.take(moment(1, 0), 5_000, 1_000));
}

#[test]
fn a_limit_of_nothing_lets_nothing_through() {
    assert!(matches!(RateWindow::default().take(moment(0, 0), 1, 0), Take::Refused { .. }));
}

#[test]
fn absurd_amounts_saturate_and_the_largest_limit_still_refuses() {
    let (window, _) = taken(RateWindow::default().take(moment(0, 0), u64::MAX, LIMIT_MAX));
    assert!(matches!(window.take(moment(0, 0), 1, LIMIT_MAX), Take::Refused { .. }));
    assert_eq!(window.used(moment(1, 0)), 0, "use never spills into the minute");
}

#[test]
fn a_correction_gives_back_within_its_minute_and_charges_the_current_one() {
    let (window, _) = taken(RateWindow::default().take(moment(0, 0), 100, 1_000));
    let table = [
        // now, actual, used afterwards
        (moment(0, 9), 40, 40),
        (moment(0, 9), 100, 100),
        (moment(0, 9), 250, 250),
        (moment(1, 0), 40, 0),
        (moment(1, 0), 250, 150),
    ];
    for (now, actual, used) in table {
        let corrected = window.correct(moment(0, 0), now, 100, actual);
        assert_eq!(corrected.used(now), used, "{actual} at {now}");
    }
}

#[test]
fn a_thread_that_comes_late_with_the_old_minute_does_not_wipe_out_the_new_one() {
    let (new, _) = taken(RateWindow::default().take(moment(1, 0), 3, 3));
    let late = moment(0, MINUTE_US - 1);
    assert!(matches!(new.take(late, 1, 3), Take::Refused { .. }));
    assert_eq!(new.correct(late, late, 5, 1).used(moment(1, 0)), 3);
    assert_eq!(new.correct(late, late, 1, 5).used(moment(1, 0)), 7);
}

#[test]
fn threads_that_race_take_exactly_the_limit() {
    const LIMIT: u64 = 1_000;
    let word = AtomicU64::new(RateWindow::default().word());
    let take_one = || {
        let step = |word| match RateWindow::from_word(word).take(moment(0, 0), 1, LIMIT) {
            Take::Taken { window, .. } => Some(window.word()),
            Take::Refused { .. } => None,
        };
        word.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step).is_ok()
    };
    let all: usize = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| (0..LIMIT).filter(|_| take_one()).count())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(u64::try_from(all).unwrap(), LIMIT);
}

#[test]
fn a_sealed_window_lets_nothing_through_and_takes_no_correction_whatever_the_minute() {
    let sealed = RateWindow::SEALED;
    assert!(sealed.is_sealed() && !RateWindow::default().is_sealed());
    let full = taken(RateWindow::default().take(moment(0, 0), LIMIT_MAX, LIMIT_MAX)).0;
    assert!(!full.is_sealed());
    for now in [moment(0, 0), moment(1, 5), moment(9_000_000, 0), Timestamp(0)] {
        assert!(matches!(sealed.take(now, 1, LIMIT_MAX), Take::Refused { .. }));
        assert!(matches!(sealed.take(now, 0, u64::MAX), Take::Refused { .. }));
        assert_eq!(sealed.correct(now, now, 10, 0), sealed);
        assert!(sealed.used(now) > LIMIT_MAX, "it is not at rest");
    }
}

#[test]
fn a_window_that_is_sealed_while_threads_take_tells_exactly_what_they_took() {
    let word = AtomicU64::new(RateWindow::default().word());
    let take_until_sealed = || {
        let step = |word| match RateWindow::from_word(word).take(moment(0, 0), 1, LIMIT_MAX) {
            Take::Taken { window, .. } => Some(window.word()),
            Take::Refused { .. } => None,
        };
        let mut taken = 0_u64;
        while word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step).is_ok() {
            taken += 1;
        }
        taken
    };
    let (taken, sealed) = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(take_until_sealed)).collect();
        while RateWindow::from_word(word.load(Ordering::Relaxed)).used(moment(0, 0)) < 1_000 {
            thread::yield_now();
        }
        let sealed = word.swap(RateWindow::SEALED.word(), Ordering::Relaxed);
        let taken: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        (taken, RateWindow::from_word(sealed))
    });
    assert_eq!(sealed.used(moment(0, 0)), taken);
}

proptest! {
    /// Clock readings may be late by up to two seconds, as between threads.
    #[test]
    fn no_minute_ever_sees_more_than_the_limit(
        limit in 1..6_u64,
        steps in prop::collection::vec((0..9_000_000_u64, 0..2_000_000_u64), 1..200),
    ) {
        let mut window = RateWindow::default();
        let mut clock = moment(0, 3_000_000);
        let mut taken_in: BTreeMap<u64, u64> = BTreeMap::new();
        let mut latest = 0;
        for (passed, late) in steps {
            clock = Timestamp(clock.0 + passed);
            let now = Timestamp(clock.0 - late);
            if let Take::Taken { window: next, .. } = window.take(now, 1, limit) {
                window = next;
                latest = latest.max(now.minute());
                let count = taken_in.entry(latest).or_default();
                *count += 1;
                prop_assert!(*count <= limit, "minute {latest} of {limit}");
            }
        }
    }

    #[test]
    fn corrections_leave_what_was_really_used(
        requests in prop::collection::vec((1..500_u64, 0..800_u64), 1..20),
    ) {
        let now = moment(0, 0);
        let mut window = RateWindow::default();
        for (estimate, _) in &requests {
            window = taken(window.take(now, *estimate, LIMIT_MAX)).0;
        }
        for (estimate, actual) in &requests {
            window = window.correct(now, now, *estimate, *actual);
        }
        let actual: u64 = requests.iter().map(|(_, actual)| actual).sum();
        prop_assert_eq!(window.used(now), actual);
    }
}
