//! Which minute it is: what answers prove, and nothing beyond it.

use domain::limits::minute::{Known, Local, MinuteClock, Sample, Span};
use domain::time::{MINUTE_US, Timestamp};

const MINUTE: u64 = 29_700_000;

/// So many microseconds after the beginning of a minute of the control plane.
fn at(us: u64) -> Timestamp {
    Timestamp(MINUTE * MINUTE_US + us)
}

fn sample(sent: u64, told: u64, received: u64) -> Sample {
    Sample { sent: Local(sent), received: Local(received), low: at(told), high: at(told) }
}

fn span(from: u64, to: u64) -> Option<Span> {
    Some(Span { era: 0, from: MINUTE + from, to: MINUTE + to })
}

fn clock(samples: &[Sample]) -> MinuteClock {
    let mut clock = MinuteClock::new(0);
    samples.iter().for_each(|sample| clock.learn(sample));
    clock
}

#[test]
fn who_has_heard_nothing_knows_no_minute() {
    let clock = clock(&[]);
    assert_eq!((clock.span(Local(5)), clock.now(Local(5)), clock.known()), (None, None, None));
}

#[test]
fn an_answer_was_written_between_its_question_and_its_arrival() {
    let clock = clock(&[sample(1_000, 59_000_000, 5_000)]);
    let table = [
        // local, the minutes that it may be
        (5_000, span(0, 0)),
        (1_000_999, span(0, 0)),
        // Written when it was asked for, it would be a minute old by now.
        (1_001_000, span(0, 1)),
        (1_004_999, span(0, 1)),
        // Written just before it arrived, it is a minute old by now in any case.
        (1_005_000, span(1, 1)),
    ];
    for (local, expected) in table {
        assert_eq!(clock.span(Local(local)), expected, "at {local}");
    }
}

#[test]
fn all_that_was_answered_holds_at_once() {
    let slow = sample(0, 30_000_000, 1_000_000);
    let quick = sample(2_000_000, 31_500_100, 2_000_200);
    let known =
        |samples: &[Sample]| clock(samples).known().map(|known| known.high_us - known.low_us);
    assert_eq!(known(&[slow]), Some(1_000_000));
    assert_eq!(known(&[slow, quick]), Some(200));
    let slow_again = sample(3_000_000, 33_000_000, 4_000_000);
    assert_eq!(known(&[slow, quick, slow_again]), Some(200), "a slow answer takes nothing back");
}

#[test]
fn what_is_known_grows_vague_as_clocks_drift_and_sharp_with_the_next_answer() {
    let mut clock = MinuteClock::new(1_000);
    let first = sample(0, 0, 0);
    clock.learn(&first);
    assert_eq!(clock.span(Local(59_939_000)), span(0, 0));
    assert_eq!(clock.span(Local(59_941_000)), span(0, 1), "it may run 60 ms wrong in a minute");
    assert_eq!(clock.span(Local(60_059_000)), span(0, 1));
    assert_eq!(clock.span(Local(60_061_000)), span(1, 1));
    assert_eq!(clock.span(Local(70_000 * 1_000_000)), None, "it could be any of three");
    clock.learn(&sample(59_950_000, 59_950_000, 59_950_000));
    assert_eq!(clock.span(Local(59_990_000)), span(0, 0));
}

#[test]
fn an_hour_more_or_less_does_not_matter() {
    let hour = 60 * MINUTE_US;
    let ahead = clock(&[sample(MINUTE * MINUTE_US + hour, 7, MINUTE * MINUTE_US + hour)]);
    assert_eq!(ahead.span(Local(MINUTE * MINUTE_US + hour)), span(0, 0));
    assert_eq!(ahead.now(Local(MINUTE * MINUTE_US + hour)), Some(at(7)));
    let behind = clock(&[sample(3, 7, 3)]);
    assert_eq!((behind.span(Local(3)), behind.now(Local(3))), (span(0, 0), Some(at(7))));
}

#[test]
fn small_contradictions_are_both_believed_and_large_ones_say_that_the_clock_was_set() {
    let before = sample(0, 10_000_000, 0);
    let a_little_later = sample(1_000_000, 11_300_000, 1_000_000);
    let both = clock(&[before, a_little_later]).known().unwrap();
    assert_eq!(both.high_us - both.low_us, 300_000);
    assert_eq!(u64::try_from(both.low_us), Ok(at(10_000_000).0));

    let an_hour_back = Sample {
        low: Timestamp(at(2_000_000).0 - 60 * MINUTE_US),
        high: Timestamp(at(2_000_000).0 - 60 * MINUTE_US),
        ..sample(2_000_000, 0, 2_000_000)
    };
    let clock = clock(&[before, an_hour_back]);
    let span = Span { era: 1, from: MINUTE - 60, to: MINUTE - 60 };
    assert_eq!(clock.span(Local(2_000_000)), Some(span));
}

#[test]
fn answers_out_of_order_and_impossible_ones_say_nothing() {
    let first = sample(1_000, 5_000, 2_000);
    let known = clock(&[first]).known();
    let late = sample(500, 60 * MINUTE_US, 3_000);
    let before_it_was_asked = sample(4_000, 60 * MINUTE_US, 3_999);
    let upside_down = Sample { low: at(9), high: at(8), ..sample(5_000, 0, 5_000) };
    let absurd = Sample { low: Timestamp(u64::MAX), high: Timestamp(0), ..sample(5_000, 0, 5_000) };
    for nonsense in [late, before_it_was_asked, upside_down, absurd] {
        assert_eq!(clock(&[first, nonsense]).known(), known, "{nonsense:?}");
    }
    let end = Local(u64::MAX);
    let endless = Sample { sent: end, received: end, low: Timestamp(0), high: Timestamp(u64::MAX) };
    assert_eq!(clock(&[endless]).span(end), None);
}

#[test]
fn a_restart_goes_on_with_what_it_kept() {
    let known = Known { low_us: 59_000_000, high_us: 59_000_500, at: Local(0) };
    let kept = MinuteClock::restored(100, known);
    assert_eq!(kept.known(), Some(known));
    let here = |from, to| Some(Span { era: 0, from, to });
    assert_eq!(kept.span(Local(999_000)), here(0, 0));
    assert_eq!(kept.span(Local(1_000_000)), here(0, 1));
    assert_eq!(kept.span(Local(1_001_000)), here(1, 1));
}
