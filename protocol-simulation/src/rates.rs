//! The world of rates: three data planes with clocks of their own that share limits of requests, and a desk that seats them,
//! raises, lowers and lets draw. Data plane and desk are those of the domain's own tests, round the real rules.

mod desk;
mod faults;
#[path = "../../domain/tests/rules/shares/office.rs"]
mod office;
mod plan;
#[path = "../../domain/tests/rules/shares/plane.rs"]
mod plane;

/// Where the domain's tests look for it.
mod step {
    pub(crate) use super::plan::LIMITS;
}

use self::office::{Life, Office};
use self::plan::{Burst, DATA_PLANES, END, Fault, MINUTE, Plan};
use self::plane::{Plane, Requested, ToDesk, ToPlane};
use crate::case::{Case, Outcome, Violation, kept};
use crate::chance::Chance;
use crate::coverage::Seen;
use crate::invariant::Invariant;
use crate::mutant::Mutant;
use crate::network::{Network, Node};
use crate::schedule::{SECOND, Schedule, Time};
use domain::time::Timestamp;
use std::collections::BTreeMap;

/// Faults that take effect, then rules that come into play.
pub(crate) const EXPECTED: &[&str] = &[
    "loss",
    "duplication",
    "reordering",
    "partition",
    "pause",
    "kill",
    "disk lost",
    "left in order",
    "life over",
    "taken alone",
    "taken of a share",
    "taken at a boundary",
    "refused",
    "raised",
    "lowered",
    "drawn",
    "seated alone",
    "seated together",
    "lapsed",
];

/// Some minute of 2026, by the control plane's clock.
const START: u64 = 29_700_000 * MINUTE;
const TALK: Time = 5 * SECOND;
const SETTLE: Time = 2 * SECOND;
const SYNC: Time = 10 * SECOND;
/// Who said nothing for so long is not counted on.
const HEARD: Time = 15 * SECOND;
/// What is allowed for: twice what clocks run wrong here.
const DRIFT_PPM: u64 = 20_000;

#[derive(Clone, Debug)]
enum Event {
    Step(usize),
    Fault(usize),
    Talk(usize),
    Sync(usize),
    Settle,
    /// What a data plane said arrives, and is looked at once a transaction has begun.
    Heard(Life, ToDesk),
    Served(Life, ToDesk, Time),
    Told(Life, ToPlane),
    Restart(usize),
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
    steps: BTreeMap<usize, Burst>,
    faults: BTreeMap<usize, Fault>,
    planes: Vec<Plane>,
    office: Office,
    heard: BTreeMap<Life, Time>,
    lives: Life,
    /// What was let through, by limit and by the minute that it truly was.
    admitted: BTreeMap<(usize, u64), u64>,
    events: u64,
}

pub(crate) fn run(case: &Case) -> Outcome {
    let plan = Plan::of(case.seed);
    let (faults, steps) = (plan.faults.len(), plan.steps.len());
    let mut world = World::new(case, plan);
    world.live();
    world.note_counts();
    let World { violation, events, seen, trace, .. } = world;
    Outcome { violation, events, faults, steps, seen, trace }
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
        for number in 0..DATA_PLANES {
            schedule.at(number as u64 * SECOND, Event::Talk(number));
            schedule.at(SYNC, Event::Sync(number));
        }
        schedule.at(0, Event::Settle);
        let clocks = plan.clocks.into_iter().zip(1..);
        let planes = clocks.map(|((ahead, rate), life)| Plane::new(life, DRIFT_PPM, rate, ahead));
        Self {
            schedule,
            network: Network::new(Chance::new(case.seed, "network")),
            chance: Chance::new(case.seed, "desk"),
            seen: Seen::default(),
            violation: None,
            trace: Vec::new(),
            is_traced: case.is_traced,
            mutant: case.mutant,
            steps,
            faults,
            planes: planes.collect(),
            office: Office::new(plan.stands_for),
            heard: BTreeMap::new(),
            lives: Life::try_from(DATA_PLANES).unwrap_or(0),
            admitted: BTreeMap::new(),
            events: 0,
        }
    }

    fn live(&mut self) {
        while self.violation.is_none()
            && let Some(event) = self.schedule.next_until(END)
        {
            self.events += 1;
            self.happen(event);
            self.check();
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp(START + self.schedule.now())
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
        let node = match &event {
            Event::Talk(number) | Event::Sync(number) => Some(Node::DataPlane(*number)),
            Event::Told(life, _) => self.number(*life).map(Node::DataPlane),
            Event::Served(..) | Event::Settle => Some(Node::Office(0)),
            Event::Heard(..) | Event::Step(_) | Event::Fault(_) | Event::Restart(_) => None,
        };
        if let Some(node) = node
            && self.is_paused(node)
        {
            let until = self.network.machine(node).paused_until;
            self.seen.note("pause");
            return self.schedule.at(until, event);
        }
        self.tell(|| format!("{event:?}"));
        match event {
            Event::Step(number) => self.burst(number),
            Event::Fault(number) => self.fault(number),
            Event::Talk(number) => {
                self.schedule.after(TALK, Event::Talk(number));
                self.talk(number);
            }
            Event::Sync(number) => {
                self.schedule.after(SYNC, Event::Sync(number));
                self.planes[number].sync();
            }
            Event::Settle => {
                self.schedule.after(SETTLE, Event::Settle);
                self.settle();
            }
            Event::Heard(life, word) => self.hear(life, word),
            Event::Served(life, word, begun) => self.serve(life, word, begun),
            Event::Told(life, word) => self.told(life, word),
            Event::Restart(number) => self.restart(number),
        }
    }

    fn is_paused(&mut self, node: Node) -> bool {
        let now = self.schedule.now();
        self.network.machine(node).paused_until > now
    }

    /// Which data plane lives that life.
    fn number(&self, life: Life) -> Option<usize> {
        self.planes.iter().position(|plane| plane.life == life)
    }

    fn note_counts(&mut self) {
        let counts = self.office.counts;
        for (times, what) in [
            (counts.raised, "raised"),
            (counts.lowered, "lowered"),
            (counts.drawn, "drawn"),
            (counts.seated_alone, "seated alone"),
            (counts.seated_together, "seated together"),
            (counts.lapsed, "lapsed"),
        ] {
            if times > 0 {
                self.seen.note(what);
            }
        }
    }
}

/// Data planes.
impl World {
    fn send_up(&mut self, number: usize, words: impl IntoIterator<Item = ToDesk>) {
        let (now, life) = (self.schedule.now(), self.planes[number].life);
        for word in words {
            let (from, to) = (Node::DataPlane(number), Node::Office(0));
            for delay in self.network.carry(from, to, now, &mut self.seen) {
                self.schedule.after(delay, Event::Heard(life, word));
            }
        }
    }

    /// Who knows that nobody hears it declares nothing, so it says nothing at all.
    fn talk(&mut self, number: usize) {
        let now = self.schedule.now();
        let (from, to) = (Node::DataPlane(number), Node::Office(0));
        if self.planes[number].memory.is_none() || self.network.is_cut(from, to, now) {
            return self.seen.note("partition");
        }
        if self.planes[number].is_over(self.now()) {
            self.seen.note("life over");
            self.begin_life(number);
        }
        let now = self.now();
        let words = self.planes[number].talk(now);
        self.send_up(number, words);
    }

    fn told(&mut self, life: Life, word: ToPlane) {
        let Some(number) = self.number(life) else { return };
        let word = match word {
            ToPlane::Drew { limit, id, amount } if self.is(Mutant::DrawnTwice) => {
                ToPlane::Drew { limit, id, amount: amount.map(|amount| amount * 2) }
            }
            word => word,
        };
        let now = self.now();
        let answer = self.planes[number].hear(word, now);
        self.send_up(number, answer);
    }

    fn burst(&mut self, number: usize) {
        let Some(burst) = self.steps.get(&number).copied() else { return };
        let Burst { data_plane, limit, requests, amount } = burst;
        if self.is_paused(Node::DataPlane(data_plane)) {
            return;
        }
        let (now, minute) = (self.now(), self.now().minute());
        for _ in 0..requests {
            let plane = &mut self.planes[data_plane];
            let counted_in = match plane.request(limit, amount, now) {
                Requested::Alone { minute } => {
                    self.seen.note("taken alone");
                    minute
                }
                Requested::Shared { span } => {
                    self.seen.note("taken of a share");
                    if span.from != span.to {
                        self.seen.note("taken at a boundary");
                    }
                    plane.took(limit, span, amount, minute);
                    minute
                }
                Requested::Refused(word) => {
                    self.seen.note("refused");
                    return self.send_up(data_plane, word);
                }
            };
            // The minutes of who is alone are its own: around a boundary they may be a little off.
            if counted_in == minute {
                *self.admitted.entry((limit, minute)).or_default() += amount;
            }
        }
        // What it took for may turn out to need less.
        if let Some((less, minute)) = self.planes[data_plane].give_back(limit, amount / 2, now)
            && let Some(admitted) = self.admitted.get_mut(&(limit, minute))
        {
            *admitted = admitted.saturating_sub(less);
        }
    }

    fn restart(&mut self, number: usize) {
        if self.planes[number].memory.is_some() {
            return;
        }
        let plane = &mut self.planes[number];
        plane.start();
        let is_alone = plane.is_alone();
        self.forget_if(is_alone);
    }

    /// Another one comes in the stead of one that is gone for good.
    fn begin_life(&mut self, number: usize) {
        let was_alone = self.planes[number].is_alone();
        self.forget_if(was_alone);
        self.lives += 1;
        self.planes[number].begin_life(self.lives);
    }

    /// Who is alone begins its minute anew with a restart: that wrongs nobody, and is no finding.
    fn forget_if(&mut self, is_alone: bool) {
        let minute = self.now().minute();
        self.admitted.retain(|(_, admitted_in), _| !is_alone || *admitted_in + 1 < minute);
    }
}
