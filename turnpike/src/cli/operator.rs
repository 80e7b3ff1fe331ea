//! `turnpike operator`: who may use the admin API. A new operator's token is printed once, alone on stdout.

use super::OutputArgs;
use super::key::{moment, wire_time};
use crate::client::{Client, Remote};
use crate::failure::Failure;
use crate::objects::answer_json;
use crate::output::{Table, note, print_document};
use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use prost_types::FieldMask;
use proto::admin::v1::{
    CreateOperatorRequest, DeleteOperatorRequest, GetOperatorRequest, ListOperatorsRequest,
    Operator, OperatorSpec, UpdateOperatorRequest,
};
use serde_json::{Value as Json, json};

const CREATE_EXAMPLES: &str = "\
Examples:
  turnpike operator create alice --role admin
  turnpike operator create books-sg --role billing --entity global
  turnpike operator create acme-it --role admin --org acme --expires 90d

The token is printed once, alone on stdout: TURNPIKE_ADMIN_TOKEN=$(turnpike operator create alice --role admin)";

const LIST_EXAMPLES: &str = "\
Examples:
  turnpike operator list
  turnpike operator list -o json";

const GET_EXAMPLES: &str = "\
Examples:
  turnpike operator get alice";

const DISABLE_EXAMPLES: &str = "\
Examples:
  turnpike operator disable alice";

const DELETE_EXAMPLES: &str = "\
Examples:
  turnpike operator delete alice";

#[derive(Subcommand)]
pub(super) enum OperatorCommand {
    /// Create an operator and print its token, once
    #[command(after_help = CREATE_EXAMPLES)]
    Create(CreateArgs),
    /// List the operators that you may see
    #[command(after_help = LIST_EXAMPLES)]
    List(ListArgs),
    /// Show one operator
    #[command(after_help = GET_EXAMPLES)]
    Get(NameArgs),
    /// Refuse an operator's token from now on
    #[command(after_help = DISABLE_EXAMPLES)]
    Disable(NameArgs),
    /// Delete an operator
    #[command(after_help = DELETE_EXAMPLES)]
    Delete(NameArgs),
}

/// What an operator may do.
#[derive(Clone, Copy, ValueEnum)]
enum Role {
    /// Everything
    Owner,
    /// Configures; puts no money into wallets
    Admin,
    /// Puts money into wallets; configures nothing
    Billing,
    /// Looks
    Viewer,
}

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Billing => "billing",
            Self::Viewer => "viewer",
        }
    }
}

#[derive(Args)]
pub(super) struct CreateArgs {
    /// What to call it
    name: String,
    /// What it may do
    #[arg(long, value_enum)]
    role: Role,
    /// For this entity, its orgs and their keys alone [default: for everything]
    #[arg(long, conflicts_with = "org")]
    entity: Option<String>,
    /// For this org and its keys alone
    #[arg(long)]
    org: Option<String>,
    /// When its token ends: a date (at 00:00 UTC), an RFC 3339 time, or a span from now such as '90d' or '12h'
    #[arg(long, value_name = "T", value_parser = moment)]
    expires: Option<Timestamp>,
    /// Names this call, so that repeating the command within a day gives the same token
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Args)]
pub(super) struct NameArgs {
    /// Which operator
    name: String,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(command: OperatorCommand) -> Result<(), Failure> {
    match command {
        OperatorCommand::Create(args) => create(args).await,
        OperatorCommand::List(args) => list(args).await,
        OperatorCommand::Get(args) => get(args).await,
        OperatorCommand::Disable(args) => disable(args).await,
        OperatorCommand::Delete(args) => delete(args).await,
    }
}

async fn create(args: CreateArgs) -> Result<(), Failure> {
    let client = Client::connect(&args.remote).await?;
    let spec = OperatorSpec {
        role: args.role.name().to_owned(),
        entity: args.entity.unwrap_or_default(),
        org: args.org.unwrap_or_default(),
        expire_time: args.expires.map(wire_time),
        disabled: false,
    };
    let operator = Operator { name: args.name, spec: Some(spec), ..Operator::default() };
    let request = CreateOperatorRequest {
        operator: Some(operator),
        request_id: args.request_id.unwrap_or_default(),
        ..CreateOperatorRequest::default()
    };
    let created = client.answer(client.operators().create_operator(request).await)?;
    let name = created.operator.map(|operator| operator.name).unwrap_or_default();
    note(&format!("operator {name}; its token is shown this once"));
    let document = json!({"name": name, "token": created.token});
    print_document(args.output.output, &document, || created.token.clone())
}

async fn list(args: ListArgs) -> Result<(), Failure> {
    let client = Client::connect(&args.remote).await?;
    let mut operators = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListOperatorsRequest { page_token, ..ListOperatorsRequest::default() };
        let page = client.answer(client.operators().list_operators(request).await)?;
        operators.extend(page.operators);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let documents: Vec<Json> =
        operators.iter().map(|one| answer_json("Operator", one)).collect::<Result<_, _>>()?;
    print_document(args.output.output, &Json::from(documents), || table(&operators))
}

async fn get(args: NameArgs) -> Result<(), Failure> {
    let client = Client::connect(&args.remote).await?;
    let request = GetOperatorRequest { name: args.name };
    let found = client.answer(client.operators().get_operator(request).await)?;
    print_document(args.output.output, &answer_json("Operator", &found)?, || {
        table(std::slice::from_ref(&found))
    })
}

async fn disable(args: NameArgs) -> Result<(), Failure> {
    let client = Client::connect(&args.remote).await?;
    let spec = OperatorSpec { disabled: true, ..OperatorSpec::default() };
    let operator = Operator { name: args.name, spec: Some(spec), ..Operator::default() };
    let request = UpdateOperatorRequest {
        operator: Some(operator),
        update_mask: Some(FieldMask { paths: vec!["disabled".to_owned()] }),
        ..UpdateOperatorRequest::default()
    };
    let disabled = client.answer(client.operators().update_operator(request).await)?;
    print_document(args.output.output, &answer_json("Operator", &disabled)?, || {
        table(std::slice::from_ref(&disabled))
    })
}

async fn delete(args: NameArgs) -> Result<(), Failure> {
    let client = Client::connect(&args.remote).await?;
    let request =
        DeleteOperatorRequest { name: args.name.clone(), ..DeleteOperatorRequest::default() };
    client.answer(client.operators().delete_operator(request).await)?;
    note(&format!("operator {} deleted", args.name));
    Ok(())
}

fn table(operators: &[Operator]) -> String {
    let mut table = Table::new(&["NAME", "ROLE", "ENTITY", "ORG", "EXPIRES", "DISABLED"]);
    for operator in operators {
        let spec = operator.spec.clone().unwrap_or_default();
        let expires = spec.expire_time.and_then(|at| Timestamp::from_second(at.seconds).ok());
        let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        table.row([
            operator.name.clone(),
            spec.role,
            or_dash(spec.entity),
            or_dash(spec.org),
            or_dash(expires.map(|at| at.to_string()).unwrap_or_default()),
            if spec.disabled { "yes" } else { "no" }.to_owned(),
        ]);
    }
    table.text()
}
