//! What is decided about an account and its slices: tables for each decision, and a wallet of many slices on which any of
//! them is made in any order.

use super::nano;
use domain::escrow::office::{
    Answer, Charge, Learned, Settlement, Told, Verdict, answer, believe, give_up, learn, settle,
};
use domain::escrow::row::{Raised, SliceRow};
use domain::escrow::wallet::{Ask, SliceTotals, Wallet};
use domain::money::Nano;
use proptest::prelude::{Strategy, prop_oneof, proptest};

const SLICES: usize = 3;

fn wallet(posted: i64, held: i64) -> Wallet {
    Wallet { posted: nano(posted), held: nano(held), credit_limit: Nano::ZERO }
}

fn slice(granted: i64) -> SliceRow {
    let totals = SliceTotals { granted: nano(granted), ..SliceTotals::default() };
    SliceRow { totals, ..SliceRow::default() }
}

const fn ask(need: Nano, want: Nano) -> Ask {
    Ask { need, want }
}

fn raised(backed: i64, unbacked: i64) -> Raised {
    Raised { backed: nano(backed), unbacked: nano(unbacked) }
}

#[test]
fn a_want_is_granted_out_of_what_is_free_once_what_it_proves_is_held() {
    let short = |is_underway| Verdict::Short { is_underway };
    let granted = |total| Verdict::Granted { total: nano(total) };
    let table = [
        // held before, granted before, granted seen, need, want, raised, verdict, held then
        (100, 100, 100, 10, 50, raised(0, 0), granted(150), 150),
        (100, 100, 0, 10, 50, raised(0, 0), granted(150), 150),
        (100, 100, 300, 10, 50, raised(200, 0), granted(350), 350),
        (100, 100, 600, 500, 500, raised(500, 0), short(false), 600),
        (100, 100, 1_200, 1, 1, raised(900, 200), short(false), 1_000),
        (900, 100, 100, 200, 200, raised(0, 0), short(false), 900),
        (900, 100, 40, 200, 200, raised(0, 0), short(true), 900),
        (100, 100, 100, 0, 0, raised(0, 0), short(false), 100),
    ];
    for (held, before, seen, need, want, raised, verdict, then) in table {
        let (mut wallet, mut slice) = (wallet(1_000, held), slice(before));
        let ask = ask(nano(need), nano(want));
        let given = answer(&mut wallet, &mut slice, ask, nano(seen), 1);
        assert_eq!(given, Answer { raised, verdict }, "{held} {before} {seen} {ask:?}");
        assert_eq!(wallet.held, nano(then), "{held} {before} {seen} {ask:?}");
    }
}

#[test]
fn a_total_that_could_not_be_told_is_not_granted() {
    let (mut wallet, mut slice) = (wallet(1_000, 0), slice(Nano::MAX.get() - 5));
    slice.totals.released = slice.totals.granted;
    let (seen, before) = (slice.totals.granted, slice);
    let given = answer(&mut wallet, &mut slice, ask(nano(6), nano(6)), seen, 1);
    assert_eq!(given.verdict, Verdict::Short { is_underway: false });
    assert_eq!((wallet.held, slice), (Nano::ZERO, before));
    let given = answer(&mut wallet, &mut slice, ask(nano(5), nano(5)), seen, 1);
    assert_eq!(given.verdict, Verdict::Granted { total: Nano::MAX });
}

#[test]
fn what_is_told_is_learned_once() {
    let (mut wallet, mut slice) = (wallet(1_000, 100), slice(100));
    let told = Told { granted_seen: nano(150), released: nano(120) };
    let learned = learn(&mut wallet, &mut slice, told);
    assert_eq!(learned, Learned { raised: raised(50, 0), freed: nano(120) });
    assert_eq!((wallet.held, slice.totals.released), (nano(30), nano(120)));
    let stale = Told { granted_seen: nano(100), released: nano(40) };
    for told in [told, stale, Told::default()] {
        assert_eq!(learn(&mut wallet, &mut slice, told), Learned::default(), "{told:?}");
    }
    let garbage = Told { granted_seen: nano(-1), released: Nano::MAX };
    assert_eq!(learn(&mut wallet, &mut slice, garbage).freed, nano(30), "no more than it holds");
    assert_eq!(wallet.held, Nano::ZERO);
}

#[test]
fn a_charge_is_paid_by_its_slice_then_by_what_is_free_then_by_the_company() {
    let table = [
        // posted, charge of each slice, posted then, missing, shortfalls
        (1_000, [100, 50], 850, 0, [0, 0]),
        (1_000, [130, 50], 820, 30, [0, 0]),
        (340, [130, 150], 150, 130, [30, 60]),
        (300, [130, 150], 150, 130, [30, 100]),
        (300, [100, 150], 150, 100, [0, 100]),
    ];
    for (posted, amounts, then, missing, shortfalls) in table {
        // Each slice holds 100 and 50, and 150 are held by slices that are charged nothing, or within what they hold.
        let mut wallet = wallet(posted, 300);
        let mut charges = [
            Charge { slice: slice(100), amount: nano(amounts[0]) },
            Charge { slice: slice(50), amount: nano(amounts[1]) },
        ];
        let settled = settle(&mut wallet, Nano::ZERO, &mut charges).unwrap();
        let expected = Settlement {
            missing: nano(missing),
            given_up: Nano::ZERO,
            shortfalls: shortfalls.map(nano).to_vec(),
        };
        assert_eq!(settled, expected, "{posted} {amounts:?}");
        assert_eq!(settled.shortfall(), nano(shortfalls[0] + shortfalls[1]));
        assert_eq!(wallet.posted, nano(then), "{posted} {amounts:?}");
        assert_eq!(wallet.held, nano(150), "{posted} {amounts:?}");
        assert_eq!(charges.map(|charge| charge.slice.totals.settled), amounts.map(nano));
    }
}

#[test]
fn what_other_slices_cover_is_paid_by_them() {
    let mut wallet = wallet(300, 300);
    let mut charges = [Charge { slice: slice(100), amount: nano(130) }];
    let settled = settle(&mut wallet, nano(120), &mut charges).unwrap();
    assert_eq!((settled.missing, settled.shortfalls), (nano(30), vec![nano(30)]));
    assert_eq!((wallet.posted, wallet.held), (nano(80), nano(80)));
}

#[test]
fn what_was_given_up_is_charged_to_the_company_though_there_is_money() {
    let mut wallet = wallet(1_000, 300);
    let mut charges = [slice(100), slice(200)].map(|slice| Charge { slice, amount: nano(120) });
    assert_eq!(give_up(&mut wallet, &mut charges[0].slice), nano(100));
    assert_eq!(give_up(&mut wallet, &mut charges[0].slice), Nano::ZERO, "once");
    assert_eq!(wallet.held, nano(200), "the customer has it again");
    let settled = settle(&mut wallet, Nano::ZERO, &mut charges).unwrap();
    let shortfalls = vec![nano(120), Nano::ZERO];
    assert_eq!(settled, Settlement { missing: Nano::ZERO, given_up: nano(120), shortfalls });
    assert_eq!((wallet.posted, wallet.held), (nano(880), nano(80)));
}

#[test]
fn totals_that_no_account_ever_had_are_not_believed() {
    let table = [
        // granted, released, granted seen, released told, ever, believed
        (100, 0, 1_000, 0, 1_000, 1_000),
        (100, 0, 1_001, 0, 1_000, 100),
        (100, 50, 1_050, 0, 1_000, 1_050),
        (100, 0, 5_000, 4_000, 1_000, 5_000),
        (100, 0, 5_001, 4_000, 1_000, 100),
        (100, 0, Nano::MAX.get(), 0, 1_000, 100),
        // No claim: what its account was worth has shrunk since.
        (100, 0, 100, 0, 40, 100),
    ];
    for (granted, released, granted_seen, told, ever, believed) in table {
        let mut slice = slice(granted);
        slice.totals.released = nano(released);
        let told = Told { granted_seen: nano(granted_seen), released: nano(told) };
        let expected = Told { granted_seen: nano(believed), ..told };
        assert_eq!(believe(&slice, told, nano(ever)), expected, "{told:?} {ever}");
    }
}

#[test]
fn charges_beyond_any_total_are_refused() {
    let charge = |amount| Charge { slice: SliceRow::default(), amount };
    let mut beyond = [charge(Nano::MAX), charge(nano(1))];
    assert!(settle(&mut wallet(0, 0), Nano::ZERO, &mut beyond).is_err());
    assert!(settle(&mut wallet(0, 0), nano(1), &mut [charge(Nano::MAX)]).is_err());
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Want { slice: usize, need: i64, want: i64, granted_seen: i64 },
    Tell { slice: usize, granted_seen: i64, released: i64 },
    Charge { amounts: [i64; SLICES], at_once: bool },
    Credit(i64),
    GiveUp(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let slice = || 0..SLICES;
    let seen = || prop_oneof![4 => proptest::strategy::Just(0), 1 => -5..1_500_i64];
    prop_oneof![
        4 => (slice(), -2..400_i64, 0..900_i64, seen()).prop_map(
            |(slice, need, want, granted_seen)| Step::Want { slice, need, want, granted_seen }),
        2 => (slice(), seen(), -5..800_i64).prop_map(
            |(slice, granted_seen, released)| Step::Tell { slice, granted_seen, released }),
        3 => (proptest::array::uniform3(0..200_i64), proptest::bool::ANY)
            .prop_map(|(amounts, at_once)| Step::Charge { amounts, at_once }),
        1 => (1..500_i64).prop_map(Step::Credit),
        1 => slice().prop_map(Step::GiveUp),
    ]
}

/// One wallet and its slices, as the caller of each decision has them.
struct Office {
    wallet: Wallet,
    slices: [SliceRow; SLICES],
}

impl Office {
    /// Returns by how much `posted` is to rise.
    fn take(&mut self, step: Step) -> i64 {
        match step {
            Step::Want { slice, need, want, granted_seen } => {
                let (free, slice) = (self.wallet.free(), &mut self.slices[slice]);
                let ask = ask(nano(need), nano(want));
                let given = answer(&mut self.wallet, slice, ask, nano(granted_seen), 2);
                // Of what is free, a sixth is what two data planes may want beyond their needs.
                let enough = nano(if need > 0 { need } else { 6 });
                let is_there = free.minus(given.raised.backed).expect("within range") >= enough;
                match given.verdict {
                    Verdict::Granted { total } => assert_eq!(total, slice.totals.granted),
                    Verdict::Short { .. } => {
                        assert!(!is_there || need < 0 || need.max(want) == 0, "{free:?} {ask:?}");
                    }
                }
                0
            }
            Step::Tell { slice, granted_seen, released } => {
                let told = Told { granted_seen: nano(granted_seen), released: nano(released) };
                learn(&mut self.wallet, &mut self.slices[slice], told);
                0
            }
            Step::Charge { amounts, at_once } => {
                self.charge(amounts, at_once) - amounts.iter().sum::<i64>()
            }
            Step::Credit(amount) => {
                self.wallet.posted = self.wallet.posted.plus(nano(amount)).expect("within range");
                amount
            }
            Step::GiveUp(slice) => {
                give_up(&mut self.wallet, &mut self.slices[slice]);
                0
            }
        }
    }

    /// At once; or those that slices hold are told as covered, as billing does where it can. Returns the shortfall.
    fn charge(&mut self, amounts: [i64; SLICES], at_once: bool) -> i64 {
        let mut covered = Nano::ZERO;
        let (mut charges, mut places) = (Vec::new(), Vec::new());
        for (place, amount) in amounts.into_iter().map(nano).enumerate() {
            let mut slice = self.slices[place];
            if !at_once && amount <= slice.backed() && !slice.given_up {
                slice.settle(amount).expect("within range");
                self.slices[place] = slice;
                covered = covered.plus(amount).expect("within range");
            } else {
                charges.push(Charge { slice, amount });
                places.push(place);
            }
        }
        let settled = settle(&mut self.wallet, covered, &mut charges).expect("within range");
        for (place, charge) in places.into_iter().zip(charges) {
            self.slices[place] = charge.slice;
        }
        settled.shortfall().get()
    }
}

proptest! {
    #[test]
    fn no_decision_overdraws_a_wallet_or_holds_what_no_slice_has(
        credit_limit in 0..300_i64,
        steps in proptest::collection::vec(step(), 0..80),
    ) {
        let wallet = Wallet { credit_limit: nano(credit_limit), ..wallet(1_000, 0) };
        let mut office = Office { wallet, slices: Default::default() };
        let mut posted = 1_000;
        for step in steps {
            let before = office.slices;
            posted += office.take(step);
            assert!(office.wallet.is_sound(), "{:?} after {step:?}", office.wallet);
            assert_eq!(office.wallet.posted, nano(posted), "after {step:?}");
            let held: i64 = office.slices.iter().map(|slice| slice.backed().get()).sum();
            assert_eq!(office.wallet.held, nano(held), "after {step:?}");
            for (slice, before) in office.slices.iter().zip(before) {
                let (now, before) = (slice.totals, before.totals);
                assert!(now.granted >= before.granted && now.released >= before.released);
                assert!(now.settled >= before.settled && slice.unbacked <= now.held());
            }
        }
    }
}
