//! Whatever is lost, written without a word, or reported late: what is said to be in the topic is, and in the end all is.

use super::{Sent, Shipping};
use crate::spool::EventId;
use domain::id::Partition;
use proptest::prelude::{Just, Strategy, prop_oneof, proptest};
use std::collections::{BTreeMap, VecDeque};

const LANES: u32 = 3;
const EVENTS: u64 = 12;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The next event of a lane is read.
    Read(u32),
    /// The oldest event of a lane is written, and that is told or not.
    Write { lane: u32, is_told: bool },
    /// The oldest event of a lane is not written, and that is told.
    Refuse(u32),
    /// What failed is read again.
    Mend,
    /// The client dies, with all that it had not written or not told.
    Die,
    /// Everything from this number on is asked for again.
    Resend { lane: u32, from: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let lane = 0..LANES;
    prop_oneof![
        8 => lane.clone().prop_map(Step::Read),
        6 => (lane.clone(), proptest::bool::weighted(0.8))
            .prop_map(|(lane, is_told)| Step::Write { lane, is_told }),
        2 => lane.clone().prop_map(Step::Refuse),
        2 => Just(Step::Mend),
        1 => Just(Step::Die),
        1 => (lane, 1..EVENTS).prop_map(|(lane, from)| Step::Resend { lane, from }),
    ]
}

/// A reader, a client and a topic, as simple as they can be.
struct World {
    shipping: Shipping,
    places: BTreeMap<u32, u64>,
    queues: BTreeMap<u32, VecDeque<Sent>>,
    topic: BTreeMap<u32, Vec<u64>>,
}

impl World {
    fn new() -> Self {
        let lanes = || (0..LANES).map(|lane| (lane, Vec::new()));
        Self {
            shipping: Shipping::new(7),
            places: (0..LANES).map(|lane| (lane, 1)).collect(),
            queues: (0..LANES).map(|lane| (lane, VecDeque::new())).collect(),
            topic: lanes().collect(),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Read(lane) => self.read(lane),
            Step::Write { lane, is_told } => self.write(lane, is_told),
            Step::Refuse(lane) => {
                if let Some(sent) = self.queues.get_mut(&lane).and_then(VecDeque::pop_front) {
                    self.shipping.failed(sent);
                }
            }
            Step::Mend => {
                let places = self.shipping.mend();
                self.go_to(&places);
            }
            Step::Die => {
                self.queues.values_mut().for_each(VecDeque::clear);
                self.shipping.all_failed();
            }
            Step::Resend { lane, from } => {
                let places = self.shipping.rewind(&[(Partition(lane), from)]);
                self.go_to(&places);
            }
        }
    }

    fn read(&mut self, lane: u32) {
        let place = self.places.get_mut(&lane).unwrap();
        if *place > EVENTS {
            return;
        }
        let event = EventId { partition: Partition(lane), seq: *place };
        *place += 1;
        if let Some(sent) = self.shipping.take(7, event, 0) {
            self.queues.get_mut(&lane).unwrap().push_back(sent);
        }
    }

    /// One that is written without a word is taken for failed.
    fn write(&mut self, lane: u32, is_told: bool) {
        let Some(sent) = self.queues.get_mut(&lane).and_then(VecDeque::pop_front) else { return };
        self.topic.get_mut(&lane).unwrap().push(sent.event.seq);
        if is_told { self.shipping.acknowledged(sent) } else { self.shipping.failed(sent) }
    }

    fn go_to(&mut self, places: &[(Partition, u64)]) {
        for (partition, next) in places {
            if let Some(place) = self.places.get_mut(&partition.0) {
                *place = *next;
            }
        }
    }

    /// All below what is said to be acknowledged is in the topic.
    fn check(&self) {
        for (lane, written) in &self.topic {
            let said = self.shipping.lanes[usize::try_from(*lane).unwrap()].unacknowledged;
            assert!(
                (1..said).all(|seq| written.contains(&seq)),
                "lane {lane}, {said}: {written:?}"
            );
        }
    }

    /// Without faults from here on, everything arrives.
    fn wind_down(&mut self) {
        for _ in 0..2 {
            self.step(Step::Die);
            self.step(Step::Mend);
            for lane in 0..LANES {
                (0..EVENTS).for_each(|_| self.read(lane));
                (0..EVENTS).for_each(|_| self.write(lane, true));
            }
        }
    }
}

proptest! {
    #[test]
    fn what_is_said_to_be_in_the_topic_is_and_in_the_end_all_is(
        steps in proptest::collection::vec(step(), 0..120),
    ) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
            world.check();
        }
        world.wind_down();
        world.check();
        for (lane, written) in &world.topic {
            assert!((1..=EVENTS).all(|seq| written.contains(&seq)), "lane {lane}: {written:?}");
        }
        assert_eq!((world.shipping.waiting(), world.shipping.is_broken()), (0, false));
    }
}

#[test]
fn a_failure_in_one_partition_sends_no_other_again() {
    let mut shipping = Shipping::new(7);
    let mut take =
        |lane, seq| shipping.take(7, EventId { partition: Partition(lane), seq }, seq).unwrap();
    let (first, second, other) = (take(0, 1), take(0, 2), take(1, 1));
    shipping.failed(first);
    assert!(shipping.take(7, EventId { partition: Partition(0), seq: 3 }, 0).is_none());
    let places = shipping.mend();
    assert_eq!(places[..2], [(Partition(0), 1), (Partition(1), 2)]);
    // What is reported of an earlier turn says nothing about this one.
    shipping.acknowledged(second);
    shipping.failed(second);
    assert!(!shipping.is_broken());
    assert_eq!((shipping.waiting(), shipping.oldest_us()), (1, Some(1)));
    shipping.acknowledged(other);
    assert_eq!((shipping.waiting(), shipping.oldest_us()), (0, None));
}
