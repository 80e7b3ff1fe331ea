//! What may be asked on the command line.

use super::gateway::Target;
use super::scenario::Scenario;
use clap::Parser;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  scripts/bench                                             everything, twice; writes bench/REPORT.md
  scripts/bench --short                                     a look at the whole table in under 3 minutes
  scripts/bench --target direct --target nginx --target turnpike --scenario closed64 --rounds 5
  LITELLM_BIN=~/venv/bin/litellm scripts/bench --target direct --target nginx --target turnpike --target litellm
  scripts/bench --from target/bench.json                    the report of an earlier run, written anew

Targets, gateways of other projects excepted, are all measured unless some are named. Of the others these are looked for:
LITELLM_BIN (PyPI: litellm[proxy]), PORTKEY_JS (npm: @portkey-ai/gateway, its build/start-server.js), ONE_API_BIN.";

/// Measures gateways side by side and writes the report.
#[derive(Clone, Debug, Parser)]
#[command(name = "bench", after_help = EXAMPLES, max_term_width = 110)]
pub struct Options {
    /// A gateway to measure; may be repeated [default: all but those of other projects]
    #[arg(long = "target", value_name = "NAME", value_enum)]
    targets: Vec<Target>,
    /// A scenario; may be repeated [default: all]
    #[arg(long = "scenario", value_name = "NAME", value_enum)]
    scenarios: Vec<Scenario>,
    /// How often everything is measured; the best counts [default: 2, with --short 1]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub(super) rounds: u32,
    /// Short measurements: figures to look at, not to keep
    #[arg(long)]
    pub(super) short: bool,
    /// The processor that the gateway is pinned to
    #[arg(long, value_name = "CPU", default_value_t = 1)]
    pub(super) gateway_cpu: u32,
    /// The processor that load generator and upstream are pinned to
    #[arg(long, value_name = "CPU", default_value_t = 0)]
    pub(super) load_cpu: u32,
    /// Where the report goes
    #[arg(long, value_name = "FILE", default_value = "bench/REPORT.md")]
    pub(super) report: PathBuf,
    /// A page by hand that the report takes in
    #[arg(long, value_name = "FILE", default_value = "bench/notes.md")]
    pub(super) notes: PathBuf,
    /// Where all figures go
    #[arg(long, value_name = "FILE", default_value = "target/bench.json")]
    pub(super) results: PathBuf,
    /// Measure nothing: write the report from these figures
    #[arg(long, value_name = "FILE")]
    pub(super) from: Option<PathBuf>,
    /// A directory on a real disk, for databases and for the spool that is on disk
    #[arg(long, value_name = "DIR", default_value = "/var/tmp")]
    pub(super) disk: PathBuf,
    /// A directory in memory, for the spool that is not
    #[arg(long, value_name = "DIR", default_value = "/dev/shm")]
    pub(super) memory: PathBuf,
    /// The gateway's binary [default: beside this one]
    #[arg(long, value_name = "FILE", env = "TURNPIKE_BIN")]
    pub(super) turnpike: Option<PathBuf>,
    /// nginx
    #[arg(long, value_name = "FILE", env = "NGINX_BIN", default_value = "nginx")]
    pub(super) nginx: PathBuf,
    /// LiteLLM's proxy
    #[arg(long, value_name = "FILE", env = "LITELLM_BIN", default_value = "litellm")]
    pub(super) litellm: PathBuf,
    /// Portkey's start-server.js
    #[arg(long, value_name = "FILE", env = "PORTKEY_JS", default_value = "start-server.js")]
    pub(super) portkey: PathBuf,
    /// one-api
    #[arg(long, value_name = "FILE", env = "ONE_API_BIN", default_value = "one-api")]
    pub(super) one_api: PathBuf,
}

impl Options {
    /// What was left out is filled in.
    #[must_use]
    pub fn completed(mut self) -> Self {
        if self.rounds == 0 {
            self.rounds = if self.short { 1 } else { 2 };
        }
        self
    }

    pub(super) fn targets(&self) -> Vec<Target> {
        if !self.targets.is_empty() {
            return self.targets.clone();
        }
        Target::usual(self.short)
    }

    fn wants(&self, scenario: Scenario) -> bool {
        self.scenarios.is_empty() || self.scenarios.contains(&scenario)
    }

    /// What is measured on a gateway in a round: what cannot vary much is measured once.
    pub(super) fn scenarios_of(&self, target: Target, round: u32) -> Vec<Scenario> {
        let is_due = |scenario: &Scenario| round == 1 || scenario.repeats();
        let mut scenarios = target.scenarios();
        scenarios.retain(|scenario| self.wants(*scenario) && is_due(scenario));
        scenarios
    }

    /// What needs no gateway.
    pub(super) fn scenarios_without_target(&self, round: u32) -> Vec<Scenario> {
        let asked = !self.scenarios.is_empty() || self.targets.is_empty();
        let is_due = round == 1 && asked && self.wants(Scenario::Keys);
        if is_due { vec![Scenario::Keys] } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn asked(arguments: &[&str]) -> Options {
        Options::try_parse_from([&["bench"], arguments].concat()).unwrap().completed()
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Options::command().debug_assert();
    }

    #[test]
    fn what_was_named_is_measured_and_nothing_else() {
        let options = asked(&["--target", "nginx", "--scenario", "sse-1000", "--rounds", "3"]);
        assert_eq!(options.targets(), [Target::Nginx]);
        assert_eq!(options.scenarios_of(Target::Nginx, 3), [Scenario::Sse1000]);
        assert_eq!(options.scenarios_without_target(1), []);
    }

    #[test]
    fn everything_but_other_projects_is_measured_when_nothing_is_named() {
        let options = asked(&[]);
        assert_eq!(options.rounds, 2);
        assert!(!options.targets().contains(&Target::Litellm));
        assert!(options.scenarios_of(Target::Turnpike, 1).contains(&Scenario::Steps));
        assert!(!options.scenarios_of(Target::Turnpike, 2).contains(&Scenario::Steps));
        assert_eq!(options.scenarios_without_target(1), [Scenario::Keys]);
    }
}
