//! Makes a failing case small: faults are taken away first, then steps, as long as the same invariant still breaks.

use crate::case::{Case, Outcome};

/// The smallest case that was found, and what became of it.
#[must_use]
pub fn shrink(failing: &Case) -> (Case, Outcome) {
    let mut best = failing.explicit();
    let mut outcome = best.run();
    let Some(invariant) = outcome.violation.as_ref().map(|violation| violation.invariant) else {
        return (best, outcome);
    };
    let mut is_smaller = true;
    while is_smaller {
        is_smaller = false;
        for list in [List::Faults, List::Steps] {
            let mut size = list.of(&best).len();
            while size > 0 {
                let (smaller, found) = without_parts(&best, list, size, |outcome| {
                    outcome.violation.as_ref().is_some_and(|found| found.invariant == invariant)
                });
                is_smaller |= found.is_some();
                best = smaller;
                outcome = found.unwrap_or(outcome);
                size /= 2;
            }
        }
    }
    (best, outcome)
}

#[derive(Clone, Copy)]
enum List {
    Faults,
    Steps,
}

impl List {
    fn of(self, case: &Case) -> &Vec<usize> {
        let kept = match self {
            Self::Faults => &case.faults,
            Self::Steps => &case.steps,
        };
        kept.as_ref().unwrap_or(const { &Vec::new() })
    }

    fn without(self, case: &Case, from: usize, size: usize) -> Case {
        let mut left = self.of(case).clone();
        left.drain(from..(from + size).min(left.len()));
        match self {
            Self::Faults => Case { faults: Some(left), ..case.clone() },
            Self::Steps => Case { steps: Some(left), ..case.clone() },
        }
    }
}

/// Takes away each stretch of that size that is not needed.
fn without_parts(
    case: &Case,
    list: List,
    size: usize,
    fails: impl Fn(&Outcome) -> bool,
) -> (Case, Option<Outcome>) {
    let (mut best, mut outcome, mut from) = (case.clone(), None, 0);
    while from < list.of(&best).len() {
        let candidate = list.without(&best, from, size);
        let ended = candidate.run();
        if fails(&ended) {
            best = candidate;
            outcome = Some(ended);
        } else {
            from += size;
        }
    }
    (best, outcome)
}
