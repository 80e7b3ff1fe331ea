//! Each step of the control plane by itself: who sits where, who is raised and lowered, and how much is drawn.

use domain::limits::desk::draw::Pool;
use domain::limits::desk::fleet::{Fleet, TOLD_AHEAD};
use domain::limits::desk::shares::{Present, Shares};
use domain::limits::place::{Acknowledged, Declared};
use domain::limits::share::{Holds, Lower, Need};
use std::collections::BTreeSet;

const MINUTE: u64 = 29_700_000;

#[test]
fn a_draw_gives_what_is_needed_and_a_little_more_where_there_is_plenty() {
    let pool = Pool { limit: 170, size: 170, used: 0, of: 3 };
    let table = [
        // size, used, need, drawn
        (170, 0, 1, Some(2)),
        (170, 110, 1, Some(1)),
        (170, 169, 1, Some(1)),
        (170, 170, 1, None),
        (170, 100, 70, Some(70)),
        (170, 100, 71, None),
        (170, 0, 171, Some(170)),
        (170, 1, 171, None),
        (113, 0, 171, None),
        (0, 0, 0, None),
    ];
    for (size, used, need, drawn) in table {
        assert_eq!(Pool { size, used, ..pool }.draw(need), drawn, "{need} of {size}, {used} used");
    }
    let many = Pool { limit: 59_000, size: 59_000, used: 0, of: 1_000 };
    assert_eq!((many.draw(1), Pool { of: 100, ..many }.draw(1)), (Some(2), Some(4)));
}

fn heard(who: &[u32]) -> BTreeSet<u32> {
    who.iter().copied().collect()
}

/// A fleet in which each has its seat.
fn seated(who: &[u32]) -> Fleet<u32> {
    let (mut fleet, all) = (Fleet::default(), heard(who));
    who.iter().for_each(|who| fleet.join(*who, MINUTE + 100));
    fleet.settle(MINUTE - TOLD_AHEAD, &all);
    let edition = fleet.editions;
    who.iter().for_each(|who| fleet.agree(who, Acknowledged { edition }));
    fleet.settle(MINUTE - TOLD_AHEAD, &all);
    fleet.settle(MINUTE, &all);
    assert_eq!(fleet.seated.seats.len(), who.len());
    fleet
}

#[test]
fn the_first_data_plane_is_alone_at_once_and_the_next_has_nothing_until_all_agree() {
    let mut fleet = Fleet::default();
    fleet.join(1, MINUTE + 100);
    fleet.settle(MINUTE, &heard(&[1]));
    let alone = fleet.placed(&1);
    assert!(alone.is_alone && alone.seat.is_whole());

    fleet.join(2, MINUTE + 100);
    fleet.settle(MINUTE, &heard(&[1, 2]));
    assert!(!fleet.placed(&1).is_alone && fleet.placed(&1).seat.is_whole());
    assert_eq!(fleet.placed(&2).seat.rank, None);
    let edition = fleet.editions;
    fleet.agree(&2, Acknowledged { edition });
    fleet.settle(MINUTE + 1, &heard(&[1, 2]));
    assert!(!fleet.placed(&2).coming.unwrap().is_certain, "one has not agreed");
    fleet.agree(&1, Acknowledged { edition });
    fleet.settle(MINUTE + 1, &heard(&[1, 2]));
    let coming = fleet.placed(&2).coming.unwrap();
    assert!(coming.is_certain && coming.from == MINUTE + TOLD_AHEAD);
    assert_eq!((coming.seat.of, coming.seat.rank), (2, Some(1)));
    fleet.settle(MINUTE + TOLD_AHEAD, &heard(&[]));
    assert_eq!(fleet.placed(&2).seat, coming.seat);
}

#[test]
fn a_change_that_one_cannot_agree_to_is_given_up_and_not_begun_again() {
    let mut fleet = seated(&[1, 2]);
    fleet.join(3, MINUTE + 100);
    fleet.settle(MINUTE, &heard(&[1, 2, 3]));
    assert!(fleet.placed(&1).coming.is_some());
    fleet.settle(MINUTE, &heard(&[1, 3]));
    assert_eq!(fleet.placed(&1).coming, None, "the second went silent");
    fleet.settle(MINUTE, &heard(&[1, 3]));
    assert_eq!(fleet.placed(&1).coming, None);
    fleet.settle(MINUTE + 101, &heard(&[1, 3]));
    assert!(fleet.members.is_empty() && fleet.prolong(&2, MINUTE + 101, MINUTE + 200).is_err());
}

#[test]
fn who_has_left_is_gone_in_the_next_minute_and_is_not_prolonged() {
    let mut fleet = seated(&[1, 2]);
    fleet.leave(&2, MINUTE);
    assert!(fleet.prolong(&2, MINUTE, MINUTE + 200).is_err());
    fleet.settle(MINUTE, &heard(&[1]));
    assert!(fleet.has(&2, MINUTE) && !fleet.placed(&1).is_alone);
    fleet.settle(MINUTE + 1, &heard(&[1]));
    assert!(fleet.placed(&1).is_alone && fleet.placed(&1).seat.is_whole());
}

#[test]
fn one_is_raised_into_what_is_free_and_others_are_lowered_for_the_rest() {
    let fleet = seated(&[1, 2, 3]);
    let all = heard(&[1, 2, 3]);
    let present = Present { fleet: &fleet, now: MINUTE, is_heard: &all };
    let edition = fleet.seated.edition;
    let mut shares = Shares::default();
    let need = Need { edition, limit: 602, used: 200, amount: 1, demand: 230 };
    let told = shares.raise(present, 602, &1, &need).unwrap();
    assert_eq!((told.share, told.of), (200, 600), "nothing is free");
    let lower = shares.lower(present, 602, &1, &need);
    let asked: Vec<u32> = lower.iter().map(|(who, _)| *who).collect();
    assert_eq!(asked, [2, 3]);
    assert_eq!(lower.iter().map(|(_, lower)| lower.least).collect::<Vec<_>>(), [5, 5]);
    let answer = |index: usize, share| {
        let (who, Lower { edition, turn, .. }) = lower[index];
        (who, Holds { edition, turn, share, demand: 0 })
    };
    let (who, holds) = answer(0, 5);
    shares.answered(present, &who, holds);
    assert_eq!(shares.raise(present, 602, &1, &need).unwrap().share, 395);
    let (who, holds) = answer(1, 150);
    shares.answered(present, &who, holds);
    assert_eq!(shares.raise(present, 602, &1, &need).unwrap().share, 445);

    let first = Holds { share: 0, ..answer(0, 0).1 };
    let told = shares.raise(present, 602, &2, &Need { used: 0, demand: 1, ..need }).unwrap();
    assert_eq!(told.share, 5, "it is told what it has");
    shares.answered(present, &2, first);
    assert_eq!(shares.rows[&2].share, 5, "what it answered before says nothing any more");
    assert_eq!(shares.parked(Present { is_heard: &heard(&[1, 2]), ..present }), 150);
}

#[test]
fn nobody_gives_up_a_fair_share_but_for_one_large_request() {
    let fleet = seated(&[1, 2, 3]);
    let all = heard(&[1, 2, 3]);
    let present = Present { fleet: &fleet, now: MINUTE, is_heard: &all };
    let edition = fleet.seated.edition;
    let mut shares = Shares::default();
    for who in [2, 3] {
        let need = Need { edition, limit: 600, used: 200, amount: 1, demand: 600 };
        shares.raise(present, 600, &who, &need);
    }
    let mut lower = |amount| {
        let need = Need { edition, limit: 600, used: 100, amount, demand: 600 };
        shares.raise(present, 600, &1, &need);
        shares.lower(present, 600, &1, &need)
    };
    assert!(lower(1).iter().all(|(_, lower)| lower.fair == 200));
    assert!(lower(200).iter().all(|(_, lower)| lower.fair == 200));
    let large = lower(300);
    assert!(large.iter().all(|(_, lower)| lower.fair == 0 && lower.least == 0), "{large:?}");
}

#[test]
fn what_nobody_declared_to_draw_is_left_to_those_who_did_not() {
    let mut fleet = seated(&[1, 2, 3]);
    let edition = fleet.seated.edition;
    let pool = |fleet: &Fleet<u32>, minute| fleet.pool(13, minute, MINUTE, &1);
    assert_eq!(pool(&fleet, MINUTE), Some(0));
    fleet.declare(&1, Declared { minute: MINUTE, edition });
    assert_eq!(pool(&fleet, MINUTE), Some(5));
    fleet.declare(&3, Declared { minute: MINUTE, edition });
    fleet.declare(&2, Declared { minute: MINUTE, edition: edition - 1 });
    assert_eq!(pool(&fleet, MINUTE), Some(9), "by another edition, other limits are drawn");
    fleet.declare(&2, Declared { minute: MINUTE, edition });
    assert_eq!(pool(&fleet, MINUTE), Some(13));
    assert_eq!(pool(&fleet, MINUTE + 1), Some(0), "each minute for itself");
    assert_eq!((pool(&fleet, MINUTE - 1), pool(&fleet, MINUTE + 2)), (None, None));
    assert_eq!(fleet.pool(180, MINUTE, MINUTE, &1), None, "that is shared out");
    assert_eq!(fleet.pool(13, MINUTE, MINUTE, &4), None, "it is not one of us");
}
