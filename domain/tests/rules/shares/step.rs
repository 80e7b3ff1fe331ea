//! What can happen among the data planes of a cell, and how often.

use domain::time::MINUTE_US;
use proptest::prelude::*;

pub(crate) const DATA_PLANES: usize = 3;

/// Drawn among two or three; a share among two and drawn among three; always a share.
pub(crate) const LIMITS: [u64; 3] = [12, 130, 600];

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Pass(u64),
    /// Until shortly before or after the next minute begins.
    PassToBoundary(i64),
    /// Requests one after the other, each for `amount`, until one is refused; then more is asked for.
    Request {
        data_plane: usize,
        limit: usize,
        times: u64,
        amount: u64,
    },
    /// The last request turns out to have needed less.
    GiveBack {
        data_plane: usize,
        limit: usize,
        less: u64,
    },
    /// Asks for the time, tells that it is there, and declares that it will draw.
    Talk {
        data_plane: usize,
    },
    /// The control plane looks at its fleet. Whom it heard of may be wrong, and it may take its time.
    Settle {
        is_heard: [bool; DATA_PLANES],
        slow_us: u64,
    },
    /// `slow_us`: how long the control plane thinks about it, with what it knew before.
    Deliver {
        message: usize,
        slow_us: u64,
    },
    Repeat {
        message: usize,
        slow_us: u64,
    },
    Lose(usize),
    /// Everything arrives, in order, and so do the answers.
    Rush,
    /// All goes well for a moment: everybody talks and is heard.
    Calm,
    /// What need not be synced at once, is.
    Sync {
        data_plane: usize,
    },
    Stop {
        data_plane: usize,
    },
    /// Over its disk.
    Restart {
        data_plane: usize,
    },
    LoseDisk {
        data_plane: usize,
    },
    Leave {
        data_plane: usize,
    },
}

pub(crate) fn any_step() -> impl Strategy<Value = Step> {
    let dp = || 0..DATA_PLANES;
    let limit = || 0..LIMITS.len();
    let message = || any::<prop::sample::Index>().prop_map(|index| index.index(10_000));
    let slow = || prop_oneof![3 => Just(0), 1 => 0..MINUTE_US - 1_000_000];
    let heard = || prop_oneof![4 => Just(true), 1 => Just(false)];
    prop_oneof![
        3 => (0..2_000_000_u64).prop_map(Step::Pass),
        3 => (0..25_000_000_u64).prop_map(Step::Pass),
        2 => (-400_000..400_000_i64).prop_map(Step::PassToBoundary),
        1 => Just(Step::Pass(MINUTE_US)),
        12 => (dp(), limit(), 1..60_u64, prop_oneof![2 => Just(1), 1 => 1..40_u64])
            .prop_map(|(data_plane, limit, times, amount)| Step::Request { data_plane, limit, times, amount }),
        1 => (dp(), limit(), 0..40_u64)
            .prop_map(|(data_plane, limit, less)| Step::GiveBack { data_plane, limit, less }),
        5 => dp().prop_map(|data_plane| Step::Talk { data_plane }),
        4 => ([heard(), heard(), heard()], slow())
            .prop_map(|(is_heard, slow_us)| Step::Settle { is_heard, slow_us }),
        10 => (message(), slow()).prop_map(|(message, slow_us)| Step::Deliver { message, slow_us }),
        2 => (message(), slow()).prop_map(|(message, slow_us)| Step::Repeat { message, slow_us }),
        2 => message().prop_map(Step::Lose),
        4 => Just(Step::Rush),
        3 => Just(Step::Calm),
        1 => dp().prop_map(|data_plane| Step::Sync { data_plane }),
        1 => prop_oneof![
            2 => dp().prop_map(|data_plane| Step::Stop { data_plane }),
            4 => dp().prop_map(|data_plane| Step::Restart { data_plane }),
            1 => dp().prop_map(|data_plane| Step::LoseDisk { data_plane }),
            1 => dp().prop_map(|data_plane| Step::Leave { data_plane }),
        ],
    ]
}
