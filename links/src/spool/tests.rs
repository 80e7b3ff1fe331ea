//! What cannot be seen from outside: the bytes of frames and heads, and the bounds that room is reckoned with.

use super::ages::Ages;
use super::books::Books;
use super::frame::{
    FRAME_HEADER_BYTES, Found, Kind, SegmentHeader, bytes, put, read, read_segment_header,
    segment_header, synced_mark,
};
use super::marks::Marks;
use super::replay::{Replay, decode};
use super::shorten::shorten;
use domain::id::Partition;
use proptest::prelude::*;
use prost::Message;
use proto::usage::v1::{
    Admitted, Attempt, Checkpoint, PartitionMark, Progress, SequencedEvent, SliceMark, SpoolRecord,
    UsageEvent, spool_record::Record,
};

fn mark(org_uid: i64) -> SliceMark {
    SliceMark { org_uid, granted_nano: 5, ..SliceMark::default() }
}

#[test]
fn a_frame_is_read_back_whole_cut_or_bad_but_never_as_something_else() {
    let mut buffer = vec![9; 3];
    let message = put(&mut buffer, Kind::Slice, &mark(1));
    assert_eq!(SliceMark::decode(&buffer[message]).unwrap(), mark(1));
    let Found::Frame { record, next } = read(&buffer, 3) else { panic!("no frame") };
    assert_eq!(next, buffer.len());
    assert_eq!(SpoolRecord::decode(record).unwrap().record, Some(Record::Slice(mark(1))));
    assert_eq!(record[0], Kind::Slice.key());

    for length in 3..buffer.len() {
        let found = read(&buffer[..length], 3);
        let expected = match length {
            3 => Found::End,
            4..11 => Found::Cut { length: FRAME_HEADER_BYTES },
            _ => Found::Cut { length: buffer.len() - 3 },
        };
        assert_eq!(found, expected, "{length} bytes");
    }
    for at in 7..buffer.len() {
        let mut flipped = buffer.clone();
        flipped[at] ^= 4;
        assert_eq!(read(&flipped, 3), Found::Bad, "byte {at}");
    }
    assert_eq!(read(&[0; 20], 2), Found::End);
    assert_eq!(read(&[0, 0, 0, 0, 1, 0, 0, 0], 0), Found::Bad);
}

fn framed(kind: Kind, message: &impl Message) -> Record {
    let mut buffer = Vec::new();
    put(&mut buffer, kind, message);
    decode(&buffer[FRAME_HEADER_BYTES..]).unwrap().record.unwrap()
}

#[test]
fn every_kind_is_the_field_of_the_record_it_says() {
    let (admitted, progress) = (Admitted::default(), Progress::default());
    let (ended, checkpoint) = (SequencedEvent::default(), Checkpoint::default());
    assert_eq!(framed(Kind::Checkpoint, &checkpoint), Record::Checkpoint(checkpoint.clone()));
    assert_eq!(framed(Kind::Admitted, &admitted), Record::Admitted(admitted.clone()));
    assert_eq!(framed(Kind::Progress, &progress), Record::Progress(progress.clone()));
    assert_eq!(framed(Kind::Ended, &ended), Record::Ended(ended.clone()));
    assert_eq!(framed(Kind::Slice, &mark(1)), Record::Slice(mark(1)));
}

#[test]
fn a_segment_head_tells_blank_from_ours_and_from_damage() {
    assert_eq!(read_segment_header(&[]), SegmentHeader::Blank);
    assert_eq!(read_segment_header(&[0; 64]), SegmentHeader::Blank);
    let head = segment_header();
    assert_eq!(read_segment_header(&head), SegmentHeader::Ours { synced: 0 });
    assert_eq!(read_segment_header(&head[..31]), SegmentHeader::Unreadable);
    let mut marked = head;
    marked[16..].copy_from_slice(&synced_mark(12_345));
    assert_eq!(read_segment_header(&marked), SegmentHeader::Ours { synced: 12_345 });
    for at in 0..marked.len() {
        let mut flipped = marked;
        flipped[at] ^= 1;
        assert_eq!(read_segment_header(&flipped), SegmentHeader::Unreadable, "byte {at}");
    }
}

#[test]
fn an_event_is_shortened_step_by_step_and_texts_end_at_a_character() {
    let attempt = |error: &str| Attempt { error: error.to_owned(), ..Attempt::default() };
    let long = UsageEvent {
        charge_nano: 7,
        app: "a".repeat(100),
        upstream_id: "é".repeat(100),
        attempts: vec![attempt("first"), attempt("middle"), attempt("last")],
        ..UsageEvent::default()
    };
    let shortened = |limit: usize| {
        let mut event = long.clone();
        let fits = shorten(&mut event, limit);
        assert_eq!(event.charge_nano, 7);
        (fits, event)
    };
    let full = long.encoded_len();
    assert_eq!(shortened(full), (true, long.clone()));
    let (fits, anonymous) = shortened(full - 1);
    assert!(fits && anonymous.app.is_empty() && anonymous.attempts.len() == 3);
    let (fits, outer) = shortened(anonymous.encoded_len() - 1);
    let errors: Vec<_> = outer.attempts.iter().map(|of| of.error.as_str()).collect();
    assert!(fits && errors == ["first", "last"]);
    let (fits, clipped) = shortened(outer.encoded_len() - 1);
    assert!(fits);
    assert_eq!(clipped.upstream_id, "é".repeat(32));
    assert!(!shortened(10).0);
}

#[test]
fn the_oldest_wait_is_exact_where_events_are_rare_and_bounded_in_memory_where_they_are_not() {
    let partition = Partition(3);
    let (mut ages, mut billed, mut next) = (Ages::new(), Marks::first(), Marks::first());
    for seq in 1..=10_000_u64 {
        ages.push(partition, seq, seq * 2_000_000);
        next.raise(partition, seq + 1);
    }
    assert_eq!(ages.oldest_us(&billed, &next), Some(2_000_000));
    for seq in [10_u64, 777, 9_000, 10_000] {
        billed.raise(partition, seq);
        ages.forget(&billed);
        let oldest = ages.oldest_us(&billed, &next).unwrap();
        let exact = seq * 2_000_000;
        assert!(oldest <= exact && exact - oldest <= 400_000_000, "{oldest} for {exact}");
    }
    assert_eq!(ages.oldest_us(&billed, &next), Some(20_000_000_000));
    billed.raise(partition, 10_001);
    ages.forget(&billed);
    assert_eq!(ages.oldest_us(&billed, &next), None);
    ages.push(partition, 10_001, 20_100_000_000);
    next.raise(partition, 10_002);
    assert_eq!(ages.oldest_us(&billed, &next), Some(20_100_000_000));
}

/// A replay that has seen a checkpoint and these events of partition 0.
fn replayed(incarnation: u64, seqs: &[u64]) -> Replay {
    let mut replay = Replay::new();
    apply(&mut replay, checkpoint(incarnation, 1));
    seqs.iter().for_each(|seq| apply(&mut replay, ended(*seq)));
    replay
}

fn checkpoint(incarnation: u64, next_seq: u64) -> Record {
    let partitions = vec![PartitionMark { partition: 0, next_seq }];
    Record::Checkpoint(Checkpoint { incarnation, partitions, ..Checkpoint::default() })
}

fn ended(seq: u64) -> Record {
    let event = UsageEvent { org_uid: 1, charge_nano: 1, ..UsageEvent::default() };
    Record::Ended(SequencedEvent { partition: 0, seq, event: Some(event) })
}

fn apply(replay: &mut Replay, record: Record) {
    replay.apply(SpoolRecord { record: Some(record) }, 1).unwrap();
}

#[test]
fn copies_after_a_checkpoint_fill_gaps_and_are_not_counted_again() {
    let mut replay = replayed(7, &[1, 2]);
    apply(&mut replay, checkpoint(7, 9));
    for copy in [3, 4, 6] {
        apply(&mut replay, ended(copy));
    }
    apply(&mut replay, ended(9));
    assert_eq!(replay.books.slice_marks()[0].spent_nano, 1, "the checkpoint counted the others");
    assert_eq!(replay.books.next().get(Partition(0)), Some(10));
    let missing: Vec<_> = replay.missing().into_iter().map(|of| of.seqs).collect();
    assert_eq!(missing, [5..6, 7..9]);
}

#[test]
fn a_later_incarnation_counts_from_the_start_and_has_no_gap_to_the_one_before() {
    let mut replay = replayed(7, &[1, 2, 3]);
    apply(&mut replay, checkpoint(8, 1));
    apply(&mut replay, ended(1));
    assert_eq!(replay.incarnation, 8);
    assert_eq!(replay.missing(), []);
    assert_eq!(replay.billed, Marks::first());
}

#[test]
fn records_that_cannot_be_are_unreadable() {
    let mut replay = replayed(7, &[]);
    let foreign = SequencedEvent { partition: 64, seq: 1, event: Some(UsageEvent::default()) };
    let empty = SequencedEvent { partition: 0, seq: 1, event: None };
    for record in [None, Some(Record::Ended(foreign)), Some(Record::Ended(empty))] {
        assert!(replay.apply(SpoolRecord { record }, 1).is_err());
    }
}

proptest! {
    #[test]
    fn no_checkpoint_is_longer_than_its_bound(
        requests in proptest::collection::vec((0..300_usize, 0..300_usize, any::<bool>()), 0..40),
        slices in proptest::collection::vec((any::<i64>(), any::<i64>(), 1..i64::MAX), 0..400),
        numbers in proptest::collection::vec((0..64_u32, any::<u64>()), 0..80),
        data_plane in "[a-z]{0,40}",
    ) {
        let mut books = Books::new();
        for (org_uid, key_uid, granted_nano) in slices {
            let released_nano = granted_nano;
            let spent_nano = 0;
            books.learn(&SliceMark { org_uid, key_uid, granted_nano, released_nano, spent_nano });
        }
        for (partition, seq) in numbers {
            let event = UsageEvent {
                org_uid: i64::MAX,
                budgeted: true,
                charge_nano: i64::MAX,
                ..UsageEvent::default()
            };
            books.number(Partition(partition), seq);
            books.charge(&event);
        }
        for (admitted, progress, is_closed) in requests {
            let slot = books.admit(&vec![1; admitted], 1);
            books.progress(slot, &vec![1; progress]);
            if is_closed {
                books.close(slot);
            }
        }
        let mut frame = Vec::new();
        books.put_checkpoint(&mut frame, &data_plane, u64::MAX);
        prop_assert!(bytes(frame.len()) <= books.checkpoint_bytes_max(&data_plane));
    }
}
