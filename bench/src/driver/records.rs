//! What was found, and the best of it: of several rounds the one counts that was disturbed least.

use super::gateway::Target;
use super::machine::Machine;
use super::scenario::Scenario;
use crate::load::LoadResult;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Numbers by name.
pub(super) type Figures = BTreeMap<String, f64>;

/// One scenario on one gateway in one round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    target: String,
    scenario: String,
    round: u32,
    load: Option<LoadResult>,
    figures: Figures,
}

impl Record {
    pub(super) fn new(
        target: Target,
        scenario: Scenario,
        round: u32,
        load: Option<LoadResult>,
        figures: Figures,
    ) -> Self {
        let (target, scenario) = (target.to_string(), scenario.to_string());
        Self { target, scenario, round, load, figures }
    }

    /// What has nothing to do with a gateway.
    pub(super) fn of_nobody(what: &str, scenario: Scenario, round: u32, figures: Figures) -> Self {
        let (target, scenario) = (what.to_owned(), scenario.to_string());
        Self { target, scenario, round, load: None, figures }
    }
}

/// A whole run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Records {
    pub(super) machine: Machine,
    records: Vec<Record>,
}

impl Records {
    pub(super) fn new(machine: Machine) -> Self {
        Self { machine, records: Vec::new() }
    }

    pub(super) fn read(file: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(file);
        let text = text.with_context(|| format!("cannot read {}", file.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is no run", file.display()))
    }

    pub(super) fn write(&self, file: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
    }

    pub(super) fn add(&mut self, records: Vec<Record>) {
        self.records.extend(records);
    }

    fn of<'a>(
        &'a self,
        target: &'a str,
        scenario: Scenario,
    ) -> impl Iterator<Item = &'a Record> + 'a {
        let scenario = scenario.to_string();
        self.records
            .iter()
            .filter(move |record| record.target == target && record.scenario == scenario)
    }

    /// Every round's load.
    pub(super) fn loads(&self, target: Target, scenario: Scenario) -> Vec<&LoadResult> {
        let (target, scenario) = (target.to_string(), scenario.to_string());
        let is_it = |record: &&Record| record.target == target && record.scenario == scenario;
        self.records.iter().filter(is_it).filter_map(|record| record.load.as_ref()).collect()
    }

    /// The least of all rounds.
    pub(super) fn least(
        &self,
        target: Target,
        scenario: Scenario,
        value: impl Fn(&LoadResult) -> Option<f64>,
    ) -> Option<f64> {
        let loads = self.loads(target, scenario);
        loads.into_iter().filter_map(value).min_by(f64::total_cmp)
    }

    /// A figure, the least of all rounds.
    pub(super) fn figure(&self, target: &str, scenario: Scenario, name: &str) -> Option<f64> {
        self.figures(target, scenario, name).min_by(f64::total_cmp)
    }

    /// A figure, the highest of all rounds.
    pub(super) fn highest(&self, target: &str, scenario: Scenario, name: &str) -> Option<f64> {
        self.figures(target, scenario, name).max_by(f64::total_cmp)
    }

    fn figures<'a>(
        &'a self,
        target: &'a str,
        scenario: Scenario,
        name: &'a str,
    ) -> impl Iterator<Item = f64> + 'a {
        self.of(target, scenario).filter_map(move |record| record.figures.get(name).copied())
    }

    /// Requests that failed, and all.
    pub(super) fn failures(&self, target: Target) -> (u64, u64) {
        let target = target.to_string();
        let loads = self.records.iter().filter(|record| record.target == target);
        loads.filter_map(|record| record.load.as_ref()).fold((0, 0), |(failed, all), load| {
            (failed + load.failures(), all + load.failures() + load.ok)
        })
    }

    /// Whether anything was measured on it.
    pub(super) fn has(&self, target: Target) -> bool {
        let target = target.to_string();
        self.records.iter().any(|record| record.target == target && record.load.is_some())
    }
}
