//! The control plane's end, twice: answering message by message as the test says, and by itself with `domain`'s wallets.

use super::world::{nano, soon};
use domain::escrow::wallet::{self, SliceTotals, Wallet};
use domain::id::{Account, OrgUid};
use domain::money::Nano;
use links::escrow::{
    Denial, DenialReason, EscrowConnection, EscrowSender, FromDataPlane, Grant, SliceReport,
    ToDataPlane, Want,
};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) struct ByHand {
    pub(super) connection: EscrowConnection,
    sender: EscrowSender,
}

impl ByHand {
    pub(super) fn new(connection: EscrowConnection) -> Self {
        let sender = connection.sender();
        Self { connection, sender }
    }

    pub(super) async fn send(&self, message: ToDataPlane) {
        soon(self.sender.send(message)).await.unwrap();
    }

    pub(super) async fn welcome(&self, totals: &[(Account, i64)]) {
        let total = |(account, total): &(Account, i64)| Grant {
            want_id: 0,
            account: *account,
            granted_total: nano(*total),
            free: Nano::ZERO,
        };
        self.send(ToDataPlane::Welcome(totals.iter().map(total).collect())).await;
    }

    pub(super) async fn next(&mut self) -> FromDataPlane {
        soon(self.connection.next()).await.expect("the data plane is connected")
    }

    pub(super) async fn want(&mut self) -> Want {
        match self.next().await {
            FromDataPlane::Want(want) => want,
            other => panic!("a want was due, and came {other:?}"),
        }
    }

    pub(super) async fn report(&mut self) -> Vec<SliceReport> {
        match self.next().await {
            FromDataPlane::Report(report) => report,
            other => panic!("a report was due, and came {other:?}"),
        }
    }

    pub(super) async fn last_report(&mut self) -> Vec<SliceReport> {
        match self.next().await {
            FromDataPlane::Final(report) => report,
            other => panic!("the last report was due, and came {other:?}"),
        }
    }

    pub(super) async fn grant(&self, want: Want, total: i64, free: i64) {
        let Want { want_id, account, .. } = want;
        let (granted_total, free) = (nano(total), nano(free));
        self.send(ToDataPlane::Grant(Grant { want_id, account, granted_total, free })).await;
    }

    pub(super) async fn deny(&self, want: Want, reason: DenialReason, free: i64) {
        let Want { want_id, account, .. } = want;
        self.send(ToDataPlane::Denial(Denial { want_id, account, reason, free: nano(free) })).await;
    }

    /// Nothing has been sent: the answer to a question of our own comes first.
    pub(super) async fn expect_nothing(&mut self) {
        let nobody = Account::Wallet(OrgUid(i64::MAX));
        self.send(ToDataPlane::Recall(nobody)).await;
        let report = self.report().await;
        assert_eq!(report.first().map(|slice| slice.account), Some(nobody), "{report:?}");
    }
}

/// Wallets as the control plane keeps them.
#[derive(Default)]
pub(super) struct Books {
    pub(super) accounts: BTreeMap<Account, (Wallet, SliceTotals)>,
    pub(super) wants: usize,
    pub(super) denials: usize,
}

/// A control plane with one data plane that grants by itself.
#[derive(Clone, Default)]
pub(super) struct ByItself(pub(super) Arc<Mutex<Books>>);

impl ByItself {
    pub(super) fn with(posted: &[(Account, i64)]) -> Self {
        let desk = Self::default();
        for (account, posted) in posted {
            let wallet = Wallet { posted: nano(*posted), ..Wallet::default() };
            desk.0.lock().accounts.insert(*account, (wallet, SliceTotals::default()));
        }
        desk
    }

    pub(super) fn serve(&self, mut connection: EscrowConnection) {
        let desk = self.clone();
        tokio::spawn(async move {
            let sender = connection.sender();
            let hello = std::mem::take(&mut connection.hello.slices);
            let mut answer = Some(desk.welcome(&hello));
            loop {
                if let Some(answer) = answer
                    && sender.send(answer).await.is_err()
                {
                    return;
                }
                let Some(message) = connection.next().await else {
                    return;
                };
                answer = match message {
                    FromDataPlane::Want(want) => Some(desk.answer(want)),
                    FromDataPlane::Report(slices) | FromDataPlane::Final(slices) => {
                        desk.0.lock().learn(&slices);
                        None
                    }
                };
            }
        });
    }

    fn welcome(&self, slices: &[SliceReport]) -> ToDataPlane {
        let mut books = self.0.lock();
        books.learn(slices);
        let total = |(account, (wallet, slice)): (&Account, &(Wallet, SliceTotals))| Grant {
            want_id: 0,
            account: *account,
            granted_total: slice.granted,
            free: wallet.free(),
        };
        ToDataPlane::Welcome(books.accounts.iter().map(total).collect())
    }

    fn answer(&self, want: Want) -> ToDataPlane {
        let Want { want_id, account, need, want: wanted, .. } = want;
        let mut books = self.0.lock();
        books.wants += 1;
        let (wallet, slice) = books.accounts.entry(account).or_default();
        let free = wallet.free();
        let granted = wallet::grant(free, wallet::Ask { need, want: wanted }, 1);
        let Some(granted) = granted else {
            let is_held = wallet.held.is_positive();
            books.denials += 1;
            let reason = if is_held { DenialReason::InFlight } else { DenialReason::Insufficient };
            return ToDataPlane::Denial(Denial { want_id, account, reason, free });
        };
        wallet.held = wallet.held.plus(granted).unwrap();
        slice.granted = slice.granted.plus(granted).unwrap();
        assert!(wallet.is_sound(), "granted more than there is");
        let (granted_total, free) = (slice.granted, wallet.free());
        ToDataPlane::Grant(Grant { want_id, account, granted_total, free })
    }
}

impl Books {
    fn learn(&mut self, slices: &[SliceReport]) {
        for report in slices {
            let (wallet, slice) = self.accounts.entry(report.account).or_default();
            let given = slice.learn_released(report.released);
            wallet.held = wallet.held.minus(given).unwrap();
            assert!(report.granted_seen <= slice.granted, "saw a grant that was never made");
        }
    }
}
