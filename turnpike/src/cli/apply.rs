//! `turnpike apply`: objects from files in one transaction, and waiting for the data planes to have them.

use super::OutputArgs;
use crate::client::{Client, Remote};
use crate::failure::Failure;
use crate::objects::{self, answer_json};
use crate::output::{Table, note, print_document};
use crate::progress::Progress;
use clap::Args;
use proto::admin::v1::{ApplyRequest, ApplyResponse, DataPlane};
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{Instant, sleep};

pub(super) const EXAMPLES: &str = "\
Examples:
  turnpike apply -f config/ --dry-run      say what would change
  turnpike apply -f config/ --wait         return when every live data plane has it
  turnpike get orgs -o yaml | turnpike apply -f -

A file holds documents of `kind`, `name` and `spec`:
  kind: Plan
  name: starter
  spec: {requests_per_minute: 10, tokens_per_minute: 100000}";

const POLL: Duration = Duration::from_millis(50);

#[derive(Args)]
pub(super) struct ApplyArgs {
    /// File, directory (its *.yaml and *.yml, also of directories in it), or - for stdin; may be repeated
    #[arg(short, long = "file", value_name = "FILE|DIR|-", required = true)]
    file: Vec<PathBuf>,
    /// Validate and say what would change, but change nothing
    #[arg(long)]
    dry_run: bool,
    /// Return only when every live data plane has applied the objects
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
    /// How many seconds to wait at most
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "wait")]
    wait_timeout: u64,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(args: ApplyArgs) -> Result<(), Failure> {
    let objects = objects::read_all(&args.file)?;
    let client = Client::connect(&args.remote).await?;
    let request = ApplyRequest { objects, validate_only: args.dry_run, ..ApplyRequest::default() };
    let applied = client.answer(client.apply().apply(request).await)?;
    print_document(args.output.output, &answer_json("ApplyResponse", &applied)?, || {
        table(&applied)
    })?;
    applied.warnings.iter().for_each(|warning| note(&format!("warning: {warning}")));
    if args.dry_run {
        note("nothing was changed (--dry-run)");
        return Ok(());
    }
    note(&format!("revision {}", applied.revision));
    if args.wait {
        wait(&client, applied.revision, Duration::from_secs(args.wait_timeout)).await?;
    }
    Ok(())
}

fn table(applied: &ApplyResponse) -> String {
    let mut table = Table::new(&["KIND", "NAME", "ACTION"]);
    for object in &applied.objects {
        table.row([object.kind.clone(), object.name.clone(), object.action.clone()]);
    }
    table.text()
}

async fn wait(client: &Client, revision: u64, patience: Duration) -> Result<(), Failure> {
    let started = Instant::now();
    let mut progress = Progress::of("data planes");
    loop {
        let (_, planes) = client.data_planes().await?;
        let behind: Vec<&DataPlane> =
            planes.iter().filter(|plane| plane.applied < revision).collect();
        progress.show(planes.len().saturating_sub(behind.len()), planes.len());
        if behind.is_empty() {
            drop(progress);
            return rejected(&planes);
        }
        if started.elapsed() >= patience {
            drop(progress);
            return Err(Failure::failed(lagging(&behind, revision, patience)));
        }
        sleep(POLL).await;
    }
}

/// A data plane that has the revision may have kept an older form of an object that it could not read.
fn rejected(planes: &[DataPlane]) -> Result<(), Failure> {
    let rejects: Vec<String> = planes
        .iter()
        .flat_map(|plane| {
            plane.rejects.iter().map(move |reject| format!("{}: {reject}", plane.name))
        })
        .collect();
    match rejects.as_slice() {
        [] => Ok(()),
        some => Err(Failure::failed(format!("data planes refused objects: {}", some.join("; ")))),
    }
}

fn lagging(behind: &[&DataPlane], revision: u64, patience: Duration) -> String {
    let planes: Vec<String> =
        behind.iter().map(|plane| format!("{} (at {})", plane.name, plane.applied)).collect();
    format!(
        "after {} s these data planes do not have revision {revision} yet: {}; it is stored and they will get it, \
         wait longer with --wait-timeout",
        patience.as_secs(),
        planes.join(", ")
    )
}
