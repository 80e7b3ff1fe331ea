//! The command line: what can be typed, with examples, and which file does it.
//!
//! Data goes to stdout, everything else to stderr; exit codes are those of `failure`.

mod apply;
mod diff;
mod audit;
mod key;
mod import;
mod rotate;
mod money;
mod gaps;
mod operator;
mod forget;
mod migrate;
mod content;
mod resources;
mod simulator;
mod up;
mod usage;
mod doctor;

pub(crate) use up::{Role, UpOptions};

use crate::failure::{Exit, Failure};
use crate::output;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};
use std::ffi::OsString;
use std::future::Future;
use std::process::ExitCode;

/// A self-hosted AI gateway that is also a business.
#[derive(Parser)]
#[command(name = "turnpike", version, after_help = TOP_EXAMPLES)]
#[command(disable_help_subcommand = true, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const TOP_EXAMPLES: &str = "\
Examples:
  turnpike up --demo                       everything in one process, with a fake provider
  turnpike apply -f config/ --wait         configure, and wait until every proxy has it
  turnpike key create --org acme           a key; its secret is shown once
  turnpike org credit acme '50.00 USD'     post a top-up
  turnpike explain REQUEST_ID              why a request cost what it did
  turnpike doctor                          what is wrong, and how to mend it

Exit codes: 0 done; 1 failed or differs; 2 wrong usage; 3 server not reachable.";

#[derive(Subcommand)]
enum Command {
    /// Run all roles, or those named, in one process
    #[command(after_help = up::EXAMPLES)]
    Up(up::UpArgs),
    /// Run a control plane: admin API, configuration, escrow
    #[command(after_help = up::CONTROL_PLANE_EXAMPLES)]
    ControlPlane(up::ConfigArgs),
    /// Run a data plane: client traffic
    #[command(after_help = up::DATA_PLANE_EXAMPLES)]
    DataPlane(up::ConfigArgs),
    /// Run billing: the ledger
    #[command(after_help = up::BILLING_EXAMPLES)]
    Billing(up::ConfigArgs),
    /// Create the schema of the database, or bring it up to date; other processes may go on meanwhile
    #[command(after_help = migrate::EXAMPLES)]
    Migrate(migrate::MigrateArgs),
    /// Create or update objects from YAML files, all or nothing
    #[command(after_help = apply::EXAMPLES)]
    Apply(apply::ApplyArgs),
    /// Say what `apply` would change, field by field; exits 1 when something differs
    #[command(after_help = diff::EXAMPLES)]
    Diff(diff::DiffArgs),
    /// List the objects of a kind, or show one
    #[command(after_help = resources::GET_EXAMPLES)]
    Get(resources::GetArgs),
    /// Show every field of one object
    #[command(after_help = resources::DESCRIBE_EXAMPLES)]
    Describe(resources::DescribeArgs),
    /// Delete one object, or those that files name
    #[command(after_help = resources::DELETE_EXAMPLES)]
    Delete(resources::DeleteArgs),
    /// API keys
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Who may use the admin API
    #[command(subcommand)]
    Operator(operator::OperatorCommand),
    /// Who changed what
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Customers' money
    #[command(subcommand)]
    Org(money::OrgCommand),
    /// What requests used and cost, newest first
    #[command(after_help = money::USAGE_EXAMPLES)]
    Usage(money::UsageArgs),
    /// What an org has: posted, held by running requests, free
    #[command(after_help = money::BALANCE_EXAMPLES)]
    Balance(money::BalanceArgs),
    /// The bill of one request, line by line
    #[command(after_help = money::EXPLAIN_EXAMPLES)]
    Explain(money::ExplainArgs),
    /// What was said in one request of an org that keeps it (store_content)
    #[command(after_help = content::EXAMPLES)]
    Content(content::ContentArgs),
    /// Recompute the ledger from usage records; exits 1 and names each row that differs
    #[command(after_help = money::RECONCILE_EXAMPLES)]
    Reconcile(money::ReconcileArgs),
    /// State that a data plane can never dispatch again, so that its customers have what it held
    #[command(after_help = forget::EXAMPLES)]
    Forget(forget::ForgetArgs),
    /// Look for what is wrong here and at the server, and say how to mend it; exits 1 if something is
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(doctor::DoctorArgs),
    /// Run the fake provider alone
    #[command(after_help = simulator::EXAMPLES)]
    Simulator(simulator::SimulatorArgs),
    /// Print a completion script
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions(CompletionsArgs),
    /// Print the version
    #[command(after_help = "Examples:\n  turnpike version")]
    Version,
}

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  turnpike completions bash > /etc/bash_completion.d/turnpike
  turnpike completions zsh > \"${fpath[1]}/_turnpike\"";

#[derive(Args)]
struct CompletionsArgs {
    /// For which shell
    shell: clap_complete::Shell,
}

/// Runs a command line and returns its exit code.
pub(crate) fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    match dispatch(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message.is_empty() {
                output::note(&format!("turnpike: {failure}"));
            }
            failure.exit.into()
        }
    }
}

/// Help and version are asked for and go to stdout; anything else is wrong usage, told on one line.
fn refuse(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        output::note(&usage::line(&error.to_string()));
        return Exit::Usage.into();
    }
    match (error.use_stderr(), error.print()) {
        (false, Ok(())) => ExitCode::SUCCESS,
        (false, Err(_)) => Exit::Failed.into(),
        (true, _) => Exit::Usage.into(),
    }
}

fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        Command::Up(args) => up::run(args),
        Command::ControlPlane(args) => up::run_role(Role::ControlPlane, args),
        Command::DataPlane(args) => up::run_role(Role::DataPlane, args),
        Command::Billing(args) => up::run_role(Role::Billing, args),
        Command::Migrate(args) => block_on(migrate::run(args)),
        Command::Apply(args) => block_on(apply::run(args)),
        Command::Diff(args) => block_on(diff::run(args)),
        Command::Get(args) => block_on(resources::get(args)),
        Command::Describe(args) => block_on(resources::describe(args)),
        Command::Delete(args) => block_on(resources::delete(args)),
        Command::Key(command) => block_on(key::run(command)),
        Command::Operator(command) => block_on(operator::run(command)),
        Command::Audit(command) => block_on(audit::run(command)),
        Command::Org(command) => block_on(money::org(command)),
        Command::Usage(args) => block_on(money::usage(args)),
        Command::Balance(args) => block_on(money::balance(args)),
        Command::Explain(args) => block_on(money::explain(args)),
        Command::Content(args) => block_on(content::run(args)),
        Command::Reconcile(args) => block_on(money::reconcile(args)),
        Command::Forget(args) => block_on(forget::run(args)),
        Command::Doctor(args) => block_on(doctor::run(args)),
        Command::Simulator(args) => block_on(simulator::run(args)),
        Command::Completions(args) => completions(&args),
        Command::Version => output::print(concat!("turnpike ", env!("CARGO_PKG_VERSION"))),
    }
}

/// A command needs one thread; `up` makes its own.
fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(work)
}

fn completions(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "turnpike", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}

/// How data is printed.
#[derive(Args, Clone, Copy)]
struct OutputArgs {
    /// Format of the data on stdout
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: output::Format,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed_and_every_command_has_examples() {
        Cli::command().debug_assert();
        let mut without = Vec::new();
        leaves(&Cli::command(), &mut |leaf| {
            if leaf.get_after_help().is_none() {
                without.push(leaf.get_name().to_owned());
            }
        });
        assert_eq!(without, Vec::<String>::new());
    }

    #[test]
    fn every_example_parses() {
        let mut examples = Vec::new();
        leaves(&Cli::command(), &mut |leaf| {
            let help = leaf.get_after_help().map(ToString::to_string).unwrap_or_default();
            examples.extend(help.lines().filter_map(example));
        });
        assert!(examples.len() > 15, "{examples:?}");
        for example in examples {
            let parsed = Cli::try_parse_from(words(&example));
            assert!(
                parsed.is_ok(),
                "{example}: {}",
                parsed.err().map(|e| e.to_string()).unwrap_or_default()
            );
        }
    }

    fn leaves(command: &clap::Command, visit: &mut dyn FnMut(&clap::Command)) {
        if command.get_subcommands().next().is_none() {
            visit(command);
        }
        command.get_subcommands().for_each(|inner| leaves(inner, visit));
    }

    /// The part of a help line that is a command: up to a pipe, a redirection or the explanation beside it.
    fn example(line: &str) -> Option<String> {
        let command = line.trim().rsplit_once("| ").map_or(line.trim(), |(_, last)| last);
        let command = command.split("  ").next()?.split(" > ").next()?.split(" | ").next()?;
        command.starts_with("turnpike ").then(|| command.to_owned())
    }

    fn words(line: &str) -> Vec<String> {
        let mut words = Vec::new();
        for (index, part) in line.split('\'').enumerate() {
            if index % 2 == 1 {
                words.push(part.to_owned());
            } else {
                words.extend(part.split_whitespace().map(str::to_owned));
            }
        }
        words
    }
}
