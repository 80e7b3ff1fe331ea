//! Each request that was left open gets one end, charged what its last progress had metered.

use super::*;
use crate::purse::{Purse, PurseSettings};
use links::spool::{Spool, SpoolSettings};
use proto::usage::v1::{Attempt, PriceRef, Provenance};
use std::path::Path;

const NOW: Timestamp = Timestamp(5_000_000);

fn open_spool(directory: &Path) -> (Spool, links::spool::Recovered) {
    let settings = SpoolSettings {
        segment_bytes: 64 * 1024,
        capacity_bytes: 4 * 1024 * 1024,
        ..SpoolSettings::new(directory)
    };
    Spool::open(settings, "dp-1").unwrap()
}

fn admitted(request_id: &str, hold_nano: i64, budgeted: bool) -> Admitted {
    Admitted {
        request_id: request_id.to_owned(),
        org_uid: 7,
        key_uid: 70,
        entity: "global".to_owned(),
        currency: "USD".to_owned(),
        model: "demo/chat".to_owned(),
        price: Some(price("a")),
        hold_nano,
        admitted_us: 1_000_000,
        streamed: true,
        app: "app".to_owned(),
        budgeted,
        client_digest: vec![7; 16],
        trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
        requested_model: "chat".to_owned(),
        ..Admitted::default()
    }
}

fn price(upstream: &str) -> PriceRef {
    PriceRef {
        revision: 3,
        model: format!("demo/{upstream}"),
        upstream: upstream.to_owned(),
        ..PriceRef::default()
    }
}

fn line(class: &str, quantity: u64, unit_nano_per_million: i64) -> Line {
    let provenance = Provenance::Counted.into();
    Line { class: class.to_owned(), quantity, provenance, unit_nano_per_million }
}

fn progress(request_id: &str, hold_nano: i64, lines: Vec<Line>) -> Progress {
    let failed = Attempt { upstream: "a".to_owned(), status: 503, ..Attempt::default() };
    Progress {
        request_id: request_id.to_owned(),
        hold_nano,
        lines,
        upstream_id: "chatcmpl-1".to_owned(),
        price: Some(price("b")),
        attempts: vec![failed],
    }
}

/// Ends a process with these requests open, and returns what the next one finds.
fn killed_with(directory: &Path, open: Vec<(Admitted, Vec<Progress>)>) -> links::spool::Recovered {
    let (spool, _) = open_spool(directory);
    for (admitted, progress) in open {
        let mut ticket = spool.admit(&admitted).unwrap();
        progress.iter().for_each(|progress| ticket.progress(progress).unwrap());
        // As a killed process leaves it: without an end.
        drop(ticket);
    }
    drop(spool);
    open_spool(directory).1
}

fn only_event(admitted: Admitted, progress: Option<Progress>) -> UsageEvent {
    interrupted(admitted, progress, NOW)
}

#[test]
fn an_interrupted_request_is_charged_what_its_last_progress_had_metered() {
    let lines = vec![line("input", 1_000, 2_000_000), line("output", 10, 30_000_000)];
    let progress = progress("r", 5_000, lines.clone());
    let event = only_event(admitted("r", 9_000, true), Some(progress));
    assert_eq!((event.charge_nano, event.uncollected_nano), (2_300, 0), "never the whole hold");
    assert_eq!(event.outcome(), Outcome::Interrupted);
    assert_eq!(event.lines, lines);
    assert_eq!(
        (event.price.unwrap().upstream, event.upstream_id),
        ("b".into(), "chatcmpl-1".into())
    );
    assert_eq!(event.attempts.len(), 1, "attempts are kept");
    assert_eq!((event.admitted_us, event.ended_us), (1_000_000, NOW.0));
    assert_eq!((event.org_uid, event.key_uid, event.budgeted), (7, 70, true));
    assert!(!event.trace_id.is_empty(), "a trace is not lost with its process");
}

#[test]
fn a_request_without_progress_costs_nothing() {
    let event = only_event(admitted("r", 9_000, false), None);
    assert_eq!((event.charge_nano, event.uncollected_nano), (0, 0));
    assert_eq!(event.price.unwrap().upstream, "a");
    assert!(event.lines.is_empty());
}

#[test]
fn nothing_beyond_the_hold_is_charged() {
    let lines = vec![line("output", 1_000, 10_000_000)];
    let event = only_event(admitted("r", 3_000, false), Some(progress("r", 4_000, lines)));
    assert_eq!((event.charge_nano, event.uncollected_nano), (4_000, 6_000));
}

#[test]
fn lines_that_cannot_be_read_are_not_charged() {
    let lines = vec![line("output", 1_000, 10_000_000), line("of_the_future", 1, 1)];
    let event = only_event(admitted("r", 90_000, false), Some(progress("r", 90_000, lines)));
    assert_eq!(event.charge_nano, 0);
}

#[tokio::test]
async fn each_open_request_gets_one_end_and_the_purse_knows_its_charge() {
    let directory = tempfile::tempdir().unwrap();
    let first = progress("with", 5_000, vec![line("output", 10, 30_000_000)]);
    let last = progress("with", 5_000, vec![line("output", 40, 30_000_000)]);
    let open = vec![
        (admitted("with", 5_000, true), vec![first, last]),
        (admitted("without", 5_000, false), Vec::new()),
    ];
    let mut recovered = killed_with(directory.path(), open);
    assert_eq!(recovered.open.len(), 2);
    assert_eq!(close_interrupted(recovered.open, &mut recovered.slices, NOW), 2);
    let mut spent: Vec<_> =
        recovered.slices.iter().map(|mark| (mark.key_uid, mark.spent_nano)).collect();
    spent.sort_unstable();
    assert_eq!(spent, [(0, 1_200), (70, 1_200)], "the last progress, of wallet and budget");

    let (spool, again) = open_spool(directory.path());
    assert!(again.open.is_empty(), "each has its end");
    assert_eq!(again.slices, recovered.slices, "the spool counts the same");
    let mut reader = spool.reader();
    let mut ended = reader.next_batch(10).await.unwrap();
    ended.sort_by_key(|envelope| envelope.seq);
    let ids: Vec<_> =
        ended.into_iter().filter_map(|envelope| Some(envelope.event?.request_id)).collect();
    assert_eq!(ids, ["with", "without"]);
    let purse = Purse::restore(PurseSettings::new("dp-1"), spool, &again.slices);
    assert!(purse.hello().slices.iter().all(|slice| slice.spent.get() == 1_200));
}
