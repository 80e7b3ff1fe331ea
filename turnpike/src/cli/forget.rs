//! `turnpike forget`: that a data plane can never dispatch again.

use super::OutputArgs;
use crate::client::{Client, Remote};
use crate::failure::Failure;
use crate::objects::answer_json;
use crate::output::{Table, note, print_document};
use clap::Args;
use proto::admin::v1::{DataPlaneLife, ForgetDataPlaneRequest, ForgetDataPlaneResponse};
use std::time::Duration;
use tokio::time::{Instant, sleep};

pub(super) const EXAMPLES: &str = "\
Examples:
  turnpike forget eu-3 --reason 'its disk burnt, ticket 311' --dry-run
  turnpike forget eu-3 --reason 'its disk burnt, ticket 311' --wait

Say this only of a data plane that can never run again over the spool that it had: its machine or its disk is gone. One that
runs, or comes back, tells by itself what it spent. It must be stopped, and have been silent for a moment. Once all that it
shipped is counted, its customers have what it held again; what it had not shipped is the company's loss, and stays so if it
comes after all. Where usage goes through Kafka, nobody can tell yet that all is counted: they have it after
billing.escrow.give_up_after of silence. The audit chain says who said so, and why.";

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Args)]
pub(super) struct ForgetArgs {
    /// Its name
    data_plane: String,
    /// One life of its spool; otherwise all that are silent
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    incarnation: u64,
    /// Why, for the audit chain
    #[arg(long)]
    reason: String,
    /// Say what it would mean, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Wait until its customers have what it held
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
    /// How many seconds to wait
    #[arg(long, default_value_t = 60, value_name = "SECONDS", requires = "wait")]
    wait_timeout: u64,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(args: ForgetArgs) -> Result<(), Failure> {
    let client = Client::connect(&args.remote).await?;
    let mut request = ForgetDataPlaneRequest {
        data_plane: args.data_plane,
        incarnation: args.incarnation,
        reason: args.reason,
        validate_only: args.dry_run,
        request_id: String::new(),
    };
    let mut answer = client.answer(client.money().forget_data_plane(request.clone()).await)?;
    if args.dry_run {
        note("nothing was forgotten: this is what would be");
    }
    let until = Instant::now() + Duration::from_secs(args.wait_timeout);
    request.validate_only = true;
    while args.wait && !is_done(&answer) {
        if Instant::now() >= until {
            return Err(Failure::failed(
                "what it shipped is not all counted yet, or nobody could look; the word is taken, and it goes on",
            ));
        }
        sleep(LOOK_EVERY).await;
        answer = client.answer(client.money().forget_data_plane(request.clone()).await)?;
    }
    let document = answer_json("ForgetDataPlaneResponse", &answer)?;
    print_document(args.output.output, &document, || table(&answer.lives))
}

fn is_done(answer: &ForgetDataPlaneResponse) -> bool {
    answer.lives.iter().all(|life| life.state == "given-up")
}

fn table(lives: &[DataPlaneLife]) -> String {
    let mut table = Table::new(&[
        "DATA PLANE",
        "INCARNATION",
        "STATE",
        "HEARD",
        "HELD",
        "GIVEN UP",
        "MISSING>",
    ]);
    for life in lives {
        table.row([
            life.data_plane.clone(),
            life.incarnation.to_string(),
            life.state.clone(),
            life.heard.clone(),
            life.held.join(", "),
            life.given_up.join(", "),
            life.missing_events.saturating_add(life.kept_events).to_string(),
        ]);
    }
    table.text()
}
