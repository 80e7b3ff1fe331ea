//! One wallet, three data planes, and a network that does to messages what networks do.

use super::step::{DATA_PLANES, Step};
use domain::escrow::slice::{Hold, Slice};
use domain::escrow::wallet::{Ask, SliceTotals, Wallet, grant};
use domain::money::Nano;

#[derive(Clone, Debug)]
enum Message {
    Want {
        data_plane: usize,
        ask: Ask,
    },
    Grant {
        data_plane: usize,
        total: Nano,
    },
    Released {
        data_plane: usize,
        total: Nano,
    },
    /// The usage events of a spool, from the first.
    Events {
        data_plane: usize,
        charges: Vec<Nano>,
    },
}

/// A running request: what it holds, and what its last progress in the spool had metered.
struct Request {
    hold: Hold,
    progress: Nano,
}

#[derive(Default)]
struct DataPlane {
    slice: Slice,
    running: Vec<Request>,
    /// Charges of the ended requests, in order: what the spool keeps.
    spool: Vec<Nano>,
}

pub(crate) struct World {
    wallet: Wallet,
    credited: Nano,
    totals: [SliceTotals; DATA_PLANES],
    billed: [usize; DATA_PLANES],
    data_planes: [DataPlane; DATA_PLANES],
    network: Vec<Message>,
}

fn nano(n: i64) -> Nano {
    Nano::new(n).expect("within range")
}

fn sum(amounts: impl IntoIterator<Item = Nano>) -> Nano {
    amounts.into_iter().fold(Nano::ZERO, |sum, amount| sum.plus(amount).expect("within range"))
}

impl World {
    pub(crate) fn new(credit_limit: i64) -> Self {
        Self {
            wallet: Wallet { credit_limit: nano(credit_limit), ..Wallet::default() },
            credited: Nano::ZERO,
            totals: Default::default(),
            billed: Default::default(),
            data_planes: Default::default(),
            network: Vec::new(),
        }
    }

    pub(crate) fn take(&mut self, step: &Step) {
        match *step {
            Step::TopUpWallet(amount) => {
                self.wallet.posted = sum([self.wallet.posted, nano(amount)]);
                self.credited = sum([self.credited, nano(amount)]);
            }
            Step::Want { data_plane, need, want } => {
                let ask = Ask { need: nano(need), want: nano(want) };
                self.network.push(Message::Want { data_plane, ask });
            }
            Step::Hold { data_plane, amount } => {
                let data_plane = &mut self.data_planes[data_plane];
                if let Some(hold) = data_plane.slice.hold(nano(amount)) {
                    data_plane.running.push(Request { hold, progress: Nano::ZERO });
                }
            }
            Step::TopUpHold { data_plane, request, amount } => {
                self.data_planes[data_plane].top_up(request, nano(amount));
            }
            Step::Settle { data_plane, request, cost } => {
                self.data_planes[data_plane].settle(request, nano(cost));
                self.resend(data_plane);
            }
            Step::Release { data_plane, amount } => {
                self.data_planes[data_plane].slice.release(nano(amount));
                self.report(data_plane);
            }
            Step::Report { data_plane } => self.report(data_plane),
            Step::Resend { data_plane } => self.resend(data_plane),
            Step::Deliver(index) => self.deliver(index, true),
            Step::Repeat(index) => self.deliver(index, false),
            Step::Lose(index) => drop(self.pick(index, true)),
            Step::Restart { data_plane, forgets } => self.restart(data_plane, nano(forgets)),
            Step::WindDown => self.wind_down(),
        }
    }

    fn report(&mut self, data_plane: usize) {
        let total = self.data_planes[data_plane].slice.released();
        self.network.push(Message::Released { data_plane, total });
    }

    fn resend(&mut self, data_plane: usize) {
        let charges = self.data_planes[data_plane].spool.clone();
        self.network.push(Message::Events { data_plane, charges });
    }

    fn pick(&mut self, index: usize, once: bool) -> Option<Message> {
        let index = index.checked_rem(self.network.len())?;
        Some(if once { self.network.remove(index) } else { self.network[index].clone() })
    }

    fn deliver(&mut self, index: usize, once: bool) {
        match self.pick(index, once) {
            None => {}
            Some(Message::Want { data_plane, ask }) => self.grant(data_plane, ask),
            Some(Message::Grant { data_plane, total }) => {
                self.data_planes[data_plane].slice.learn_granted(total);
            }
            Some(Message::Released { data_plane, total }) => {
                let fallen = self.totals[data_plane].learn_released(total);
                self.wallet.held = self.wallet.held.minus(fallen).expect("within range");
            }
            Some(Message::Events { data_plane, charges }) => self.bill(data_plane, &charges),
        }
    }

    fn grant(&mut self, data_plane: usize, ask: Ask) {
        let planes = u32::try_from(DATA_PLANES).expect("few");
        if let Some(granted) = grant(self.wallet.free(), ask, planes) {
            self.wallet.held = sum([self.wallet.held, granted]);
            let totals = &mut self.totals[data_plane];
            totals.granted = sum([totals.granted, granted]);
        }
        let total = self.totals[data_plane].granted;
        self.network.push(Message::Grant { data_plane, total });
    }

    /// Billing applies each event once, by its place in the order.
    fn bill(&mut self, data_plane: usize, charges: &[Nano]) {
        for charge in charges.iter().skip(self.billed[data_plane]) {
            let covered = self.totals[data_plane].settle(*charge);
            assert_eq!(covered, *charge, "a charge was never granted");
            self.wallet.held = self.wallet.held.minus(covered).expect("within range");
            self.wallet.posted = self.wallet.posted.minus(*charge).expect("within range");
        }
        self.billed[data_plane] = self.billed[data_plane].max(charges.len());
    }

    fn restart(&mut self, data_plane: usize, forgets: Nano) {
        let known = self.data_planes[data_plane].restart(forgets);
        let total = self.totals[data_plane].granted;
        assert!(known <= total, "a data plane remembers a grant that was never made");
        self.network.push(Message::Grant { data_plane, total });
        self.report(data_plane);
        self.resend(data_plane);
    }

    /// Everything ends, everything arrives, everything idle is given back.
    pub(crate) fn wind_down(&mut self) {
        while !self.network.is_empty() {
            self.deliver(0, true);
        }
        for data_plane in 0..DATA_PLANES {
            self.data_planes[data_plane].slice.learn_granted(self.totals[data_plane].granted);
            while !self.data_planes[data_plane].running.is_empty() {
                self.data_planes[data_plane].settle(0, nano(1));
            }
            self.data_planes[data_plane].slice.release(Nano::MAX);
            self.report(data_plane);
            self.resend(data_plane);
        }
        while !self.network.is_empty() {
            self.deliver(0, true);
        }
    }

    pub(crate) fn assert_sound(&self, step: &Step) {
        assert!(self.wallet.is_sound(), "{:?} after {step:?}", self.wallet);
        assert!(
            self.wallet.posted >= nano(-self.wallet.credit_limit.get()),
            "overspent by {step:?}"
        );
        let held = sum(self.totals.iter().map(SliceTotals::held));
        assert_eq!(held, self.wallet.held, "slices and wallet differ after {step:?}");
        for (data_plane, totals) in self.data_planes.iter().zip(&self.totals) {
            let slice = &data_plane.slice;
            let used = sum([slice.spent(), slice.inflight(), slice.released()]);
            assert!(used <= slice.granted(), "{slice:?} after {step:?}");
            let holds = sum(data_plane.running.iter().map(|request| request.hold.amount()));
            assert_eq!(holds, slice.inflight(), "holds and slice differ after {step:?}");
            assert_eq!(sum(data_plane.spool.iter().copied()), slice.spent());
            assert!(slice.granted() <= totals.granted, "{slice:?} {totals:?} after {step:?}");
            assert!(totals.released <= slice.released() && totals.settled <= slice.spent());
        }
    }

    /// The books: nothing is held any more, and every unit is either there or spent.
    pub(crate) fn assert_settled(&self) {
        assert_eq!(self.wallet.held, Nano::ZERO);
        let spent = sum(self.data_planes.iter().map(|data_plane| data_plane.slice.spent()));
        assert_eq!(sum([self.wallet.posted, spent]), self.credited);
    }
}

impl DataPlane {
    fn top_up(&mut self, request: usize, amount: Nano) {
        let Some(index) = request.checked_rem(self.running.len()) else { return };
        let request = &mut self.running[index];
        let before = request.hold.amount();
        match self.slice.top_up(&mut request.hold, amount) {
            Ok(()) => request.progress = before,
            Err(available) => assert!(available < amount, "refused although it was there"),
        }
    }

    fn settle(&mut self, request: usize, cost: Nano) {
        let Some(index) = request.checked_rem(self.running.len()) else { return };
        let request = self.running.remove(index);
        let free = self.slice.available();
        let within = sum([request.hold.amount(), free]);
        let settled = self.slice.settle(request.hold, cost);
        assert_eq!(settled.charged, cost.min(within));
        assert_eq!(sum([settled.charged, settled.uncollected]), cost);
        self.spool.push(settled.charged);
    }

    /// Rebuilds the slice from the spool and closes what it finds open with its last progress.
    fn restart(&mut self, forgets: Nano) -> Nano {
        let holds = sum(self.running.iter().map(|request| request.hold.amount()));
        let used = sum([self.slice.released(), self.slice.spent(), holds]);
        let granted = self.slice.granted().saturating_minus(forgets).max(used);
        let mut slice = Slice::restored(granted, self.slice.released(), Nano::ZERO);
        for charge in &self.spool {
            slice.recount_spent(*charge).expect("within range");
        }
        let reopened = self.running.drain(..).map(|request| {
            let hold = slice.hold(request.hold.amount()).expect("what was held is still there");
            Request { hold, progress: request.progress }
        });
        let reopened: Vec<Request> = reopened.collect();
        self.slice = slice;
        for request in reopened {
            let settled = self.slice.settle(request.hold, request.progress);
            assert_eq!(settled.uncollected, Nano::ZERO, "progress was covered by its hold");
            self.spool.push(settled.charged);
        }
        granted
    }
}
