//! How things break in the world of rates, and what must hold all the same.

use super::plan::{Fault, LIMITS};
use super::{Event, World};
use crate::invariant::Invariant::{R1, R2};
use crate::network::Node;
use crate::schedule::Time;

impl World {
    pub(super) fn fault(&mut self, number: usize) {
        let Some(fault) = self.faults.get(&number).copied() else { return };
        let now = self.schedule.now();
        self.tell(|| format!("{fault:?}"));
        match fault {
            Fault::Weather(weather, long) => self.network.turn(weather, now + long),
            Fault::Cut(of, long) => self.network.cut(Node::DataPlane(of), None, now + long),
            Fault::Pause(of, long) => {
                self.network.machine(Node::DataPlane(of)).paused_until = now + long;
            }
            Fault::DeskPaused(long) => {
                self.network.machine(Node::Office(0)).paused_until = now + long;
            }
            Fault::Kill(of, long) => self.end(of, long, "kill"),
            Fault::DiskLost(of, long) => {
                self.begin_life(of);
                self.end(of, long, "disk lost");
            }
            Fault::Leaves(of) => self.leave(of),
        }
    }

    fn end(&mut self, number: usize, after: Time, what: &'static str) {
        if self.planes[number].memory.is_some() {
            self.seen.note(what);
            let was_alone = self.planes[number].is_alone();
            self.forget_if(was_alone);
            self.planes[number].memory = None;
            self.schedule.after(after, Event::Restart(number));
        }
    }

    fn leave(&mut self, number: usize) {
        let was_alone = self.planes[number].is_alone();
        self.forget_if(was_alone);
        let now = self.now();
        let word = self.planes[number].leave(now);
        if word.is_some() {
            self.seen.note("left in order");
        }
        self.send_up(number, word);
        self.begin_life(number);
    }

    pub(super) fn check(&mut self) {
        let (at, now) = (self.now(), self.now().minute());
        for (limit, most) in LIMITS.into_iter().enumerate() {
            for minute in [now - 1, now, now + 1] {
                let admitted = self.admitted.get(&(limit, minute)).copied().unwrap_or(0);
                self.claim(R2, admitted <= most, || format!("{admitted} of {most} in {minute}"));
            }
            let caps: Vec<u64> =
                self.planes.iter().map(|plane| plane.cap(limit, now, at)).collect();
            let all: u64 = caps.iter().sum();
            self.claim(R1, all <= most, || format!("{caps:?} of {most} in {now}"));
        }
        let spans: Vec<_> = self.planes.iter().filter_map(|plane| plane.span(at)).collect();
        let is_right = spans.iter().all(|span| span.minutes().contains(&now));
        self.claim(R2, is_right, || format!("{spans:?} in {now}"));
    }
}
