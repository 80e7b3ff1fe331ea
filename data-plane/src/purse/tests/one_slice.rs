//! One slice, step by step, with the clock in the test's hand.

use super::world::{WALLET, hold_of, nano, quiet};
use crate::purse::HoldRefused;
use crate::purse::PurseSettings;
use crate::purse::decision::{Answer, Decision, Demand};
use crate::purse::slice::SharedSlice;
use domain::escrow::slice::Slice;
use domain::money::Nano;
use links::escrow::DenialReason;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

fn slice_with(granted: i64) -> Arc<SharedSlice> {
    SharedSlice::new(WALLET, Slice::restored(nano(granted), nano(0), nano(0)))
}

fn settings() -> PurseSettings {
    PurseSettings { idle_release_after: Duration::from_secs(30), ..quiet() }
}

/// What is given back at ticks after so many seconds.
fn released_at(slice: &SharedSlice, begin: Instant, seconds: &[u64]) -> Vec<bool> {
    let tick = |second: &u64| {
        let due = slice.lock().tick(begin + Duration::from_secs(*second), &settings(), false);
        due.release.is_some()
    };
    seconds.iter().map(tick).collect()
}

#[test]
fn a_slice_is_idle_only_when_no_request_holds_some_or_took_some_since() {
    let (slice, begin) = (slice_with(100), Instant::now());
    let hold = slice.lock().take(nano(30)).unwrap();
    assert_eq!(released_at(&slice, begin, &[0, 5, 60, 600]), [false; 4], "one holds some");
    slice.lock().settle(hold, nano(0));
    assert_eq!(released_at(&slice, begin, &[605, 630]), [false; 2]);
    let short = slice.lock().take(nano(30)).unwrap();
    slice.lock().settle(short, nano(0));
    assert_eq!(released_at(&slice, begin, &[640, 645, 670]), [false; 3], "one took some since");
    assert_eq!(released_at(&slice, begin, &[675, 680]), [true, false]);
    assert_eq!(slice.lock().available(), nano(0));
}

#[test]
fn a_release_that_failed_is_tried_again_and_then_no_more() {
    let (slice, begin) = (slice_with(100), Instant::now());
    let mark = slice.lock().release().unwrap();
    assert_eq!(released_at(&slice, begin, &[0]), [false], "it is on its way");
    slice.lock().release_ended(None);
    let again = slice.lock().tick(begin, &settings(), false).release.unwrap();
    assert_eq!(again, mark);
    slice.lock().release_ended(Some(nano(mark.released_nano)));
    assert_eq!(released_at(&slice, begin, &[5]), [false]);
    assert_eq!(slice.lock().tell().released, nano(100));
}

#[test]
fn the_answer_to_a_want_that_was_given_up_answers_no_other() {
    let slice = slice_with(0);
    let mut state = slice.lock();
    let choose = |free: Nano| hold_of(free, nano(10), nano(40));
    let demand = Demand { minimum: nano(10), wanted: nano(40), own: nano(0), choose: &choose };
    let after = state.join(nano(40));
    state.ask(1, nano(10), &settings());
    state.ask(2, nano(10), &settings());
    let denied = Answer::Denied { reason: DenialReason::Insufficient, free: nano(0) };
    state.answer(1, denied, &settings());
    assert!(state.answer_due().is_some());
    assert_eq!(state.decide(demand, after), Decision::Ask { need: nano(10) });
    state.answer(2, denied, &settings());
    assert!(state.answer_due().is_none());
    assert_eq!(state.decide(demand, after), Decision::Refuse(HoldRefused::InsufficientBalance));
}

#[test]
fn a_slice_wants_a_minutes_use_in_store() {
    let (slice, begin) = (slice_with(1_000), Instant::now());
    slice.lock().tick(begin, &settings(), false);
    for second in 1..=30 {
        let hold = slice.lock().take(nano(10)).unwrap();
        slice.lock().settle(hold, nano(10));
        slice.lock().tick(begin + Duration::from_secs(second), &settings(), false);
    }
    let mut state = slice.lock();
    state.release();
    let ask = state.renew(1, &settings());
    let per_minute = 60 * 10;
    assert!(ask.want > nano(per_minute - 100) && ask.want <= nano(per_minute), "{:?}", ask.want);
}

#[test]
fn a_slice_wants_no_more_than_is_set_unless_one_request_needs_it() {
    let settings = PurseSettings { store_holds: 4, want_max: nano(100), ..settings() };
    let slice = slice_with(0);
    let mut state = slice.lock();
    state.join(nano(80));
    assert_eq!(state.ask(1, nano(20), &settings).want, nano(100));
    assert_eq!(state.ask(2, nano(300), &settings).want, nano(300));
}
