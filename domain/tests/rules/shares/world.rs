//! Three data planes, one control plane, clocks that differ, and a network that does to messages what networks do. What is
//! admitted is written down by the control plane's clock, which nobody in it sees.

use super::office::{Life, Office, Transaction};
use super::plane::{Plane, Requested, ToDesk, ToPlane};
use super::step::{DATA_PLANES, LIMITS, Step};
use domain::time::{MINUTE_US, Timestamp};
use std::collections::BTreeMap;

/// Some minute of 2026.
const START: u64 = 29_700_000 * MINUTE_US;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Message {
    ToDesk(Life, ToDesk),
    ToPlane(Life, ToPlane),
}

/// How wrong the clock of one data plane is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WrongClock {
    pub(crate) rate_ppm: i64,
    pub(crate) ahead_us: u64,
}

/// What happened to requests.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Requests {
    pub(crate) alone: u64,
    pub(crate) shared: u64,
    pub(crate) at_boundaries: u64,
    pub(crate) after_a_restart: u64,
    pub(crate) refused: u64,
}

pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) planes: Vec<Plane>,
    pub(crate) office: Office,
    pub(crate) requests: Requests,
    /// Who cannot reach the control plane.
    pub(crate) is_cut_off: [bool; DATA_PLANES],
    network: Vec<Message>,
    lives: Life,
    /// By limit and minute.
    admitted: BTreeMap<(usize, u64), Admitted>,
}

/// What was let through in a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Admitted {
    pub(crate) requests: u64,
    pub(crate) amount: u64,
}

impl Admitted {
    fn one_more(&mut self, amount: u64) {
        self.requests += 1;
        self.amount += amount;
    }

    /// A request that is larger than the limit may have a minute for itself.
    fn is_within(self, limit: u64) -> bool {
        self.amount <= limit || self.requests == 1
    }
}

impl World {
    pub(crate) fn new(stands_for: u64, drift_ppm: u64, clocks: &[WrongClock]) -> Self {
        let planes: Vec<Plane> = clocks
            .iter()
            .zip(1..)
            .map(|(clock, life)| Plane::new(life, drift_ppm, clock.rate_ppm, clock.ahead_us))
            .collect();
        Self {
            now: Timestamp(START + 10_000_000),
            lives: u32::try_from(planes.len()).expect("a few"),
            planes,
            office: Office::new(stands_for),
            requests: Requests::default(),
            is_cut_off: [false; DATA_PLANES],
            network: Vec::new(),
            admitted: BTreeMap::new(),
        }
    }

    /// Steps of data planes that are not there happen to others.
    pub(crate) fn take(&mut self, step: &Step) {
        let planes = self.planes.len();
        let any = |data_plane: usize| data_plane % planes;
        match *step {
            Step::Pass(us) => self.now.0 += us,
            Step::PassToBoundary(beyond) => {
                let boundary = self.now.next_minute().0.saturating_add_signed(beyond);
                self.now.0 = self.now.0.max(boundary);
            }
            Step::Request { data_plane, limit, times, amount } => {
                self.request(any(data_plane), limit, times, amount);
            }
            Step::GiveBack { data_plane, limit, less } => {
                self.give_back(any(data_plane), limit, less);
            }
            Step::Talk { data_plane } => self.talk(any(data_plane)),
            Step::Settle { is_heard, slow_us } => self.settle(is_heard, slow_us),
            Step::Deliver { message, slow_us } => self.deliver(message, true, slow_us),
            Step::Repeat { message, slow_us } => self.deliver(message, false, slow_us),
            Step::Lose(message) => drop(self.pick(message, true)),
            Step::Rush => self.rush(),
            Step::Calm => self.calm(),
            Step::Sync { data_plane } => self.planes[any(data_plane)].sync(),
            Step::Stop { data_plane } => self.planes[any(data_plane)].memory = None,
            Step::Restart { data_plane } => self.restart(any(data_plane)),
            Step::LoseDisk { data_plane } => self.begin_life(any(data_plane)),
            Step::Leave { data_plane } => self.leave(any(data_plane)),
        }
    }

    fn settle(&mut self, is_heard: [bool; DATA_PLANES], slow_us: u64) {
        let running = self.planes.iter().zip(is_heard);
        let heard = running.filter(|(plane, is_heard)| *is_heard && plane.memory.is_some());
        let heard = heard.map(|(plane, _)| plane.life).collect();
        self.office.settle(self.transaction(slow_us), heard);
    }

    /// Everybody talks, twice, so that what is told is agreed to.
    pub(crate) fn calm(&mut self) {
        for _ in 0..2 {
            (0..self.planes.len()).for_each(|data_plane| self.talk(data_plane));
            self.rush();
            self.settle(self.is_cut_off.map(|is_cut_off| !is_cut_off), 0);
        }
    }

    /// Ends the life of a data plane in order, and begins another.
    pub(crate) fn leave(&mut self, data_plane: usize) {
        let plane = &mut self.planes[data_plane];
        let was_alone = plane.is_alone();
        let (life, word) = (plane.life, plane.leave(self.now));
        self.begin_minute_anew(was_alone);
        self.network.extend(word.map(|word| Message::ToDesk(life, word)));
        self.begin_life(data_plane);
    }

    /// Who knows that nobody hears it says nothing, and declares nothing.
    pub(crate) fn talk(&mut self, data_plane: usize) {
        if self.is_cut_off[data_plane] {
            return;
        }
        if self.planes[data_plane].is_over(self.now) {
            self.begin_life(data_plane);
        }
        let plane = &mut self.planes[data_plane];
        let words = plane.talk(self.now);
        let life = plane.life;
        self.network.extend(words.into_iter().map(|word| Message::ToDesk(life, word)));
    }

    fn restart(&mut self, data_plane: usize) {
        let was_alone = self.planes[data_plane].is_alone();
        self.planes[data_plane].start();
        self.begin_minute_anew(was_alone || self.planes[data_plane].is_alone());
    }

    fn begin_life(&mut self, data_plane: usize) {
        self.begin_minute_anew(self.planes[data_plane].is_alone());
        self.lives += 1;
        self.planes[data_plane].begin_life(self.lives);
    }

    /// Who is alone forgets with a restart what it has used.
    fn begin_minute_anew(&mut self, is_alone: bool) {
        let minute = self.now.minute();
        self.admitted.retain(|(_, admitted_in), _| !is_alone || *admitted_in + 1 < minute);
    }

    /// Until one is refused. Returns how many were not.
    pub(crate) fn request(
        &mut self,
        data_plane: usize,
        limit: usize,
        times: u64,
        amount: u64,
    ) -> u64 {
        let (now, minute) = (self.now, self.now.minute());
        let plane = &mut self.planes[data_plane];
        let life = plane.life;
        for admitted in 0..times {
            match plane.request(limit, amount, now) {
                Requested::Alone { minute: counted_in } => {
                    self.requests.alone += 1;
                    // Its minutes are its own: around a boundary they may be a little off.
                    if counted_in == minute {
                        self.admitted.entry((limit, minute)).or_default().one_more(amount);
                    }
                }
                Requested::Shared { span } => {
                    self.requests.shared += 1;
                    self.requests.at_boundaries += u64::from(span.from != span.to);
                    self.requests.after_a_restart += u64::from(plane.boot > 1);
                    self.admitted.entry((limit, minute)).or_default().one_more(amount);
                    plane.took(limit, span, amount, minute);
                }
                Requested::Refused(word) => {
                    self.requests.refused += 1;
                    self.network.extend(word.map(|word| Message::ToDesk(life, word)));
                    return admitted;
                }
            }
        }
        times
    }

    fn give_back(&mut self, data_plane: usize, limit: usize, less: u64) {
        if let Some((less, minute)) = self.planes[data_plane].give_back(limit, less, self.now)
            && let Some(admitted) = self.admitted.get_mut(&(limit, minute))
        {
            admitted.amount -= less;
        }
    }

    fn transaction(&self, slow_us: u64) -> Transaction {
        Transaction { begun: Timestamp(self.now.0 - slow_us), now: self.now }
    }

    fn pick(&mut self, index: usize, once: bool) -> Option<Message> {
        let index = index.checked_rem(self.network.len())?;
        Some(if once { self.network.remove(index) } else { self.network[index] })
    }

    fn deliver(&mut self, index: usize, once: bool, slow_us: u64) {
        match self.pick(index, once) {
            None => {}
            Some(Message::ToDesk(who, _) | Message::ToPlane(who, _)) if self.is_cut_off(who) => {}
            Some(Message::ToDesk(who, word)) => {
                let words = self.office.hear(who, word, self.transaction(slow_us));
                let words = words.into_iter().map(|(who, word)| Message::ToPlane(who, word));
                self.network.extend(words);
            }
            Some(Message::ToPlane(who, word)) => {
                let plane = self.planes.iter_mut().find(|plane| plane.life == who);
                let answer = plane.and_then(|plane| plane.hear(word, self.now));
                self.network.extend(answer.map(|word| Message::ToDesk(who, word)));
            }
        }
    }

    fn is_cut_off(&self, who: Life) -> bool {
        let mut planes = self.planes.iter().zip(self.is_cut_off);
        planes.any(|(plane, is_cut_off)| plane.life == who && is_cut_off)
    }

    /// Delivers what is under way, in order, and what answers it.
    pub(crate) fn rush(&mut self) {
        while !self.network.is_empty() {
            self.deliver(0, true, 0);
        }
    }

    /// How much of a limit was let through in a minute.
    pub(crate) fn admitted_in(&self, limit: usize, minute: u64) -> Admitted {
        self.admitted.get(&(limit, minute)).copied().unwrap_or_default()
    }

    /// R1 and R2: neither what all may still use in this minute nor what they have used exceeds a limit. And each knows
    /// which minute it is.
    pub(crate) fn check(&self) -> Result<(), String> {
        let now = self.now.minute();
        for (limit, most) in LIMITS.into_iter().enumerate() {
            for minute in now - 1..=now + 1 {
                let admitted = self.admitted_in(limit, minute);
                if !admitted.is_within(most) {
                    return Err(format!("{admitted:?} of {most} in minute {minute}"));
                }
            }
            let caps = self.planes.iter().map(|plane| plane.cap(limit, now, self.now));
            let caps: Vec<u64> = caps.collect();
            if caps.iter().sum::<u64>() > most {
                return Err(format!("{caps:?} of {most} may be used in minute {now}"));
            }
        }
        let spans: Vec<_> = self.planes.iter().map(|plane| plane.span(self.now)).collect();
        let is_right = spans.iter().flatten().all(|span| span.minutes().contains(&now));
        if is_right { Ok(()) } else { Err(format!("{spans:?} in minute {now}")) }
    }
}
