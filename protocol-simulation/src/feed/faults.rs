//! How things break in the feed world, and how processes start again.

use super::plan::Fault;
use super::{BEAT, Event, FOLLOW, Office, SAVE, World};
use crate::mutant::Mutant;
use crate::network::{Node, Weather};
use crate::schedule::Time;

impl World {
    pub(super) fn fault(&mut self, number: usize) {
        let Some(fault) = self.faults.get(&number).copied() else { return };
        let now = self.schedule.now();
        self.tell(|| format!("{fault:?}"));
        match fault {
            Fault::Loss(long) => self.network.turn(Weather::Loss, now + long),
            Fault::Cut(node, other, long) => self.network.cut(node, other, now + long),
            Fault::Pause(node, long) => self.network.machine(node).paused_until = now + long,
            Fault::Kill(node, long) => self.end(node, long, false),
            Fault::DiskLost(of, long) => self.end(Node::DataPlane(of), long, true),
            Fault::Corrupted(of) => {
                if self.network.machine(Node::DataPlane(of)).is_up && self.data_planes[of].corrupt()
                {
                    self.seen.note("corrupted");
                }
            }
            Fault::CommitsLost(count) => {
                if self.log.lose(count, self.mutant == Some(Mutant::GenerationKept)) {
                    self.seen.note("commits lost");
                }
            }
        }
    }

    fn end(&mut self, node: Node, after: Time, is_disk_lost: bool) {
        let machine = self.network.machine(node);
        if !machine.is_up {
            return;
        }
        machine.is_up = false;
        machine.life += 1;
        machine.paused_until = 0;
        self.schedule.after(after, Event::Restart(node));
        self.seen.note(if is_disk_lost { "disk lost" } else { "kill" });
        match node {
            Node::DataPlane(number) => {
                self.streams.remove(&number);
                self.data_planes[number].restart(is_disk_lost);
            }
            Node::Office(number) => self.break_all(number),
            Node::Consumer(_) | Node::Topic | Node::Database => {}
        }
    }

    pub(super) fn boot(&mut self, node: Node) {
        let machine = self.network.machine(node);
        if machine.is_up && machine.life > 0 {
            return;
        }
        machine.is_up = true;
        machine.life += 1;
        let life = machine.life;
        match node {
            Node::DataPlane(data_plane) => {
                self.schedule.after(SAVE, Event::Save { data_plane, life });
                self.connect_later(data_plane);
            }
            Node::Office(office) => {
                self.offices[office] = Office::new(&self.log);
                self.schedule.after(FOLLOW, Event::Follow { office, life });
                self.schedule.after(BEAT, Event::Beat { office, life });
            }
            Node::Consumer(_) | Node::Topic | Node::Database => {}
        }
    }
}
