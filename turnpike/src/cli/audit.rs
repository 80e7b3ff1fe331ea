//! `turnpike audit`: who changed what, and whether that record is as it was written.

use super::OutputArgs;
use crate::client::{Client, Remote};
use crate::failure::{Exit, Failure};
use crate::objects::answer_json;
use crate::output::{Format, Table, note, print_document};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use proto::admin::v1::{
    AuditRecord, ListAuditRecordsRequest, VerifyAuditRequest, VerifyAuditResponse,
};
use serde_json::Value as Json;

const PAGE_SIZE: u32 = 500;

const LIST_EXAMPLES: &str = "\
Examples:
  turnpike audit list
  turnpike audit list --operator alice --limit 500
  turnpike audit list --resource 'Org acme' -o json";

const VERIFY_EXAMPLES: &str = "\
Examples:
  turnpike audit verify
  turnpike audit verify -o json
  turnpike audit verify --expect 1042:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

Note the head that it prints somewhere else, and give it to --expect later: a chain whose end was cut off fits together,
but does not hold that head any more.";

#[derive(Subcommand)]
pub(super) enum AuditCommand {
    /// What was changed, and what was refused, newest first
    #[command(after_help = LIST_EXAMPLES)]
    List(ListArgs),
    /// Walk the chain of records; exits 1 and names the first that differs
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(VerifyArgs),
}

#[derive(Args)]
pub(super) struct ListArgs {
    /// Of one operator only
    #[arg(long)]
    operator: Option<String>,
    /// Of one thing only, for instance 'Org acme'
    #[arg(long)]
    resource: Option<String>,
    /// Most records
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Args)]
pub(super) struct VerifyArgs {
    /// A head that was noted earlier: the chain must still hold it
    #[arg(long, value_name = "SEQ:HASH", value_parser = noted)]
    expect: Option<(u64, String)>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(command: AuditCommand) -> Result<(), Failure> {
    match command {
        AuditCommand::List(args) => list(args).await,
        AuditCommand::Verify(args) => verify(args).await,
    }
}

async fn list(args: ListArgs) -> Result<(), Failure> {
    let client = Client::connect(&args.remote).await?;
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let mut records: Vec<AuditRecord> = Vec::new();
    let mut request = ListAuditRecordsRequest {
        page_size: i32::try_from(args.limit.min(PAGE_SIZE)).unwrap_or(0),
        page_token: String::new(),
        operator: args.operator.unwrap_or_default(),
        resource: args.resource.unwrap_or_default(),
    };
    while records.len() < limit {
        let page = client.answer(client.audit().list_audit_records(request.clone()).await)?;
        records.extend(page.records);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    records.truncate(limit);
    let documents: Vec<Json> =
        records.iter().map(|one| answer_json("AuditRecord", one)).collect::<Result<_, _>>()?;
    print_document(args.output.output, &Json::from(documents), || table(&records))
}

fn table(records: &[AuditRecord]) -> String {
    let headers = ["SEQ>", "TIME", "OPERATOR", "METHOD", "RESOURCE", "OUTCOME", "DETAIL"];
    let mut table = Table::new(&headers);
    for record in records {
        let at = record.time.and_then(|at| Timestamp::new(at.seconds, at.nanos).ok());
        table.row([
            record.seq.to_string(),
            at.map(|at| at.to_string()).unwrap_or_default(),
            record.operator.clone(),
            record.method.clone(),
            record.resource.clone(),
            record.outcome.clone(),
            record.detail.clone(),
        ]);
    }
    table.text()
}

async fn verify(args: VerifyArgs) -> Result<(), Failure> {
    let client = Client::connect(&args.remote).await?;
    let (expected_seq, expected_hash) = args.expect.unwrap_or_default();
    let request = VerifyAuditRequest { expected_seq, expected_hash };
    let found = client.answer(client.audit().verify_audit(request).await)?;
    print_document(args.output.output, &answer_json("VerifyAuditResponse", &found)?, || {
        head(&found)
    })?;
    if found.ok {
        if args.output.output == Format::Table {
            note(&format!("{} records are as they were written", found.records));
        }
        return Ok(());
    }
    let message = format!("audit record {} differs: {}", found.differs_at, found.difference);
    Err(Failure { exit: Exit::Failed, message })
}

/// As `--expect` takes it.
fn head(found: &VerifyAuditResponse) -> String {
    format!("{}:{}", found.records, found.head_hash)
}

fn noted(text: &str) -> Result<(u64, String), String> {
    let parts = text.split_once(':');
    let read = parts.and_then(|(seq, hash)| Some((seq.parse().ok().filter(|seq| *seq > 0)?, hash)));
    match read {
        Some((seq, hash)) if !hash.is_empty() => Ok((seq, hash.to_owned())),
        _ => Err("write it as `turnpike audit verify` printed it: SEQ:HASH".to_owned()),
    }
}
