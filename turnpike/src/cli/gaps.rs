//! `turnpike usage gaps` and `turnpike usage write-off`: usage events that are missing, and those that are given up.

use super::OutputArgs;
use crate::client::{Client, Remote};
use crate::failure::Failure;
use crate::objects::answer_json;
use crate::output::{Table, note, print_document};
use clap::{Args, Subcommand};
use proto::admin::v1::{
    ListUsageGapsRequest, ListUsageGapsResponse, UsageGap, WriteOffUsageRequest,
};

const PAGE_SIZE: i32 = 500;

const GAPS_EXAMPLES: &str = "\
Examples:
  turnpike usage gaps
  turnpike usage gaps --written-off -o json

Events that are missing are waited for, and a data plane keeps what is behind them. Restart it, so that it sends what it has;
if they stay missing, its log names the file that is damaged.";

const WRITE_OFF_EXAMPLES: &str = "\
Examples:
  turnpike usage write-off local:1852673427797059126:17:120-137 --reason 'disk of local damaged, ticket 311' --dry-run
  turnpike usage write-off local:1852673427797059126:17:120-137 --reason 'disk of local damaged, ticket 311'

GAP is as `turnpike usage gaps` prints it. Nobody is charged for these events, and the money that was held for them stays held;
one that comes after all still counts, once. The audit chain says who gave them up, and why.";

#[derive(Subcommand)]
pub(super) enum UsageCommand {
    /// Usage events that are known to be missing
    #[command(after_help = GAPS_EXAMPLES)]
    Gaps(GapsArgs),
    /// Give up missing events that no spool has any more
    #[command(after_help = WRITE_OFF_EXAMPLES)]
    WriteOff(WriteOffArgs),
}

#[derive(Args)]
pub(super) struct GapsArgs {
    /// Those that were given up, too
    #[arg(long)]
    written_off: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Args)]
pub(super) struct WriteOffArgs {
    /// Which, as `usage gaps` prints it
    #[arg(value_parser = gap)]
    gap: UsageGap,
    /// Why, for the audit chain
    #[arg(long)]
    reason: String,
    /// Say whether it could be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(command: UsageCommand) -> Result<(), Failure> {
    match command {
        UsageCommand::Gaps(args) => gaps(args).await,
        UsageCommand::WriteOff(args) => write_off(args).await,
    }
}

async fn gaps(args: GapsArgs) -> Result<(), Failure> {
    let client = Client::connect(&args.remote).await?;
    let gaps = all(&client, args.written_off).await?;
    let gaps = ListUsageGapsResponse { gaps, next_page_token: String::new() };
    let document = answer_json("ListUsageGapsResponse", &gaps)?;
    print_document(args.output.output, &document, || table(&gaps.gaps))
}

/// Every gap, page by page.
pub(super) async fn all(client: &Client, written_off: bool) -> Result<Vec<UsageGap>, Failure> {
    let mut gaps = Vec::new();
    let mut request =
        ListUsageGapsRequest { page_size: PAGE_SIZE, written_off, ..Default::default() };
    loop {
        let page = client.answer(client.money().list_usage_gaps(request.clone()).await)?;
        gaps.extend(page.gaps);
        if page.next_page_token.is_empty() {
            return Ok(gaps);
        }
        request.page_token = page.next_page_token;
    }
}

async fn write_off(args: WriteOffArgs) -> Result<(), Failure> {
    let client = Client::connect(&args.remote).await?;
    let UsageGap { data_plane, incarnation, partition, from_seq, to_seq, .. } = args.gap;
    let request = WriteOffUsageRequest {
        data_plane,
        incarnation,
        partition,
        from_seq,
        to_seq,
        reason: args.reason,
        validate_only: args.dry_run,
        request_id: String::new(),
    };
    let gap = client.answer(client.money().write_off_usage(request).await)?;
    if args.dry_run {
        note("nothing was written off: this is what would be");
    }
    let document = answer_json("UsageGap", &gap)?;
    print_document(args.output.output, &document, || table(std::slice::from_ref(&gap)))
}

fn table(gaps: &[UsageGap]) -> String {
    let mut table = Table::new(&["GAP", "EVENTS>", "SINCE", "WRITTEN OFF", "REASON"]);
    for gap in gaps {
        table.row([
            name(gap),
            events(gap).to_string(),
            gap.since.clone(),
            gap.written_off_at.clone(),
            gap.reason.clone(),
        ]);
    }
    table.text()
}

/// How many events are missing.
pub(super) const fn events(gap: &UsageGap) -> u64 {
    gap.to_seq.saturating_sub(gap.from_seq).saturating_add(1)
}

fn name(gap: &UsageGap) -> String {
    let UsageGap { data_plane, incarnation, partition, from_seq, to_seq, .. } = gap;
    format!("{data_plane}:{incarnation}:{partition}:{from_seq}-{to_seq}")
}

fn gap(text: &str) -> Result<UsageGap, String> {
    let read = || {
        let (rest, numbers) = text.rsplit_once(':')?;
        let (rest, partition) = rest.rsplit_once(':')?;
        let (data_plane, incarnation) = rest.rsplit_once(':')?;
        let (from, to) = numbers.split_once('-')?;
        Some(UsageGap {
            data_plane: data_plane.to_owned(),
            incarnation: incarnation.parse().ok()?,
            partition: partition.parse().ok()?,
            from_seq: from.parse().ok()?,
            to_seq: to.parse().ok()?,
            ..UsageGap::default()
        })
    };
    read().ok_or_else(|| {
        "write it as `turnpike usage gaps` does: DATA_PLANE:INCARNATION:PARTITION:FROM-TO"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::{events, gap, name};

    #[test]
    fn a_gap_is_read_as_it_is_printed() {
        for text in ["local:1852673427797059126:17:120-137", "eu:west:7:0:1-1"] {
            assert_eq!(name(&gap(text).unwrap()), text);
        }
        assert_eq!(events(&gap("local:7:0:120-137").unwrap()), 18);
        for text in ["", "local", "local:7:0:120", "local:7:120-137", "local:x:0:1-2", "a:7:0:-2"] {
            assert!(gap(text).is_err(), "{text}");
        }
    }
}
