//! One wallet, three data planes, a network that does to messages what networks do, and a database that may lose its last
//! commits.

use super::books::Books;
use super::step::{DATA_PLANES, Step};
use super::{nano, sum};
use domain::escrow::office::Told;
use domain::escrow::slice::{Hold, Slice};
use domain::escrow::wallet::Ask;
use domain::money::Nano;

#[derive(Clone, Debug)]
enum Message {
    Want {
        data_plane: usize,
        ask: Ask,
        granted_seen: Nano,
    },
    Grant {
        data_plane: usize,
        total: Nano,
    },
    Report {
        data_plane: usize,
        told: Told,
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
    books: Books,
    /// What survives when commits are lost.
    standby: Books,
    has_lost: bool,
    data_planes: [DataPlane; DATA_PLANES],
    network: Vec<Message>,
}

impl World {
    pub(crate) fn new(credit_limit: i64) -> Self {
        let books = Books::new(credit_limit);
        Self {
            standby: books.clone(),
            books,
            has_lost: false,
            data_planes: Default::default(),
            network: Vec::new(),
        }
    }

    pub(crate) fn take(&mut self, step: &Step) {
        match *step {
            Step::TopUpWallet(amount) => self.books.credit(nano(amount)),
            Step::Want { data_plane, need, want } => {
                let ask = Ask { need: nano(need), want: nano(want) };
                let granted_seen = self.data_planes[data_plane].slice.granted();
                self.network.push(Message::Want { data_plane, ask, granted_seen });
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
            Step::Replicate => self.standby = self.books.clone(),
            Step::LoseCommits => self.lose_commits(),
            Step::WindDown => self.wind_down(),
        }
    }

    fn report(&mut self, data_plane: usize) {
        let slice = &self.data_planes[data_plane].slice;
        let told = Told { granted_seen: slice.granted(), released: slice.released() };
        self.network.push(Message::Report { data_plane, told });
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
            Some(Message::Want { data_plane, ask, granted_seen }) => {
                if let Some(total) = self.books.grant(data_plane, ask, granted_seen) {
                    self.network.push(Message::Grant { data_plane, total });
                }
            }
            Some(Message::Grant { data_plane, total }) => {
                self.data_planes[data_plane].slice.learn_granted(total);
            }
            Some(Message::Report { data_plane, told }) => self.books.learn(data_plane, told),
            Some(Message::Events { data_plane, charges }) => self.books.bill(data_plane, &charges),
        }
    }

    fn restart(&mut self, data_plane: usize, forgets: Nano) {
        let known = self.data_planes[data_plane].restart(forgets);
        let total = self.books.rows[data_plane].totals.granted;
        assert!(self.has_lost || known <= total, "it remembers a grant that was never made");
        self.network.push(Message::Grant { data_plane, total });
        self.report(data_plane);
        self.resend(data_plane);
    }

    /// The standby takes over, and everyone says again what they know.
    fn lose_commits(&mut self) {
        self.books = self.standby.clone();
        self.has_lost = true;
        for data_plane in 0..DATA_PLANES {
            self.report(data_plane);
            self.resend(data_plane);
        }
    }

    /// Everything ends, everything arrives, everything idle is given back.
    pub(crate) fn wind_down(&mut self) {
        while !self.network.is_empty() {
            self.deliver(0, true);
        }
        for data_plane in 0..DATA_PLANES {
            let granted = self.books.rows[data_plane].totals.granted;
            self.data_planes[data_plane].slice.learn_granted(granted);
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
        self.books.assert_sound();
        if !self.has_lost {
            self.books.assert_backed();
        }
        for (data_plane, row) in self.data_planes.iter().zip(&self.books.rows) {
            let (slice, totals) = (&data_plane.slice, row.totals);
            let used = sum([slice.spent(), slice.inflight(), slice.released()]);
            assert!(used <= slice.granted(), "{slice:?} after {step:?}");
            let holds = sum(data_plane.running.iter().map(|request| request.hold.amount()));
            assert_eq!(holds, slice.inflight(), "holds and slice differ after {step:?}");
            assert_eq!(sum(data_plane.spool.iter().copied()), slice.spent());
            assert!(self.has_lost || slice.granted() <= totals.granted, "{slice:?} {totals:?}");
            assert!(totals.released <= slice.released() && totals.settled <= slice.spent());
        }
    }

    /// Nothing is held any more: what was granted is either given back or spent.
    pub(crate) fn assert_settled(&self) {
        assert_eq!(self.books.wallet.held, Nano::ZERO);
        for (data_plane, row) in self.data_planes.iter().zip(&self.books.rows) {
            assert_eq!(row.unbacked, Nano::ZERO);
            assert_eq!(row.totals.settled, data_plane.slice.spent(), "each event counts once");
        }
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
