//! What must always be true, by the numbers of `research/distributed.md` part 9.

macro_rules! invariants {
    ($($variant:ident: $claim:literal,)*) => {
        /// A claim about every state of the world, or about the last one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "each says what it claims")]
        pub enum Invariant { $($variant,)* }

        impl Invariant {
            /// All.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its number.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)* }
            }

            /// What it claims.
            #[must_use]
            pub const fn claim(self) -> &'static str {
                match self { $(Self::$variant => $claim,)* }
            }
        }
    };
}

invariants! {
    M1: "held is within posted and the credit limit of each account at each commit",
    M2: "what slices have of an account is what it holds",
    M3: "a data plane spends, holds and gives back no more than it was ever granted",
    M4: "a request is charged no more than what was set aside for it, and what was free",
    M5: "no customer's balance falls below its credit limit",
    M6: "nothing comes free that a data plane has not durably given back",
    M7: "each charge is paid by the customer or borne by the company, to the unit",
    M8: "in the end nothing is held, and what was settled is what was charged",
    M9: "while all is well nobody is refused money that is there",
    X1: "an event counts at most once",
    X2: "in the end each event that was kept counts, and each request that was admitted has one",
    X3: "a consumer's offset moves only with what was before it",
    X4: "a consumer commits nothing after another one has taken over",
    X5: "a data plane forgets no event that is not billed",
    C1: "an applied revision is never followed by an older one",
    C2: "a data plane at a revision holds what was committed as that revision",
    C3: "nothing that is shown points at what is not there",
    C4: "who has applied a revocation denies the key",
    C5: "absence deletes nothing",
    C6: "equal revisions have equal digests, and in the end everyone has the newest",
    J2: "no request goes where its entity, org or key does not allow it, also while the configuration changes",
    R1: "at no moment may data planes use more than a limit, all together",
    R2: "no more than a limit is let through in any minute of the control plane",
    X6: "a restart finds all that was synced, and nothing that was not written",
}
