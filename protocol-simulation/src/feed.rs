//! The world of the feed: replicas of the control plane that follow one log, each with a real publisher, and data planes
//! with real reception, snapshots and digests, over connections that may break after any message.

mod check;
mod config;
mod data_plane;
mod faults;
mod plan;
mod streams;

use self::config::ConfigLog;
use self::data_plane::DataPlane;
use self::plan::{DATA_PLANES, Fault, HEALED, OFFICES, Plan, QUIET, Step};
use self::streams::Stream;
use crate::case::{Case, Outcome, Violation, kept};
use crate::chance::Chance;
use crate::coverage::Seen;
use crate::invariant::Invariant;
use crate::mutant::Mutant;
use crate::network::{Network, Node};
use crate::schedule::{MILLISECOND, SECOND, Schedule, Time};
use domain::id::{KeyUid, Revision};
use domain::snapshot::{Change, Delta};
use links::feed::{FeedPublisher, PublisherSettings};
use std::collections::BTreeMap;

/// Faults that take effect, then rules that come into play.
pub(crate) const EXPECTED: &[&str] = &[
    "loss",
    "partition",
    "pause",
    "kill",
    "disk lost",
    "corrupted",
    "commits lost",
    "snapshot applied",
    "delta applied",
    "ahead of a replica",
    "replica began anew",
    "connection broken",
    "digest differed",
    "message refused",
    "attempt",
    "attempt no longer permitted",
    "order refused",
];

/// How often a replica looks at the log.
const FOLLOW: Time = 250 * MILLISECOND;
const BEAT: Time = 400 * MILLISECOND;
const SAVE: Time = 300 * MILLISECOND;

#[derive(Clone, Debug)]
enum Event {
    Step(usize),
    Fault(usize),
    /// A message arrives on a connection.
    Frame {
        data_plane: usize,
        stream: u64,
        message: Vec<u8>,
    },
    Broken {
        data_plane: usize,
        stream: u64,
    },
    Connect {
        data_plane: usize,
        life: u64,
    },
    Follow {
        office: usize,
        life: u64,
    },
    Beat {
        office: usize,
        life: u64,
    },
    Save {
        data_plane: usize,
        life: u64,
    },
    Attempt {
        data_plane: usize,
        life: u64,
        key: KeyUid,
        upstream: String,
    },
    Restart(Node),
}

/// A replica of the control plane.
struct Office {
    publisher: FeedPublisher,
    at: Revision,
}

struct World {
    schedule: Schedule<Event>,
    network: Network,
    chance: Chance,
    seen: Seen,
    violation: Option<Violation>,
    trace: Vec<String>,
    is_traced: bool,
    mutant: Option<Mutant>,
    steps: BTreeMap<usize, Step>,
    faults: BTreeMap<usize, Fault>,
    log: ConfigLog,
    offices: Vec<Office>,
    data_planes: Vec<DataPlane>,
    streams: BTreeMap<usize, Stream>,
    opened: u64,
    events: u64,
}

pub(crate) fn run(case: &Case) -> Outcome {
    let plan = Plan::of(case.seed);
    let (faults, steps) = (plan.faults.len(), plan.steps.len());
    let mut world = World::new(case, plan);
    world.live();
    let World { violation, events, seen, trace, .. } = world;
    Outcome { violation, events, faults, steps, seen, trace }
}

/// Small, so that snapshots come in pieces and the ring is soon too short.
fn settings() -> PublisherSettings {
    PublisherSettings { ring_deltas: 5, chunk_bytes: 300, ..PublisherSettings::default() }
}

impl Office {
    fn new(log: &ConfigLog) -> Self {
        let puts: Vec<Change> = log.state().values().cloned().collect();
        let at = log.head;
        Self { publisher: FeedPublisher::with_settings(at, puts, settings()), at }
    }
}

impl World {
    fn new(case: &Case, plan: Plan) -> Self {
        let mut schedule = Schedule::new();
        let (mut steps, mut faults) = (BTreeMap::new(), BTreeMap::new());
        for (number, (at, fault)) in kept(plan.faults, case.faults.as_ref()) {
            schedule.at(at, Event::Fault(number));
            faults.insert(number, fault);
        }
        for (number, (at, step)) in kept(plan.steps, case.steps.as_ref()) {
            schedule.at(at, Event::Step(number));
            steps.insert(number, step);
        }
        let log = ConfigLog::new();
        Self {
            schedule,
            network: Network::new(Chance::new(case.seed, "network")),
            chance: Chance::new(case.seed, "nodes"),
            seen: Seen::default(),
            violation: None,
            trace: Vec::new(),
            is_traced: case.is_traced,
            mutant: case.mutant,
            steps,
            faults,
            offices: (0..OFFICES).map(|_| Office::new(&log)).collect(),
            log,
            data_planes: (0..DATA_PLANES).map(|_| DataPlane::new()).collect(),
            streams: BTreeMap::new(),
            opened: 0,
            events: 0,
        }
    }

    fn live(&mut self) {
        self.processes().into_iter().for_each(|node| self.boot(node));
        self.run_until(HEALED);
        self.network.heal();
        self.processes().into_iter().for_each(|node| self.boot(node));
        self.run_until(QUIET);
        if self.violation.is_none() {
            self.check_quiet();
        }
    }

    fn run_until(&mut self, end: Time) {
        while self.violation.is_none()
            && let Some(event) = self.schedule.next_until(end)
        {
            self.events += 1;
            self.happen(event);
        }
    }

    fn processes(&self) -> Vec<Node> {
        let data_planes = (0..self.data_planes.len()).map(Node::DataPlane);
        data_planes.chain((0..self.offices.len()).map(Node::Office)).collect()
    }

    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    fn tell(&mut self, line: impl FnOnce() -> String) {
        if self.is_traced {
            self.trace.push(format!("{:>9} {}", self.schedule.now(), line()));
        }
    }

    fn claim(&mut self, invariant: Invariant, holds: bool, what: impl FnOnce() -> String) {
        if !holds && self.violation.is_none() {
            let at = self.schedule.now();
            self.violation = Some(Violation { invariant, at, what: what() });
        }
    }

    fn happen(&mut self, event: Event) {
        if let Some((node, life)) = event.process()
            && self.is_held_up(node, life, &event)
        {
            return;
        }
        self.tell(|| format!("{event:?}").chars().take(200).collect());
        match event {
            Event::Step(number) => self.step(number),
            Event::Fault(number) => self.fault(number),
            Event::Frame { data_plane, stream, message } => {
                self.receive(data_plane, stream, &message);
            }
            Event::Broken { data_plane, stream } => self.broken(data_plane, stream),
            Event::Connect { data_plane, .. } => self.connect(data_plane),
            Event::Follow { office, life } => {
                self.schedule.after(FOLLOW, Event::Follow { office, life });
                self.follow(office);
            }
            Event::Beat { office, life } => {
                self.schedule.after(BEAT, Event::Beat { office, life });
                self.beat(office);
            }
            Event::Save { data_plane, life } => {
                self.schedule.after(SAVE, Event::Save { data_plane, life });
                self.data_planes[data_plane].save();
            }
            Event::Attempt { data_plane, key, upstream, .. } => {
                self.attempt(data_plane, key, &upstream);
            }
            Event::Restart(node) => self.boot(node),
        }
    }

    /// Whether nothing comes of it now: its process is gone, or stands still.
    fn is_held_up(&mut self, node: Node, life: Option<u64>, event: &Event) -> bool {
        let now = self.schedule.now();
        let machine = *self.network.machine(node);
        if !machine.is_up || life.is_some_and(|life| life != machine.life) {
            return true;
        }
        if machine.paused_until > now {
            self.seen.note("pause");
            self.schedule.at(machine.paused_until, event.clone());
            return true;
        }
        false
    }

    fn step(&mut self, number: usize) {
        match self.steps.get(&number).copied() {
            Some(Step::Order(office, order)) => {
                self.tell(|| format!("{order:?}"));
                let now = self.schedule.now();
                let machine = *self.network.machine(Node::Office(office));
                let is_awake = machine.is_up && machine.paused_until <= now;
                if !is_awake || !self.has_database(office) {
                    return;
                }
                if self.log.commit(order) {
                    self.follow(office);
                } else {
                    self.seen.note("order refused");
                }
            }
            Some(Step::Request(data_plane, key)) => self.request(data_plane, key),
            None => {}
        }
    }

    /// One attempt after the other, each checked again when it is made.
    fn request(&mut self, data_plane: usize, key: KeyUid) {
        let machine = *self.network.machine(Node::DataPlane(data_plane));
        if !machine.is_up || machine.paused_until > self.schedule.now() {
            return;
        }
        let checks_places = !self.is(Mutant::RouteWithoutJurisdiction);
        let candidates = self.data_planes[data_plane].state.candidates(key, checks_places);
        let mut delay = 0;
        for upstream in candidates {
            let life = machine.life;
            self.schedule.after(delay, Event::Attempt { data_plane, life, key, upstream });
            delay += self.chance.below(SECOND);
        }
    }

    fn attempt(&mut self, data_plane: usize, key: KeyUid, upstream: &str) {
        let checks_places = !self.is(Mutant::RouteWithoutJurisdiction);
        let candidates = self.data_planes[data_plane].state.candidates(key, checks_places);
        let is_permitted = candidates.iter().any(|candidate| candidate == upstream);
        if !is_permitted && !self.is(Mutant::RouteCheckedOnce) {
            return self.seen.note("attempt no longer permitted");
        }
        self.seen.note("attempt");
        self.check_attempt(data_plane, key, upstream);
    }

    fn has_database(&mut self, office: usize) -> bool {
        let now = self.schedule.now();
        let (from, to) = (Node::Office(office), Node::Database);
        !self.network.is_cut(from, to, now)
    }

    /// A replica takes in what was committed, by itself or by others. What does not follow from what it has, it reads anew.
    fn follow(&mut self, office: usize) {
        if !self.has_database(office) {
            return self.seen.note("partition");
        }
        let replica = &mut self.offices[office];
        let Some(steps) = self.log.after(replica.at) else {
            self.seen.note("replica began anew");
            *replica = Office::new(&self.log);
            return self.break_all(office);
        };
        for (to, changes) in steps {
            let delta = Delta { from: replica.at, to, changes };
            if replica.publisher.publish(delta).is_ok() {
                replica.at = to;
            }
        }
        self.pump_all(office);
    }
}

impl Event {
    /// Whose processor it needs, and in which of its lives.
    const fn process(&self) -> Option<(Node, Option<u64>)> {
        Some(match self {
            Self::Frame { data_plane, .. } | Self::Broken { data_plane, .. } => {
                (Node::DataPlane(*data_plane), None)
            }
            Self::Connect { data_plane, life }
            | Self::Save { data_plane, life }
            | Self::Attempt { data_plane, life, .. } => (Node::DataPlane(*data_plane), Some(*life)),
            Self::Follow { office, life } | Self::Beat { office, life } => {
                (Node::Office(*office), Some(*life))
            }
            Self::Step(_) | Self::Fault(_) | Self::Restart(_) => return None,
        })
    }
}
