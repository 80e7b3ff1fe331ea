//! `turnpike migrate`: brings the schemas of both databases up to date and makes the usage topics, or says what is due.

use super::OutputArgs;
use super::up::ConfigArgs;
use crate::config::{Config, without_password};
use crate::failure::Failure;
use crate::output::{Table, print_document};
use clap::Args;
use links::usage::topic::{check_topic, make_topic};
use serde_json::json;
use std::path::Path;
use storage::{Database, DatabaseSettings, Holding, Schema, SqliteSettings};

pub(super) const EXAMPLES: &str = "\
Examples:
  turnpike migrate --config turnpike.yaml
  turnpike migrate --config turnpike.yaml --check";

#[derive(Args)]
pub(super) struct MigrateArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Change nothing; exit 1 if a schema is not up to date
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// A database and what became of it.
struct Outcome {
    name: &'static str,
    place: String,
    before: Schema,
}

pub(super) async fn run(args: MigrateArgs) -> Result<(), Failure> {
    let config = args.config.load()?;
    let databases = [
        ("main", config.database_url(), Holding::Main),
        ("content", config.content_database_url(), Holding::Content),
    ];
    let mut outcomes = Vec::new();
    for (name, url, holding) in databases {
        let place = without_password(&url);
        let failed = |error: storage::StorageError| {
            Failure::failed(format!("{place}: {}", with_cause(&error)))
        };
        if !has_a_place(&url) {
            let what = "has no directory to be in: create it, or let `turnpike up` do so";
            return Err(Failure::failed(format!("{place} {what}")));
        }
        if args.check && !may_be_opened(&url) {
            let what = "is not there yet: `turnpike migrate` makes it, and so does the first start";
            return Err(Failure::failed(format!("{place} {what}")));
        }
        let before = migrate(&url, holding, args.check).await.map_err(failed)?;
        outcomes.push(Outcome { name, place, before });
    }
    let topics = make_topics(&config, args.check).await?;
    let document = json!({
        "databases": outcomes.iter().map(Outcome::json).collect::<Vec<_>>(),
        "topics": topics.iter().map(TopicOutcome::json).collect::<Vec<_>>(),
    });
    print_document(args.output.output, &document, || table(&outcomes, &topics, args.check))?;
    let due = outcomes.iter().filter(|outcome| outcome.is_due()).count();
    if args.check && due > 0 {
        return Err(Failure::failed(format!(
            "{due} of {} schemas are not up to date: run turnpike migrate without --check",
            outcomes.len()
        )));
    }
    Ok(())
}

/// A topic and what became of it.
struct TopicOutcome {
    name: String,
    was_there: bool,
}

impl TopicOutcome {
    fn json(&self) -> serde_json::Value {
        json!({"name": self.name, "was_there": self.was_there})
    }
}

/// The topics of all cells, where usage goes through Kafka; one that is there must fit.
async fn make_topics(config: &Config, only_looks: bool) -> Result<Vec<TopicOutcome>, Failure> {
    let shape = config.links.topic_shape();
    let mut outcomes = Vec::new();
    for topic in config.links.topics() {
        let made = match only_looks {
            true => check_topic(&topic).await.map(|()| false),
            false => make_topic(&topic, shape).await,
        };
        let made = made.map_err(|error| Failure::failed(error.to_string()))?;
        outcomes.push(TopicOutcome { name: topic.topic(), was_there: !made });
    }
    Ok(outcomes)
}

/// A file is made, its directory is not.
fn has_a_place(url: &str) -> bool {
    url.strip_prefix("sqlite://")
        .and_then(|file| Path::new(file).parent())
        .is_none_or(|folder| folder.as_os_str().is_empty() || folder.exists())
}

/// Opening a file that is not there would make it.
fn may_be_opened(url: &str) -> bool {
    url.strip_prefix("sqlite://").is_none_or(|file| Path::new(file).exists())
}

/// Returns how it was before.
async fn migrate(
    url: &str,
    holding: Holding,
    only_looks: bool,
) -> Result<Schema, storage::StorageError> {
    let settings = DatabaseSettings {
        sqlite: SqliteSettings { erases: holding == Holding::Content, ..SqliteSettings::default() },
        ..DatabaseSettings::default()
    };
    let database = Database::open_with(url, settings).await?;
    let before = database.schema(holding).await?;
    if !only_looks {
        database.migrate_to(holding).await?;
    }
    database.close().await;
    Ok(before)
}

/// What the database said, too: here it is the operator who must mend it.
fn with_cause(error: &storage::StorageError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

impl Outcome {
    const fn is_due(&self) -> bool {
        self.before.applied < self.before.known
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "name": self.name,
            "place": self.place,
            "version_before": self.before.applied,
            "version_known": self.before.known,
        })
    }
}

fn table(outcomes: &[Outcome], topics: &[TopicOutcome], only_looked: bool) -> String {
    let mut table = Table::new(&[
        "DATABASE",
        "PLACE",
        "WAS AT",
        if only_looked { "WOULD BE AT" } else { "IS AT" },
    ]);
    for outcome in outcomes {
        let Outcome { name, place, before } = outcome;
        let now = before.known.max(before.applied);
        table.row([(*name).to_owned(), place.clone(), before.applied.to_string(), now.to_string()]);
    }
    let mut text = table.text();
    for TopicOutcome { name, was_there } in topics {
        let what = if *was_there { "is there" } else { "was made" };
        text.push_str(&format!("topic {name} {what}\n"));
    }
    text
}
