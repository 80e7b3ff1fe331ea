//! `turnpike doctor`: looks at what usually goes wrong, on this machine and at the server, and says how to mend it. It
//! changes nothing.

mod finding;
mod machine;
mod listeners;
mod coordination;
mod server;
mod upstreams;

use super::OutputArgs;
use super::up::variables;
use crate::client::Remote;
use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::output::{Table, print_document};
use crate::progress::Progress;
use clap::Args;
use finding::{Finding, State};
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;

pub(super) const EXAMPLES: &str = "\
Examples:
  turnpike doctor
  turnpike doctor --config turnpike.yaml --data-dir /var/lib/turnpike
  turnpike doctor -o json";

#[derive(Args)]
pub(super) struct DoctorArgs {
    /// The YAML file that `turnpike up` is given
    #[arg(long, value_name = "FILE", env = "TURNPIKE_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// The data directory that it is given [default: `data_dir` of the configuration]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// How many seconds each upstream may take to answer
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    upstream_timeout: u64,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(args: DoctorArgs) -> Result<(), Failure> {
    let findings = examine(&args).await;
    let wrong = findings.iter().filter(|finding| finding.state == State::Wrong).count();
    let told: Vec<_> = findings.iter().map(Finding::json).collect();
    let document = json!({"ok": wrong == 0, "findings": told});
    print_document(args.output.output, &document, || table(&findings))?;
    if wrong == 0 {
        return Ok(());
    }
    let checks: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.state == State::Wrong)
        .map(|finding| finding.check)
        .collect();
    let message =
        format!("{wrong} of {} findings are wrong: {}", findings.len(), checks.join(", "));
    Err(Failure { exit: Exit::Failed, message })
}

async fn examine(args: &DoctorArgs) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut progress = Progress::of("doctor");
    match Config::load(args.config.as_deref(), variables()) {
        Ok(mut config) => {
            if let Some(data_dir) = &args.data_dir {
                config.data_dir.clone_from(data_dir);
            }
            let from = args.config.as_ref().map_or("defaults and variables".to_owned(), |file| {
                format!("{} and variables", file.display())
            });
            findings.push(Finding::ok("config", format!("{from}: every value can be used")));
            findings.extend(machine::examine(&config).await);
            findings.extend(coordination::examine(&config).await);
        }
        Err(error) => {
            let mend = "correct it; config.example.yaml shows every key with its default";
            findings.push(Finding::wrong("config", error.to_string(), mend));
        }
    }
    progress.show(1, 2);
    let patience = Duration::from_secs(args.upstream_timeout);
    findings.extend(server::examine(&args.remote, patience).await);
    progress.show(2, 2);
    findings
}

fn table(findings: &[Finding]) -> String {
    let mut table = Table::new(&["STATE", "CHECK", "FOUND"]);
    for finding in findings {
        table.row([finding.state.name(), finding.check, &finding.found].map(str::to_owned));
        if !finding.mend.is_empty() {
            table.row([String::new(), String::new(), format!("mend: {}", finding.mend)]);
        }
    }
    table.text()
}
