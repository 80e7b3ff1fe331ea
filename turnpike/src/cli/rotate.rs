//! `turnpike key rotate`: a new secret for a key that is in use, printed once, alone on stdout. The answer could be lost, so
//! each call has an id by which it can be repeated.

use super::OutputArgs;
use super::key::span;
use crate::client::{Client, Remote};
use crate::failure::{Exit, Failure};
use crate::output::{note, print_document};
use clap::Args;
use prost_types::{Duration as WireDuration, Timestamp as WireTime};
use proto::admin::v1::RotateKeyRequest;
use serde_json::json;

pub(super) const EXAMPLES: &str = "\
Examples:
  turnpike key rotate acme/ci --overlap 24h
  turnpike key rotate acme/ci --overlap 0s       the old secret is refused at once: somebody has it who should not

The new secret is printed once, alone on stdout. Budget, limits and usage stay with the key.";

#[derive(Args)]
pub(super) struct RotateArgs {
    /// Its name: org/name
    name: String,
    /// How long the old secret stays good beside the new one, such as '24h' or '7d'; '0s' ends it, and any older one, at once
    #[arg(long, value_name = "DURATION", value_parser = overlap)]
    overlap: WireDuration,
    /// Validate, but change nothing
    #[arg(long)]
    dry_run: bool,
    /// Names this call, so that repeating the command within a day gives the same secret [default: a random one]
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(args: RotateArgs) -> Result<(), Failure> {
    let client = Client::connect(&args.remote).await?;
    let id = args.request_id.unwrap_or_else(|| format!("rotate-{:032x}", rand::random::<u128>()));
    let request = RotateKeyRequest {
        name: args.name,
        overlap: Some(args.overlap),
        validate_only: args.dry_run,
        request_id: id.clone(),
        ..RotateKeyRequest::default()
    };
    let rotated = client.answer(client.keys().rotate_key(request).await).map_err(|failure| {
        let hint = format!("; if it was done, --request-id {id} tells the secret");
        let hint = if failure.exit == Exit::Unreachable { hint } else { String::new() };
        Failure { message: format!("{failure}{hint}"), ..failure }
    })?;
    let key = rotated.key.unwrap_or_default();
    if args.dry_run {
        note(&format!("key {} can be rotated (--dry-run: it was not)", key.name));
        return Ok(());
    }
    let until = key.previous_secret_expire_time.and_then(told);
    note(&match &until {
        Some(until) => format!("key {}; the old secret is good until {until}", key.name),
        None => format!("key {}; the old secret is refused from now on", key.name),
    });
    let document = json!({
        "name": key.name,
        "secret": rotated.secret,
        "previous_secret_expire_time": until,
    });
    print_document(args.output.output, &document, || rotated.secret.clone())
}

fn overlap(text: &str) -> Result<WireDuration, String> {
    let refused = || "write a length of time such as 24h, 7d or 0s".to_owned();
    let span = span(text).filter(|span| !span.is_negative()).ok_or_else(refused)?;
    Ok(WireDuration { seconds: span.as_secs(), nanos: span.subsec_nanos() })
}

fn told(at: WireTime) -> Option<String> {
    jiff::Timestamp::from_second(at.seconds).ok().map(|at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlap_is_a_length_of_time_or_none_but_never_negative() {
        let table = [
            ("24h", Some(86_400)),
            ("7d", Some(604_800)),
            ("1h 30m", Some(5_400)),
            ("0s", Some(0)),
            ("-1h", None),
            ("-1d", None),
            ("soon", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(overlap(text).ok().map(|span| span.seconds), expected, "{text}");
        }
    }
}
