//! What a data plane writes to its spool, and what it makes of what a restart finds there.

use crate::invariant::Invariant::X6;
use crate::money::common::Common;
use crate::money::database::CURRENCY;
use crate::money::message::Script;
use crate::money::written::{Ended, Image, Record, Written};
use crate::mutant::Mutant;
use domain::id::{Account, Partition};
use futures::FutureExt;
use links::spool::{OpenRequest, Recovered, Spool, SpoolSettings, Upkeep};
use proto::usage::v1::{Admitted, Line, Outcome, Progress, SliceMark, UsageEvent};
use std::path::Path;
use std::time::Duration;

/// Long enough that a few requests fill a file.
const APP: &str = "https://example.org/a-page-with-a-rather-long-name/so-that-a-few-requests-fill-a-file-of-the-spool-and-\
     others-follow-it-and-the-first-can-be-removed-when-all-that-is-in-it-is-billed-and-no-request-of-it-is-\
     open-any-more-which-is-what-the-invariant-about-forgotten-events-is-about";

/// Small files, so that there are many.
pub(super) fn settings(home: &Path, incarnation: u64) -> SpoolSettings {
    SpoolSettings {
        capacity_bytes: 16 * 1024 * 1024,
        event_bytes_max: 512,
        segment_bytes: 8 * 512,
        retry_interval: Duration::ZERO,
        upkeep: Upkeep::ByHand { incarnation },
        ..SpoolSettings::new(home)
    }
}

/// All that a spool says that was just opened.
pub(super) fn image(spool: &Spool, recovered: &Recovered) -> Image {
    let mut image = Image::default();
    for OpenRequest { admitted, progress, .. } in &recovered.open {
        let metered = progress.as_ref().map_or(0, metered);
        image.open.insert(admitted.request_id.clone(), metered);
    }
    for mark in &recovered.slices {
        let totals = (mark.granted_nano, mark.released_nano, mark.spent_nano);
        image.slices.insert(Account::from_uids(mark.org_uid, mark.key_uid), totals);
    }
    let mut reader = spool.reader();
    while let Some(Ok(batch)) = reader.next_batch(100).now_or_never() {
        for envelope in batch {
            let Some(event) = envelope.event else { continue };
            image.events.insert((Partition(envelope.partition), envelope.seq), ended(&event));
        }
    }
    image
}

pub(super) fn ended(event: &UsageEvent) -> Ended {
    Ended {
        request_id: event.request_id.clone(),
        account: Account::from_uids(event.org_uid, 0),
        charge: event.charge_nano,
    }
}

fn metered(progress: &Progress) -> i64 {
    progress.lines.iter().map(|line| i64::try_from(line.quantity).unwrap_or(0)).sum()
}

/// Ends the requests that an earlier process has left open, with what they had metered.
pub(super) fn close_interrupted(
    open: Vec<OpenRequest>,
    written: &mut Written,
    common: &mut Common,
) {
    for OpenRequest { admitted, progress, ticket } in open {
        common.seen.note("interrupted request");
        if common.is(Mutant::OpenForgotten) {
            continue;
        }
        let hold = progress.as_ref().map_or(0, |of| of.hold_nano).max(admitted.hold_nano);
        let event = UsageEvent {
            request_id: admitted.request_id,
            org_uid: admitted.org_uid,
            currency: admitted.currency,
            outcome: Outcome::Interrupted.into(),
            charge_nano: progress.as_ref().map_or(0, metered).min(hold),
            ..UsageEvent::default()
        };
        match ticket.finish(event.clone()) {
            Ok(id) => {
                let at = (id.partition, id.seq);
                written.append(Record::Ended { at, ended: ended(&event) });
            }
            Err(error) => common.violated(X6, format!("an end has no room: {error}")),
        }
    }
}

pub(super) fn request_id(number: usize) -> String {
    format!("request-{number}")
}

pub(super) fn admitted(number: usize, script: &Script) -> Admitted {
    Admitted {
        request_id: request_id(number),
        org_uid: script.org,
        currency: currency(script),
        hold_nano: script.hold,
        app: APP.to_owned(),
        ..Admitted::default()
    }
}

pub(super) fn progress(number: usize, hold: i64, metered: i64) -> Progress {
    let quantity = u64::try_from(metered).unwrap_or(0);
    let line = Line { class: "output".to_owned(), quantity, ..Line::default() };
    let request_id = request_id(number);
    Progress { request_id, hold_nano: hold, lines: vec![line], ..Progress::default() }
}

pub(super) fn event(number: usize, script: &Script, charge: i64, uncollected: i64) -> UsageEvent {
    UsageEvent {
        request_id: request_id(number),
        org_uid: script.org,
        currency: currency(script),
        outcome: Outcome::Completed.into(),
        charge_nano: charge,
        uncollected_nano: uncollected,
        ..UsageEvent::default()
    }
}

/// What billing cannot read is an event like any other for its data plane.
fn currency(script: &Script) -> String {
    if script.is_readable { CURRENCY.to_owned() } else { "?".to_owned() }
}

pub(super) fn mark(account: Account, granted: i64, released: i64) -> SliceMark {
    let (org_uid, key_uid) = account.uids();
    let (granted_nano, released_nano) = (granted, released);
    SliceMark { org_uid, key_uid, granted_nano, released_nano, ..SliceMark::default() }
}
