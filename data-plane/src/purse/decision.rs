//! What a request that wants money does next, given what its slice has and what the control plane last said. Pure.

use super::HoldRefused;
use domain::money::Nano;
use links::escrow::DenialReason;

/// How much of so much free money a request takes.
pub type Choose<'a> = dyn Fn(Nano) -> Option<Nano> + Send + Sync + 'a;

/// What one request wants of one slice.
#[derive(Clone, Copy)]
pub(super) struct Demand<'a> {
    /// With less the request cannot go on.
    pub(super) minimum: Nano,
    /// With this it has all it asks for.
    pub(super) wanted: Nano,
    /// What it holds already: that is no money it could wait for.
    pub(super) own: Nano,
    /// What it takes when there is not all it wants.
    pub(super) choose: &'a Choose<'a>,
}

impl Demand<'_> {
    /// It is made by a request that runs already, and only wants to go on.
    pub(super) fn has_begun(&self) -> bool {
        self.own.is_positive()
    }
}

/// How a slice stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    pub(super) available: Nano,
    pub(super) inflight: Nano,
}

/// What the control plane said, and how much it still has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Granted {
        free: Nano,
    },
    Denied {
        reason: DenialReason,
        free: Nano,
    },
    /// The connection broke before it said anything.
    Lost,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Take(Nano),
    Ask { need: Nano },
    Refuse(HoldRefused),
}

/// `answer` is the one to a want that was sent since the request began to wait; an older one tells it nothing.
pub(super) fn decide(standing: Standing, demand: Demand<'_>, answer: Option<Answer>) -> Decision {
    let Standing { available, inflight } = standing;
    let others = inflight.saturating_minus(demand.own);
    if demand.wanted <= available {
        return Decision::Take(demand.wanted);
    }
    let short_of = |amount: Nano| amount.saturating_minus(available).or_zero();
    let free_there = match answer {
        None => return Decision::Ask { need: short_of(demand.minimum) },
        Some(Answer::Lost) => return Decision::Refuse(HoldRefused::Unreachable),
        Some(Answer::Denied { reason: reason @ DenialReason::Frozen, .. }) => {
            return Decision::Refuse(refusal(reason, others));
        }
        Some(Answer::Granted { free } | Answer::Denied { free, .. }) => free.or_zero(),
    };
    let free = available.saturating_plus(free_there).or_zero();
    let chosen = (demand.choose)(free).map(|amount| amount.min(demand.wanted));
    match (chosen, answer) {
        (Some(amount), _) if amount <= available => Decision::Take(amount),
        (Some(amount), _) => Decision::Ask { need: short_of(amount) },
        (None, Some(Answer::Denied { reason, .. })) => Decision::Refuse(refusal(reason, others)),
        // The grant was another request's, and smaller: only a denial of its own says where the rest of the money is.
        (None, _) => Decision::Ask { need: short_of(demand.minimum) },
    }
}

/// The money at hand, when no more can be had in time: known money is spent whoever else is away.
pub(super) fn last_resort(available: Nano, demand: Demand<'_>) -> Option<Nano> {
    let chosen = (demand.choose)(available.or_zero())?.min(demand.wanted);
    (chosen <= available).then_some(chosen)
}

/// Money that other running requests hold here may come back: then the refusal is not final.
fn refusal(reason: DenialReason, others: Nano) -> HoldRefused {
    match reason {
        DenialReason::InFlight => HoldRefused::InFlight,
        DenialReason::Insufficient | DenialReason::Frozen if others.is_positive() => {
            HoldRefused::InFlight
        }
        DenialReason::Insufficient | DenialReason::Frozen => HoldRefused::InsufficientBalance,
    }
}
