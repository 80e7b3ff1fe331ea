//! `turnpike diff`: what `apply` would change, field by field. The control plane says which objects would change, by
//! trying; this compares them with what is there. Secrets are only said to differ.

use super::OutputArgs;
use super::resources::{cell, flatten};
use crate::client::{Client, Remote};
use crate::failure::{Exit, Failure};
use crate::objects::{self, document, opened};
use crate::output::print_document;
use clap::Args;
use domain::config::Kind;
use prost_reflect::{DynamicMessage, Value};
use proto::admin::v1::{ApplyRequest, Object};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

pub(super) const EXAMPLES: &str = "\
Examples:
  turnpike diff -f config/
  turnpike diff -f config/ -o json
  turnpike get orgs -o yaml | turnpike diff -f -

Exits 1 when something differs, 0 when `turnpike apply` would change nothing. Objects that no file names are left alone by
`apply`, so they are no difference.";

/// The field that is written and never read back.
const SECRET: &str = "credential";

#[derive(Args)]
pub(super) struct DiffArgs {
    /// File, directory (its *.yaml and *.yml, also of directories in it), or - for stdin; may be repeated
    #[arg(short, long = "file", value_name = "FILE|DIR|-", required = true)]
    file: Vec<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    remote: Remote,
}

/// What becomes of one object.
struct Difference {
    kind: Kind,
    name: String,
    is_new: bool,
    fields: Vec<FieldChange>,
}

struct FieldChange {
    path: String,
    before: Option<Json>,
    after: Option<Json>,
}

type Fields = BTreeMap<String, Json>;

pub(super) async fn run(args: DiffArgs) -> Result<(), Failure> {
    let objects = objects::read_all(&args.file)?;
    let client = Client::connect(&args.remote).await?;
    let mut differences = Vec::new();
    for (object, action) in tried(&client, objects).await? {
        differences.extend(difference(&client, &object, &action).await?);
    }
    print_document(args.output.output, &told(&differences), || unified(&differences))?;
    if differences.is_empty() {
        return Ok(());
    }
    Err(Failure { exit: Exit::Failed, message: String::new() })
}

/// Each object with what `apply` would do to it.
async fn tried(client: &Client, objects: Vec<Object>) -> Result<Vec<(Object, String)>, Failure> {
    let request =
        ApplyRequest { objects: objects.clone(), validate_only: true, ..Default::default() };
    let answer = client.answer(client.apply().apply(request).await)?;
    let actions: BTreeMap<(String, String), String> = answer
        .objects
        .into_iter()
        .map(|applied| ((applied.kind, applied.name), applied.action))
        .collect();
    let mut tried = Vec::with_capacity(objects.len());
    for object in objects {
        let (kind, message) = opened(&object)?;
        let action = actions.get(&(kind.to_string(), name_of(&message))).cloned();
        tried.push((object, action.unwrap_or_default()));
    }
    Ok(tried)
}

async fn difference(
    client: &Client,
    object: &Object,
    action: &str,
) -> Result<Option<Difference>, Failure> {
    let (kind, wanted) = opened(object)?;
    let name = name_of(&wanted);
    let (is_new, before) = match action {
        "created" => (true, DynamicMessage::new(objects::descriptor(kind)?)),
        "updated" => (false, client.get(kind, &name).await?),
        _ => return Ok(None),
    };
    let mut fields = changes(&fields(kind, &before)?, &fields(kind, &wanted)?);
    if !is_new && has_other_secret(client, kind, &before, &wanted).await? {
        let secret = |text: &str| Some(Json::from(text));
        let (before, after) = (secret("(a secret)"), secret("(another secret)"));
        fields.push(FieldChange { path: format!("spec.{SECRET}"), before, after });
    }
    Ok(Some(Difference { kind, name, is_new, fields }))
}

/// Asks whether the secret alone would be a change: it cannot be read to be compared.
async fn has_other_secret(
    client: &Client,
    kind: Kind,
    stored: &DynamicMessage,
    wanted: &DynamicMessage,
) -> Result<bool, Failure> {
    let Some(secret) = secret_of(wanted) else { return Ok(false) };
    let mut probe = stored.clone();
    if let Some(spec) = probe.get_field_by_name_mut("spec").and_then(Value::as_message_mut) {
        spec.set_field_by_name(SECRET, secret);
    }
    let probe = objects::wrap(kind, &probe).map_err(Failure::failed)?;
    let request = ApplyRequest { objects: vec![probe], validate_only: true, ..Default::default() };
    let answer = client.answer(client.apply().apply(request).await)?;
    Ok(answer.objects.iter().any(|applied| applied.action == "updated"))
}

fn secret_of(message: &DynamicMessage) -> Option<Value> {
    let spec = message.get_field_by_name("spec")?;
    let secret = spec.as_message()?.get_field_by_name(SECRET)?.into_owned();
    secret.as_str().is_some_and(|secret| !secret.is_empty()).then_some(secret)
}

fn name_of(message: &DynamicMessage) -> String {
    let name = message.get_field_by_name("name");
    name.as_deref().and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Every field of the spec by its path, but for secrets.
fn fields(kind: Kind, message: &DynamicMessage) -> Result<Fields, Failure> {
    let mut message = message.clone();
    if !message.has_field_by_name("spec") {
        let spec = message.get_field_by_name("spec").map(std::borrow::Cow::into_owned);
        spec.into_iter().for_each(|spec| message.set_field_by_name("spec", spec));
    }
    let mut fields = Fields::new();
    flatten("", &document(kind, &message)?, &mut |path, value| {
        fields.insert(path.to_owned(), value.clone());
    });
    for not_compared in ["kind", "name", "spec.credential"] {
        fields.remove(not_compared);
    }
    Ok(fields)
}

fn changes(before: &Fields, after: &Fields) -> Vec<FieldChange> {
    let paths: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let change = |path: &&String| FieldChange {
        path: (*path).clone(),
        before: before.get(*path).cloned(),
        after: after.get(*path).cloned(),
    };
    paths.iter().map(change).filter(|change| change.before != change.after).collect()
}

fn told(differences: &[Difference]) -> Json {
    let objects = differences.iter().map(|difference| {
        let fields = difference
            .fields
            .iter()
            .map(|field| json!({"path": field.path, "before": field.before, "after": field.after}));
        json!({
            "kind": difference.kind.name(),
            "name": difference.name,
            "action": if difference.is_new { "created" } else { "updated" },
            "fields": fields.collect::<Vec<_>>(),
        })
    });
    json!({"differs": !differences.is_empty(), "objects": objects.collect::<Vec<_>>()})
}

/// As `diff -u` has it, with a line for each field.
fn unified(differences: &[Difference]) -> String {
    let mut text = String::new();
    for Difference { kind, name, is_new, fields } in differences {
        let before =
            if *is_new { "/dev/null".to_owned() } else { format!("{kind} {name} (stored)") };
        text += &format!("--- {before}\n+++ {kind} {name} (files)\n");
        for FieldChange { path, before, after } in fields {
            let stored = before.as_ref().filter(|_| !is_new);
            text += &stored.map(|value| format!("-{path}: {}\n", cell(value))).unwrap_or_default();
            let wanted = after.as_ref();
            text += &wanted.map(|value| format!("+{path}: {}\n", cell(value))).unwrap_or_default();
        }
    }
    text
}
