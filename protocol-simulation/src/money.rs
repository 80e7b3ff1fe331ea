//! The world of money: data planes with real spools and slices, replicas of the control plane, a topic, consumers, and a
//! database whose rows the real rules decide about.

mod check;
mod common;
mod consumer;
mod data_plane;
mod database;
mod disk;
mod faults;
mod message;
mod plan;
mod written;
mod office;

use self::common::Common;
use self::consumer::{Consumer, Topic};
use self::data_plane::DataPlane;
use self::database::{Context, Database};
use self::message::{Event, Job, Message, Reply, Script};
use self::office::Office;
use self::plan::{
    CONSUMERS, CREDIT_LIMITS, DATA_PLANES, Fault, HEALED, OFFICES, ORGS, Plan, QUIET, Step,
};
use crate::case::{Case, Outcome, kept};
use crate::chance::Chance;
use crate::invariant::Invariant::M9;
use crate::network::Node;
use crate::schedule::{MILLISECOND, SECOND, Time};
use domain::id::Account;
use domain::money::Nano;
use std::collections::BTreeMap;
use std::io;

/// Requests that a seed does not have: they ask for all that is free.
const PROBE: usize = 1_000;
/// After a round trip or two, a spool's sync and a consumer's poll.
const PROBES_APART: Time = 300 * MILLISECOND;
/// When all that a pause has kept waiting was done.
const MET: Time = HEALED + 3 * SECOND;
/// When what was poison can be read.
const REPAIRED: Time = QUIET - SECOND;
const END: Time = QUIET + 4 * SECOND;

/// Faults that take effect, then rules that come into play.
pub(crate) const EXPECTED: &[&str] = &[
    "loss",
    "duplication",
    "reordering",
    "partition",
    "pause",
    "kill",
    "power cut",
    "torn write",
    "disk lost",
    "commits lost",
    "committed, and nobody was told",
    "not committed, and nobody was told",
    "database down",
    "clock jump",
    "topic forgot",
    "granted",
    "short",
    "recalled",
    "released",
    "refused",
    "raised, backed",
    "raised, unbacked",
    "ended for want of money",
    "cost beyond the hold",
    "charged beyond what was held",
    "borne by the company",
    "interrupted request",
    "another control plane",
    "sent again",
    "spool file removed",
    "taken over",
    "fenced",
    "repeated event",
    "gap opened",
    "gap closed",
    "poison",
];

struct World {
    common: Common,
    steps: BTreeMap<usize, Step>,
    faults: BTreeMap<usize, Fault>,
    database: Database,
    data_planes: Vec<DataPlane>,
    offices: Vec<Office>,
    consumers: Vec<Consumer>,
    topic: Topic,
    events: u64,
}

/// Runs a case. A machine without room for a few files is not a finding, so that ends it.
pub(crate) fn run(case: &Case) -> Outcome {
    let plan = Plan::of(case.seed);
    let (faults, steps) = (plan.faults.len(), plan.steps.len());
    let world = World::new(case, plan).and_then(World::live);
    let world = world.expect("the directory for temporary files takes them");
    let Common { violation, seen, trace, .. } = world.common;
    Outcome { violation, events: world.events, faults, steps, seen, trace }
}

impl World {
    fn new(case: &Case, plan: Plan) -> io::Result<Self> {
        let mut common = Common::new(case);
        let mut faults = BTreeMap::new();
        for (number, (at, fault)) in kept(plan.faults, case.faults.as_ref()) {
            common.schedule.at(at, Event::Fault(number));
            faults.insert(number, fault);
        }
        let mut steps = BTreeMap::new();
        for (number, (at, step)) in kept(plan.steps, case.steps.as_ref()) {
            common.schedule.at(at, Event::Step(number));
            steps.insert(number, step);
        }
        let data_planes: Result<Vec<_>, _> =
            (0..DATA_PLANES).map(|number| DataPlane::new(number, case.seed)).collect();
        Ok(Self {
            common,
            steps,
            faults,
            database: Database::new(Chance::new(case.seed, "database")),
            data_planes: data_planes?,
            offices: (0..OFFICES).map(Office::new).collect(),
            consumers: (0..CONSUMERS).map(Consumer::new).collect(),
            topic: Topic::default(),
            events: 0,
        })
    }

    /// Things happen and break; then all is healed, becomes quiet, and is looked at; then somebody wants all there is.
    fn live(mut self) -> io::Result<Self> {
        self.processes().into_iter().for_each(|node| self.boot(node));
        self.run_until(HEALED)?;
        self.heal();
        self.run_until(MET)?;
        self.meet();
        self.common.schedule.at(REPAIRED, repair());
        self.run_until(QUIET)?;
        self.look();
        let probes = self.probe();
        self.common.schedule.at(END - 2 * SECOND, repair());
        self.run_until(END)?;
        self.look();
        for number in probes {
            let is_served = self.common.truth.served.contains(&number);
            self.common.claim(M9, is_served, || format!("probe {number} was refused"));
        }
        Ok(self)
    }

    fn run_until(&mut self, end: Time) -> io::Result<()> {
        while self.common.violation.is_none()
            && let Some(event) = self.common.schedule.next_until(end)
        {
            self.events += 1;
            self.happen(event)?;
        }
        Ok(())
    }

    fn look(&mut self) {
        if self.common.violation.is_none() {
            check::quiet(&self.database, &self.data_planes, &mut self.common);
        }
    }

    fn processes(&self) -> Vec<Node> {
        let data_planes = (0..self.data_planes.len()).map(Node::DataPlane);
        let offices = (0..self.offices.len()).map(Node::Office);
        data_planes.chain(offices).chain((0..self.consumers.len()).map(Node::Consumer)).collect()
    }

    fn happen(&mut self, event: Event) -> io::Result<()> {
        if let Some(node) = event.node()
            && self.is_held_up(node, &event)
        {
            return Ok(());
        }
        match event {
            Event::Step(number) => self.step(number),
            Event::Fault(number) => return self.fault(number),
            Event::Arrive { from, to, message } => self.arrive(from, to, message),
            Event::Alarm { node, alarm, .. } => self.wake(node, alarm),
            Event::Transact { node, life, job } => self.transact(node, life, job),
            Event::Done { node, job, reply, .. } => self.done(node, job, reply),
            Event::Restart(node) => self.boot(node),
        }
        self.check_data_planes();
        Ok(())
    }

    /// Whether nothing comes of it now: its process is gone, or stands still.
    fn is_held_up(&mut self, node: Node, event: &Event) -> bool {
        let now = self.common.now();
        let machine = *self.common.network.machine(node);
        let is_stale = match event {
            Event::Alarm { life, .. } | Event::Done { life, .. } => *life != machine.life,
            _ => false,
        };
        if is_stale || !machine.is_up {
            return true;
        }
        if machine.paused_until > now {
            self.common.seen.note("pause");
            self.common.schedule.at(machine.paused_until, event.clone());
            return true;
        }
        false
    }

    fn check_data_planes(&mut self) {
        for data_plane in &mut self.data_planes {
            if let Some(running) = data_plane.running() {
                running.check(&mut self.common);
            }
        }
    }

    fn step(&mut self, number: usize) {
        let Some(step) = self.steps.get(&number).cloned() else { return };
        self.common.tell(|| format!("step {number}: {step:?}"));
        match step {
            Step::Credit { org, amount } => {
                let place = ORGS.iter().position(|of| *of == org).unwrap_or(0);
                let limit = data_plane::nano(CREDIT_LIMITS[place]);
                let (account, amount) = (Account::from_uids(org, 0), data_plane::nano(amount));
                self.common.transact(Node::Database, Job::Credit { account, amount, limit });
            }
            Step::Request(script) => self.request(number, script),
        }
    }

    fn request(&mut self, number: usize, script: Script) {
        let node = Node::DataPlane(script.data_plane);
        let machine = *self.common.network.machine(node);
        let is_awake = machine.is_up && machine.paused_until <= self.common.now();
        if let Some(running) = self.data_planes[script.data_plane].running().filter(|_| is_awake) {
            running.begin(number, script, &mut self.common);
        }
    }

    fn arrive(&mut self, from: Node, to: Node, message: Message) {
        let common = &mut self.common;
        common.tell(|| format!("{to:?} hears of {from:?}: {}", named(&message)));
        match to {
            Node::DataPlane(number) => {
                if let Some(running) = self.data_planes[number].running() {
                    running.take(message, common);
                }
            }
            Node::Office(number) => self.offices[number].take(message, common),
            Node::Topic => {
                if let Message::Produce(events) = message {
                    common.send(Node::Topic, from, Message::Acknowledged(events.clone()));
                    self.topic.take(events);
                }
            }
            Node::Consumer(_) | Node::Database => {}
        }
    }

    fn wake(&mut self, node: Node, alarm: message::Alarm) {
        let common = &mut self.common;
        match node {
            Node::DataPlane(number) => {
                if let Some(running) = self.data_planes[number].running() {
                    running.wake(alarm, common);
                }
            }
            Node::Office(number) => self.offices[number].round(common),
            Node::Consumer(number) => self.consumers[number].poll(&self.topic, common),
            Node::Topic | Node::Database => {}
        }
    }

    fn transact(&mut self, node: Node, life: u64, job: Job) {
        let common = &mut self.common;
        let now = common.now();
        let clock = common.network.clock(Node::Database, now);
        let mutant = common.mutant();
        let mut context = Context { clock, mutant, seen: &mut common.seen };
        let (reply, committed) = self.database.transact(&job, now, &mut context);
        common.tell(|| format!("{node:?} asks for {}: {reply:?}", named(&job)));
        if let Some(before) = committed {
            check::committed(&before, &self.database.rows, &job, &self.topic, common);
        }
        common.schedule.after(MILLISECOND, Event::Done { node, life, job, reply });
    }

    fn done(&mut self, node: Node, job: Job, reply: Reply) {
        match node {
            Node::Office(number) => self.offices[number].done(job, reply, &mut self.common),
            Node::Consumer(number) => self.consumers[number].done(&job, &reply),
            Node::DataPlane(_) | Node::Topic | Node::Database => {}
        }
    }
}

/// The first words of what is printed of it, without the bytes of events.
fn named(of: &impl std::fmt::Debug) -> String {
    format!("{of:?}").chars().take(160).collect()
}

/// An operator has what was poison applied.
fn repair() -> Event {
    Event::Transact { node: Node::Database, life: 0, job: Job::ApplyPoison }
}

impl World {
    /// One data plane after the other has a request for all that is free. The first costs one nano-unit.
    fn probe(&mut self) -> Vec<usize> {
        let account = Account::from_uids(ORGS[0], 0);
        let free = self.database.rows.wallet(account).wallet.free();
        let mut probes = Vec::new();
        for data_plane in 0..DATA_PLANES {
            let hold = free.get() - i64::try_from(data_plane).unwrap_or(0);
            if hold <= 1 || free == Nano::ZERO {
                continue;
            }
            let number = PROBE + data_plane;
            let script = Script {
                data_plane,
                org: ORGS[0],
                hold,
                parts: vec![1],
                overrun: 0,
                pace: MILLISECOND,
                is_readable: true,
            };
            self.steps.insert(number, Step::Request(script));
            let at = QUIET + PROBES_APART * (data_plane as u64 + 1);
            self.common.schedule.at(at, Event::Step(number));
            probes.push(number);
        }
        probes
    }
}
