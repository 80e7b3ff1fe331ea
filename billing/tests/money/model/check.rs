//! What must be true of accounts, slices and data planes after every step, whatever happened.

use super::books::Books;
use super::life::Life;
use domain::escrow::row::SliceRow;
use domain::id::Account;
use domain::money::Nano;

/// What the checks look at.
pub(super) struct Scene<'a> {
    pub(super) books: &'a Books,
    /// Before the step, unless it lost commits.
    pub(super) before: Option<&'a Books>,
    /// All that ever lived and told no lies. Any of them may have been given up.
    pub(super) lives: Vec<&'a Life>,
    /// Whether commits were ever lost.
    pub(super) has_lost: bool,
}

fn sum(amounts: impl Iterator<Item = Nano>) -> Nano {
    amounts.fold(Nano::ZERO, |sum, amount| sum.plus(amount).unwrap())
}

impl Scene<'_> {
    pub(super) fn assert_sound(&self) {
        for account in self.books.accounts.keys() {
            self.assert_account(*account);
        }
        for life in &self.lives {
            self.assert_life(life);
        }
        if let Some(before) = self.before {
            self.assert_grown(before);
        }
    }

    /// Nobody is overdrawn; what is held is what slices hold; what was charged was paid, by the customer or the company.
    fn assert_account(&self, account: Account) {
        let Books { accounts, slices, shortfalls, .. } = self.books;
        let row = accounts.get(&account).unwrap();
        assert!(row.wallet.is_sound(), "{account:?}: {row:?}");
        let limit = row.wallet.credit_limit;
        assert!(row.wallet.posted.plus(limit).unwrap() >= Nano::ZERO, "{account:?}: {row:?}");
        let of_account =
            || slices.iter().filter(move |((_, of), _)| *of == account).map(|(_, slice)| slice);
        let held = sum(of_account().map(SliceRow::backed));
        assert_eq!(held, row.wallet.held, "{account:?}: {slices:?}");
        let settled = sum(of_account().map(|slice| slice.totals.settled));
        let unpaid = shortfalls.iter().filter(|((_, of), _)| *of == account);
        let unpaid = sum(unpaid.map(|(_, shortfall)| *shortfall));
        let spent = row.credited.minus(row.wallet.posted);
        assert_eq!(spent, settled.minus(unpaid), "{account:?}: {row:?}");
    }

    /// A data plane spends and gives back only what it was granted, and nothing counts that it did not say.
    fn assert_life(&self, life: &Life) {
        for (account, slice) in &life.slices {
            let used = slice.spent().plus(slice.released()).unwrap();
            assert!(used.plus(slice.inflight()).unwrap() <= slice.granted(), "{life:?}");
            let row = self.books.slice(life.holder, *account);
            assert!(row.totals.released <= slice.released(), "{row:?} {life:?}");
            assert!(row.totals.settled <= slice.spent(), "{row:?} {life:?}");
            let events = self.books.records.values().filter(|event| event.holder == life.holder);
            let charges = events.filter(|event| event.payer.accounts().any(|of| of == *account));
            assert_eq!(row.totals.settled, sum(charges.map(|event| event.charge)), "{life:?}");
            if !self.has_lost && !row.given_up {
                assert!(row.totals.granted >= slice.granted(), "{row:?} {life:?}");
                assert_eq!(row.unbacked, Nano::ZERO, "{life:?}");
                let shortfall = self.books.shortfalls.get(&(life.holder, *account));
                assert!(shortfall.is_none_or(|part| *part == Nano::ZERO), "{life:?}");
            }
        }
    }

    /// Totals only grow, and an event that counts goes on to count.
    fn assert_grown(&self, before: &Books) {
        for ((holder, account), old) in &before.slices {
            let (now, old) = (self.books.slice(*holder, *account).totals, old.totals);
            let has_grown = now.granted >= old.granted
                && now.released >= old.released
                && now.settled >= old.settled;
            assert!(has_grown, "{holder:?} {account:?}: {now:?} after {old:?}");
        }
        assert!(before.records.keys().all(|place| self.books.records.contains_key(place)));
    }

    /// Once all has come, those who live hold nothing any more.
    pub(super) fn assert_settled(&self, living: &[Life]) {
        for life in living {
            for account in life.slices.keys() {
                let row = self.books.slice(life.holder, *account);
                assert_eq!((row.totals.held(), row.unbacked), (Nano::ZERO, Nano::ZERO), "{life:?}");
            }
        }
    }
}
