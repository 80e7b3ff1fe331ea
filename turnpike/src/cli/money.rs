//! `turnpike org credit`, `balance`, `usage`, `explain` and `reconcile`. Missing usage is `gaps`' business.

use super::OutputArgs;
use super::gaps::{self, UsageCommand};
use crate::client::{Client, Remote};
use crate::failure::{Exit, Failure};
use crate::objects::answer_json;
use crate::output::{Format, Table, amount, note, print_document};
use clap::{Args, Subcommand};
use proto::admin::v1::{
    Balance, CreditOrgRequest, ExplainRequest, Explanation, GetBalanceRequest, ListUsageRequest,
    ListUsageResponse, ReconcileRequest, Reconciliation, UsageRow,
};

const CREDIT_EXAMPLES: &str = "\
Examples:
  turnpike org credit acme '50.00 USD'
  turnpike org credit acme '50.00 USD' --idempotency-key invoice-2026-117

The same idempotency key posts once, however often the command is run.";

pub(super) const USAGE_EXAMPLES: &str = "\
Examples:
  turnpike usage
  turnpike usage --org acme --model demo/chat --limit 500 -o json
  turnpike usage --filter 'key = acme/ci AND model = demo/*'";

pub(super) const BALANCE_EXAMPLES: &str = "\
Examples:
  turnpike balance acme
  turnpike balance acme -o json";

pub(super) const EXPLAIN_EXAMPLES: &str = "\
Examples:
  turnpike explain 01990b5e-7c1d-7d6a-9f2e-3a5b8c1d2e4f
  turnpike explain chatcmpl-9aXk3 -o json

REQUEST_ID is the `x-request-id` header of an answer, or the `id` in its body.";

pub(super) const RECONCILE_EXAMPLES: &str = "\
Examples:
  turnpike reconcile
  turnpike reconcile --since 2026-11-01T00:00:00Z -o json";

#[derive(Subcommand)]
pub(super) enum OrgCommand {
    /// Post a top-up to an org's wallet
    #[command(after_help = CREDIT_EXAMPLES)]
    Credit(CreditArgs),
}

#[derive(Args)]
pub(super) struct CreditArgs {
    /// Whose wallet
    org: String,
    /// How much, with its currency
    amount: String,
    /// Names this top-up, so that repeating the command posts it once [default: a new one]
    #[arg(long, value_name = "K")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Args)]
pub(super) struct BalanceArgs {
    /// Whose wallet
    org: String,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct UsageArgs {
    #[command(subcommand)]
    command: Option<UsageCommand>,
    /// Of one org only
    #[arg(long)]
    org: Option<String>,
    /// Of one model only
    #[arg(long)]
    model: Option<String>,
    /// Only what fits, by org, key, model, outcome: 'key = acme/ci AND outcome = complete'
    #[arg(long, value_name = "FILTER")]
    filter: Option<String>,
    /// Most rows
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Args)]
pub(super) struct ExplainArgs {
    /// Our request id, or the upstream's
    request_id: String,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Args)]
pub(super) struct ReconcileArgs {
    /// Only what ended at or after this RFC 3339 time [default: everything]
    #[arg(long, value_name = "T")]
    since: Option<jiff::Timestamp>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn org(command: OrgCommand) -> Result<(), Failure> {
    match command {
        OrgCommand::Credit(args) => credit(args).await,
    }
}

async fn credit(args: CreditArgs) -> Result<(), Failure> {
    let client = Client::connect(&args.remote).await?;
    let idempotency_key =
        args.idempotency_key.unwrap_or_else(|| format!("cli-{:032x}", rand::random::<u128>()));
    let request = CreditOrgRequest {
        org: args.org,
        amount: args.amount,
        idempotency_key: idempotency_key.clone(),
        ..CreditOrgRequest::default()
    };
    let answer =
        client.answer(client.money().credit_org(request).await).map_err(|failure| match failure
            .exit
        {
            // It may have been posted all the same; only the same idempotency key finds out without posting twice.
            Exit::Unreachable => Failure {
                message: format!("{failure}; then repeat with --idempotency-key {idempotency_key}"),
                ..failure
            },
            Exit::Failed | Exit::Usage => failure,
        })?;
    if answer.repeated_call {
        note(&format!("{idempotency_key} had been posted before; nothing was posted now"));
    }
    let balance = answer.balance.unwrap_or_default();
    print_balance(args.output.output, &balance)
}

pub(super) async fn balance(args: BalanceArgs) -> Result<(), Failure> {
    let client = Client::connect(&args.remote).await?;
    let request = GetBalanceRequest { org: args.org };
    let balance = client.answer(client.money().get_balance(request).await)?;
    print_balance(args.output.output, &balance)
}

fn print_balance(format: Format, balance: &Balance) -> Result<(), Failure> {
    print_document(format, &answer_json("Balance", balance)?, || {
        let money = |nano| amount(nano, &balance.currency);
        let mut table = Table::new(&["ORG", "POSTED>", "HELD>", "FREE>"]);
        table.row([
            balance.org.clone(),
            money(balance.posted_nano),
            money(balance.held_nano),
            money(balance.free_nano),
        ]);
        table.text()
    })
}

pub(super) async fn usage(args: UsageArgs) -> Result<(), Failure> {
    if let Some(command) = args.command {
        return gaps::run(command).await;
    }
    let client = Client::connect(&args.remote).await?;
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let mut usage = ListUsageResponse::default();
    loop {
        let wanted = limit.saturating_sub(usage.rows.len());
        let request = ListUsageRequest {
            org: args.org.clone().unwrap_or_default(),
            model: args.model.clone().unwrap_or_default(),
            filter: args.filter.clone().unwrap_or_default(),
            page_size: i32::try_from(wanted).unwrap_or(i32::MAX),
            page_token: std::mem::take(&mut usage.next_page_token),
        };
        let page = client.answer(client.money().list_usage(request).await)?;
        usage.rows.extend(page.rows.into_iter().take(wanted));
        usage.next_page_token = page.next_page_token;
        if usage.next_page_token.is_empty() || usage.rows.len() >= limit {
            break;
        }
    }
    print_document(args.output.output, &answer_json("ListUsageResponse", &usage)?, || {
        usage_table(&usage)
    })
}

fn usage_table(usage: &ListUsageResponse) -> String {
    let headers =
        ["ENDED", "REQUEST", "ORG", "KEY", "MODEL", "OUTCOME", "INPUT>", "OUTPUT>", "CHARGE>"];
    let mut table = Table::new(&headers);
    for row in &usage.rows {
        table.row([
            row.ended_at.clone(),
            request(row),
            row.org.clone(),
            row.key.clone(),
            row.model.clone(),
            row.outcome.clone(),
            row.input_tokens.to_string(),
            row.output_tokens.to_string(),
            amount(row.charge_nano, &row.currency),
        ]);
    }
    table.text()
}

fn request(row: &UsageRow) -> String {
    if row.request_id.is_empty() {
        format!("({} requests)", row.requests)
    } else {
        row.request_id.clone()
    }
}

pub(super) async fn explain(args: ExplainArgs) -> Result<(), Failure> {
    let client = Client::connect(&args.remote).await?;
    let request = ExplainRequest { request_id: args.request_id };
    let explained = client.answer(client.money().explain(request).await)?;
    print_document(args.output.output, &answer_json("Explanation", &explained)?, || {
        explanation(&explained)
    })
}

/// Facts, lines, attempts: three small tables.
fn explanation(explained: &Explanation) -> String {
    let mut parts = vec![facts(explained), bill(explained)];
    if !explained.attempts.is_empty() {
        parts.push(attempts(explained));
    }
    parts.join("\n\n")
}

fn facts(explained: &Explanation) -> String {
    let mut table = Table::new(&["REQUEST", &explained.request_id]);
    let mut fact = |name: &str, value: &str| {
        if !value.is_empty() {
            table.row([name.to_owned(), value.to_owned()]);
        }
    };
    fact("upstream's id", &explained.upstream_id);
    fact("org", &explained.org);
    fact("key", &explained.key);
    fact("operation", &explained.operation);
    fact("model", &explained.model);
    if explained.requested_model != explained.model {
        fact("asked for", &explained.requested_model);
    }
    fact("session", &explained.session_id);
    fact("outcome", &explained.outcome);
    fact("admitted", &explained.admitted_at);
    fact("ended", &explained.ended_at);
    fact("price revision", &explained.price_revision.to_string());
    fact("client", &explained.client_digest);
    if explained.usage_anomaly {
        fact("anomaly", "the upstream's usage contradicts what it sent");
    }
    table.text()
}

fn bill(explained: &Explanation) -> String {
    let money = |nano| amount(nano, &explained.currency);
    let mut table = Table::new(&["CLASS", "QUANTITY>", "PROVENANCE", "PER MILLION>", "AMOUNT>"]);
    for line in &explained.lines {
        table.row([
            line.class.clone(),
            line.quantity.to_string(),
            line.provenance.clone(),
            money(line.unit_nano_per_million),
            money(line.amount_nano),
        ]);
    }
    let mut sum = |name: &str, nano| {
        table.row([name.to_owned(), String::new(), String::new(), String::new(), money(nano)]);
    };
    if explained.uncollected_nano != 0 {
        sum("uncollected", explained.uncollected_nano);
    }
    sum("charge", explained.charge_nano);
    table.text()
}

fn attempts(explained: &Explanation) -> String {
    let mut table = Table::new(&["ATTEMPT>", "UPSTREAM", "STATUS>", "MILLISECONDS>", "ERROR"]);
    for (index, attempt) in explained.attempts.iter().enumerate() {
        table.row([
            index.saturating_add(1).to_string(),
            attempt.upstream.clone(),
            attempt.status.to_string(),
            attempt.duration_us.div_ceil(1000).to_string(),
            attempt.error.clone(),
        ]);
    }
    table.text()
}

pub(super) async fn reconcile(args: ReconcileArgs) -> Result<(), Failure> {
    let client = Client::connect(&args.remote).await?;
    let since = args.since.map(|at| at.to_string()).unwrap_or_default();
    let reconciled = client.answer(client.money().reconcile(ReconcileRequest { since }).await)?;
    let document = answer_json("Reconciliation", &reconciled)?;
    print_document(args.output.output, &document, || differences(&reconciled))?;
    if reconciled.ok {
        return Ok(());
    }
    let rows: Vec<&str> =
        reconciled.differences.iter().map(|difference| difference.row.as_str()).collect();
    Err(Failure::failed(format!(
        "the ledger differs from what its records say, in: {}",
        rows.join(", ")
    )))
}

/// What the ledger cannot know: events that never came.
fn missing(reconciled: &Reconciliation) -> String {
    match (reconciled.missing_events, reconciled.written_off_events) {
        (0, 0) => String::new(),
        (awaited, given_up) => format!(
            "; {awaited} events are missing and {given_up} are written off: see `turnpike usage gaps --written-off`"
        ),
    }
}

fn differences(reconciled: &Reconciliation) -> String {
    if reconciled.differences.is_empty() {
        return format!("{} events, no difference{}", reconciled.events, missing(reconciled));
    }
    let mut table = Table::new(&["ROW", "FIELD", "EXPECTED>", "FOUND>"]);
    for difference in &reconciled.differences {
        table.row([
            difference.row.clone(),
            difference.field.clone(),
            difference.expected.clone(),
            difference.found.clone(),
        ]);
    }
    table.text()
}
