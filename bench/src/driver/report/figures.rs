//! Figures that several tables need, each defined once.

use crate::driver::gateway::Target;
use crate::driver::records::Records;
use crate::driver::scenario::Scenario;
use crate::load::{LoadResult, Quantiles};

/// Reads figures off a run.
#[derive(Clone, Copy)]
pub(super) struct Measured<'a>(pub(super) &'a Records);

/// Which point of a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Point {
    Lowest,
    Median,
    P99,
}

impl Point {
    fn of(self, quantiles: &Quantiles) -> f64 {
        let value = match self {
            Self::Lowest => quantiles.min,
            Self::Median => quantiles.p50,
            Self::P99 => quantiles.p99,
        };
        value as f64
    }
}

/// What CPU time is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Per {
    Request,
    Event,
}

impl Per {
    pub(super) fn count(self, load: &LoadResult) -> Option<f64> {
        let count = match self {
            Self::Request => load.ok_in_window,
            Self::Event => load.events_in_window,
        };
        (count > 0).then_some(count as f64)
    }
}

impl Measured<'_> {
    /// CPU microseconds of what serves: the data plane's threads for ours, the whole process else.
    pub(super) fn cpu(self, target: Target, scenario: Scenario, per: Per) -> Option<f64> {
        self.0.least(target, scenario, |load| Some(path_s(target, load)? * 1e6 / per.count(load)?))
    }

    /// How many of a hundred of these are the kernel's.
    pub(super) fn kernel_percent(self, target: Target, scenario: Scenario) -> Option<f64> {
        self.0.least(target, scenario, |load| {
            let cpu = &load.target.as_ref()?.cpu;
            let names: Vec<&str> = match target.threads_of_path() {
                Some(names) => names.to_vec(),
                None => vec![crate::procfs::WHOLE],
            };
            let times = || names.iter().filter_map(|name| cpu.get(*name));
            let total: f64 = times().map(|time| time.total_s).sum();
            let kernel: f64 = times().map(|time| time.kernel_s).sum();
            (total > 0.0).then(|| kernel / total * 100.0)
        })
    }

    /// CPU microseconds of the whole process.
    pub(super) fn whole_cpu(self, target: Target, scenario: Scenario, per: Per) -> Option<f64> {
        self.0.least(target, scenario, |load| {
            Some(load.target.as_ref()?.whole().total_s * 1e6 / per.count(load)?)
        })
    }

    /// Microseconds of a whole answer above `direct`.
    pub(super) fn added(self, target: Target, point: Point) -> Option<f64> {
        self.above_direct(target, Scenario::Open, |load| Some(point.of(load.latency_us.as_ref()?)))
    }

    /// Microseconds to the first event above `direct`.
    pub(super) fn added_first(self, target: Target, point: Point) -> Option<f64> {
        let first = |load: &LoadResult| Some(point.of(load.first_event_us.as_ref()?));
        self.above_direct(target, Scenario::SseTtfb, first)
    }

    fn above_direct(
        self,
        target: Target,
        scenario: Scenario,
        value: impl Fn(&LoadResult) -> Option<f64>,
    ) -> Option<f64> {
        let ours = self.0.least(target, scenario, &value)?;
        Some(ours - self.0.least(Target::Direct, scenario, &value)?)
    }

    /// KiB of each of 1 000 streams.
    pub(super) fn kib_per_stream(self, target: Target) -> Option<f64> {
        self.0.least(target, Scenario::Sse1000, |load| {
            let probed = load.target.as_ref()?;
            let grown = probed.pss_kib_max.saturating_sub(probed.before.pss_kib);
            (load.ok >= 900).then(|| grown as f64 / load.ok as f64)
        })
    }

    /// MiB of resident memory under the load of 64 connections.
    pub(super) fn rss_mib(self, target: Target) -> Option<f64> {
        self.0.least(target, Scenario::Closed64, |load| {
            Some(load.target.as_ref()?.rss_kib_max as f64 / 1024.0)
        })
    }

    /// Events that were late, and streams.
    pub(super) fn steps(self, target: Target) -> Option<Late> {
        let loads = self.0.loads(target, Scenario::Steps);
        let load = loads.into_iter().min_by_key(|load| load.steps.first + load.steps.between)?;
        let steps = load.steps;
        let (first, between, worst_us) = (steps.first, steps.between, steps.worst_us);
        Some(Late { streams: load.ok, first, between, worst_us })
    }
}

/// How many events were late.
#[derive(Clone, Copy, Debug)]
pub(super) struct Late {
    pub(super) streams: u64,
    pub(super) first: u64,
    pub(super) between: u64,
    pub(super) worst_us: u64,
}

impl Late {
    pub(super) fn count(&self) -> u64 {
        self.first + self.between
    }
}

fn path_s(target: Target, load: &LoadResult) -> Option<f64> {
    let probed = load.target.as_ref()?;
    let Some(names) = target.threads_of_path() else { return Some(probed.whole().total_s) };
    Some(names.iter().filter_map(|name| probed.cpu.get(*name)).map(|cpu| cpu.total_s).sum())
}
