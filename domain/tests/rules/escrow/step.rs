//! What can happen in the world, and how often.

use proptest::prelude::*;

pub(crate) const DATA_PLANES: usize = 3;

#[derive(Clone, Debug)]
pub(crate) enum Step {
    TopUpWallet(i64),
    Want {
        data_plane: usize,
        need: i64,
        want: i64,
    },
    Hold {
        data_plane: usize,
        amount: i64,
    },
    TopUpHold {
        data_plane: usize,
        request: usize,
        amount: i64,
    },
    Settle {
        data_plane: usize,
        request: usize,
        cost: i64,
    },
    Release {
        data_plane: usize,
        amount: i64,
    },
    Report {
        data_plane: usize,
    },
    /// Sends usage events again that billing may have had.
    Resend {
        data_plane: usize,
    },
    Deliver(usize),
    Repeat(usize),
    Lose(usize),
    /// Over its spool, which may not have kept the last grants that it learned of.
    Restart {
        data_plane: usize,
        forgets: i64,
    },
    /// The standby has all commits there are.
    Replicate,
    /// The standby takes over; commits that it did not have are lost.
    LoseCommits,
    WindDown,
}

/// What happens while the database keeps its word.
pub(crate) fn any_step() -> impl Strategy<Value = Step> {
    let dp = 0..DATA_PLANES;
    let any = any::<prop::sample::Index>().prop_map(|index| index.index(1_000));
    let amount = || prop_oneof![0..50_i64, 0..2_000_i64];
    prop_oneof![
        1 => (1..5_000_i64).prop_map(Step::TopUpWallet),
        4 => (dp.clone(), amount(), amount())
            .prop_map(|(data_plane, need, want)| Step::Want { data_plane, need, want }),
        4 => (dp.clone(), amount()).prop_map(|(data_plane, amount)| Step::Hold { data_plane, amount }),
        2 => (dp.clone(), any.clone(), amount())
            .prop_map(|(data_plane, request, amount)| Step::TopUpHold { data_plane, request, amount }),
        3 => (dp.clone(), any.clone(), amount())
            .prop_map(|(data_plane, request, cost)| Step::Settle { data_plane, request, cost }),
        2 => (dp.clone(), amount()).prop_map(|(data_plane, amount)| Step::Release { data_plane, amount }),
        1 => dp.clone().prop_map(|data_plane| Step::Report { data_plane }),
        1 => dp.clone().prop_map(|data_plane| Step::Resend { data_plane }),
        8 => any.clone().prop_map(Step::Deliver),
        2 => any.clone().prop_map(Step::Repeat),
        1 => any.prop_map(Step::Lose),
        1 => (dp, amount()).prop_map(|(data_plane, forgets)| Step::Restart { data_plane, forgets }),
    ]
}

/// What happens where commits may be lost besides.
pub(crate) fn any_step_or_loss() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => any_step(),
        2 => Just(Step::Replicate),
        1 => Just(Step::LoseCommits),
    ]
}
