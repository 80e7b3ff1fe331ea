//! `turnpike get`, `describe` and `delete`, for every kind alike.

use super::OutputArgs;
use crate::client::{Client, Remote, Which};
use crate::failure::Failure;
use crate::objects::{self, document, opened};
use crate::output::{
    Format, Table, json_text, message_json, note, print, print_document, yaml_text,
};
use clap::Args;
use domain::config::Kind;
use prost_reflect::DynamicMessage;
use proto::admin::v1::{DeleteObjectsRequest, ObjectName};
use serde_json::Value as Json;
use std::path::PathBuf;

pub(super) const GET_EXAMPLES: &str = "\
Examples:
  turnpike get models
  turnpike get org acme -o json
  turnpike get keys --filter 'org = acme AND disabled = false'
  turnpike get models --filter 'routes.upstream = demo-a' --order-by 'update_time desc'
  turnpike get plans -o yaml               what `turnpike apply -f` reads";

pub(super) const DESCRIBE_EXAMPLES: &str = "\
Examples:
  turnpike describe model demo/chat";

pub(super) const DELETE_EXAMPLES: &str = "\
Examples:
  turnpike delete key acme/ci
  turnpike delete plan starter
  turnpike delete -f old/                  say what would be deleted
  turnpike delete -f old/ --yes            delete it, all or nothing";

#[derive(Args)]
pub(super) struct GetArgs {
    #[arg(value_parser = kind, help = format!("{}; in any case, or as a plural", kinds()))]
    kind: Kind,
    /// One object [default: all of the kind]
    name: Option<String>,
    /// Only what fits: 'field = value' terms joined by AND; a value that ends in * is a prefix
    #[arg(long, value_name = "FILTER", conflicts_with = "name")]
    filter: Option<String>,
    /// In which order: name, create_time or update_time, perhaps with ' desc'
    #[arg(long, value_name = "ORDER", conflicts_with = "name")]
    order_by: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Args)]
pub(super) struct DescribeArgs {
    #[arg(value_parser = kind, help = format!("Its kind: {}", kinds()))]
    kind: Kind,
    /// Its name
    name: String,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Args)]
pub(super) struct DeleteArgs {
    #[arg(value_parser = kind, required_unless_present = "file", requires = "name")]
    #[arg(help = format!("Its kind: {}", kinds()))]
    kind: Option<Kind>,
    /// Its name
    name: Option<String>,
    /// Delete the objects that these files name, all or nothing; those that are not there are no error
    #[arg(short, long = "file", value_name = "FILE|DIR|-", conflicts_with = "kind")]
    file: Vec<PathBuf>,
    /// Delete what the files name; without it, -f only says what would be deleted
    #[arg(long, requires = "file")]
    yes: bool,
    #[command(flatten)]
    remote: Remote,
}

fn kind(text: &str) -> Result<Kind, String> {
    Kind::parse(text).ok_or_else(|| format!("the kinds are {}", kinds()))
}

fn kinds() -> String {
    Kind::ALL.map(Kind::name).join(", ")
}

pub(super) async fn get(args: GetArgs) -> Result<(), Failure> {
    let client = Client::connect(&args.remote).await?;
    let objects = match &args.name {
        Some(name) => vec![client.get(args.kind, name).await?],
        None => {
            let which = Which {
                filter: args.filter.unwrap_or_default(),
                order_by: args.order_by.unwrap_or_default(),
            };
            client.list(args.kind, &which).await?
        }
    };
    print_objects(args.kind, &objects, args.name.is_some(), args.output.output)
}

/// Objects of a kind, in the form in which `apply` reads them unless it is for people.
pub(super) fn print_objects(
    kind: Kind,
    objects: &[DynamicMessage],
    is_one: bool,
    format: Format,
) -> Result<(), Failure> {
    let documents: Vec<Json> =
        objects.iter().map(|object| document(kind, object)).collect::<Result<_, _>>()?;
    match (format, documents.as_slice()) {
        (Format::Table, []) => {
            note(&format!("there is no {kind}"));
            Ok(())
        }
        (Format::Table, _) => print(&table(kind, &documents)),
        (Format::Json, [only]) if is_one => print(&json_text(only)?),
        (Format::Json, all) => print(&json_text(&Json::from(all))?),
        (Format::Yaml, all) => {
            let texts: Vec<String> = all.iter().map(yaml_text).collect::<Result<_, _>>()?;
            print(&texts.join("---\n"))
        }
    }
}

pub(super) async fn describe(args: DescribeArgs) -> Result<(), Failure> {
    let client = Client::connect(&args.remote).await?;
    let object = client.get(args.kind, &args.name).await?;
    let described = described(args.kind, &object)?;
    print_document(args.output.output, &described, || {
        let mut table = Table::new(&["FIELD", "VALUE"]);
        flatten("", &described, &mut |field, value| table.row([field.to_owned(), cell(value)]));
        table.text()
    })
}

pub(super) async fn delete(args: DeleteArgs) -> Result<(), Failure> {
    match (args.kind, args.name) {
        (Some(kind), Some(name)) => {
            let client = Client::connect(&args.remote).await?;
            client.delete(kind, &name).await?;
            note(&format!("{kind} {name} deleted"));
            Ok(())
        }
        _ => delete_files(&args.file, args.yes, &args.remote).await,
    }
}

/// Files are easily the wrong ones, so nothing goes without `--yes`.
async fn delete_files(files: &[PathBuf], yes: bool, remote: &Remote) -> Result<(), Failure> {
    let name = |object| {
        let (kind, message) = opened(&object)?;
        let name = message_json(&message)?.get("name").map(cell).unwrap_or_default();
        Ok(ObjectName { kind: kind.to_string(), name })
    };
    let objects =
        objects::read_all(files)?.into_iter().map(name).collect::<Result<_, Failure>>()?;
    let client = Client::connect(remote).await?;
    let request = DeleteObjectsRequest {
        objects,
        allow_missing: true,
        validate_only: !yes,
        ..DeleteObjectsRequest::default()
    };
    let deleted = client.answer(client.apply().delete_objects(request).await)?;
    let mut table = Table::new(&["KIND", "NAME", "ACTION"]);
    for object in &deleted.objects {
        table.row([&object.kind, &object.name, &object.action].map(Clone::clone));
    }
    print(&table.text())?;
    if !yes {
        note("nothing was deleted; add --yes to delete these");
    }
    Ok(())
}

/// The document with what only the server sets.
fn described(kind: Kind, object: &DynamicMessage) -> Result<Json, Failure> {
    let mut described = document(kind, object)?;
    let message = message_json(object)?;
    if let Json::Object(fields) = &mut described {
        for stamp in ["etag", "create_time", "update_time"] {
            let value = message.get(stamp).cloned().unwrap_or_default();
            fields.insert(stamp.to_owned(), value);
        }
    }
    Ok(described)
}

/// Each scalar with its path, in order.
pub(super) fn flatten(path: &str, json: &Json, visit: &mut dyn FnMut(&str, &Json)) {
    match json {
        Json::Object(fields) => {
            for (name, value) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                flatten(&format!("{path}{dot}{name}"), value, visit);
            }
        }
        Json::Array(items) if items.iter().any(|item| item.is_object()) => {
            for (index, item) in items.iter().enumerate() {
                flatten(&format!("{path}[{index}]"), item, visit);
            }
        }
        plain => visit(path, plain),
    }
}

/// The columns of a kind: a heading, and where in the spec its value is.
const fn columns(kind: Kind) -> &'static [(&'static str, &'static str)] {
    match kind {
        Kind::Entity => &[
            ("JURISDICTION", "jurisdiction"),
            ("CURRENCY", "currency"),
            ("KEY PREFIX", "key_prefix"),
            ("ALLOWED", "allowed_jurisdictions"),
        ],
        Kind::Plan => &[
            ("RPM>", "requests_per_minute"),
            ("TPM>", "tokens_per_minute"),
            ("CONCURRENCY>", "concurrency"),
        ],
        Kind::Upstream => &[
            ("DIALECT", "dialect"),
            ("JURISDICTION", "jurisdiction"),
            ("VENDOR", "vendor"),
            ("BASE URL", "base_url"),
        ],
        Kind::FxRate => {
            &[("BASE", "base"), ("QUOTE", "quote"), ("RATE>", "rate"), ("SOURCE", "source")]
        }
        Kind::PriceBook => {
            &[("CURRENCY", "currency"), ("UPSTREAMS", "upstreams"), ("MODELS", "entries/model")]
        }
        Kind::MarkupRule => &[
            ("PERCENT>", "percent"),
            ("PRIORITY>", "priority"),
            ("ENTITY", "entity"),
            ("AUDIENCE", "audience"),
            ("ORIGIN", "origin"),
            ("MODEL", "model"),
            ("ORG", "org"),
        ],
        Kind::Model => &[
            ("CONTEXT>", "context_length"),
            ("OUTPUT>", "max_output_tokens"),
            ("MODALITIES", "input_modalities"),
            ("UPSTREAMS", "routes/upstream"),
        ],
        Kind::Org => &[
            ("ENTITY", "entity"),
            ("PLAN", "plan"),
            ("AUDIENCE", "audience"),
            ("CREDIT LIMIT>", "credit_limit"),
            ("DISABLED", "disabled"),
        ],
        Kind::Key => &[
            ("ORG", "org"),
            ("MODELS", "models"),
            ("BUDGET>", "budget"),
            ("EXPIRES", "expire_time"),
            ("DISABLED", "disabled"),
        ],
    }
}

pub(super) fn table(kind: Kind, documents: &[Json]) -> String {
    let columns = columns(kind);
    let headers: Vec<&str> =
        std::iter::once("NAME").chain(columns.iter().map(|(header, _)| *header)).collect();
    let mut table = Table::new(&headers);
    for document in documents {
        let name = document.get("name").map(cell).unwrap_or_default();
        let spec = document.get("spec");
        let values =
            columns.iter().map(|(_, place)| spec.map(|spec| find(spec, place)).unwrap_or_default());
        table.row(std::iter::once(name).chain(values));
    }
    table.text()
}

/// A field, or with `list/field` that field of each item.
fn find(spec: &Json, place: &str) -> String {
    match place.split_once('/') {
        None => spec.get(place).map_or_else(|| "-".to_owned(), cell),
        Some((list, field)) => {
            let items = spec.get(list).and_then(Json::as_array).into_iter().flatten();
            let values: Vec<Json> = items.filter_map(|item| item.get(field).cloned()).collect();
            cell(&Json::from(values))
        }
    }
}

pub(super) fn cell(json: &Json) -> String {
    match json {
        Json::Null => "-".to_owned(),
        Json::String(text) if text.is_empty() => "-".to_owned(),
        Json::String(text) => text.clone(),
        Json::Bool(true) => "yes".to_owned(),
        Json::Bool(false) => "no".to_owned(),
        Json::Number(number) => number.to_string(),
        Json::Array(items) if items.is_empty() => "-".to_owned(),
        Json::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(","),
        Json::Object(_) => json.to_string(),
    }
}
