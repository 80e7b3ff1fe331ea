//! What upstreams speak: pure functions between the client's wire and an upstream's, chosen by a closed enum.
//!
//! No I/O here. A dialect says where to send a request, what its bytes are, and what an answer's bytes mean.

pub(crate) mod openai;
pub(crate) mod sse;
pub(crate) mod usage;

use domain::tokens::{Quantities, TokenClass};

/// What an upstream reported, in our classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reported {
    pub(crate) quantities: Quantities,
    /// The numbers contradict each other, or are none.
    pub(crate) is_odd: bool,
}

impl Reported {
    /// What counts when a stream reports more than once. Totals grow, so nothing is added: of input and of output the
    /// larger total counts, with the classes that it came with. A side that is not spoken of is no contradiction; one
    /// that shrinks is.
    pub(crate) fn then(self, later: Self) -> Self {
        let mut quantities = later.quantities;
        let mut is_odd = self.is_odd || later.is_odd;
        for classes in [&TokenClass::INPUT[..], &TokenClass::OUTPUT, &[TokenClass::WebSearch]] {
            let total = |of: &Quantities| classes.iter().map(|class| of.get(*class)).sum::<u64>();
            let (before, now) = (total(&self.quantities), total(&later.quantities));
            if before > now {
                is_odd |= now > 0;
                classes
                    .iter()
                    .for_each(|class| quantities.set(*class, self.quantities.get(*class)));
            }
        }
        Self { quantities, is_odd }
    }
}

/// Whose words a piece of an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Voice {
    /// What the client asked for: text, refusals, tool calls.
    Answer,
    /// Thinking that is shown.
    Reasoning,
}

/// What a piece of an answer tells beside its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) id: Option<String>,
    pub(crate) finish_reason: Option<String>,
    pub(crate) usage: Option<Reported>,
    /// It is the upstream's word that it failed.
    pub(crate) is_error: bool,
    /// It carries no choice at all.
    pub(crate) is_bare: bool,
    /// Holds output that could not be told apart from the rest: no more tokens than this.
    pub(crate) opaque_bytes: u64,
}

/// Why an upstream's bytes cannot be what they claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;
