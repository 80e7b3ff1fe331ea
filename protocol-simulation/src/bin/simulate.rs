//! `scripts/simulate`: runs many seeds and makes a failing one small, or one case with all that happens in it.

use anyhow::{Context, Result, bail};
use clap::Parser;
use protocol_simulation::{Case, Mutant, Outcome, Sweep, World, shrink, sweep};
use std::io::{self, Write};

/// Runs the protocols under seeds of chance and faults, and checks their invariants at every step.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many seeds to run
    #[arg(default_value_t = 1_000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Only this seed
    #[arg(long)]
    seed: Option<u64>,
    /// Only this world; all if not said
    #[arg(long)]
    world: Option<String>,
    /// A rule to break
    #[arg(long)]
    mutant: Option<String>,
    /// Of the seed's faults these alone, as 0,3,4 or none
    #[arg(long)]
    faults: Option<String>,
    /// Of the seed's steps these alone, as 0,3,4 or none
    #[arg(long)]
    steps: Option<String>,
    /// Tell all that happens
    #[arg(long)]
    trace: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    for world in worlds(&arguments)? {
        match arguments.seed {
            Some(seed) => run_one(&case(&arguments, world, seed)?)?,
            None => run_many(&arguments, world)?,
        }
    }
    Ok(())
}

fn run_one(case: &Case) -> Result<()> {
    let outcome = case.run();
    tell(&outcome.trace)?;
    if outcome.violation.is_some() {
        return fail(case);
    }
    tell(&[format!("{case} holds: {} events", outcome.events)])?;
    Ok(())
}

fn run_many(arguments: &Arguments, world: World) -> Result<()> {
    let pattern = case(arguments, world, 0)?;
    let seeds = arguments.from..arguments.from.saturating_add(arguments.seeds);
    let Sweep { seen, failed } =
        sweep(seeds.clone(), |seed| Case { seed, is_traced: false, ..pattern.clone() });
    if let Some(case) = failed {
        return fail(&case);
    }
    let mut lines = vec![format!("{}: all seeds of {seeds:?} hold", world.name())];
    lines.extend(seen.iter().map(|(what, times)| format!("{times:>9}  {what}")));
    Ok(tell(&lines)?)
}

fn worlds(arguments: &Arguments) -> Result<Vec<World>> {
    let mutant = arguments.mutant.as_deref().map(mutant).transpose()?;
    let Some(name) = &arguments.world else {
        return Ok(mutant.map_or(World::ALL.to_vec(), |mutant| vec![mutant.world()]));
    };
    let found = World::ALL.into_iter().find(|world| world.name() == name);
    Ok(vec![found.with_context(|| format!("there is no world {name:?}"))?])
}

fn mutant(name: &str) -> Result<Mutant> {
    let found = Mutant::ALL.iter().find(|mutant| mutant.name() == name);
    found.copied().with_context(|| {
        let names: Vec<&str> = Mutant::ALL.iter().map(|mutant| mutant.name()).collect();
        format!("there is no mutant {name:?}, only {}", names.join(", "))
    })
}

fn case(arguments: &Arguments, world: World, seed: u64) -> Result<Case> {
    Ok(Case {
        mutant: arguments.mutant.as_deref().map(mutant).transpose()?,
        faults: arguments.faults.as_deref().map(numbers).transpose()?,
        steps: arguments.steps.as_deref().map(numbers).transpose()?,
        is_traced: arguments.trace,
        ..Case::new(world, seed)
    })
}

fn numbers(list: &str) -> Result<Vec<usize>> {
    if list == "none" {
        return Ok(Vec::new());
    }
    let number = |number: &str| number.parse().with_context(|| format!("{number:?} is no number"));
    list.split(',').map(number).collect()
}

fn fail(case: &Case) -> Result<()> {
    let (small, outcome) = shrink(&Case { is_traced: false, ..case.clone() });
    let Outcome { violation: Some(violation), .. } = outcome else {
        bail!(
            "{case} fails, and holds when it is run again: the simulation depends on more than its seed"
        );
    };
    bail!("{violation}\nto see what leads there: scripts/simulate {small} --trace")
}

fn tell(lines: &[String]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    lines.iter().try_for_each(|line| writeln!(out, "{line}"))
}
