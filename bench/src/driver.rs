//! The driver: starts each gateway between the load generator and the mock upstream, measures every scenario, all in one run,
//! and writes the report.
//!
//! In reading order: what may be asked, what is needed for it, processes, gateways, scenarios, what was found, the report.

mod options;
mod machine;
mod rig;
mod process;
mod gateway;
mod scenario;
mod records;
mod report;

pub use options::Options;

use crate::say;
use anyhow::Context;
use gateway::Target;
use records::{Record, Records};
use rig::Rig;
use scenario::Scenario;
use std::fs;
use std::time::Instant;
use tokio::signal::unix::{SignalKind, signal};

/// Does what was asked. Whatever ends it takes the processes that it started along.
///
/// # Errors
/// When something is missing, or a gateway does not do what it should.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        done = work(&options) => done,
        _ = interrupted.recv() => anyhow::bail!("interrupted: no report is written"),
        _ = terminated.recv() => anyhow::bail!("terminated: no report is written"),
    }
}

async fn work(options: &Options) -> anyhow::Result<()> {
    let records = match &options.from {
        Some(file) => Records::read(file)?,
        None => measure(options).await?,
    };
    let notes = fs::read_to_string(&options.notes).unwrap_or_default();
    fs::write(&options.report, report::write(&records, &notes))
        .with_context(|| format!("cannot write {}", options.report.display()))?;
    say::note(&format!("bench: the report is in {}", options.report.display()));
    Ok(())
}

async fn measure(options: &Options) -> anyhow::Result<Records> {
    let rig = Rig::prepare(options)?;
    let mut records = Records::new(machine::describe(options, rig.programs()));
    let began = Instant::now();
    for round in 1..=options.rounds {
        for target in options.targets() {
            let scenarios = options.scenarios_of(target, round);
            if scenarios.is_empty() {
                continue;
            }
            rig.progress(began, &format!("round {round} of {}: {target}", options.rounds));
            let measured = on_target(&rig, target, &scenarios, round).await;
            let measured = measured.with_context(|| format!("{target}, round {round}"))?;
            records.add(measured);
            // What was found is not lost to what comes later.
            records.write(&options.results)?;
        }
        for scenario in options.scenarios_without_target(round) {
            rig.progress(began, &format!("round {round} of {}: {scenario}", options.rounds));
            records.add(scenario::alone(&rig, scenario, round).await?);
        }
    }
    records.write(&options.results)?;
    rig.progress(began, &format!("done; all figures are in {}", options.results.display()));
    Ok(records)
}

/// Starts a gateway and its upstream, measures it, and stops both.
async fn on_target(
    rig: &Rig,
    target: Target,
    scenarios: &[Scenario],
    round: u32,
) -> anyhow::Result<Vec<Record>> {
    let mock = rig.mock().await?;
    let running = gateway::start(rig, target, &mock).await?;
    if target.is_loaded_first() {
        scenario::warm_up(rig, &running).await?;
    }
    let mut found = Vec::new();
    for scenario in scenarios {
        rig.detail(&format!("  {target}: {scenario}"));
        let measured = scenario::measure(rig, &running, &mock, *scenario).await;
        let (load, figures) = measured.with_context(|| scenario.to_string())?;
        found.push(Record::new(target, *scenario, round, load, figures));
    }
    running.stop().await?;
    mock.stop().await?;
    Ok(found)
}
