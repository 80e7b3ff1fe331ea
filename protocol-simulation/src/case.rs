//! A case: everything that decides a run, small enough to be printed and typed again. And what a run ends with.

use crate::coverage::Seen;
use crate::invariant::Invariant;
use crate::mutant::Mutant;
use crate::schedule::Time;
use crate::{feed, money, rates};
use std::fmt;

/// Which protocols are simulated together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum World {
    /// Escrow, spool, usage transport, billing.
    Money,
    /// Configuration, from its log to requests that are routed by it.
    Feed,
    /// Limits that several data planes share.
    Rates,
}

impl World {
    /// All.
    pub const ALL: [Self; 3] = [Self::Money, Self::Feed, Self::Rates];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Money => "money",
            Self::Feed => "feed",
            Self::Rates => "rates",
        }
    }

    /// What must have happened at least once in a thousand seeds, and nothing else does.
    #[must_use]
    pub const fn expected(self) -> &'static [&'static str] {
        match self {
            Self::Money => money::EXPECTED,
            Self::Feed => feed::EXPECTED,
            Self::Rates => rates::EXPECTED,
        }
    }
}

/// A run, before it was run. The same case always ends the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// What is simulated.
    pub world: World,
    /// What all chance comes from.
    pub seed: u64,
    /// A rule that is broken on purpose.
    pub mutant: Option<Mutant>,
    /// Which of the seed's faults happen; all if not said.
    pub faults: Option<Vec<usize>>,
    /// Which of the seed's steps are taken; all if not said.
    pub steps: Option<Vec<usize>>,
    /// Whether what happens is told line by line.
    pub is_traced: bool,
}

/// An invariant does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// When.
    pub at: Time,
    /// What was found.
    pub what: String,
}

/// What a run ended with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The first invariant that did not hold, if one did not.
    pub violation: Option<Violation>,
    /// How many events happened.
    pub events: u64,
    /// How many faults the seed has.
    pub faults: usize,
    /// How many steps the seed has.
    pub steps: usize,
    /// What took effect.
    pub seen: Seen,
    /// What happened, if that was asked for.
    pub trace: Vec<String>,
}

impl Case {
    /// All that a seed says.
    #[must_use]
    pub const fn new(world: World, seed: u64) -> Self {
        Self { world, seed, mutant: None, faults: None, steps: None, is_traced: false }
    }

    /// The same with a rule broken.
    #[must_use]
    pub fn with(seed: u64, mutant: Mutant) -> Self {
        Self { mutant: Some(mutant), ..Self::new(mutant.world(), seed) }
    }

    /// Runs it.
    #[must_use]
    pub fn run(&self) -> Outcome {
        match self.world {
            World::Money => money::run(self),
            World::Feed => feed::run(self),
            World::Rates => rates::run(self),
        }
    }

    /// The same, with its faults and steps named one by one.
    pub(crate) fn explicit(&self) -> Self {
        let Outcome { faults, steps, .. } = self.run();
        Self {
            faults: Some(self.faults.clone().unwrap_or_else(|| (0..faults).collect())),
            steps: Some(self.steps.clone().unwrap_or_else(|| (0..steps).collect())),
            ..self.clone()
        }
    }
}

/// Of those planned, the ones that a case keeps, each with its number.
pub(crate) fn kept<T>(planned: Vec<T>, kept: Option<&Vec<usize>>) -> Vec<(usize, T)> {
    let is_kept = |number: &usize| kept.is_none_or(|kept| kept.contains(number));
    planned.into_iter().enumerate().filter(|(number, _)| is_kept(number)).collect()
}

/// As the arguments that run it again.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--world {} --seed {}", self.world.name(), self.seed)?;
        if let Some(mutant) = self.mutant {
            write!(f, " --mutant {}", mutant.name())?;
        }
        for (name, list) in [("faults", &self.faults), ("steps", &self.steps)] {
            if let Some(list) = list {
                let numbers: Vec<String> = list.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    " --{name} {}",
                    if numbers.is_empty() { "none".to_owned() } else { numbers.join(",") }
                )?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { invariant, at, what } = self;
        write!(f, "{} at {at} µs: {} ({what})", invariant.name(), invariant.claim())
    }
}
