//! Slices of accounts: what one life of a data plane was granted, gave back and spent.
//!
//! Called only by transactions that have locked the account's row; what of a slice the account holds is told to the
//! caller, who writes it there.

use crate::rows;
use domain::escrow::wallet::SliceTotals;
use domain::id::Account;
use domain::money::{AmountOutOfRange, Nano};
use sqlx::AssertSqlSafe;
use std::collections::HashSet;
use storage::{Statement, StorageError, Write};

/// One life of one data plane.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Holder {
    pub(crate) data_plane: String,
    pub(crate) incarnation: u64,
}

impl Holder {
    /// The incarnation as its column holds it: the same 64 bits.
    pub(crate) const fn incarnation_column(&self) -> i64 {
        self.incarnation.cast_signed()
    }
}

/// A slice's row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slice {
    pub(crate) totals: SliceTotals,
    /// What of the totals' rest no account holds: grants whose commit was lost and for which no money was left. It is the
    /// company's, so it is the first to come back and the last to be spent.
    pub(crate) unbacked: Nano,
}

impl Slice {
    /// What of it the account holds.
    pub(crate) fn backed(&self) -> Nano {
        self.totals.held().saturating_minus(self.unbacked).or_zero()
    }

    /// Learns that the data plane was granted more than the row says. Returns how much of it the account, which has
    /// `free`, is to hold; the rest is unbacked.
    pub(crate) fn raise(&mut self, granted: Nano, free: Nano) -> Nano {
        let news = granted.saturating_minus(self.totals.granted).or_zero();
        let backed = news.min(free.or_zero());
        self.totals.granted = self.totals.granted.saturating_plus(news);
        self.unbacked = self.unbacked.saturating_plus(news.saturating_minus(backed));
        backed
    }

    /// Learns of a release. Returns by how much the account's `held` falls.
    pub(crate) fn release(&mut self, released: Nano) -> Nano {
        let news = self.totals.learn_released(released);
        let unbacked = news.min(self.unbacked);
        self.unbacked = self.unbacked.saturating_minus(unbacked);
        news.saturating_minus(unbacked)
    }

    /// Counts a charge, whatever it is: an event is proof that the data plane held that much. Returns by how much the
    /// account's `held` falls; the rest of the charge is not backed.
    ///
    /// # Errors
    /// When the totals leave their range; the slice is as it was.
    pub(crate) fn settle(&mut self, charge: Nano) -> Result<Nano, AmountOutOfRange> {
        let missing = charge.saturating_minus(self.totals.held()).or_zero();
        self.raise(self.totals.granted.plus(missing)?, Nano::ZERO);
        let covered = charge.min(self.backed());
        self.totals.settle(charge);
        self.unbacked = self.unbacked.saturating_minus(charge.saturating_minus(covered));
        Ok(covered)
    }
}

/// Reads a slice; one that is not there is empty.
pub(crate) async fn read(
    write: &mut Write,
    holder: &Holder,
    account: Account,
) -> Result<Slice, StorageError> {
    let (org, key) = account.uids();
    let row = sqlx::query(
        "SELECT granted, released, settled, unbacked FROM slice
         WHERE data_plane = $1 AND incarnation = $2 AND org_uid = $3 AND key_uid = $4",
    )
    .bind(holder.data_plane.as_str())
    .bind(holder.incarnation_column())
    .bind(org)
    .bind(key)
    .fetch_optional(&mut **write)
    .await?;
    let Some(row) = row else { return Ok(Slice::default()) };
    Ok(Slice {
        totals: SliceTotals {
            granted: rows::nano(&row, "granted")?,
            released: rows::nano(&row, "released")?,
            settled: rows::nano(&row, "settled")?,
        },
        unbacked: rows::nano(&row, "unbacked")?,
    })
}

/// Writes a slice.
pub(crate) async fn save(
    write: &mut Write,
    holder: &Holder,
    account: Account,
    slice: Slice,
) -> Result<(), StorageError> {
    let (org, key) = account.uids();
    sqlx::query(
        "INSERT INTO slice
         (data_plane, incarnation, org_uid, key_uid, granted, released, settled, unbacked)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (data_plane, incarnation, org_uid, key_uid) DO UPDATE SET
         granted = excluded.granted, released = excluded.released, settled = excluded.settled,
         unbacked = excluded.unbacked",
    )
    .bind(holder.data_plane.as_str())
    .bind(holder.incarnation_column())
    .bind(org)
    .bind(key)
    .bind(slice.totals.granted.get())
    .bind(slice.totals.released.get())
    .bind(slice.totals.settled.get())
    .bind(slice.unbacked.get())
    .execute(&mut **write)
    .await?;
    Ok(())
}

/// A charge to one slice.
pub(crate) type SliceCharge<'a> = (&'a Holder, Account, Nano);

/// Counts charges that slices cover wholly with money that the account holds, as nearly all do. Returns those that none
/// did: they were not counted.
pub(crate) async fn settle_covered<'a>(
    write: &mut Write,
    charges: &[SliceCharge<'a>],
) -> Result<Vec<SliceCharge<'a>>, StorageError> {
    let mut uncovered = Vec::new();
    for charges in storage::chunks(charges) {
        let values = storage::values(write, charges.len(), 5);
        let text = format!(
            "UPDATE slice SET settled = settled + charge.column5 FROM (VALUES {values}) AS charge
             WHERE data_plane = charge.column1 AND incarnation = charge.column2
             AND org_uid = charge.column3 AND key_uid = charge.column4
             AND released + settled + unbacked + charge.column5 <= granted
             RETURNING data_plane, incarnation, org_uid, key_uid"
        );
        let statement = charges.iter().fold(sqlx::query(AssertSqlSafe(text)), bind_charge);
        let mut covered = HashSet::with_capacity(charges.len());
        for row in statement.fetch_all(&mut **write).await? {
            let incarnation = rows::integer(&row, "incarnation")?.cast_unsigned();
            let holder = Holder { data_plane: rows::text(&row, "data_plane")?, incarnation };
            covered.insert((holder, rows::account(&row)?));
        }
        let is_covered = |charge: &SliceCharge<'_>| covered.contains(&(charge.0.clone(), charge.1));
        uncovered.extend(charges.iter().filter(|charge| !is_covered(charge)));
    }
    Ok(uncovered)
}

fn bind_charge(statement: Statement, (holder, account, amount): &SliceCharge<'_>) -> Statement {
    let (org, key) = account.uids();
    statement
        .bind(holder.data_plane.clone())
        .bind(holder.incarnation_column())
        .bind(org)
        .bind(key)
        .bind(amount.get())
}

#[cfg(test)]
mod tests {
    use super::Slice;
    use domain::escrow::wallet::Wallet;
    use domain::money::Nano;
    use proptest::prelude::{Strategy, prop_oneof, proptest};

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

    fn nano(amount: i64) -> Nano {
        Nano::new(amount).unwrap()
    }

    proptest! {
        /// Whatever a data plane claims, what the account holds is what its slices hold of it, and a charge is paid by
        /// the slice, then by what is free, and never by money that is not there.
        #[test]
        fn the_account_holds_exactly_what_is_backed(steps in proptest::collection::vec(step(), 0..60)) {
            let mut wallet = Wallet { posted: nano(1000), ..Wallet::default() };
            let mut slice = Slice::default();
            let (mut charged, mut lost) = (0_i64, 0_i64);
            for step in steps {
                let before = slice.totals;
                match step {
                    Step::Grant(amount) => {
                        let amount = nano(amount).min(wallet.free());
                        wallet.held = wallet.held.plus(amount).unwrap();
                        slice.totals.granted = slice.totals.granted.plus(amount).unwrap();
                    }
                    Step::Prove(granted) => {
                        let backed = slice.raise(nano(granted), wallet.free());
                        wallet.held = wallet.held.plus(backed).unwrap();
                    }
                    Step::Release(released) => {
                        let freed = slice.release(nano(released));
                        wallet.held = wallet.held.minus(freed).unwrap();
                    }
                    Step::Settle(charge) => {
                        let covered = slice.settle(nano(charge)).unwrap();
                        wallet.held = wallet.held.minus(covered).unwrap();
                        let paid = covered.plus(nano(charge).minus(covered).unwrap().min(
                            wallet.free().minus(covered).unwrap())).unwrap();
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
}
