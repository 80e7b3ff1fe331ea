//! Rules that can be broken on purpose: each wraps one decision, and must be caught, or its invariant is not checked.

use crate::case::World;
use crate::invariant::Invariant::{
    self, M1, M2, M3, M4, M5, M6, M7, M8, M9, X1, X2, X3, X4, X5, X6,
};

macro_rules! mutants {
    ($($variant:ident $world:ident [$($invariant:ident)*] $what:literal,)*) => {
        /// A broken rule.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Mutant { $(#[doc = $what] $variant,)* }

        impl Mutant {
            /// All.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name on the command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)* }
            }

            /// Where it lives.
            #[must_use]
            pub const fn world(self) -> World {
                match self { $(Self::$variant => World::$world,)* }
            }

            /// The invariants of which one must break.
            #[must_use]
            pub const fn breaks(self) -> &'static [Invariant] {
                match self { $(Self::$variant => &[$($invariant,)*],)* }
            }
        }
    };
}

mutants! {
    GrantWithoutGuard Money [M1] "A grant does not look at what is held already.",
    FreeTwice Money [M2] "A release frees its money twice.",
    HoldBeyondSlice Money [M3] "A data plane holds money that it was not granted.",
    ChargeBeyondHold Money [M4] "A charge is what a request cost, whatever was there for it.",
    LateChargeToWallet Money [M1 M5] "What no slice covers is taken from the wallet, whatever is free.",
    FreeOnTime Money [M6] "The money of a data plane that was silent for long is freed.",
    ToldBeforeSynced Money [M6] "A release is told before it is durable.",
    ShortfallForgotten Money [M7] "What the company bears is not written down.",
    WelcomeIgnored Money [M8] "A data plane does not learn what it was granted while it was away.",
    NoRecall Money [M9] "Others are not asked for money that lies idle with them.",
    SettleTwice Money [X1] "An event that was seen before counts again.",
    MarkOverGap Money [X5] "What is billed is told as if there were no gaps.",
    OpenForgotten Money [X2] "A restart does not end the requests that it finds open.",
    OffsetWithoutRows Money [X3] "An offset moves although its events were not applied.",
    SkipFence Money [X4] "A consumer does not look whether it still owns its partition.",
    TrimOnTopicAck Money [X5] "The spool is trimmed on the topic's word.",
    SyncedLost Money [X6] "The disk forgets what it has synced.",
    TornFrameAccepted Money [X6] "A torn record has a checksum that fits.",
}
