//! The seeds that run with every test: all invariants hold, each mutant is caught, nothing is left untried.

use protocol_simulation::{Case, Invariant, Mutant, Sweep, World, shrink, sweep};
use std::collections::BTreeSet;

const SEEDS: u64 = 1_000;

#[test]
fn a_thousand_seeds_hold_every_invariant() {
    for world in World::ALL {
        let Sweep { seen, failed } = sweep(0..SEEDS, |seed| Case::new(world, seed));
        if let Some(case) = failed {
            let (case, outcome) = shrink(&case);
            panic!("{}\nscripts/simulate {case}", outcome.violation.unwrap());
        }
        let unseen: Vec<_> = world.expected().iter().filter(|what| seen.times(what) == 0).collect();
        assert!(unseen.is_empty(), "never took effect: {unseen:?}");
        let unexpected: Vec<_> =
            seen.iter().filter(|(what, _)| !world.expected().contains(what)).collect();
        assert!(unexpected.is_empty(), "nobody waits for {unexpected:?}");
    }
}

#[test]
fn every_mutant_is_caught() {
    let mut missed = Vec::new();
    for mutant in Mutant::ALL {
        let failed = sweep(0..SEEDS, |seed| Case::with(seed, *mutant)).failed;
        let violation = failed.and_then(|case| case.run().violation);
        match violation {
            Some(found) if mutant.breaks().contains(&found.invariant) => {}
            found => missed.push((mutant.name(), found)),
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn every_invariant_has_a_mutant_that_breaks_it() {
    let broken: BTreeSet<&Invariant> = Mutant::ALL.iter().flat_map(|of| of.breaks()).collect();
    let all: BTreeSet<&Invariant> = Invariant::ALL.iter().collect();
    assert_eq!(broken, all);
}

#[test]
fn a_seed_replays_byte_for_byte() {
    for world in World::ALL {
        for seed in 0..20 {
            let case = Case { is_traced: true, ..Case::new(world, seed) };
            let (first, again) = (case.run(), case.run());
            assert!(first.trace.len() > 100, "{case}: {} lines", first.trace.len());
            assert_eq!(first.trace, again.trace, "{case}");
            assert_eq!(first, again, "{case}");
        }
    }
}

#[test]
fn a_failing_seed_shrinks_to_what_it_takes() {
    let failing = (0..SEEDS).map(|seed| Case::with(seed, Mutant::ToldBeforeSynced));
    let failing = failing.into_iter().find(|case| case.run().violation.is_some()).unwrap();
    let whole = failing.run();
    let (small, outcome) = shrink(&failing);
    let found = outcome.violation.clone().unwrap();
    assert_eq!(found.invariant, whole.violation.unwrap().invariant);
    let (faults, steps) = (small.faults.clone().unwrap(), small.steps.clone().unwrap());
    assert!(faults.len() + steps.len() < whole.faults + whole.steps, "{small}");
    assert!(steps.len() <= 3, "{small}");
    assert_eq!(small.run(), outcome, "{small}");
}

#[test]
fn the_page_names_every_invariant_and_every_mutant() {
    let page = include_str!("../../docs/simulation.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ")).collect();
    for mutant in Mutant::ALL {
        let named = format!("`{}`", mutant.name());
        let row = rows.iter().find(|row| row.contains(&named)).unwrap_or_else(|| panic!("{named}"));
        let invariants = mutant.breaks().iter().map(|of| format!("| {} ", of.name()));
        assert!(invariants.clone().any(|of| row.starts_with(&of)), "{named}: {row}");
    }
}

/// Found by these seeds: whoever asked for all anew, and was told something older by a replica that lagged, could use no delta
/// of any replica from then on; and whoever was ahead of such a replica was never told again that it has everything.
#[test]
fn a_lagging_replica_leaves_nobody_behind() {
    let found = [(3_725, vec![1, 2, 4], vec![9, 13]), (4_131, vec![1, 2, 3], vec![6])];
    for (seed, faults, steps) in found {
        let (faults, steps) = (Some(faults), Some(steps));
        let case = Case { faults, steps, ..Case::new(World::Feed, seed) };
        assert_eq!(case.run().violation, None, "{case}");
    }
}
