//! Rules that can be broken on purpose: each wraps one decision, and must be caught, or its invariant is not checked.

use crate::case::World;
use crate::invariant::Invariant::{
    self, C1, C2, C3, C4, C5, C6, J2, M1, M2, M3, M4, M5, M6, M7, M8, M9, R1, R2, X1, X2, X3, X4,
    X5, X6,
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
    OlderOverNewer Feed [C1] "Who comes back says that it has nothing, and takes what it gets.",
    SnapshotMerged Feed [C2] "A snapshot is put on top of what was there.",
    ShownPieceByPiece Feed [C3] "A delta is shown change by change, in another order.",
    RevocationIgnored Feed [C4] "The revocation of a key is not applied.",
    AbsenceDeletes Feed [C5] "Without a control plane there is no configuration.",
    GenerationKept Feed [C2 C6] "Lost commits do not raise the generation.",
    NoDigest Feed [C6] "Nobody compares digests.",
    RouteCheckedOnce Feed [J2] "An attempt goes where the request could go when it began.",
    RouteWithoutJurisdiction Feed [J2] "A route with a price is taken wherever it leads.",
    RaisedBeforeLowered Rates [R1] "A share is raised before another one's lowering is answered.",
    RaisedToAll Rates [R1] "Who asks for more is told the whole limit.",
    SilentAreGone Rates [R1] "The share of a data plane that is silent is given to others.",
    DrawnTwice Rates [R1] "What was drawn counts twice.",
    ClocksOfTheirOwn Rates [R2] "Replicas tell the time by clocks of their own.",
}
