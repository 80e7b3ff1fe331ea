//! Reads records in the order in which they were appended, and tells what they add up to. Does no I/O.
//!
//! A checkpoint replaces all that came before it. What it counts but nobody found is told as missing.

use super::ages::Ages;
use super::books::{Books, Slot};
use super::frame::Kind;
use super::marks::Marks;
use domain::id::Partition;
use prost::Message;
use proto::usage::v1::{
    Admitted, Checkpoint, Progress, SequencedEvent, SpoolRecord, spool_record::Record,
};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

/// Events that were given a number and are not in the spool any more. Billing never gets them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingEvents {
    /// Whose numbers they are.
    pub incarnation: u64,
    /// The partition.
    pub partition: Partition,
    /// Their sequence numbers.
    pub seqs: Range<u64>,
}

/// An idempotency key that a request has used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedKey {
    /// Its digest, as it was admitted with.
    pub digest: Vec<u8>,
    /// The first request with it.
    pub request_id: String,
    /// When that was admitted.
    pub admitted_us: u64,
}

/// A record that cannot be what its checksum says it is.
#[derive(Debug)]
pub(super) struct Unreadable;

#[derive(Debug)]
pub(super) struct Replay {
    pub(super) books: Books,
    pub(super) incarnation: u64,
    /// Everything below was billed, or its segment would still be there.
    pub(super) billed: Marks,
    pub(super) ages: Ages,
    /// By requests that were open at the last checkpoint, and later ones.
    pub(super) used_keys: Vec<UsedKey>,
    slots: HashMap<String, Slot>,
    /// The segment read last.
    segment: Option<u64>,
    /// By partition and first number: the end of what was not seen although later numbers were.
    gaps: BTreeMap<(Partition, u64), u64>,
    missing: Vec<MissingEvents>,
}

impl Replay {
    pub(super) fn new() -> Self {
        Self {
            books: Books::new(),
            incarnation: 0,
            billed: Marks::first(),
            ages: Ages::new(),
            used_keys: Vec::new(),
            slots: HashMap::new(),
            segment: None,
            gaps: BTreeMap::new(),
            missing: Vec::new(),
        }
    }

    /// Takes in the next record, which lies in that segment.
    pub(super) fn apply(&mut self, record: SpoolRecord, segment: u64) -> Result<(), Unreadable> {
        match record.record.ok_or(Unreadable)? {
            Record::Checkpoint(checkpoint) => self.start_over(checkpoint, segment)?,
            Record::Admitted(admitted) => self.admit(&admitted, segment),
            Record::Progress(progress) => self.progress(&progress),
            Record::Ended(ended) => self.end(&ended)?,
            Record::Slice(mark) => self.books.learn(&mark),
        }
        Ok(())
    }

    /// Takes in a record of a segment that another one follows: of what it says, the next checkpoint leaves nothing but
    /// which events there are. A backlog of days is read several times as fast.
    pub(super) fn skim(&mut self, record: &[u8], segment: u64) -> Result<(), Unreadable> {
        if record.first() == Some(&Kind::Checkpoint.key()) {
            return self.apply(decode(record)?, segment);
        }
        if record.first() == Some(&Kind::Ended.key()) {
            let skimmed = Skimmed::decode(record).map_err(|_| Unreadable)?;
            let ended = skimmed.ended.ok_or(Unreadable)?;
            let event = ended.event.ok_or(Unreadable)?;
            self.place(Partition(ended.partition), ended.seq, event.ended_us)?;
        }
        Ok(())
    }

    /// Tells what is missing in the end.
    pub(super) fn missing(&mut self) -> Vec<MissingEvents> {
        self.give_up_gaps();
        std::mem::take(&mut self.missing)
    }

    fn start_over(&mut self, checkpoint: Checkpoint, segment: u64) -> Result<(), Unreadable> {
        let mut next = Marks::first();
        for mark in &checkpoint.partitions {
            let partition = Partition(mark.partition);
            next.get(partition).ok_or(Unreadable)?;
            next.raise(partition, mark.next_seq);
        }
        if checkpoint.incarnation == self.incarnation {
            self.note_gaps(&next);
        } else {
            self.give_up_gaps();
            self.incarnation = checkpoint.incarnation;
            self.billed = next.clone();
            self.ages = Ages::new();
        }
        self.replace_books(checkpoint, &next, segment);
        Ok(())
    }

    fn note_gaps(&mut self, next: &Marks) {
        for ((partition, seen), (_, next)) in self.books.next().iter().zip(next.iter()) {
            if seen < next {
                self.gaps.insert((partition, seen), next);
            }
        }
    }

    fn give_up_gaps(&mut self) {
        let incarnation = self.incarnation;
        let gaps = std::mem::take(&mut self.gaps).into_iter();
        self.missing.extend(gaps.map(|((partition, from), until)| MissingEvents {
            incarnation,
            partition,
            seqs: from..until,
        }));
    }

    fn replace_books(&mut self, checkpoint: Checkpoint, next: &Marks, segment: u64) {
        let earlier = self.admission_segments();
        let before = self.segment.replace(segment).unwrap_or(segment);
        self.books = Books::new();
        self.slots.clear();
        self.books.restore(next, &checkpoint.slices);
        for open in checkpoint.open {
            let Some(admitted) = open.admitted else { continue };
            let segment = earlier.get(&admitted.request_id).copied().unwrap_or(before);
            self.admit(&admitted, segment);
            if let Some(progress) = open.progress {
                self.progress(&progress);
            }
        }
    }

    fn admission_segments(&self) -> HashMap<String, u64> {
        let open = self.books.open_requests();
        open.filter_map(|(_, segment, open)| Some((open.admitted?.request_id, segment))).collect()
    }

    fn admit(&mut self, admitted: &Admitted, segment: u64) {
        let slot = self.books.admit(&admitted.encode_to_vec(), segment);
        self.slots.insert(admitted.request_id.clone(), slot);
        if !admitted.idempotency_digest.is_empty() {
            self.used_keys.push(UsedKey {
                digest: admitted.idempotency_digest.clone(),
                request_id: admitted.request_id.clone(),
                admitted_us: admitted.admitted_us,
            });
        }
    }

    fn progress(&mut self, progress: &Progress) {
        if let Some(slot) = self.slots.get(&progress.request_id) {
            self.books.progress(*slot, &progress.encode_to_vec());
        }
    }

    fn end(&mut self, ended: &SequencedEvent) -> Result<(), Unreadable> {
        let event = ended.event.as_ref().ok_or(Unreadable)?;
        let partition = Partition(ended.partition);
        if self.place(partition, ended.seq, event.ended_us)? {
            self.books.charge(event);
            if let Some(slot) = self.slots.remove(&event.request_id) {
                self.books.close(slot);
            }
        }
        Ok(())
    }

    /// Takes in that there is this event. Returns false for a copy, appended again after a sync had failed, which the
    /// checkpoint before it has counted.
    fn place(&mut self, partition: Partition, seq: u64, ended_us: u64) -> Result<bool, Unreadable> {
        let next = self.books.next().get(partition).ok_or(Unreadable)?;
        if seq < next {
            self.narrow_gap(partition, seq);
            return Ok(false);
        }
        if next < seq {
            self.gaps.insert((partition, next), seq);
        }
        self.ages.push(partition, seq, ended_us);
        self.books.number(partition, seq);
        Ok(true)
    }

    fn narrow_gap(&mut self, partition: Partition, seq: u64) {
        let Some((&(of, from), &until)) = self.gaps.range(..=(partition, seq)).next_back() else {
            return;
        };
        if of != partition || seq >= until {
            return;
        }
        self.gaps.remove(&(partition, from));
        let after = seq.saturating_add(1);
        for (from, until) in [(from, seq), (after, until)] {
            if from < until {
                self.gaps.insert((partition, from), until);
            }
        }
    }
}

/// What matters of a record that is only skimmed.
#[derive(Clone, PartialEq, Message)]
struct Skimmed {
    #[prost(message, optional, tag = "4")]
    ended: Option<SkimmedEnd>,
}

#[derive(Clone, PartialEq, Message)]
struct SkimmedEnd {
    #[prost(uint32, tag = "1")]
    partition: u32,
    #[prost(uint64, tag = "2")]
    seq: u64,
    #[prost(message, optional, tag = "3")]
    event: Option<SkimmedEvent>,
}

#[derive(Clone, PartialEq, Message)]
struct SkimmedEvent {
    #[prost(uint64, tag = "15")]
    ended_us: u64,
}

/// Reads a record whose checksum is right.
pub(super) fn decode(record: &[u8]) -> Result<SpoolRecord, Unreadable> {
    SpoolRecord::decode(record).map_err(|_| Unreadable)
}

/// Reads a usage event, and passes over all other records.
pub(super) fn decode_event(record: &[u8]) -> Result<Option<SequencedEvent>, Unreadable> {
    if record.first() != Some(&Kind::Ended.key()) {
        return Ok(None);
    }
    match decode(record)?.record {
        Some(Record::Ended(ended)) => Ok(Some(ended)),
        _ => Err(Unreadable),
    }
}
