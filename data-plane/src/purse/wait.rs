//! Getting money that is not at hand: requests for one slice queue, one asks for all, and each goes on with what it finds.

use super::decision::{Decision, Demand};
use super::hold::Taken;
use super::slice::{Ask, SharedSlice};
use super::{HoldRefused, Purse};
use domain::money::Nano;
use links::escrow::{FromDataPlane, NotConnected, Want};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::time::{Instant, timeout_at};

/// A place in the queue of a slice, until it is dropped.
struct Place {
    slice: Arc<SharedSlice>,
    wanted: Nano,
    /// Answers to wants up to this number say nothing to this request.
    after: u64,
}

/// What to do next for the request whose turn it is.
enum Next {
    Taken(Taken),
    Refused(HoldRefused),
    Send(Want),
    Wait { until: Instant },
}

impl Place {
    fn join(slice: &Arc<SharedSlice>, wanted: Nano) -> Self {
        let after = slice.lock().join(wanted);
        Self { slice: slice.clone(), wanted, after }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.slice.lock().leave(self.wanted);
    }
}

impl Purse {
    /// Takes money of one slice, waiting for it until the deadline.
    pub(super) async fn take(
        &self,
        slice: &Arc<SharedSlice>,
        demand: Demand<'_>,
        deadline: Instant,
    ) -> Result<Taken, HoldRefused> {
        let mut place = Place::join(slice, demand.wanted);
        let taken = match timeout_at(deadline, self.take_in_turn(&mut place, demand)).await {
            Ok(taken) => taken,
            Err(_) => Err(self.too_late(slice, demand)),
        };
        taken.or_else(|refused| self.take_what_is_there(slice, demand, refused))
    }

    /// Waiting in vain for a control plane that is there means that others want the same money: no outage.
    fn too_late(&self, slice: &SharedSlice, demand: Demand<'_>) -> HoldRefused {
        let others = slice.lock().inflight().saturating_minus(demand.own);
        if self.is_connected() && others.is_positive() {
            HoldRefused::InFlight
        } else {
            HoldRefused::Unreachable
        }
    }

    async fn take_in_turn(
        &self,
        place: &mut Place,
        demand: Demand<'_>,
    ) -> Result<Taken, HoldRefused> {
        let slice = place.slice.clone();
        let _passed = if demand.has_begun() { None } else { Some(slice.door.lock().await) };
        let _turn = slice.turn.lock().await;
        self.first_welcome().await;
        let mut rounds = 0;
        loop {
            match self.next(place, demand, rounds) {
                Next::Taken(taken) => return Ok(taken),
                Next::Refused(refused) => return Err(refused),
                Next::Send(want) => {
                    rounds += 1;
                    self.send_or_lose(&slice, want);
                }
                Next::Wait { until } => drop(timeout_at(until, slice.changed.notified()).await),
            }
        }
    }

    fn next(&self, place: &mut Place, demand: Demand<'_>, rounds: u32) -> Next {
        let mut state = place.slice.lock();
        match state.decide(demand, place.after) {
            Decision::Take(amount) => match state.take(amount) {
                Some(hold) => Next::Taken(Taken::new(place.slice.clone(), hold)),
                None => Next::Refused(HoldRefused::InFlight),
            },
            Decision::Refuse(refused) => Next::Refused(refused),
            Decision::Ask { need } => {
                if let Some(until) = state.answer_due() {
                    return Next::Wait { until };
                }
                if rounds >= self.settings().rounds_max {
                    return Next::Refused(state.after_all_rounds(place.after));
                }
                place.after = state.asked();
                let want_id = self.next_want_id();
                let ask = state.ask(want_id, need, self.settings());
                Next::Send(want(&place.slice, want_id, ask))
            }
        }
    }

    /// A process that just started has no link for a moment; one that lost it does not wait for it.
    async fn first_welcome(&self) {
        let mut was_welcomed = self.0.was_welcomed.subscribe();
        let welcome = was_welcomed.wait_for(|welcomed| *welcomed);
        drop(timeout_at(self.0.born + self.settings().first_welcome_within, welcome).await);
    }

    fn send_or_lose(&self, slice: &SharedSlice, want: Want) {
        if self.send(want).is_err() {
            slice.lock().lose(self.settings());
        }
    }

    fn send(&self, want: Want) -> Result<(), NotConnected> {
        self.0.link.get().ok_or(NotConnected)?.send(FromDataPlane::Want(want))
    }

    fn next_want_id(&self) -> u64 {
        self.0.wants.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    /// When no more is to be had in time, a request makes do with what is at hand, if it can.
    fn take_what_is_there(
        &self,
        slice: &Arc<SharedSlice>,
        demand: Demand<'_>,
        refused: HoldRefused,
    ) -> Result<Taken, HoldRefused> {
        let mut state = slice.lock();
        if let Some(hold) = state.last_resort(demand).and_then(|amount| state.take(amount)) {
            return Ok(Taken::new(slice.clone(), hold));
        }
        if refused == HoldRefused::InFlight && !state.inflight().is_positive() {
            self.0.refused_while_parked.fetch_add(1, Ordering::Relaxed);
        }
        Err(refused)
    }

    /// Asks for more ahead of need. Sends at most one message and never waits.
    pub(super) fn renew_when_low(&self, slice: &SharedSlice) {
        let mut state = slice.lock();
        if !state.is_renewal_due(self.settings()) {
            return;
        }
        let want_id = self.next_want_id();
        let ask = state.renew(want_id, self.settings());
        drop(state);
        self.send_or_lose(slice, want(slice, want_id, ask));
    }
}

fn want(slice: &SharedSlice, want_id: u64, ask: Ask) -> Want {
    let Ask { need, want, granted_seen } = ask;
    Want { want_id, account: slice.account, need, want, granted_seen }
}
