//! `turnpike content`: what was said in a request whose org wants it kept.

use super::OutputArgs;
use crate::client::{Client, Remote};
use crate::failure::Failure;
use crate::objects::answer_json;
use crate::output::{note, print_document};
use clap::Args;
use proto::admin::v1::{GetContentRequest, StoredContent};

pub(super) const EXAMPLES: &str = "\
Examples:
  turnpike content req-019aab12c0de7d6a9f2e3a5b8c1d2e4f
  turnpike content req-019aab12c0de7d6a9f2e3a5b8c1d2e4f -o json

REQUEST_ID is the `x-request-id` header of an answer. Every reading is in the audit chain.";

#[derive(Args)]
pub(super) struct ContentArgs {
    /// Our request id
    request_id: String,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(args: ContentArgs) -> Result<(), Failure> {
    let client = Client::connect(&args.remote).await?;
    let request = GetContentRequest { request_id: args.request_id };
    let stored = client.answer(client.contents().get_content(request).await)?;
    for (is_cut, what) in [(stored.prompt_cut, "prompt"), (stored.completion_cut, "completion")] {
        if is_cut {
            note(&format!("the {what} was longer than is kept; this is its beginning"));
        }
    }
    print_document(args.output.output, &answer_json("StoredContent", &stored)?, || text(&stored))
}

/// The bodies as they were, one after the other.
fn text(stored: &StoredContent) -> String {
    let (prompt, completion) =
        (String::from_utf8_lossy(&stored.prompt), String::from_utf8_lossy(&stored.completion));
    format!("{prompt}\n\n{completion}")
}
