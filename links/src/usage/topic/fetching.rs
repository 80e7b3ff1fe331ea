//! The thread that reads the topic: it has what partitions it is given, from where it is told, and passes messages on as
//! they come. It waits while nobody takes them, and ends when nobody ever will.

use super::producer::say;
use super::settings::TopicSettings;
use domain::id::Partition;
use parking_lot::Mutex;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::statistics::{self, Statistics};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long it waits for a message before it looks whether it is told something.
const POLL: Duration = Duration::from_millis(50);
/// How long brokers may take to say where a partition begins and ends.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Command {
    /// Read a partition from here on; what is passed on of it carries the turn.
    Read { partition: Partition, turn: u64, offset: u64 },
    /// Leave it.
    Leave(Partition),
}

/// What it passes on.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) partition: Partition,
    pub(super) turn: u64,
    pub(super) offset: u64,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    Message(Vec<u8>),
    /// What was to come next is not there; it goes on at the offset.
    Moved,
}

pub(super) struct Fetching {
    consumer: BaseConsumer<Listener>,
    topic: String,
    places: BTreeMap<Partition, Place>,
    commands: Receiver<Command>,
    fetched: mpsc::Sender<Fetched>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    turn: u64,
    next: u64,
}

/// Nobody takes what is fetched any more.
struct Over;

/// Where partitions end, as far as the client has heard while it read them: asking would hold up what is read.
pub(super) type Ends = Arc<Mutex<BTreeMap<Partition, u64>>>;

struct Listener(Ends);

impl ClientContext for Listener {
    fn stats(&self, statistics: Statistics) {
        let partitions = statistics.topics.into_values().flat_map(|topic| topic.partitions);
        let end = |(number, partition): (i32, statistics::Partition)| {
            Some((Partition(number.try_into().ok()?), partition.hi_offset.try_into().ok()?))
        };
        self.0.lock().extend(partitions.filter_map(end));
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        say(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "the reader of the usage topic has trouble");
    }
}

impl ConsumerContext for Listener {}

impl Fetching {
    pub(super) fn new(
        settings: &TopicSettings,
        commands: Receiver<Command>,
        fetched: mpsc::Sender<Fetched>,
        ends: Ends,
    ) -> Result<Self, KafkaError> {
        let consumer = settings.consumer().create_with_context(Listener(ends))?;
        Ok(Self { consumer, topic: settings.topic(), places: BTreeMap::new(), commands, fetched })
    }

    pub(super) fn run(mut self) {
        while self.obey() && self.fetch().is_ok() {}
    }

    /// Does all that it was told meanwhile. False: nobody tells it anything any more.
    fn obey(&mut self) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Read { partition, turn, offset }) => {
                    self.go_to(partition, Place { turn, next: offset });
                }
                Ok(Command::Leave(partition)) => self.leave(partition),
                Err(std::sync::mpsc::TryRecvError::Empty) => return true,
                Err(std::sync::mpsc::TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn fetch(&mut self) -> Result<(), Over> {
        let fetched = match self.consumer.poll(POLL) {
            None => return if self.fetched.is_closed() { Err(Over) } else { Ok(()) },
            Some(Ok(message)) => self.places.get_mut(&partition(&message)).and_then(|place| {
                let offset = u64::try_from(message.offset()).ok()?;
                place.next = offset.saturating_add(1);
                Some(Fetched {
                    partition: partition(&message),
                    turn: place.turn,
                    offset,
                    content: Content::Message(message.payload().unwrap_or_default().to_vec()),
                })
            }),
            Some(Err(error)) if is_lost_place(&error) => return self.find_places(),
            Some(Err(error)) => {
                tracing::debug!(%error, "the usage topic cannot be read now");
                None
            }
        };
        fetched.map_or(Ok(()), |fetched| self.pass_on(fetched))
    }

    fn pass_on(&self, fetched: Fetched) -> Result<(), Over> {
        self.fetched.blocking_send(fetched).map_err(|_| Over)
    }

    /// The library does not say which partition's place is not there: all are looked at.
    fn find_places(&mut self) -> Result<(), Over> {
        for (partition, Place { turn, next }) in self.places.clone() {
            let Some((low, high)) = self.ends_of(partition) else { continue };
            // A topic that was made anew begins again; what it had comes again, too, and counts once.
            let is_there = (low..=high).contains(&next);
            if !is_there {
                tracing::error!(
                    partition = partition.0,
                    next,
                    low,
                    high,
                    "usage events were deleted from the topic before they were billed"
                );
                self.pass_on(Fetched { partition, turn, offset: low, content: Content::Moved })?;
            }
            // Whichever it was, it stands still until it is told where to go on.
            self.go_to(partition, Place { turn, next: if is_there { next } else { low } });
        }
        Ok(())
    }

    fn ends_of(&self, partition: Partition) -> Option<(u64, u64)> {
        let number = i32::try_from(partition.0).ok()?;
        match self.consumer.fetch_watermarks(&self.topic, number, ANSWER_WITHIN) {
            Ok((low, high)) => Some((u64::try_from(low).ok()?, u64::try_from(high).ok()?)),
            Err(error) => {
                tracing::debug!(%error, partition = partition.0, "its ends are not known now");
                None
            }
        }
    }

    fn go_to(&mut self, partition: Partition, place: Place) {
        self.leave(partition);
        let offset = Offset::Offset(i64::try_from(place.next).unwrap_or(i64::MAX));
        match self
            .listed(partition, offset)
            .and_then(|list| self.consumer.incremental_assign(&list))
        {
            Ok(()) => {
                self.places.insert(partition, place);
            }
            Err(error) => tracing::error!(%error, partition = partition.0, "it cannot be read"),
        }
    }

    fn leave(&mut self, partition: Partition) {
        if self.places.remove(&partition).is_none() {
            return;
        }
        let left = self.listed(partition, Offset::Invalid);
        if let Err(error) = left.and_then(|list| self.consumer.incremental_unassign(&list)) {
            tracing::error!(%error, partition = partition.0, "it cannot be left");
        }
    }

    fn listed(
        &self,
        partition: Partition,
        offset: Offset,
    ) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::new();
        let number = i32::try_from(partition.0).unwrap_or(i32::MAX);
        list.add_partition_offset(&self.topic, number, offset)?;
        Ok(list)
    }
}

fn partition(message: &BorrowedMessage<'_>) -> Partition {
    Partition(u32::try_from(message.partition()).unwrap_or(u32::MAX))
}

fn is_lost_place(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    code.is_some_and(|code| {
        matches!(code, RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)
    })
}
