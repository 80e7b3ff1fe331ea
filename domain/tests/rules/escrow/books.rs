//! The control plane's side of the world: a wallet, the rows of its slices, and how far each spool is billed.

use super::step::DATA_PLANES;
use super::{nano, sum};
use domain::escrow::office::{self, Charge, Told, Verdict};
use domain::escrow::row::SliceRow;
use domain::escrow::wallet::{Ask, Wallet};
use domain::money::Nano;

#[derive(Clone)]
pub(crate) struct Books {
    pub(crate) wallet: Wallet,
    pub(crate) rows: [SliceRow; DATA_PLANES],
    credited: Nano,
    /// What was charged beyond what was held for it, and what of that nobody paid.
    missing: Nano,
    shortfall: Nano,
    billed: [usize; DATA_PLANES],
}

impl Books {
    pub(crate) fn new(credit_limit: i64) -> Self {
        Self {
            wallet: Wallet { credit_limit: nano(credit_limit), ..Wallet::default() },
            rows: Default::default(),
            credited: Nano::ZERO,
            missing: Nano::ZERO,
            shortfall: Nano::ZERO,
            billed: Default::default(),
        }
    }

    pub(crate) fn credit(&mut self, amount: Nano) {
        self.wallet.posted = sum([self.wallet.posted, amount]);
        self.credited = sum([self.credited, amount]);
    }

    /// Returns all that the slice was ever granted, if it gets anything.
    pub(crate) fn grant(
        &mut self,
        data_plane: usize,
        ask: Ask,
        granted_seen: Nano,
    ) -> Option<Nano> {
        let planes = u32::try_from(DATA_PLANES).expect("few");
        let row = &mut self.rows[data_plane];
        match office::answer(&mut self.wallet, row, ask, granted_seen, planes).verdict {
            Verdict::Granted { total } => Some(total),
            Verdict::Short { .. } => None,
        }
    }

    pub(crate) fn learn(&mut self, data_plane: usize, told: Told) {
        office::learn(&mut self.wallet, &mut self.rows[data_plane], told);
    }

    /// Billing applies each event once, by its place in the order.
    pub(crate) fn bill(&mut self, data_plane: usize, charges: &[Nano]) {
        for amount in charges.iter().skip(self.billed[data_plane]) {
            let mut charge = [Charge { slice: self.rows[data_plane], amount: *amount }];
            let settled = office::settle(&mut self.wallet, Nano::ZERO, &mut charge);
            let settled = settled.expect("within range");
            self.missing = sum([self.missing, settled.missing]);
            self.shortfall = sum([self.shortfall, settled.shortfall()]);
            self.rows[data_plane] = charge[0].slice;
        }
        self.billed[data_plane] = self.billed[data_plane].max(charges.len());
    }

    pub(crate) fn assert_sound(&self) {
        let Self { wallet, rows, .. } = self;
        assert!(wallet.is_sound(), "{wallet:?}");
        assert!(wallet.posted >= nano(-wallet.credit_limit.get()), "overspent: {wallet:?}");
        let held = sum(rows.iter().map(SliceRow::backed));
        assert_eq!(held, wallet.held, "slices and wallet differ: {rows:?}");
        let settled = sum(rows.iter().map(|row| row.totals.settled));
        let charged = sum([self.credited, self.shortfall]).minus(wallet.posted);
        assert_eq!(charged, Ok(settled), "what is charged is paid by the customer or the company");
    }

    /// As long as no commit was lost, whoever is charged was granted as much.
    pub(crate) fn assert_backed(&self) {
        assert_eq!(self.missing, Nano::ZERO, "a charge was never granted");
        assert!(self.rows.iter().all(|row| row.unbacked == Nano::ZERO), "{:?}", self.rows);
    }
}
