//! What callers of an open spool are promised.

use super::support::{
    DATA_PLANE, admitted, close_and_read, directory, drain, event, killed_now, open, open_as,
    power_cut_now, progress, request, request_ids, segments, slice, small, used_segments, wait,
};
use domain::id::{OrgUid, PARTITIONS, Partition};
use links::spool::{Spool, SpoolError, SpoolSettings};
use proto::usage::v1::{Attempt, SliceMark};
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

#[test]
fn numbers_are_gapless_from_one_in_each_partition_however_many_threads_write() {
    let directory = directory();
    let (spool, _) = open(&small(directory.path()));
    std::thread::scope(|scope| {
        for thread in 0..8_i64 {
            let spool = &spool;
            scope.spawn(move || {
                for count in 0..100_i64 {
                    request(spool, &format!("{thread}-{count}"), (thread * 100 + count) % 13, 1);
                }
            });
        }
    });
    let mut next: BTreeMap<u32, u64> = BTreeMap::new();
    let events = close_and_read(spool);
    assert_eq!(events.len(), 800);
    for envelope in events {
        let next = next.entry(envelope.partition).or_insert(1);
        assert_eq!(envelope.seq, *next);
        *next += 1;
        let org = OrgUid(envelope.event.unwrap().org_uid);
        assert_eq!(Partition(envelope.partition), Partition::of(org));
        assert!(envelope.partition < PARTITIONS);
    }
}

#[test]
fn an_intact_spool_continues_its_incarnation_its_numbers_and_its_slices() {
    let directory = directory();
    let settings = small(directory.path());
    let (spool, first) = open(&settings);
    assert!(first.incarnation > 0 && i64::try_from(first.incarnation).is_ok());
    assert!(first.open.is_empty() && first.slices.is_empty());
    spool.note_slice(&slice(1, 5_000, 0)).unwrap();
    assert_eq!(request(&spool, "a", 1, 30).1, 1);
    wait(spool.note_release(&slice(1, 5_000, 70))).unwrap();
    wait(spool.close()).unwrap();

    let (spool, second) = open(&settings);
    assert_eq!(second.incarnation, first.incarnation);
    let expected = SliceMark { spent_nano: 30, ..slice(1, 5_000, 70) };
    assert_eq!(second.slices, [expected]);
    assert!(second.damaged.is_empty() && second.missing.is_empty());
    assert_eq!(request(&spool, "b", 1, 1).1, 2);
}

#[test]
fn what_a_slice_has_spent_counts_the_wallet_and_a_budget_only_where_there_is_one() {
    let directory = directory();
    let settings = small(directory.path());
    let (spool, _) = open(&settings);
    request(&spool, "plain", 1, 10);
    let ticket = spool.admit(&admitted("budgeted", 1)).unwrap();
    let mut budgeted = event("budgeted", 1, 5);
    budgeted.budgeted = true;
    ticket.finish(budgeted).unwrap();
    let copy = killed_now(directory.path());
    let (_spool, recovered) = open(&small(copy.path()));
    let spent: Vec<_> =
        recovered.slices.iter().map(|of| (of.org_uid, of.key_uid, of.spent_nano)).collect();
    assert_eq!(spent, [(1, 0, 15), (1, 7, 5)]);
}

#[test]
fn an_open_request_is_found_again_with_its_last_progress_and_can_be_ended() {
    let directory = directory();
    let (spool, _) = open(&small(directory.path()));
    let mut ticket = spool.admit(&admitted("open", 3)).unwrap();
    ticket.progress(&progress("open", 10)).unwrap();
    ticket.progress(&progress("open", 25)).unwrap();
    let _second = spool.admit(&admitted("untouched", 3)).unwrap();

    let copy = killed_now(directory.path());
    let (again, recovered) = open(&small(copy.path()));
    let [open_request, untouched] = <[_; 2]>::try_from(recovered.open).unwrap();
    assert_eq!(open_request.admitted, admitted("open", 3));
    assert_eq!(open_request.progress, Some(progress("open", 25)));
    assert_eq!(untouched.progress, None);
    assert_eq!(again.status().open_requests, 2);
    open_request.ticket.finish(event("open", 3, 25)).unwrap();
    untouched.ticket.finish(event("untouched", 3, 0)).unwrap();
    assert_eq!(again.status().open_requests, 0);
    assert_eq!(request_ids(&close_and_read(again)), ["open", "untouched"]);
}

#[test]
fn a_lost_ticket_writes_nothing_and_its_request_is_open_at_the_next_start() {
    let directory = directory();
    let settings = small(directory.path());
    let (spool, _) = open(&settings);
    drop(spool.admit(&admitted("lost", 1)).unwrap());
    assert_eq!(spool.status().open_requests, 1);
    assert!(close_and_read(spool).is_empty());
    let (_spool, recovered) = open(&settings);
    assert_eq!(recovered.open.len(), 1);
    assert_eq!(recovered.open[0].admitted.request_id, "lost");
}

#[test]
fn a_release_that_was_told_outlives_a_power_cut_and_so_does_what_came_before() {
    let directory = directory();
    let (spool, _) = open(&small(directory.path()));
    for count in 0..50 {
        request(&spool, &format!("{count}"), 1, 2);
    }
    wait(spool.note_release(&slice(1, 900, 400))).unwrap();
    request(&spool, "after", 1, 1_000);
    let copy = power_cut_now(directory.path());
    let (_spool, recovered) = open(&small(copy.path()));
    assert_eq!(recovered.slices, [SliceMark { spent_nano: 100, ..slice(1, 900, 400) }]);
    assert!(recovered.damaged.is_empty() && recovered.missing.is_empty());
}

#[test]
fn flush_returns_when_all_that_was_written_survives_a_power_cut() {
    let directory = directory();
    let (spool, _) = open(&small(directory.path()));
    for count in 0..40 {
        request(&spool, &format!("{count}"), count, 2);
    }
    wait(spool.flush()).unwrap();
    let copy = power_cut_now(directory.path());
    assert_eq!(close_and_read(open(&small(copy.path())).0).len(), 40);
}

#[test]
fn appended_frames_are_synced_without_being_asked_for() {
    let directory = directory();
    let settings =
        SpoolSettings { sync_interval: Duration::from_millis(1), ..small(directory.path()) };
    let (spool, _) = open(&settings);
    request(&spool, "a", 1, 1);
    let batch = wait(spool.reader().next_batch(10)).unwrap();
    assert_eq!(request_ids(&batch), ["a"]);
}

#[test]
fn a_long_event_loses_its_app_and_its_middle_attempts_but_never_money() {
    let directory = directory();
    let settings = small(directory.path());
    let (spool, _) = open(&settings);
    let mut long = event("long", 1, 123);
    long.uncollected_nano = 45;
    long.app = "https://example.org/".repeat(500);
    let attempt = |count: u32| Attempt {
        upstream: format!("upstream-{count}"),
        error: "timeout ".repeat(20),
        ..Attempt::default()
    };
    long.attempts = (0..40).map(attempt).collect();
    let mut admitted = admitted("long", 1);
    admitted.app.clone_from(&long.app);
    spool.admit(&admitted).unwrap().finish(long).unwrap();
    let event = close_and_read(spool).remove(0).event.unwrap();
    assert_eq!((event.charge_nano, event.uncollected_nano), (123, 45));
    assert!(event.app.is_empty());
    let upstreams: Vec<_> = event.attempts.iter().map(|of| of.upstream.as_str()).collect();
    assert_eq!(upstreams, ["upstream-0", "upstream-39"]);
}

#[test]
fn a_record_that_cannot_be_shortened_is_refused_by_name_of_the_setting() {
    let directory = directory();
    let (spool, _) = open(&small(directory.path()));
    let mut huge = admitted("huge", 1);
    huge.model = "m".repeat(2_000);
    let refused = spool.admit(&huge).unwrap_err();
    assert!(refused.to_string().contains("event_bytes_max = 1024"), "{refused}");
    assert_eq!(spool.status().open_requests, 0);
}

#[test]
fn a_second_opening_is_refused_and_names_the_holder() {
    let directory = directory();
    let settings = small(directory.path());
    let (spool, _) = open(&settings);
    let refused = Spool::open(settings.clone(), DATA_PLANE).unwrap_err();
    let SpoolError::Locked { holder, .. } = &refused else { panic!("{refused}") };
    assert_eq!(*holder, format!("process {}", std::process::id()));
    wait(spool.close()).unwrap();
    open(&settings);
}

#[test]
fn the_spool_of_another_data_plane_is_refused_and_left_as_it_was() {
    let directory = directory();
    let settings = small(directory.path());
    let (spool, _) = open(&settings);
    request(&spool, "a", 1, 1);
    wait(spool.close()).unwrap();
    let before: Vec<_> =
        segments(directory.path()).iter().map(|of| fs::read(of).unwrap()).collect();
    let refused = open_as(&settings, "dp-2").unwrap_err();
    assert!(refused.to_string().contains("belongs to the data plane \"dp-1\""), "{refused}");
    let after: Vec<_> = segments(directory.path()).iter().map(|of| fs::read(of).unwrap()).collect();
    assert_eq!(before, after);
    assert_eq!(close_and_read(open(&settings).0).len(), 1);
}

#[test]
fn a_closed_spool_refuses_and_gives_its_readers_the_rest() {
    let directory = directory();
    let (spool, _) = open(&small(directory.path()));
    let ticket = spool.admit(&admitted("late", 1)).unwrap();
    request(&spool, "a", 1, 1);
    let mut reader = spool.reader();
    wait(spool.close()).unwrap();
    assert!(matches!(spool.admit(&admitted("b", 1)), Err(SpoolError::Closed)));
    assert!(matches!(ticket.finish(event("late", 1, 1)), Err(SpoolError::Closed)));
    assert!(matches!(wait(spool.note_release(&slice(1, 1, 1))), Err(SpoolError::Closed)));
    assert_eq!(request_ids(&wait(reader.next_batch(9)).unwrap()), ["a"]);
    assert!(matches!(wait(reader.next_batch(9)), Err(SpoolError::Closed)));
}

#[test]
fn a_stopping_spool_admits_nothing_and_lets_what_is_open_end() {
    let directory = directory();
    let (spool, _) = open(&small(directory.path()));
    let ticket = spool.admit(&admitted("open", 1)).unwrap();
    spool.admit_no_more();
    assert!(matches!(spool.admit(&admitted("late", 1)), Err(SpoolError::Stopping)));
    assert_eq!(spool.status().open_requests, 1);
    ticket.finish(event("open", 1, 1)).unwrap();
    wait(spool.note_release(&slice(1, 1, 1))).unwrap();
    assert_eq!(spool.status().open_requests, 0);
    assert_eq!(request_ids(&close_and_read(spool)), ["open"]);
}

#[test]
fn dropping_everything_syncs_and_unlocks() {
    let directory = directory();
    let settings = small(directory.path());
    let (spool, _) = open(&settings);
    request(&spool, "a", 1, 1);
    drop(spool);
    let copy = power_cut_now(directory.path());
    assert_eq!(close_and_read(open(&small(copy.path())).0).len(), 1);
    open(&settings);
}

#[test]
fn settings_that_contradict_themselves_are_refused_by_name() {
    let directory = directory();
    let base = small(directory.path());
    let table = [
        (SpoolSettings { event_bytes_max: 100, ..base.clone() }, "event_bytes_max"),
        (SpoolSettings { segment_bytes: 2_000, ..base.clone() }, "segment_bytes"),
        (SpoolSettings { segment_bytes: 1 << 40, ..base.clone() }, "segment_bytes"),
        (SpoolSettings { high_water_percent: 0, ..base.clone() }, "high_water_percent"),
        (SpoolSettings { high_water_percent: 101, ..base.clone() }, "high_water_percent"),
        (SpoolSettings { capacity_bytes: 8 * 1024, ..base }, "capacity_bytes"),
    ];
    for (settings, name) in table {
        let refused = Spool::open(settings, DATA_PLANE).unwrap_err();
        assert!(refused.to_string().contains(name), "{refused}");
    }
    assert!(used_segments(directory.path()).is_empty());
}

#[test]
fn the_status_tells_what_waits_and_since_when() {
    let directory = directory();
    let (spool, _) = open(&small(directory.path()));
    let _open = spool.admit(&admitted("open", 1)).unwrap();
    for (name, ended_us) in [("a", 5_000_000), ("b", 5_000_100), ("c", 9_000_000)] {
        let ticket = spool.admit(&admitted(name, 2)).unwrap();
        let mut event = event(name, 2, 1);
        event.ended_us = ended_us;
        ticket.finish(event).unwrap();
    }
    let partition = Partition::of(OrgUid(2));
    let waiting = |billed: u64| {
        spool.trim(&[(partition, billed)]);
        let status = spool.status();
        assert_eq!(status.open_requests, 1);
        assert!(status.bytes > 0 && !status.is_full && !status.is_failing);
        (status.unbilled_events, status.oldest_unbilled_us)
    };
    assert_eq!(waiting(1), (3, Some(5_000_000)));
    // Less than a second apart, so the one before is told.
    assert_eq!(waiting(2), (2, Some(5_000_000)));
    assert_eq!(waiting(3), (1, Some(9_000_000)));
    assert_eq!(waiting(4), (0, None));
    // A mark beyond what was given out cannot be ours.
    assert_eq!(waiting(400), (0, None));
    request(&spool, "d", 2, 1);
    assert_eq!(spool.status().unbilled_events, 1);
}

#[test]
fn events_are_told_with_their_place() {
    let directory = directory();
    let (spool, recovered) = open(&small(directory.path()));
    let (partition, seq) = request(&spool, "a", 1, 9);
    wait(async {
        spool.flush().await.unwrap();
        let [envelope] = <[_; 1]>::try_from(drain(&spool, &mut spool.reader()).await).unwrap();
        assert_eq!(envelope.data_plane, DATA_PLANE);
        assert_eq!(envelope.incarnation, recovered.incarnation);
        assert_eq!((envelope.partition, envelope.seq), (partition, seq));
        assert_eq!(envelope.event, Some(event("a", 1, 9)));
    });
}
