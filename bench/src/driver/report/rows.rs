//! The rows of DESIGN part 8: what must be, what is aimed at, what was measured.

use super::figures::{Measured, Per, Point};
use crate::driver::gateway::Target;
use crate::driver::scenario::Scenario;

/// One promise about speed.
struct Row {
    what: String,
    /// At most.
    must: Option<f64>,
    aim: Option<f64>,
    /// What must and aim are compared with.
    value: Option<f64>,
    unit: Unit,
    /// As it was measured, and nginx beside it.
    measured: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Ratio,
    Percent,
    KiB,
    MiB,
    Bytes,
    Microseconds,
    Milliseconds,
    Seconds,
    Count,
}

impl Unit {
    fn text(self, value: f64) -> String {
        match self {
            Self::Ratio => format!("{value:.2} ×"),
            Self::Percent => format!("{value:.0} %"),
            Self::KiB => format!("{value:.1} KiB"),
            Self::MiB => format!("{value:.0} MiB"),
            Self::Bytes => format!("{value:.0} bytes"),
            Self::Microseconds => format!("{value:.2} µs"),
            Self::Milliseconds => format!("{value:.1} ms"),
            Self::Seconds => format!("{value:.1} s"),
            Self::Count => format!("{value:.0}"),
        }
    }
}

impl Row {
    fn new(what: &str, unit: Unit, value: Option<f64>) -> Self {
        let measured = value.map_or_else(|| "–".to_owned(), |value| unit.text(value));
        Self { what: what.to_owned(), must: None, aim: None, value, unit, measured }
    }

    /// Ours to nginx.
    fn ratio(what: &str, unit: &str, ours: Option<f64>, nginx: Option<f64>) -> Self {
        // What is added to nothing cannot be below it: that is noise, and no ratio.
        let both = ours.zip(nginx).filter(|(ours, nginx)| *ours > 0.0 && *nginx > 0.0);
        let value = both.map(|(ours, nginx)| ours / nginx);
        let measured = match (ours, nginx) {
            (Some(ours), Some(nginx)) => format!("{ours:.2} {unit} (nginx {nginx:.2})"),
            (Some(ours), None) => format!("{ours:.2} {unit}"),
            (None, _) => "–".to_owned(),
        };
        Self { measured, ..Self::new(what, Unit::Ratio, value) }
    }

    fn must(self, must: f64) -> Self {
        Self { must: Some(must), ..self }
    }

    fn aim(self, aim: f64) -> Self {
        Self { aim: Some(aim), ..self }
    }

    fn said(self, measured: String) -> Self {
        Self { measured, ..self }
    }

    fn verdict(&self) -> &'static str {
        match (self.value, self.must, self.aim) {
            (None, ..) if self.measured.contains("nginx") => "lost in noise",
            (None, ..) => "not measured",
            (Some(value), _, Some(aim)) if value <= aim => "aim reached",
            (Some(value), Some(must), _) if value <= must => "ok",
            (Some(_), Some(_), _) => "**MISSED**",
            (Some(_), None, _) => "",
        }
    }

    fn line(&self) -> String {
        let text = |limit: Option<f64>| {
            limit.map_or_else(String::new, |limit| format!("≤ {}", self.unit.text(limit)))
        };
        let ratio = self.value.filter(|_| self.unit == Unit::Ratio);
        let ratio = ratio.map_or_else(String::new, |ratio| Unit::Ratio.text(ratio));
        format!(
            "| {} | {} | {} | {} | {ratio} | {} |\n",
            self.what,
            text(self.must),
            text(self.aim),
            self.measured,
            self.verdict()
        )
    }
}

pub(super) fn table(measured: Measured<'_>) -> String {
    let mut table =
        "| what | must | aim | measured | ratio | |\n|---|---|---|---|---|---|\n".to_owned();
    let rows =
        [requests(measured), streams(measured), memory(measured), keys(measured), office(measured)];
    for row in rows.into_iter().flatten() {
        table.push_str(&row.line());
    }
    table
}

fn requests(measured: Measured<'_>) -> Vec<Row> {
    use Scenario as S;
    use Target as T;
    let cpu = |target| measured.cpu(target, S::Closed64, Per::Request);
    let ours = cpu(T::Turnpike);
    let pass = cpu(T::HyperRelay);
    let surcharge = ours.zip(pass).map(|(ours, pass)| (ours / pass - 1.0) * 100.0);
    let said = match (ours, pass) {
        (Some(ours), Some(pass)) => format!("{ours:.1} µs (hyper-relay {pass:.1})"),
        _ => "–".to_owned(),
    };
    let big = |target| measured.cpu(target, S::Big64k, Per::Request);
    let mut rows = vec![
        Row::ratio("CPU per request", "µs", ours, cpu(T::Nginx)).must(1.6).aim(1.0),
        Row::new("surcharge of all that governs over a pass-through", Unit::Percent, surcharge)
            .must(25.0)
            .aim(10.0)
            .said(said),
        Row::ratio("CPU of a 64 KiB prompt", "µs", big(T::Turnpike), big(T::Nginx))
            .must(1.3)
            .aim(1.0),
    ];
    for (target, place) in [(T::Turnpike, "tmpfs"), (T::TurnpikeDisk, "disk")] {
        for (point, name) in [(Point::Lowest, "lowest"), (Point::Median, "p50")] {
            let what = format!("added latency, {name}, spool on {place}");
            let added = |target| measured.added(target, point);
            rows.push(Row::ratio(&what, "µs", added(target), added(T::Nginx)).must(1.5).aim(1.1));
        }
    }
    rows
}

fn streams(measured: Measured<'_>) -> Vec<Row> {
    use Scenario as S;
    use Target as T;
    let cpu = |target, scenario| measured.cpu(target, scenario, Per::Event);
    let pair = |scenario| (cpu(T::Turnpike, scenario), cpu(T::Nginx, scenario));
    let (burst, paced) = (pair(S::SseBurst), pair(S::SsePaced));
    let mut rows = vec![
        Row::ratio("CPU per event of a stream, burst", "µs", burst.0, burst.1).must(1.5).aim(0.9),
        Row::ratio("CPU per event of a stream, paced", "µs", paced.0, paced.1).must(1.1).aim(0.9),
    ];
    for (target, place) in [(T::Turnpike, "tmpfs"), (T::TurnpikeDisk, "disk")] {
        for (point, name) in [(Point::Lowest, "lowest"), (Point::Median, "p50")] {
            let what = format!("added time to first event, {name}, spool on {place}");
            let added = |target| measured.added_first(target, point);
            rows.push(Row::ratio(&what, "µs", added(target), added(T::Nginx)).must(1.3).aim(1.0));
        }
    }
    rows.push(steps(measured));
    rows
}

/// What comes late without any gateway is the machine's.
fn steps(measured: Measured<'_>) -> Row {
    let (ours, direct) = (measured.steps(Target::Turnpike), measured.steps(Target::Direct));
    let what = "events of 10 000 streams late by 5 ms, beyond those without a gateway";
    let value =
        ours.zip(direct).map(|(ours, direct)| ours.count().saturating_sub(direct.count()) as f64);
    let said = match (ours, direct, measured.steps(Target::TurnpikeDisk)) {
        (Some(ours), Some(direct), disk) => {
            let disk = disk.map_or_else(String::new, |disk| format!(", on disk {}", disk.count()));
            format!(
                "{} of {} streams (direct {}{disk})",
                ours.count(),
                ours.streams,
                direct.count()
            )
        }
        _ => "–".to_owned(),
    };
    Row::new(what, Unit::Count, value).must(0.0).said(said)
}

fn memory(measured: Measured<'_>) -> Vec<Row> {
    use Scenario as S;
    let alone = Target::TurnpikeAlone;
    let name = alone.to_string();
    let at_rest = measured.0.figure(&name, S::Rest, "rss_mib");
    let probed = |scenario, value: fn(&crate::load::Probed) -> f64| {
        measured.0.least(alone, scenario, |load| load.target.as_ref().map(value))
    };
    let peak = probed(S::Crowd, |probed| probed.rss_kib_peak as f64 / 1024.0);
    let after = measured.0.figure(&name, S::Crowd, "after_mib");
    let twice = after.zip(at_rest).map(|(after, rest)| after / rest);
    let flat = probed(S::LongStream, |probed| {
        probed.rss_kib_max.saturating_sub(probed.rss_kib_min) as f64
    });
    let streams =
        measured.kib_per_stream(alone).or_else(|| measured.kib_per_stream(Target::Turnpike));
    let back = match (after, at_rest) {
        (Some(after), Some(rest)) => format!("{after:.0} MiB after {rest:.0} at rest"),
        _ => "–".to_owned(),
    };
    vec![
        Row::new("memory per open stream", Unit::KiB, streams).must(24.0).aim(12.0),
        Row::new("data plane at rest", Unit::MiB, at_rest).must(20.0).aim(10.0),
        Row::new("1 500 requests of 150 KB at once", Unit::MiB, peak).must(350.0).aim(280.0),
        Row::new("15 s after them, to what it was at rest", Unit::Ratio, twice)
            .must(2.0)
            .said(back),
        Row::new("growth in a stream of 650 000 tokens to a slow reader", Unit::KiB, flat)
            .must(256.0)
            .aim(64.0),
    ]
}

fn keys(measured: Measured<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    for count in ["100000", "1000000", "10000000"] {
        let name = format!("{count} keys");
        let figure = |figure: &str| measured.0.figure(&name, Scenario::Keys, figure);
        let Some(bytes) = figure("bytes_each") else { continue };
        let lookup = figure("lookup_p99_ns").map(|ns| ns / 1000.0);
        let p50 = figure("lookup_p50_ns").unwrap_or_default();
        let p99 = lookup.unwrap_or_default();
        rows.push(
            Row::new(&format!("{name}: memory of each"), Unit::Bytes, Some(bytes))
                .must(110.0)
                .aim(80.0),
        );
        rows.push(
            Row::new(&format!("{name}: look-up, p99"), Unit::Microseconds, lookup)
                .must(2.0)
                .said(format!("{p99:.2} µs (p50 {:.2})", p50 / 1000.0)),
        );
        rows.push(
            Row::new(&format!("{name}: from disk"), Unit::Seconds, figure("boot_s")).must(10.0),
        );
    }
    if rows.is_empty() {
        rows.push(Row::new("10 million keys", Unit::Bytes, None).must(110.0).aim(80.0));
    }
    rows
}

fn office(measured: Measured<'_>) -> Vec<Row> {
    use Scenario as S;
    let name = Target::TurnpikeDisk.to_string();
    let figure = |scenario, figure: &str| measured.0.figure(&name, scenario, figure);
    let rate = |scenario, figure: &str| measured.0.highest(&name, scenario, figure);
    let beside = measured.0.least(Target::TurnpikeDisk, S::Closed64, |load| {
        let cpu = &load.target.as_ref()?.cpu;
        let of = |name: &str| cpu.get(name).map_or(0.0, |cpu| cpu.total_s);
        Some(
            (of(crate::procfs::WHOLE) - of("core") - of("spool-sync")) * 1e6
                / Per::Request.count(load)?,
        )
    });
    let pair = |what: &str, kind: &str, must: f64, aim: Option<f64>| {
        let p50 = figure(S::Office, &format!("{kind}_p50_ms"));
        let p99 = figure(S::Office, &format!("{kind}_p99_ms"));
        let said = match (p50, p99) {
            (Some(p50), Some(p99)) => format!("{p99:.1} ms (p50 {p50:.1})"),
            _ => "–".to_owned(),
        };
        let row = Row::new(what, Unit::Milliseconds, p99).must(must).said(said);
        Row { aim, ..row }
    };
    vec![
        billed(figure(S::Billing, "cpu_us_per_event"), beside).must(60.0).aim(30.0),
        Row::new(
            "billing, events per second, SQLite",
            Unit::Count,
            rate(S::Billing, "events_per_s"),
        ),
        Row::new(
            "control plane and billing beside the load, CPU per request",
            Unit::Microseconds,
            beside,
        ),
        pair("change to applied, one data plane, p99", "change", 100.0, Some(20.0)),
        pair("wait of a cold org for its first slice, p99", "cold", 300.0, None),
        Row::new(
            "grants per second, as cold orgs come at once",
            Unit::Count,
            rate(S::Office, "grants_per_s"),
        ),
    ]
}

/// Billing that was never behind left nothing to be billed alone; then what it cost beside the load is the most it costs.
fn billed(alone: Option<f64>, beside: Option<f64>) -> Row {
    let what = "billing, CPU per event in batches, SQLite";
    let row = Row::new(what, Unit::Microseconds, alone.or(beside));
    match (alone, beside) {
        (None, Some(beside)) => row.said(format!("{beside:.1} µs, beside the load")),
        _ => row,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_whether_its_must_and_its_aim_are_reached() {
        let row = |ours| Row::ratio("CPU", "µs", Some(ours), Some(20.0)).must(1.5).aim(1.0);
        assert_eq!(row(20.0).verdict(), "aim reached");
        assert_eq!(row(30.0).verdict(), "ok");
        assert_eq!(row(30.2).verdict(), "**MISSED**");
        assert_eq!(
            row(30.2).line(),
            "| CPU | ≤ 1.50 × | ≤ 1.00 × | 30.20 µs (nginx 20.00) | 1.51 × | **MISSED** |\n"
        );
    }

    #[test]
    fn what_was_not_measured_reaches_nothing() {
        assert_eq!(Row::new("keys", Unit::Bytes, None).must(110.0).verdict(), "not measured");
        let noise = Row::ratio("latency", "µs", Some(-3.0), Some(20.0)).must(1.5).aim(1.0);
        assert_eq!(noise.verdict(), "lost in noise");
    }
}
