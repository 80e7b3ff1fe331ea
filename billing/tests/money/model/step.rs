//! What can happen, and how often.

use super::life::Payer;
use super::world::{budget, wallet};
use domain::id::Account;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::Index;

/// Data planes that tell the truth.
pub(super) const NAMES: [&str; 3] = ["a", "b", "c"];

pub(super) const PAYERS: [Payer; 3] =
    [Payer { org: 1, key: None }, Payer { org: 1, key: Some(11) }, Payer { org: 2, key: None }];

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Arrives,
    /// After others, perhaps several times.
    IsLate,
    IsLost,
}

/// One of the wants that are sent together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) account: Account,
    pub(super) need: i64,
    pub(super) more: i64,
}

/// What a data plane says that nothing happened of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lie {
    Report {
        account: Account,
        granted_seen: i64,
        released: i64,
    },
    Want {
        account: Account,
        need: i64,
        granted_seen: i64,
    },
    /// A request of one of two lives that was never granted anything.
    Event {
        incarnation: u64,
        payer: usize,
        charge: i64,
    },
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Want {
        plane: usize,
        wants: Vec<Wanted>,
        grants: Fate,
    },
    Spend {
        plane: usize,
        payer: usize,
        cost: i64,
    },
    Release {
        plane: usize,
        account: Account,
        amount: i64,
    },
    Report {
        plane: usize,
        fate: Fate,
    },
    Lie(Lie),
    Deliver {
        message: Index,
        again: bool,
    },
    /// A batch of usage events out of all there are, which may be backwards.
    Bill {
        from: Index,
        count: usize,
        is_reversed: bool,
    },
    Credit {
        org: i64,
        amount: i64,
    },
    CreditAgain(Index),
    SetCreditLimit {
        org: i64,
        limit: i64,
    },
    SetBudget {
        delta: i64,
    },
    Restart {
        plane: usize,
        forgets: i64,
    },
    NewLife {
        plane: usize,
    },
    /// Of all that ever lived and told no lies, one can never dispatch again: so it is said, true or not.
    Forget(Index),
    Follow,
    LoseCommits,
}

fn account() -> impl Strategy<Value = Account> {
    prop_oneof![2 => Just(wallet(1)), 1 => Just(budget(1, 11)), 2 => Just(wallet(2))]
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![6 => Just(Fate::Arrives), 2 => Just(Fate::IsLate), 1 => Just(Fate::IsLost)]
}

fn index() -> impl Strategy<Value = Index> {
    any::<Index>()
}

fn plane() -> impl Strategy<Value = usize> {
    0..NAMES.len()
}

fn wanted() -> impl Strategy<Value = Wanted> {
    (account(), 0..400_i64, 0..400_i64).prop_map(|(account, need, more)| Wanted {
        account,
        need,
        more,
    })
}

/// What data planes do and what is heard of it.
fn traffic() -> impl Strategy<Value = Step> {
    let wants = proptest::collection::vec(wanted(), 1..4);
    prop_oneof![
        5 => (plane(), wants, fate())
            .prop_map(|(plane, wants, grants)| Step::Want { plane, wants, grants }),
        5 => (plane(), 0..PAYERS.len(), 0..250_i64)
            .prop_map(|(plane, payer, cost)| Step::Spend { plane, payer, cost }),
        2 => (plane(), account(), 1..300_i64)
            .prop_map(|(plane, account, amount)| Step::Release { plane, account, amount }),
        2 => (plane(), fate()).prop_map(|(plane, fate)| Step::Report { plane, fate }),
        2 => (index(), any::<bool>())
            .prop_map(|(message, again)| Step::Deliver { message, again }),
        4 => (index(), 1..8_usize, any::<bool>())
            .prop_map(|(from, count, is_reversed)| Step::Bill { from, count, is_reversed }),
    ]
}

/// What operators do, and what happens to processes.
fn event() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1..=2_i64, 1..500_i64).prop_map(|(org, amount)| Step::Credit { org, amount }),
        1 => index().prop_map(Step::CreditAgain),
        2 => (1..=2_i64, 0..600_i64)
            .prop_map(|(org, limit)| Step::SetCreditLimit { org, limit }),
        1 => (-600..600_i64).prop_map(|delta| Step::SetBudget { delta }),
        2 => (plane(), 0..400_i64).prop_map(|(plane, forgets)| Step::Restart { plane, forgets }),
        1 => plane().prop_map(|plane| Step::NewLife { plane }),
        1 => index().prop_map(Step::Forget),
    ]
}

/// While the database keeps its word.
pub(super) fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![4 => traffic(), 1 => event()]
}

fn lie() -> impl Strategy<Value = Lie> {
    prop_oneof![
        2 => (account(), 0..900_i64, 0..900_i64).prop_map(|(account, granted_seen, released)| {
            Lie::Report { account, granted_seen, released }
        }),
        2 => (account(), 0..400_i64, 0..900_i64)
            .prop_map(|(account, need, granted_seen)| Lie::Want { account, need, granted_seen }),
        4 => (1..=2_u64, 0..PAYERS.len(), 0..250_i64).prop_map(|(incarnation, payer, charge)| {
            Lie::Event { incarnation, payer, charge }
        }),
    ]
}

/// Where commits may be lost and data planes may lie.
pub(super) fn any_step_at_worst() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => any_step(),
        1 => Just(Step::Follow),
        2 => Just(Step::LoseCommits),
        6 => lie().prop_map(Step::Lie),
    ]
}
