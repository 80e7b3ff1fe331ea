//! A slice's row on its own: what its account is to hold of it, whatever a data plane claims.

use super::nano;
use domain::escrow::row::{Covered, Raised, SliceRow};
use domain::escrow::wallet::{SliceTotals, Wallet};
use domain::money::Nano;
use proptest::prelude::{Strategy, prop_oneof, proptest};

fn row(granted: i64, released: i64, settled: i64, unbacked: i64) -> SliceRow {
    let totals =
        SliceTotals { granted: nano(granted), released: nano(released), settled: nano(settled) };
    SliceRow { totals, unbacked: nano(unbacked), given_up: false }
}

#[test]
fn a_proven_grant_is_backed_as_far_as_money_is_free() {
    let table = [
        // granted seen, free, backed, unbacked
        (150, 1_000, 50, 0),
        (150, 50, 50, 0),
        (150, 20, 20, 30),
        (150, 0, 0, 50),
        (150, -7, 0, 50),
        (100, 1_000, 0, 0),
        (40, 1_000, 0, 0),
    ];
    for (granted_seen, free, backed, unbacked) in table {
        let mut slice = row(100, 10, 10, 0);
        let raised = slice.raise(nano(granted_seen), nano(free));
        let expected = Raised { backed: nano(backed), unbacked: nano(unbacked) };
        assert_eq!(raised, expected, "{granted_seen} {free}");
        assert_eq!(raised.is_news(), granted_seen > 100);
        assert_eq!(slice, row(granted_seen.max(100), 10, 10, unbacked));
        assert_eq!(slice.raise(nano(granted_seen), nano(free)), Raised::default(), "once");
    }
}

#[test]
fn what_nobody_backs_is_the_first_to_come_back_and_the_last_to_be_spent() {
    let mut slice = row(100, 0, 0, 30);
    assert_eq!((slice.backed(), slice.release(nano(20))), (nano(70), Nano::ZERO));
    assert_eq!(slice, row(100, 20, 0, 10));
    let covered = Covered { backed: nano(70), missing: nano(5), ..Covered::default() };
    assert_eq!(slice.settle(nano(75)), Ok(covered));
    assert_eq!(slice, row(100, 20, 75, 5));
    assert_eq!((slice.backed(), slice.release(nano(25))), (Nano::ZERO, Nano::ZERO));
    assert_eq!(slice, row(100, 25, 75, 0));
}

#[test]
fn a_charge_beyond_all_that_was_granted_is_counted_and_missing() {
    let mut slice = row(100, 40, 10, 20);
    let covered = Covered { backed: nano(30), missing: nano(50), ..Covered::default() };
    assert_eq!(slice.settle(nano(80)), Ok(covered));
    assert_eq!(slice, row(130, 40, 90, 0), "the event proves that it was granted");
    assert_eq!(slice.settle(Nano::ZERO), Ok(Covered::default()));
}

#[test]
fn what_was_given_up_is_spent_first_and_comes_back_last() {
    let mut slice = row(100, 10, 20, 0);
    assert_eq!((slice.give_up(), slice.backed()), (nano(70), Nano::ZERO));
    assert_eq!(slice.give_up(), Nano::ZERO, "once");
    // It came back after all, and was granted more.
    slice.grant(nano(50)).unwrap();
    assert_eq!(slice.backed(), nano(50));
    let of_company = Covered { company: nano(60), ..Covered::default() };
    assert_eq!(slice.settle(nano(60)), Ok(of_company));
    assert_eq!(slice.release(nano(30)), nano(20), "of new money, the account's");
    let of_both = Covered { company: nano(10), backed: nano(15), ..Covered::default() };
    assert_eq!(slice.settle(nano(25)), Ok(of_both));
    assert_eq!((slice.backed(), slice.unbacked), (nano(15), Nano::ZERO));
    assert_eq!(slice.release(nano(45)), nano(15));
    let beyond = Covered { company: nano(7), ..Covered::default() };
    assert_eq!(slice.settle(nano(7)), Ok(beyond), "of a life that was given up");
    assert_eq!(slice.raise(nano(500), nano(1_000)).backed, Nano::ZERO);
}

#[test]
fn what_no_total_can_say_leaves_the_row_as_it_was() {
    let mut slice = row(0, 0, 0, 0);
    slice.raise(Nano::MAX, Nano::ZERO);
    let before = slice;
    assert!(slice.grant(nano(1)).is_err());
    assert_eq!(slice.raise(Nano::MAX, Nano::MAX), Raised::default());
    slice.settle(Nano::MAX).unwrap();
    assert!(slice.settle(nano(1)).is_err());
    assert_eq!(slice.totals.granted, before.totals.granted);
    assert_eq!(slice.totals.held(), Nano::ZERO);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Grant(i64),
    Prove(i64),
    Release(i64),
    Settle(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..200_i64).prop_map(Step::Grant),
        (0..400_i64).prop_map(Step::Prove),
        (0..400_i64).prop_map(Step::Release),
        (0..200_i64).prop_map(Step::Settle),
    ]
}

proptest! {
    /// What the account holds is what its slices hold of it, and a charge is paid by the slice, then by what is free, and
    /// never by money that is not there.
    #[test]
    fn the_account_holds_exactly_what_is_backed(steps in proptest::collection::vec(step(), 0..60)) {
        let mut wallet = Wallet { posted: nano(1000), ..Wallet::default() };
        let mut slice = SliceRow::default();
        let (mut charged, mut lost) = (0_i64, 0_i64);
        for step in steps {
            let before = slice.totals;
            match step {
                Step::Grant(amount) => {
                    let amount = nano(amount).min(wallet.free());
                    wallet.held = wallet.held.plus(amount).unwrap();
                    slice.grant(amount).unwrap();
                }
                Step::Prove(granted) => {
                    let raised = slice.raise(nano(granted), wallet.free());
                    wallet.held = wallet.held.plus(raised.backed).unwrap();
                }
                Step::Release(released) => {
                    let freed = slice.release(nano(released));
                    wallet.held = wallet.held.minus(freed).unwrap();
                }
                Step::Settle(charge) => {
                    let free = wallet.free();
                    let Covered { backed, missing, .. } = slice.settle(nano(charge)).unwrap();
                    assert_eq!(backed.plus(missing), Ok(nano(charge)));
                    let paid = backed.plus(missing.min(free)).unwrap();
                    wallet.held = wallet.held.minus(backed).unwrap();
                    wallet.posted = wallet.posted.minus(paid).unwrap();
                    charged += charge;
                    lost += charge - paid.get();
                }
            }
            assert!(wallet.is_sound(), "{wallet:?} {slice:?} after {step:?}");
            assert_eq!(wallet.held, slice.backed(), "{slice:?} after {step:?}");
            assert_eq!(slice.totals.settled.get(), charged, "every charge is settled in full");
            assert_eq!(wallet.posted.get(), 1000 - charged + lost);
            assert!(slice.unbacked >= Nano::ZERO && slice.unbacked <= slice.totals.held());
            assert!(slice.totals.granted >= before.granted);
            assert!(slice.totals.released >= before.released);
        }
    }
}

proptest! {
    /// A data plane that was given up, with money at hand and charges that nobody had heard of: whatever it does and in
    /// whatever order that is heard, its account pays no more than what is spent from then on, and holds what it granted since.
    #[test]
    fn an_account_never_pays_for_what_was_given_up(
        at_hand in 0..200_i64,
        unheard in proptest::collection::vec(0..50_i64, 0..5),
        after in proptest::collection::vec((0..3_u8, 0..100_i64), 0..40),
    ) {
        let unheard_sum: i64 = unheard.iter().sum();
        let mut slice = row(at_hand + unheard_sum, 0, 0, 0);
        slice.give_up();
        let mut charges = unheard;
        let (mut free, mut released) = (at_hand, 0);
        let (mut held, mut paid, mut spent) = (0, 0, 0);
        for (what, amount) in after {
            match what {
                0 => {
                    slice.grant(nano(amount)).unwrap();
                    held += amount;
                    free += amount;
                }
                1 => {
                    let amount = amount.min(free);
                    free -= amount;
                    released += amount;
                    held -= slice.release(nano(released)).get();
                }
                _ => {
                    let amount = amount.min(free);
                    free -= amount;
                    spent += amount;
                    charges.push(amount);
                    // Another one may be heard of first.
                    let heard = charges.remove(charges.len() / 2);
                    let covered = slice.settle(nano(heard)).unwrap();
                    assert_eq!(covered.missing, Nano::ZERO);
                    held -= covered.backed.get();
                    paid += covered.backed.get();
                }
            }
            assert_eq!(nano(held), slice.backed(), "{slice:?}");
        }
        released += free;
        slice.release(nano(released));
        for charge in charges {
            paid += slice.settle(nano(charge)).unwrap().backed.get();
        }
        assert!(paid <= spent, "{paid} of {spent}");
        assert_eq!(slice.totals.held(), Nano::ZERO, "{slice:?}");
    }
}
