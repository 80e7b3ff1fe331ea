//! Each step of a data plane by itself: its seat, its shares, what it draws, and when it counts.

use domain::limits::minute::{Local, Span};
use domain::limits::place::{Learned, Place, Placed};
use domain::limits::seat::Seat;
use domain::limits::share::{Ask, Clock, Lower, Share, Short, Taken, Terms, Told};
use domain::limits::{LIMIT_MAX, RateWindow, Take};
use domain::time::{MINUTE_US, Timestamp};
use proptest::prelude::*;

const MINUTE: u64 = 29_700_000;
const NOW: Span = Span { era: 0, from: MINUTE, to: MINUTE };
const BOUNDARY: Span = Span { era: 0, from: MINUTE, to: MINUTE + 1 };
const LATER: Span = Span { era: 0, from: MINUTE + 1, to: MINUTE + 1 };

fn clock(us: u64) -> Clock {
    Clock { now: Timestamp(MINUTE * MINUTE_US + us), local: Local(us) }
}

fn seat(of: u32, rank: u32) -> Seat {
    Seat { edition: 1, of, rank: Some(rank) }
}

fn place(seat: Seat) -> Place {
    let mut place = Place::default();
    let stands_through = MINUTE + 10;
    let placed = Placed { turn: 1, seat, stands_through, ..Placed::default() };
    assert_eq!(place.learn(&placed, NOW), Learned::Placed { acknowledge: None });
    place
}

fn take(
    share: &mut Share,
    place: &Place,
    span: Span,
    limit: u64,
    amount: u64,
) -> Result<Taken, Short> {
    share.take(&Terms::new(place, span, limit).expect("the same era"), amount)
}

fn taken(share: &mut Share, place: &Place, span: Span, limit: u64) -> u64 {
    let mut taken = 0;
    while take(share, place, span, limit, 1).is_ok() {
        taken += 1;
    }
    taken
}

proptest! {
    #[test]
    fn seats_add_up_to_the_limit_where_it_is_drawn_and_to_little_less_where_it_is_not(
        of in 1..400_u32,
        limit in prop_oneof![0..100_u64, 0..100_000_u64, Just(LIMIT_MAX)],
    ) {
        let sum: u64 = (0..of).map(|rank| seat(of, rank).part(limit)).sum();
        if seat(of, 0).is_drawn(limit) || of == 1 {
            prop_assert_eq!(sum, limit);
        } else {
            prop_assert!(sum <= limit && limit - sum < u64::from(of), "{} of {}", sum, limit);
        }
        prop_assert_eq!(Seat { rank: None, ..seat(of, 0) }.part(limit), 0);
        prop_assert_eq!(seat(of, of).part(limit), 0, "there is no such seat");
    }

    /// Data planes may not have heard of a changed limit yet; whatever it is, shares of the same whole fit into it.
    #[test]
    fn shares_fit_into_any_limit(
        shares in prop::collection::vec(0..1_000_u64, 1..8),
        limit in 0..10_000_u64,
    ) {
        let of: u64 = shares.iter().sum::<u64>().max(1);
        let caps = shares.iter().map(|share| {
            let told = Told { edition: 1, turn: 1, share: *share, of };
            let place = place(Seat { rank: None, ..seat(1, 0) });
            Share::restored(told).cap(&Terms::new(&place, NOW, limit).unwrap(), MINUTE)
        });
        prop_assert!(caps.sum::<u64>() <= limit);
    }
}

#[test]
fn a_request_around_a_boundary_counts_in_both_minutes() {
    let place = place(seat(2, 0));
    let mut share = Share::default();
    assert_eq!(taken(&mut share, &place, NOW, 200), 100);
    assert_eq!(
        take(&mut share, &place, BOUNDARY, 200, 1),
        Err(Short),
        "it may still be that minute"
    );
    assert_eq!(taken(&mut share, &place, LATER, 200), 100);

    let mut share = Share::default();
    assert_eq!(take(&mut share, &place, BOUNDARY, 200, 40).unwrap().span, BOUNDARY);
    assert_eq!(
        taken(&mut share, &place, LATER, 200),
        60,
        "it may have been the next minute already"
    );
}

#[test]
fn a_thread_that_comes_late_counts_where_it_is_and_where_it_was() {
    let place = place(seat(2, 0));
    let mut share = Share::default();
    assert_eq!(taken(&mut share, &place, LATER, 200), 100);
    assert_eq!(take(&mut share, &place, NOW, 200, 1), Err(Short));
    let much_later = Span { era: 0, from: MINUTE + 2, to: MINUTE + 2 };
    assert_eq!(taken(&mut share, &place, much_later, 200), 100);
    assert_eq!(take(&mut share, &place, NOW, 200, 1), Err(Short), "too long ago to be counted");
    assert_eq!(
        take(&mut share, &place, much_later, 200, 1),
        Err(Short),
        "and it wiped out nothing"
    );
}

#[test]
fn what_is_larger_than_the_limit_passes_once_for_who_has_all_of_it() {
    let (alone, two) = (place(seat(1, 0)), place(seat(2, 0)));
    let mut share = Share::default();
    assert_eq!(take(&mut share, &alone, NOW, 100, 5_000).unwrap().remaining, 0);
    assert_eq!(take(&mut share, &alone, NOW, 100, 1), Err(Short));
    assert!(take(&mut share, &alone, LATER, 100, 5_000).is_ok());
    assert_eq!(take(&mut Share::default(), &two, NOW, 1_000, 5_000), Err(Short));
    assert_eq!(take(&mut Share::default(), &alone, NOW, 0, 1), Err(Short));
}

#[test]
fn a_correction_gives_back_within_its_minute_and_charges_the_current_one() {
    let place = place(seat(1, 0));
    let table = [
        // span, actual, left of 1 000 afterwards
        (NOW, 40, 960),
        (NOW, 250, 750),
        (BOUNDARY, 40, 960),
        (LATER, 40, 1_000),
        (LATER, 250, 850),
    ];
    for (span, actual, left) in table {
        let mut share = Share::default();
        let first = take(&mut share, &place, NOW, 1_000, 100).unwrap();
        share.correct(span, &first, actual);
        let after = take(&mut share, &place, span, 1_000, 0).unwrap();
        assert_eq!(after.remaining, left, "{actual} in {span:?}");
    }
}

#[test]
fn a_lowering_is_answered_by_what_is_needed_and_never_by_less_than_what_is_used() {
    let place = place(seat(2, 0));
    let table = [
        // used, least, fair, kept of 100
        (0, 5, 100, 5),
        (0, 0, 0, 0),
        (40, 5, 100, 40),
        (40, 60, 100, 60),
        (40, 0, 10, 40),
        (100, 0, 0, 100),
        (0, 1_000, 1_000, 100),
    ];
    for (used, least, fair, kept) in table {
        let mut share = Share::default();
        take(&mut share, &place, NOW, 200, used).unwrap();
        let lower = Lower { edition: 1, turn: 1, of: 200, least, fair };
        let terms = Terms::new(&place, NOW, 200).unwrap();
        let holds = share.lower(&terms, clock(0), lower).unwrap();
        assert_eq!(
            (holds.turn, holds.share, holds.demand),
            (1, kept, used),
            "{used} {least} {fair}"
        );
        assert_eq!(share.cap(&terms, MINUTE), kept);
    }
}

#[test]
fn what_was_used_in_the_last_minute_is_likely_to_be_used_again() {
    let place = place(seat(2, 0));
    let mut share = Share::default();
    take(&mut share, &place, NOW, 200, 60).unwrap();
    let lower = |turn| Lower { edition: 1, turn, of: 200, least: 0, fair: 100 };
    let terms = Terms::new(&place, LATER, 200).unwrap();
    let held = |share: &mut Share, turn, us| {
        share.lower(&terms, clock(MINUTE_US + us), lower(turn)).unwrap().share
    };
    assert_eq!(held(&mut share, 1, 0), 60);
    assert_eq!(held(&mut share, 2, MINUTE_US / 2), 30, "of half a minute, half");
    assert_eq!(held(&mut share, 3, MINUTE_US - 1), 0);
    assert!(share.lower(&terms, clock(MINUTE_US), lower(2)).is_none(), "an old word");
    let raised = Told { edition: 1, turn: 3, share: 100, of: 200 };
    assert!(!share.raise(&terms, raised), "the turn is taken");
    assert!(share.raise(&terms, Told { turn: 4, ..raised }));
    assert_eq!(share.cap(&terms, MINUTE + 1), 100);
}

#[test]
fn who_restarted_uses_nothing_in_that_minute_and_answers_nothing() {
    let mut place = Place::restored(*place(seat(2, 0)).placed());
    let mut share = Share::default();
    assert_eq!(take(&mut share, &place, NOW, 200, 1), Err(Short), "it does not know the time yet");
    place.begin(NOW);
    assert_eq!(take(&mut share, &place, NOW, 200, 1), Err(Short));
    let terms = Terms::new(&place, NOW, 200).unwrap();
    let lower = Lower { edition: 1, turn: 1, of: 200, least: 0, fair: 0 };
    assert_eq!(share.lower(&terms, clock(0), lower), None);
    assert_eq!(share.ask(&terms, clock(0), 1), None, "more would not help");
    assert_eq!(taken(&mut share, &place, LATER, 200), 100);
}

#[test]
fn who_was_alone_hands_over_what_its_window_counted() {
    let mut place = Place::default();
    let alone = Placed { turn: 1, seat: seat(1, 0), is_alone: true, ..Placed::default() };
    let alone = Placed { stands_through: MINUTE + 10, ..alone };
    place.learn(&alone, NOW);
    assert!(place.is_alone(NOW));
    place.learn(&Placed { turn: 2, is_alone: false, ..alone }, NOW);
    assert!(!place.is_alone(NOW));
    let Take::Taken { window, .. } =
        RateWindow::default().take(Timestamp(MINUTE * MINUTE_US), 30, 100)
    else {
        panic!("there is room")
    };
    let mut share = Share::default();
    share.carry(NOW, window);
    assert_eq!(taken(&mut share, &place, NOW, 100), 70);
    let lower = |turn| Lower { edition: 1, turn, of: 100, least: 0, fair: 0 };
    let holds = |share: &mut Share, turn, span| {
        let terms = Terms::new(&place, span, 100).unwrap();
        share.lower(&terms, clock(0), lower(turn)).unwrap().share
    };
    assert_eq!(holds(&mut share, 1, NOW), 100, "it was counted by another clock");
    assert_eq!(holds(&mut share, 2, LATER), 0);
}

#[test]
fn a_draw_is_asked_for_once_answered_once_and_not_again_where_nothing_is_left() {
    let mut place = place(seat(3, 0));
    place.declare(Span { era: 0, from: MINUTE - 1, to: MINUTE - 1 }).unwrap();
    let terms = Terms::new(&place, NOW, 12).unwrap();
    let mut share = Share::default();
    assert_eq!(share.take(&terms, 1), Err(Short), "it said that it would draw");
    let Some(Ask::Draw(draw)) = share.ask(&terms, clock(5), 1) else { panic!("it has to draw") };
    assert_eq!((draw.minute, draw.need), (MINUTE, 1));
    assert_eq!(share.ask(&terms, clock(299_999), 1), None, "one is under way");
    let Some(Ask::Draw(again)) = share.ask(&terms, clock(300_005), 1) else { panic!("given up") };
    share.drew(draw.id, Some(4));
    assert_eq!(share.take(&terms, 1), Err(Short), "nobody waits for that any more");
    share.drew(again.id, Some(2));
    share.drew(again.id, Some(2));
    assert_eq!(share.cap(&terms, MINUTE), 2);
    share.take(&terms, 2).unwrap();
    let Some(Ask::Draw(last)) = share.ask(&terms, clock(400_000), 1) else {
        panic!("it needs more")
    };
    share.drew(last.id, None);
    assert_eq!(share.ask(&terms, clock(9_000_000), 1), None, "nothing is left in this minute");
}

#[test]
fn when_the_control_planes_clock_is_set_everything_begins_anew() {
    let mut place = place(seat(2, 0));
    let mut share = Share::default();
    assert_eq!(taken(&mut share, &place, NOW, 200), 100);
    let an_hour_ago = |more: u64| {
        let minute = MINUTE - 60 + more;
        Span { era: 1, from: minute, to: minute }
    };
    assert!(Terms::new(&place, an_hour_ago(0), 200).is_none(), "it has to begin first");
    assert_eq!(place.learn(&Placed { turn: 9, ..*place.placed() }, an_hour_ago(0)), Learned::Old);
    place.begin(an_hour_ago(0));
    assert_eq!(take(&mut share, &place, an_hour_ago(0), 200, 1), Err(Short));
    assert_eq!(taken(&mut share, &place, an_hour_ago(1), 200), 100);
    assert!(Terms::new(&place, LATER, 200).is_none(), "a thread that still goes by the old clock");
}
