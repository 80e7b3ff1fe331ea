//! `turnpike key import`: many keys from a file, in batches that are each all or nothing and may be repeated.
//!
//! Keys without a secret get one here. The answer that tells it could be lost, so such a batch carries an id made of its
//! content: running the command again within a day tells the same secrets.

use super::OutputArgs;
use super::key::{moment, wire_time};
use crate::client::{Client, Remote};
use crate::failure::Failure;
use crate::output::{Format, Table, json_text, note, print, yaml_text};
use crate::progress::Progress;
use clap::Args;
use prost::Message;
use proto::admin::v1::{ImportKeysRequest, ImportedKey, Key, KeyImport, KeySpec};
use serde::Deserialize;
use serde_json::json;
use std::io::Read;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

pub(super) const EXAMPLES: &str = "\
Examples:
  turnpike key import -f keys.csv
  turnpike key import -f keys.jsonl --dry-run
  zcat keys.csv.gz | turnpike key import -f - -o json

A CSV file has a heading; a JSONL file an object a line. Columns or fields: org, name, and perhaps
  secret (of the other system, 16 to 256 visible characters; none: a new one is made and printed),
  sha256 (64 hexadecimal digits, instead of a secret that nobody has in clear any more),
  models (globs, blanks between), budget ('25.00 USD'), expires (2027-01-31), disabled (true)
Batches that were done stay done: mend what is told and run it again.";

#[derive(Args)]
pub(super) struct ImportArgs {
    /// CSV or JSONL file, or - for stdin
    #[arg(short, long, value_name = "FILE|-")]
    file: PathBuf,
    /// Keys in one transaction; at most what the server allows
    #[arg(long, value_name = "N", default_value = "500")]
    batch: NonZeroUsize,
    /// Validate and say what would be made, but make nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    remote: Remote,
}

/// A line of the file. Not printable, since it may have a secret.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    org: String,
    name: String,
    #[serde(default)]
    secret: String,
    #[serde(default)]
    sha256: String,
    #[serde(default)]
    models: Models,
    #[serde(default)]
    budget: String,
    #[serde(default)]
    expires: String,
    #[serde(default)]
    disabled: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Models {
    Text(String),
    List(Vec<String>),
}

impl Default for Models {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

pub(super) async fn run(args: ImportArgs) -> Result<(), Failure> {
    let keys = read(&args.file)?;
    let client = Client::connect(&args.remote).await?;
    let total = keys.len();
    let mut progress = Progress::of("keys");
    let mut done: Vec<ImportedKey> = Vec::with_capacity(total);
    // Batches are alike in whether secrets are given, so that only those with new ones need to be told twice.
    let (given, made): (Vec<_>, Vec<_>) = keys.into_iter().partition(is_given);
    for (keys, makes_secrets) in [(given, false), (made, true)] {
        for batch in keys.chunks(args.batch.get()) {
            let request = request(batch, makes_secrets, args.dry_run);
            match client.answer(client.keys().import_keys(request).await) {
                Ok(answer) => done.extend(answer.keys),
                Err(failure) => {
                    drop(progress);
                    // What was made must be told, or its secrets are lost.
                    show(args.output.output, &done)?;
                    let so_far = format!(
                        "{} of {total} keys are imported, the next batch is not",
                        done.len()
                    );
                    return Err(Failure { message: format!("{so_far}: {failure}"), ..failure });
                }
            }
            progress.show(done.len(), total);
        }
    }
    drop(progress);
    show(args.output.output, &done)?;
    let unchanged = done.iter().filter(|key| key.action == "unchanged").count();
    let created = done.len().saturating_sub(unchanged);
    let trial = if args.dry_run { " (--dry-run: nothing was made)" } else { "" };
    note(&format!("{created} created, {unchanged} there already{trial}"));
    Ok(())
}

fn request(batch: &[KeyImport], makes_secrets: bool, validate_only: bool) -> ImportKeysRequest {
    let mut request =
        ImportKeysRequest { keys: batch.to_vec(), validate_only, request_id: String::new() };
    if makes_secrets && !validate_only {
        let content = blake3::hash(&request.encode_to_vec());
        request.request_id = format!("import-{}", content.to_hex());
    }
    request
}

fn is_given(key: &KeyImport) -> bool {
    !(key.secret.is_empty() && key.sha256.is_empty())
}

fn show(format: Format, done: &[ImportedKey]) -> Result<(), Failure> {
    let told = done
        .iter()
        .map(|key| json!({"name": key.name, "action": key.action, "secret": key.secret}));
    let document = json!({"keys": told.collect::<Vec<_>>()});
    match format {
        Format::Json => print(&json_text(&document)?),
        Format::Yaml => print(&yaml_text(&document)?),
        Format::Table if done.is_empty() => Ok(()),
        Format::Table => {
            let mut table = Table::new(&["NAME", "ACTION", "SECRET"]);
            for key in done {
                table.row([key.name.clone(), key.action.clone(), key.secret.clone()]);
            }
            print(&table.text())
        }
    }
}

/// Every line is read before anything is sent; all that are wrong are told.
fn read(file: &Path) -> Result<Vec<KeyImport>, Failure> {
    let unreadable = |error| Failure::usage(format!("cannot read {}: {error}", file.display()));
    let mut text = String::new();
    if file.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text).map_err(unreadable)?;
    } else {
        text = std::fs::read_to_string(file).map_err(unreadable)?;
    }
    let lines = if text.trim_start().starts_with('{') { jsonl(&text) } else { csv(&text) };
    let mut keys = Vec::new();
    let mut wrong = Vec::new();
    for (number, line) in lines {
        match line.and_then(key) {
            Ok(key) => keys.push(key),
            Err(reason) => wrong.push(format!("{}, line {number}: {reason}", file.display())),
        }
    }
    match (wrong.is_empty(), keys.is_empty()) {
        (false, _) => Err(Failure::failed(wrong.join("\n"))),
        (true, true) => Err(Failure::failed(format!("there is no key in {}", file.display()))),
        (true, false) => Ok(keys),
    }
}

type Lines = Vec<(u64, Result<Line, String>)>;

fn jsonl(text: &str) -> Lines {
    (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(number, line)| {
            (number, serde_json::from_str(line).map_err(|error| error.to_string()))
        })
        .collect()
}

fn csv(text: &str) -> Lines {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let headers = match reader.headers() {
        Ok(headers) => headers.clone(),
        Err(error) => return vec![(1, Err(error.to_string()))],
    };
    let records = reader.records();
    records
        .map(|record| match record {
            Ok(record) => {
                let number = record.position().map_or(0, csv::Position::line);
                // The library's own words may repeat the value, which may be a secret.
                let line = record.deserialize(Some(&headers)).map_err(|error| what(&error));
                (number, line)
            }
            Err(error) => (error.position().map_or(0, csv::Position::line), Err(what(&error))),
        })
        .collect()
}

fn what(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("has {len} columns, the heading {expected_len}")
        }
        csv::ErrorKind::Deserialize { err, .. } => err.to_string(),
        _ => error.to_string(),
    }
}

fn key(line: Line) -> Result<KeyImport, String> {
    let expires = match line.expires.as_str() {
        "" => None,
        text => Some(moment(text).map_err(|reason| format!("expires: {reason}"))?),
    };
    let models = match line.models {
        Models::Text(text) => text.split_whitespace().map(str::to_owned).collect(),
        Models::List(list) => list,
    };
    let spec = KeySpec {
        models,
        budget: line.budget,
        expire_time: expires.map(wire_time),
        disabled: line.disabled.unwrap_or_default(),
        org: line.org.clone(),
        ..KeySpec::default()
    };
    let name = format!("{}/{}", line.org, line.name);
    let key = Key { name, spec: Some(spec), ..Key::default() };
    Ok(KeyImport { key: Some(key), secret: line.secret, sha256: line.sha256 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(lines: Lines) -> Vec<Result<String, String>> {
        let name = |key: KeyImport| key.key.map(|key| key.name).unwrap_or_default();
        lines
            .into_iter()
            .map(|(number, line)| {
                line.and_then(key).map(name).map_err(|reason| format!("{number}: {reason}"))
            })
            .collect()
    }

    #[test]
    fn csv_and_jsonl_say_the_same_and_a_wrong_line_is_named() {
        let expected = [Ok("acme/a".to_owned()), Ok("acme/b".to_owned())];
        let table = "org, name, secret, models, budget, expires, disabled\n\
                     acme, a, 0123456789abcdef, demo/* x/y, 1.00 USD, 2030-01-31, true\n\
                     acme, b, , , , ,\n";
        assert_eq!(names(csv(table)), expected);
        let lines = "{\"org\": \"acme\", \"name\": \"a\", \"models\": [\"demo/*\"]}\n\n\
                     {\"org\": \"acme\", \"name\": \"b\"}\n";
        assert_eq!(names(jsonl(lines)), expected);
        for (wrong, says) in [
            ("org,name\nacme\n", "2: has 1 columns"),
            ("org,name,expires\nacme,a,soon\n", "2: expires: write a date"),
            ("org,nam\nacme,a\n", "2: unknown field"),
        ] {
            let found = names(csv(wrong));
            let said = found.first().and_then(|line| line.as_ref().err());
            assert!(said.is_some_and(|said| said.contains(says)), "{wrong}: {found:?}");
        }
    }
}
