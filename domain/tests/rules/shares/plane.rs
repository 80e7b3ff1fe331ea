//! A data plane as its keeper will run it: memory, a disk, a clock of its own, and steps of the domain in between.

use super::step::LIMITS;
use domain::limits::minute::{Known, Local, MinuteClock, Sample, Span};
use domain::limits::place::{Acknowledged, Declared, Learned, Place, Placed};
use domain::limits::share::{Ask, Clock, Draw, Holds, Lower, Need, Share, Taken, Terms, Told};
use domain::limits::{RateWindow, Take};
use domain::time::Timestamp;
use std::collections::BTreeMap;
use std::mem;

/// From a data plane to the control plane.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ToDesk {
    AskTime { sent: Local },
    Hello { is_new: bool },
    Agree(Acknowledged),
    Declare(Declared),
    Need { limit: usize, need: Need },
    Holds { limit: usize, holds: Holds },
    Draw { limit: usize, draw: Draw },
    Left { last_minute: u64 },
}

/// And back.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ToPlane {
    Time { sent: Local, at: Timestamp },
    Placed(Placed),
    Ended,
    Raise { limit: usize, told: Told },
    Lower { limit: usize, lower: Lower },
    Drew { limit: usize, id: u64, amount: Option<u64> },
}

/// What a restart finds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    has_run: bool,
    placed: Placed,
    told: BTreeMap<usize, Told>,
    known: Option<Known>,
}

/// What a restart loses.
pub(crate) struct Memory {
    clock: MinuteClock,
    pub(crate) place: Place,
    pub(crate) shares: BTreeMap<usize, Share>,
    windows: BTreeMap<usize, RateWindow>,
    last: BTreeMap<usize, (Taken, u64)>,
    alone_in: BTreeMap<usize, u64>,
    is_first: bool,
    is_ended: bool,
    has_begun: bool,
}

/// How a request ended.
pub(crate) enum Requested {
    /// Counted as its own window counts: in a minute by its own clock.
    Alone {
        minute: u64,
    },
    Shared {
        span: Span,
    },
    Refused(Option<ToDesk>),
}

pub(crate) struct Plane {
    /// Names one life of its place.
    pub(crate) life: u32,
    /// Counts starts.
    pub(crate) boot: u32,
    pub(crate) memory: Option<Memory>,
    pub(crate) disk: Disk,
    drift_ppm: u64,
    rate_ppm: i64,
    ahead_us: u64,
}

impl Plane {
    pub(crate) fn new(life: u32, drift_ppm: u64, rate_ppm: i64, ahead_us: u64) -> Self {
        let disk = Disk::default();
        let (boot, memory) = (0, None);
        let mut plane = Self { life, boot, memory, disk, drift_ppm, rate_ppm, ahead_us };
        plane.start();
        plane
    }

    /// Its own clock: wrong from the start, and running wrong.
    fn local(&self, now: Timestamp) -> Local {
        let wrong = i128::from(now.0) * i128::from(self.rate_ppm) / 1_000_000;
        let local = i128::from(now.0) + i128::from(self.ahead_us) + wrong;
        Local(u64::try_from(local).expect("a time of our century"))
    }

    pub(crate) fn span(&self, now: Timestamp) -> Option<Span> {
        self.memory.as_ref()?.clock.span(self.local(now))
    }

    fn clock(&self, now: Timestamp) -> Option<Clock> {
        let local = self.local(now);
        Some(Clock { now: self.memory.as_ref()?.clock.now(local)?, local })
    }

    pub(crate) fn start(&mut self) {
        self.boot += 1;
        let clock = MinuteClock::new(self.drift_ppm);
        let Disk { has_run, placed, told, known } = self.disk.clone();
        self.memory = Some(Memory {
            clock: known.map_or(clock, |known| MinuteClock::restored(self.drift_ppm, known)),
            place: if has_run { Place::restored(placed) } else { Place::default() },
            shares: told.into_iter().map(|(limit, told)| (limit, Share::restored(told))).collect(),
            windows: BTreeMap::new(),
            last: BTreeMap::new(),
            alone_in: BTreeMap::new(),
            is_first: !has_run,
            is_ended: false,
            has_begun: !has_run,
        });
        self.disk.has_run = true;
    }

    /// Nothing of it is left; what comes up in its stead is somebody else.
    pub(crate) fn begin_life(&mut self, life: u32) {
        self.life = life;
        self.disk = Disk::default();
        self.start();
    }

    /// Keeps what was not worth a sync of its own.
    pub(crate) fn sync(&mut self) {
        let Some(memory) = &self.memory else { return };
        self.disk.known = memory.clock.known();
        self.disk.placed = *memory.place.placed();
        for (limit, share) in &memory.shares {
            self.disk.told.extend(share.told().map(|told| (*limit, told)));
        }
    }

    pub(crate) fn talk(&mut self, now: Timestamp) -> Vec<ToDesk> {
        let (local, span) = (self.local(now), self.span(now));
        let Some(memory) = &mut self.memory else { return Vec::new() };
        let is_new = memory.is_first && memory.place.placed().turn == 0;
        let mut words = vec![ToDesk::AskTime { sent: local }, ToDesk::Hello { is_new }];
        if let Some(span) = memory.begun(span) {
            words.extend(memory.place.declare(span).map(ToDesk::Declare));
        }
        words
    }

    pub(crate) fn leave(&mut self, now: Timestamp) -> Option<ToDesk> {
        let span = self.span(now);
        let memory = self.memory.as_mut()?;
        let last_minute = memory.place.leave(span?);
        memory.shares.clear();
        Some(ToDesk::Left { last_minute })
    }

    pub(crate) fn request(&mut self, limit: usize, amount: u64, now: Timestamp) -> Requested {
        let (span, clock) = (self.span(now), self.clock(now));
        let refused = Requested::Refused(None);
        let Some(memory) = &mut self.memory else { return refused };
        let Some((span, clock)) = span.zip(clock) else { return refused };
        let window = memory.windows.entry(limit).or_default();
        if memory.place.is_alone(span) && !window.is_sealed() {
            return match window.take(clock.now, amount, LIMITS[limit]) {
                Take::Taken { window: after, .. } => {
                    *window = after;
                    let minute = memory.alone_in.entry(limit).or_default();
                    *minute = clock.now.minute().max(*minute);
                    Requested::Alone { minute: *minute }
                }
                Take::Refused { .. } => refused,
            };
        }
        let Some(span) = memory.begun(Some(span)) else { return refused };
        memory.take(limit, amount, span, clock)
    }

    /// By how much less the last request counts, and the minute it was in. It counts for something.
    pub(crate) fn give_back(
        &mut self,
        limit: usize,
        less: u64,
        now: Timestamp,
    ) -> Option<(u64, u64)> {
        let span = self.span(now)?;
        let memory = self.memory.as_mut()?;
        let (taken, minute) = memory.last.remove(&limit)?;
        let less = less.min(taken.amount - 1);
        memory.shares.get_mut(&limit)?.correct(span, &taken, taken.amount - less);
        Some((less, minute))
    }

    /// Remembers the last request, and the minute it was truly in.
    pub(crate) fn took(&mut self, limit: usize, span: Span, amount: u64, minute: u64) {
        if let Some(memory) = &mut self.memory {
            memory.last.insert(limit, (Taken { span, amount, remaining: 0 }, minute));
        }
    }

    pub(crate) fn hear(&mut self, word: ToPlane, now: Timestamp) -> Option<ToDesk> {
        if let ToPlane::Time { sent, at } = word {
            let received = self.local(now);
            let sample = Sample { sent, received, low: at, high: at };
            self.memory.as_mut()?.clock.learn(&sample);
            return None;
        }
        let (span, clock) = (self.span(now)?, self.clock(now)?);
        let memory = self.memory.as_mut()?;
        let span = memory.begun(Some(span))?;
        match word {
            ToPlane::Time { .. } => None,
            ToPlane::Ended => {
                memory.is_ended = true;
                None
            }
            ToPlane::Placed(placed) => {
                let Learned::Placed { acknowledge } = memory.place.learn(&placed, span) else {
                    return None;
                };
                let acknowledge = acknowledge?;
                self.disk.placed = *memory.place.placed();
                Some(ToDesk::Agree(acknowledge))
            }
            ToPlane::Raise { limit, told } => {
                memory.share(limit, span);
                let terms = Terms::new(&memory.place, span, LIMITS[limit])?;
                memory.shares.get_mut(&limit)?.raise(&terms, told);
                None
            }
            ToPlane::Lower { limit, lower } => {
                memory.share(limit, span);
                let terms = Terms::new(&memory.place, span, LIMITS[limit])?;
                let share = memory.shares.get_mut(&limit)?;
                let holds = share.lower(&terms, clock, lower)?;
                self.disk.told.extend(share.told().map(|told| (limit, told)));
                // Without the place, a share would be taken for one of an edition that is to come.
                self.disk.placed = *memory.place.placed();
                Some(ToDesk::Holds { limit, holds })
            }
            ToPlane::Drew { limit, id, amount } => {
                memory.shares.get_mut(&limit)?.drew(id, amount);
                None
            }
        }
    }

    /// Whether it thinks that it has everything.
    pub(crate) fn is_alone(&self) -> bool {
        let placed = self.memory.as_ref().map(|memory| memory.place.placed());
        placed.is_some_and(|placed| placed.is_alone && placed.seat.is_whole())
    }

    /// Whether what it had has lapsed, as far as it knows or was told.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        let Some(memory) = &self.memory else { return false };
        let placed = memory.place.placed();
        let has_lapsed = |from| placed.turn > 0 && from > placed.stands_through;
        memory.is_ended || self.span(now).is_some_and(|span| has_lapsed(span.from))
    }

    /// What it may use in a minute, whatever it knows of the time.
    pub(crate) fn cap(&self, limit: usize, minute: u64, now: Timestamp) -> u64 {
        let Some((memory, span)) = self.memory.as_ref().zip(self.span(now)) else { return 0 };
        let Some(terms) = Terms::new(&memory.place, span, LIMITS[limit]) else { return 0 };
        memory.shares.get(&limit).copied().unwrap_or_default().cap(&terms, minute)
    }
}

impl Memory {
    /// The minutes that it may be, once it has begun.
    fn begun(&mut self, span: Option<Span>) -> Option<Span> {
        let span = span?;
        if !self.has_begun {
            self.place.begin(span);
            self.has_begun = true;
        }
        Some(span)
    }

    /// The share of a limit, which takes over from its window.
    fn share(&mut self, limit: usize, span: Span) -> &mut Share {
        let window = self.windows.entry(limit).or_default();
        let share = self.shares.entry(limit).or_default();
        if !window.is_sealed() {
            share.carry(span, mem::replace(window, RateWindow::SEALED));
        }
        share
    }

    fn take(&mut self, limit: usize, amount: u64, span: Span, clock: Clock) -> Requested {
        self.share(limit, span);
        let terms = Terms::new(&self.place, span, LIMITS[limit]);
        let (Some(terms), Some(share)) = (terms, self.shares.get_mut(&limit)) else {
            return Requested::Refused(None);
        };
        match share.take(&terms, amount) {
            Ok(Taken { span, .. }) => Requested::Shared { span },
            Err(_) => Requested::Refused(share.ask(&terms, clock, amount).map(|ask| match ask {
                Ask::Share(need) => ToDesk::Need { limit, need },
                Ask::Draw(draw) => ToDesk::Draw { limit, draw },
            })),
        }
    }
}
