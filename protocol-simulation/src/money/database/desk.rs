//! Transactions of the desk: rows are read, `domain::escrow::office` decides, rows are written.

use super::{Context, Holder, Rows};
use crate::money::message::{Reply, Want};
use crate::mutant::Mutant;
use domain::escrow::office::{self, Told, Verdict};
use domain::escrow::wallet::Wallet;
use domain::id::Account;
use domain::money::Nano;

impl Rows {
    pub(super) fn credit(&mut self, account: Account, amount: Nano, limit: Nano) -> Option<Reply> {
        let row = self.wallet(account);
        row.wallet.posted = row.wallet.posted.plus(amount).ok()?;
        row.wallet.credit_limit = limit;
        row.credited = row.credited.plus(amount).ok()?;
        Some(Reply::Done)
    }

    pub(super) fn answer(
        &mut self,
        want: Want,
        data_planes: u32,
        context: &mut Context<'_>,
    ) -> Option<Reply> {
        let Want { holder, account, ask, granted_seen } = want;
        let mut slice = self.slice(account, holder);
        let mut wallet = self.wallet(account).wallet;
        let before = wallet;
        if context.is(Mutant::GrantWithoutGuard) {
            wallet.held = Nano::ZERO;
        }
        let unguarded = wallet.held;
        let answer = office::answer(&mut wallet, &mut slice, ask, granted_seen, data_planes);
        let more = wallet.held.saturating_minus(unguarded);
        self.wallet(account).wallet = Wallet { held: before.held.saturating_plus(more), ..wallet };
        self.slices.insert((account, holder), slice);
        note_raised(answer.raised.backed, answer.raised.unbacked, context);
        Some(match answer.verdict {
            Verdict::Granted { total } => {
                context.seen.note("granted");
                Reply::Granted(total)
            }
            Verdict::Short { .. } => {
                context.seen.note("short");
                Reply::Short { holders: self.other_holders(account, holder) }
            }
        })
    }

    fn other_holders(&self, account: Account, holder: Holder) -> Vec<Holder> {
        let of_account = self.slices.iter().filter(|((of, _), _)| *of == account);
        let holding = of_account.filter(|(_, row)| row.totals.held().is_positive());
        holding.map(|((_, other), _)| *other).filter(|other| *other != holder).collect()
    }

    pub(super) fn learn(
        &mut self,
        holder: Holder,
        told: &[(Account, Told)],
        context: &mut Context<'_>,
    ) -> Option<Reply> {
        let mut freed = Vec::new();
        for (account, told) in told {
            let mut slice = self.slice(*account, holder);
            let row = self.wallet(*account);
            let learned = office::learn(&mut row.wallet, &mut slice, *told);
            if context.is(Mutant::FreeTwice) {
                row.wallet.held = row.wallet.held.saturating_minus(learned.freed);
            }
            if learned.freed.is_positive() {
                context.seen.note("released");
                freed.push(*account);
            }
            note_raised(learned.raised.backed, learned.raised.unbacked, context);
            self.slices.insert((*account, holder), slice);
        }
        Some(Reply::Freed(freed))
    }

    pub(super) fn welcome(
        &mut self,
        holder: Holder,
        told: &[(Account, Told)],
        context: &mut Context<'_>,
    ) -> Option<Reply> {
        self.learn(holder, told, context)?;
        let own = self.slices.iter().filter(|((_, of), _)| *of == holder);
        Some(Reply::Totals(own.map(|((account, _), row)| (*account, row.totals.granted)).collect()))
    }

    /// What only a mutant does.
    pub(super) fn free_silent(&mut self, holder: Holder) -> Option<Reply> {
        let accounts: Vec<Account> = self.wallets.keys().copied().collect();
        for account in accounts {
            let mut slice = self.slice(account, holder);
            let all = slice.totals.released.saturating_plus(slice.totals.held());
            let freed = slice.release(all);
            let row = self.wallet(account);
            row.wallet.held = row.wallet.held.saturating_minus(freed);
            self.slices.insert((account, holder), slice);
        }
        Some(Reply::Done)
    }
}

fn note_raised(backed: Nano, unbacked: Nano, context: &mut Context<'_>) {
    for (amount, what) in [(backed, "raised, backed"), (unbacked, "raised, unbacked")] {
        if amount.is_positive() {
            context.seen.note(what);
        }
    }
}
