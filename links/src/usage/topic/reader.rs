//! Billing's end: the partitions that it was told are its own, read from where the database says.

use super::fetching::{Command, Content, Ends, Fetched, Fetching};
use super::settings::TopicSettings;
use crate::usage::{UsageBatch, UsageSourceError};
use domain::id::Partition;
use domain::name::check_data_plane;
use prost::Message;
use proto::usage::v1::UsageEnvelope;
use std::collections::BTreeMap;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use tokio::sync::mpsc;

/// A partition that is this reader's own, as long as nobody else has claimed it since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Which.
    pub partition: Partition,
    /// How often it had been claimed by then.
    pub epoch: u64,
    /// Where to go on.
    pub offset: u64,
}

/// That one partition was read from one offset up to before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicMark {
    /// Which.
    pub partition: Partition,
    /// Of whom: the claim under which it was read.
    pub epoch: u64,
    /// Where the rows must stand for it to count.
    pub from: u64,
    /// Where they stand then.
    pub to: u64,
}

/// Something in the topic that no data plane of ours wrote, as far as this version can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignMessage {
    /// Where.
    pub partition: Partition,
    /// Where in it.
    pub offset: u64,
    /// What.
    pub payload: Vec<u8>,
    /// Why it is none.
    pub reason: String,
}

/// Reads a topic. Dropping it ends its thread.
#[derive(Debug)]
pub struct TopicReader {
    commands: Sender<Command>,
    fetched: mpsc::Receiver<Fetched>,
    places: BTreeMap<Partition, Place>,
    turns: u64,
    ends: Ends,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    epoch: u64,
    turn: u64,
    next: u64,
}

impl TopicReader {
    /// Begins with no partition.
    ///
    /// # Errors
    /// When the client or its thread cannot be started, in words.
    pub fn start(settings: &TopicSettings) -> Result<Self, String> {
        let (commands, told) = channel();
        let (fetched, taken) = mpsc::channel(settings.fetched_ahead.max(1));
        let ends = Ends::default();
        let fetching = Fetching::new(settings, told, fetched, Ends::clone(&ends))
            .map_err(|error| error.to_string())?;
        let thread = thread::Builder::new().name("usage-topic".to_owned());
        thread.spawn(move || fetching.run()).map_err(|error| error.to_string())?;
        Ok(Self { commands, fetched: taken, places: BTreeMap::new(), turns: 0, ends })
    }

    /// Reads a partition from where its claim says; whatever was read of it before does not come any more.
    pub fn read(&mut self, claim: Claim) {
        self.turns = self.turns.saturating_add(1);
        let Claim { partition, epoch, offset } = claim;
        let turn = self.turns;
        self.places.insert(partition, Place { epoch, turn, next: offset });
        self.tell(Command::Read { partition, turn, offset });
    }

    /// Leaves a partition: nothing of it comes any more.
    pub fn leave(&mut self, partition: Partition) {
        if self.places.remove(&partition).is_some() {
            self.tell(Command::Leave(partition));
        }
    }

    /// The partitions that are read, with the epochs of their claims.
    pub fn partitions(&self) -> impl Iterator<Item = (Partition, u64)> {
        self.places.iter().map(|(partition, place)| (*partition, place.epoch))
    }

    /// Leaves all.
    pub fn leave_all(&mut self) {
        for partition in self.places.keys().copied().collect::<Vec<_>>() {
            self.leave(partition);
        }
    }

    /// Messages that are in the topic and were not read, of the partitions that are, as far as is known.
    #[must_use]
    pub fn lag(&self) -> u64 {
        let ends = self.ends.lock();
        let behind = |(partition, place): (&Partition, &Place)| {
            ends.get(partition).map_or(0, |end| end.saturating_sub(place.next))
        };
        self.places.iter().map(behind).sum()
    }

    /// The next messages, at least one; waits until there is one. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When its thread has ended.
    pub async fn next_batch(&mut self, max: usize) -> Result<UsageBatch, UsageSourceError> {
        let mut messages = Vec::new();
        loop {
            if self.fetched.recv_many(&mut messages, max.max(1)).await == 0 {
                return Err(UsageSourceError::Closed);
            }
            let mut batch = UsageBatch::default();
            let mut marks = BTreeMap::new();
            for message in messages.drain(..) {
                self.take(message, &mut batch, &mut marks);
            }
            batch.upto = marks.into_values().collect();
            if !batch.upto.is_empty() {
                return Ok(batch);
            }
        }
    }

    fn take(
        &mut self,
        fetched: Fetched,
        batch: &mut UsageBatch,
        marks: &mut BTreeMap<Partition, TopicMark>,
    ) {
        let Fetched { partition, turn, offset, content } = fetched;
        // Of a claim that is over, or of a place that was left.
        let Some(place) = self.places.get_mut(&partition).filter(|place| place.turn == turn) else {
            return;
        };
        let from = place.next;
        place.next = match content {
            Content::Moved => {
                batch.skipped = batch.skipped.saturating_add(offset.saturating_sub(from));
                offset
            }
            // The client library may repeat itself after it was told where to go on.
            Content::Message(_) if offset < from => return,
            Content::Message(payload) => {
                match read_message(partition, &payload) {
                    Ok(envelope) => batch.events.push(envelope),
                    Err(reason) => {
                        batch.foreign.push(ForeignMessage { partition, offset, payload, reason });
                    }
                }
                offset.saturating_add(1)
            }
        };
        let mark = TopicMark { partition, epoch: place.epoch, from, to: place.next };
        marks.entry(partition).or_insert(mark).to = place.next;
    }

    /// A thread that is gone is noticed by the next batch.
    fn tell(&self, command: Command) {
        drop(self.commands.send(command));
    }
}

/// Reads what a data plane wrote. What one org does is in one partition alone, so that one consumer at a time bills it.
///
/// # Errors
/// When it is nothing that a data plane writes there, in words.
pub fn read_message(partition: Partition, payload: &[u8]) -> Result<UsageEnvelope, String> {
    let envelope = UsageEnvelope::decode(payload).map_err(|error| error.to_string())?;
    check_data_plane(&envelope.data_plane).map_err(|error| error.to_string())?;
    if envelope.partition != partition.0 {
        return Err(format!("it is of partition {}", envelope.partition));
    }
    Ok(envelope)
}
