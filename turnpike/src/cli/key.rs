//! `turnpike key`: making keys, which is the only place where a secret is printed, alone on stdout, once; listing them,
//! and taking them away.

use super::resources::print_objects;
use super::{OutputArgs, import, rotate};
use crate::client::{Client, Remote, Which};
use crate::failure::Failure;
use crate::output::{note, print_document};
use clap::{Args, Subcommand};
use domain::config::Kind;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, civil};
use prost_types::{FieldMask, Timestamp as WireTime};
use proto::admin::v1::{CreateKeyRequest, Key, KeySpec, UpdateKeyRequest};
use serde_json::json;

const CREATE_EXAMPLES: &str = "\
Examples:
  turnpike key create --org acme
  turnpike key create --org acme --name ci --budget '25.00 USD' --expires 2027-01-31
  turnpike key create --org acme --models 'openai/*' --models demo/chat -o json

The secret is printed once, alone on stdout: KEY=$(turnpike key create --org acme)";

const LIST_EXAMPLES: &str = "\
Examples:
  turnpike key list
  turnpike key list --org acme -o json";

const NAME_CHARACTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
const NAME_LENGTH: usize = 8;

#[derive(Subcommand)]
pub(super) enum KeyCommand {
    /// Create a key and print its secret, once
    #[command(after_help = CREATE_EXAMPLES)]
    Create(CreateArgs),
    /// Create many keys from a file, with the secrets of another system or new ones
    #[command(after_help = import::EXAMPLES)]
    Import(import::ImportArgs),
    /// Give a key a new secret and print it, once; the old one stays good for a while
    #[command(after_help = rotate::EXAMPLES)]
    Rotate(rotate::RotateArgs),
    /// List keys, without their secrets
    #[command(after_help = LIST_EXAMPLES)]
    List(ListArgs),
    /// Refuse a key from now on, until it is enabled again
    #[command(after_help = "Examples:\n  turnpike key disable acme/ci")]
    Disable(OneArgs),
    /// Accept a disabled key again
    #[command(after_help = "Examples:\n  turnpike key enable acme/ci")]
    Enable(OneArgs),
    /// Delete a key for ever; every proxy refuses it within a second
    #[command(after_help = "Examples:\n  turnpike key revoke acme/ci")]
    Revoke(OneArgs),
}

#[derive(Args)]
pub(super) struct ListArgs {
    /// Of one org only
    #[arg(long)]
    org: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Args)]
pub(super) struct OneArgs {
    /// Its name: org/name
    name: String,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Args)]
pub(super) struct CreateArgs {
    /// Whose key
    #[arg(long)]
    org: String,
    /// Its name within the org [default: a random one]
    #[arg(long)]
    name: Option<String>,
    /// Most it may ever spend, for instance '25.00 USD'
    #[arg(long, value_name = "AMOUNT")]
    budget: Option<String>,
    /// When it ends: a date (at 00:00 UTC), an RFC 3339 time, or a span from now such as '90d' or '12h'
    #[arg(long, value_name = "T", value_parser = moment)]
    expires: Option<Timestamp>,
    /// Models that it may use, as a glob; may be repeated [default: all]
    #[arg(long, value_name = "GLOB")]
    models: Vec<String>,
    /// Names this call, so that repeating the command within a day gives the same secret; needs --name
    #[arg(long, value_name = "ID", requires = "name")]
    request_id: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(command: KeyCommand) -> Result<(), Failure> {
    match command {
        KeyCommand::Create(args) => create(args).await,
        KeyCommand::Import(args) => import::run(args).await,
        KeyCommand::Rotate(args) => rotate::run(args).await,
        KeyCommand::List(args) => list(args).await,
        KeyCommand::Disable(args) => set_disabled(args, true).await,
        KeyCommand::Enable(args) => set_disabled(args, false).await,
        KeyCommand::Revoke(args) => revoke(args).await,
    }
}

async fn list(args: ListArgs) -> Result<(), Failure> {
    let client = Client::connect(&args.remote).await?;
    let filter = args.org.map(|org| format!("org = {}", json!(org))).unwrap_or_default();
    let keys = client.list(Kind::Key, &Which { filter, ..Which::default() }).await?;
    print_objects(Kind::Key, &keys, false, args.output.output)
}

async fn set_disabled(args: OneArgs, disabled: bool) -> Result<(), Failure> {
    let client = Client::connect(&args.remote).await?;
    let spec = KeySpec { disabled, ..KeySpec::default() };
    let request = UpdateKeyRequest {
        key: Some(Key { name: args.name, spec: Some(spec), ..Key::default() }),
        update_mask: Some(FieldMask { paths: vec!["disabled".to_owned()] }),
        ..UpdateKeyRequest::default()
    };
    let key = client.answer(client.keys().update_key(request).await)?;
    note(&format!("key {} {}", key.name, if disabled { "disabled" } else { "enabled" }));
    Ok(())
}

async fn revoke(args: OneArgs) -> Result<(), Failure> {
    let client = Client::connect(&args.remote).await?;
    client.delete(Kind::Key, &args.name).await?;
    note(&format!("key {} revoked", args.name));
    Ok(())
}

async fn create(args: CreateArgs) -> Result<(), Failure> {
    let client = Client::connect(&args.remote).await?;
    let name = args.name.unwrap_or_else(random_name);
    let spec = KeySpec {
        org: args.org.clone(),
        models: args.models,
        budget: args.budget.unwrap_or_default(),
        expire_time: args.expires.map(wire_time),
        ..KeySpec::default()
    };
    let key = Key { name: format!("{}/{name}", args.org), spec: Some(spec), ..Key::default() };
    let request = CreateKeyRequest {
        key: Some(key),
        request_id: args.request_id.unwrap_or_default(),
        ..CreateKeyRequest::default()
    };
    let created = client.answer(client.keys().create_key(request).await)?;
    let name = created.key.map(|key| key.name).unwrap_or_default();
    note(&format!("key {name}; its secret is shown this once"));
    let document = json!({"name": name, "secret": created.secret});
    print_document(args.output.output, &document, || created.secret.clone())
}

fn random_name() -> String {
    let bytes: [u8; NAME_LENGTH] = rand::random();
    let letter = |byte: u8| {
        let index = usize::from(byte).checked_rem(NAME_CHARACTERS.len()).unwrap_or_default();
        NAME_CHARACTERS.get(index).map_or('x', |b| char::from(*b))
    };
    bytes.into_iter().map(letter).collect()
}

pub(super) fn wire_time(at: Timestamp) -> WireTime {
    WireTime { seconds: at.as_second(), nanos: at.subsec_nanosecond() }
}

/// A moment as people write it.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    moment_after(Timestamp::now(), text).ok_or_else(|| {
        "write a date (2027-01-31), an RFC 3339 time, or a span such as 90d or 12h".to_owned()
    })
}

fn moment_after(now: Timestamp, text: &str) -> Option<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    if let Ok(date) = text.parse::<civil::Date>() {
        return date.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp());
    }
    let span = span(text)?;
    let at = now.checked_add(span).ok().filter(|_| span.is_positive())?;
    // Nobody means the microsecond at which a command was typed.
    Timestamp::from_second(at.as_second()).ok()
}

/// A length of time as people write it: '90d', '12h', '1h 30m'.
pub(super) fn span(text: &str) -> Option<SignedDuration> {
    let days = text.trim().strip_suffix('d').and_then(|count| count.trim().parse::<i64>().ok());
    match days {
        Some(days) => SignedDuration::try_from_hours(days.checked_mul(24)?),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_may_expire_on_a_date_at_a_time_or_after_a_span() {
        let now: Timestamp = "2026-11-22T10:00:00Z".parse().expect("a time");
        let table = [
            ("2027-01-31", Some("2027-01-31T00:00:00Z")),
            ("2027-01-31T08:30:00+08:00", Some("2027-01-31T00:30:00Z")),
            ("90d", Some("2027-02-20T10:00:00Z")),
            ("12h", Some("2026-11-22T22:00:00Z")),
            ("1h 30m", Some("2026-11-22T11:30:00Z")),
            ("-1h", None),
            ("soon", None),
            ("", None),
        ];
        for (text, expected) in table {
            let expected: Option<Timestamp> = expected.map(|text| text.parse().expect("a time"));
            assert_eq!(moment_after(now, text), expected, "{text}");
        }
    }

    #[test]
    fn a_random_name_is_a_name() {
        for _ in 0..100 {
            let name = random_name();
            assert!(domain::name::check(&name).is_ok(), "{name}");
        }
    }
}
