//! What requests used, as lines of a usage event and as the domain's quantities.

use super::Unreadable;
use crate::usage::v1;
use domain::operation::Operation;
use domain::price::Rates;
use domain::tokens::{Metered, Provenance, Quantities, TokenClass};
use domain::usage::Outcome;

/// How events are to be understood that this version writes; it knows no newer ones.
pub const USAGE_SCHEMA: u32 = 1;

/// One line for each class of which there was any, with the unit price that applied to it.
#[must_use]
pub fn lines(metered: &Metered, rates: &Rates) -> Vec<v1::Line> {
    let line = |(class, quantity): (TokenClass, u64)| v1::Line {
        class: class.name().to_owned(),
        quantity,
        provenance: v1::Provenance::from(metered.provenance(class)).into(),
        unit_nano_per_million: rates.effective(class).unwrap_or_default().get(),
    };
    metered.quantities.nonzero().map(line).collect()
}

/// Reads lines back. Where lines of one side differ in provenance, the side has the least certain of them.
///
/// # Errors
/// When a class or a provenance is unknown, or a class occurs twice.
pub fn metered(lines: &[v1::Line]) -> Result<Metered, Unreadable> {
    let mut metered = Metered::default();
    let mut seen = Quantities::NONE;
    for line in lines {
        let class = TokenClass::parse(&line.class)
            .ok_or_else(|| Unreadable::new("class", format!("unknown class {:?}", line.class)))?;
        if seen.get(class) > 0 {
            return Err(Unreadable::new("class", format!("{class} occurs twice")));
        }
        seen.set(class, 1);
        metered.quantities.set(class, line.quantity);
        let known = provenance(line.provenance)?;
        if class.parent() == TokenClass::Output {
            metered.output = metered.output.max(known);
        } else {
            metered.input = metered.input.max(known);
        }
    }
    Ok(metered)
}

/// Reads an outcome as a message carries it.
///
/// # Errors
/// When it is unset or unknown.
pub fn outcome(number: i32) -> Result<Outcome, Unreadable> {
    let unknown = || Unreadable::new("outcome", format!("unknown outcome {number}"));
    match v1::Outcome::try_from(number).map_err(|_| unknown())? {
        v1::Outcome::Unspecified => Err(Unreadable::missing("outcome")),
        v1::Outcome::Completed => Ok(Outcome::Completed),
        v1::Outcome::ClientGone => Ok(Outcome::ClientGone),
        v1::Outcome::OutOfMoney => Ok(Outcome::OutOfMoney),
        v1::Outcome::UpstreamFailed => Ok(Outcome::UpstreamFailed),
        v1::Outcome::Interrupted => Ok(Outcome::Interrupted),
    }
}

/// Reads an operation as a message carries it. Messages from before there was more than one do not.
///
/// # Errors
/// When it is unknown.
pub fn operation(number: i32) -> Result<Operation, Unreadable> {
    let unknown = || Unreadable::new("operation", format!("unknown operation {number}"));
    match v1::Operation::try_from(number).map_err(|_| unknown())? {
        v1::Operation::Unspecified | v1::Operation::Chat => Ok(Operation::Chat),
        v1::Operation::Completions => Ok(Operation::Completions),
        v1::Operation::Embeddings => Ok(Operation::Embeddings),
    }
}

/// Reads a provenance as a message carries it.
///
/// # Errors
/// When it is unset or unknown.
pub fn provenance(number: i32) -> Result<Provenance, Unreadable> {
    let unknown = || Unreadable::new("provenance", format!("unknown provenance {number}"));
    match v1::Provenance::try_from(number).map_err(|_| unknown())? {
        v1::Provenance::Unspecified => Err(Unreadable::missing("provenance")),
        v1::Provenance::Reported => Ok(Provenance::Reported),
        v1::Provenance::Counted => Ok(Provenance::Counted),
        v1::Provenance::Estimated => Ok(Provenance::Estimated),
    }
}

impl From<Outcome> for v1::Outcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Completed => Self::Completed,
            Outcome::ClientGone => Self::ClientGone,
            Outcome::OutOfMoney => Self::OutOfMoney,
            Outcome::UpstreamFailed => Self::UpstreamFailed,
            Outcome::Interrupted => Self::Interrupted,
        }
    }
}

impl From<Operation> for v1::Operation {
    fn from(operation: Operation) -> Self {
        match operation {
            Operation::Chat => Self::Chat,
            Operation::Completions => Self::Completions,
            Operation::Embeddings => Self::Embeddings,
        }
    }
}

impl From<Provenance> for v1::Provenance {
    fn from(provenance: Provenance) -> Self {
        match provenance {
            Provenance::Reported => Self::Reported,
            Provenance::Counted => Self::Counted,
            Provenance::Estimated => Self::Estimated,
        }
    }
}
