//! The other tables: every gateway's figures, threads, late events, the machine.

use super::figures::{Measured, Per, Point};
use crate::driver::gateway::Target;
use crate::driver::machine::Machine;
use crate::driver::scenario::Scenario;
use clap::ValueEnum;

fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.decimals$}"))
}

fn row(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

fn head(cells: &[&str]) -> String {
    format!("| {} |\n|{}\n", cells.join(" | "), "---|".repeat(cells.len()))
}

/// Ascending by what a request costs.
pub(super) fn gateways(measured: Measured<'_>) -> String {
    use Scenario as S;
    let mut text = head(&[
        "target",
        "CPU µs/request",
        "kernel %",
        "requests/s of a core",
        "64 KiB prompt µs",
        "+min µs",
        "+p50 µs",
        "+p99 µs",
        "µs/event burst",
        "µs/event paced",
        "first +min µs",
        "first +p50 µs",
        "first +p99 µs",
        "RSS MiB",
        "KiB/stream",
        "errors",
    ]);
    let cpu = |target| measured.cpu(target, S::Closed64, Per::Request);
    let mut targets: Vec<Target> = Target::value_variants().to_vec();
    targets.retain(|target| measured.0.has(*target));
    targets.sort_by(|a, b| cpu(*a).unwrap_or(f64::MAX).total_cmp(&cpu(*b).unwrap_or(f64::MAX)));
    for target in targets {
        let (failed, all) = measured.0.failures(target);
        let mut cells = vec![
            target.to_string(),
            number(cpu(target), 1),
            number(measured.kernel_percent(target, S::Closed64), 0),
            number(cpu(target).map(|cpu| 1e6 / cpu), 0),
            number(measured.cpu(target, S::Big64k, Per::Request), 1),
        ];
        let points = [Point::Lowest, Point::Median, Point::P99];
        cells.extend(points.map(|point| number(measured.added(target, point), 0)));
        cells.push(number(measured.cpu(target, S::SseBurst, Per::Event), 2));
        cells.push(number(measured.cpu(target, S::SsePaced, Per::Event), 1));
        cells.extend(points.map(|point| number(measured.added_first(target, point), 0)));
        cells.push(number(measured.rss_mib(target), 0));
        cells.push(number(measured.kib_per_stream(target), 1));
        cells.push(format!("{failed} of {all}"));
        text.push_str(&row(&cells));
    }
    text
}

/// Microseconds of a request, or of an event, by group of threads.
pub(super) fn threads(measured: Measured<'_>) -> String {
    let mut text = head(&["target, scenario", "threads", "µs", "in the program", "in the kernel"]);
    let pairs = [
        (Scenario::Closed64, Per::Request),
        (Scenario::Big64k, Per::Request),
        (Scenario::SseBurst, Per::Event),
        (Scenario::SsePaced, Per::Event),
    ];
    for target in [Target::Nginx, Target::Turnpike, Target::TurnpikeDisk] {
        for (scenario, per) in pairs {
            threads_of(measured, target, scenario, per, &mut text);
        }
    }
    text
}

/// Of the round whose process cost least.
fn threads_of(
    measured: Measured<'_>,
    target: Target,
    scenario: Scenario,
    per: Per,
    text: &mut String,
) {
    let Some(least) = measured.whole_cpu(target, scenario, per) else { return };
    for load in measured.0.loads(target, scenario) {
        let (Some(count), Some(probed)) = (per.count(load), &load.target) else { continue };
        if probed.whole().total_s * 1e6 / count > least {
            continue;
        }
        for (name, cpu) in &probed.cpu {
            let of = |seconds: f64| seconds * 1e6 / count;
            if of(cpu.total_s) < 0.005 {
                continue;
            }
            let cells = [of(cpu.total_s), of(cpu.user_s), of(cpu.kernel_s)];
            let cells = cells.map(|value| number(Some(value), 2));
            let first = [format!("{target}, {scenario}"), name.clone()];
            text.push_str(&row(&[first.as_slice(), cells.as_slice()].concat()));
        }
    }
}

pub(super) fn steps(measured: Measured<'_>) -> String {
    let mut text = head(&["target", "streams", "first event", "later events", "the worst, ms"]);
    for target in Target::value_variants() {
        let Some(late) = measured.steps(*target) else { continue };
        let cells = [
            target.to_string(),
            late.streams.to_string(),
            late.first.to_string(),
            late.between.to_string(),
            number(Some(late.worst_us as f64 / 1000.0), 1),
        ];
        text.push_str(&row(&cells));
    }
    text
}

pub(super) fn machine(machine: &Machine) -> String {
    let mut text = head(&["", ""]);
    let rows = [
        ("date", machine.date.clone()),
        ("commit", machine.commit.clone()),
        ("processor", format!("{}, {} of them", machine.processor, machine.processors)),
        ("memory", machine.memory.clone()),
        ("kernel", machine.kernel.clone()),
        ("disk", machine.disk.clone()),
        ("rust", machine.rust.clone()),
        ("nginx", machine.nginx.clone()),
        ("rounds", machine.rounds.to_string()),
        ("load average before", machine.load.clone()),
    ];
    for (name, value) in rows {
        text.push_str(&row(&[name.to_owned(), value]));
    }
    text
}
