//! The report: the rows of DESIGN part 8, the notes by hand, every gateway's figures, the machine.

mod figures;
mod rows;
mod tables;

use super::records::Records;
use figures::Measured;

const INTRODUCTION: &str = "\
# How fast it is

Written by `scripts/bench`; the notes come from `bench/notes.md`. Ours runs with keys, limits, holds, settlement, routing, durable
usage records and 1 % of traces on; nginx is a plain reverse proxy that does none of it. Gateways are pinned to one processor, the load
generator and the mock upstream to another; all of them were measured in one run, round by round, and the best round counts.

CPU time of ours is that of the data plane's threads (`core-N` and `spool-sync`); control plane and billing have rows of their own.
Latencies are what is above `direct`. A ratio is ours to nginx.
";

/// The whole page.
pub(super) fn write(records: &Records, notes: &str) -> String {
    let measured = Measured(records);
    let mut page = INTRODUCTION.to_owned();
    if records.machine.short {
        page.push_str("\n**A short run: figures to look at, not to keep.**\n");
    }
    page.push_str("\n## What must be fast\n\n");
    page.push_str(&rows::table(measured));
    page.push('\n');
    let notes = notes.trim();
    if !notes.is_empty() {
        page.push_str(notes);
        page.push_str("\n\n");
    }
    page.push_str("## Every gateway\n\n");
    page.push_str(&tables::gateways(measured));
    page.push_str("\n## Where our CPU time goes\n\n");
    page.push_str(&tables::threads(measured));
    page.push_str("\n## Streams whose events were late by 5 ms\n\n");
    page.push_str(&tables::steps(measured));
    page.push_str("\n## The machine\n\n");
    page.push_str(&tables::machine(&records.machine));
    page
}
