//! How things break in the money world, and how all is made well again.

use super::World;
use super::data_plane::Crash;
use super::message::Event;
use super::plan::{Fault, HEALED};
use crate::network::Node;
use crate::schedule::{MILLISECOND, Time};
use std::io;

impl World {
    pub(super) fn fault(&mut self, number: usize) -> io::Result<()> {
        let Some(fault) = self.faults.get(&number).copied() else { return Ok(()) };
        let common = &mut self.common;
        let now = common.now();
        common.tell(|| format!("fault {number}: {fault:?}"));
        match fault {
            Fault::Weather(weather, long) => common.network.turn(weather, now + long),
            Fault::Cut(node, other, long) => common.network.cut(node, other, now + long),
            Fault::Pause(node, long) => common.network.machine(node).paused_until = now + long,
            Fault::Kill(node, long) => return self.end(node, Crash::Kill, long),
            // It waits for something to cut.
            Fault::PowerCut(of, _) if !self.data_planes[of].has_unsynced() => {
                if now + 20 * MILLISECOND < HEALED {
                    common.schedule.after(20 * MILLISECOND, Event::Fault(number));
                }
            }
            Fault::PowerCut(number, long) => {
                return self.end(Node::DataPlane(number), Crash::PowerCut, long);
            }
            Fault::DiskLost(number, long) => {
                return self.end(Node::DataPlane(number), Crash::DiskLost, long);
            }
            Fault::CommitsLost(count) => {
                if self.database.lose_commits(count) {
                    common.seen.note("commits lost");
                }
            }
            Fault::OutcomesUnknown(long) => self.database.unsure_until = now + long,
            Fault::DatabaseDown(long) => self.database.down_until = now + long,
            Fault::ClockJump(node, by) => {
                common.seen.note("clock jump");
                common.network.machine(node).skew += by;
            }
            Fault::TopicForgets(count) => {
                if self.topic.forget(count) {
                    common.seen.note("topic forgot");
                }
            }
        }
        Ok(())
    }

    /// A process ends, and is started again after a while.
    fn end(&mut self, node: Node, how: Crash, after: Time) -> io::Result<()> {
        let machine = self.common.network.machine(node);
        if !machine.is_up {
            return Ok(());
        }
        machine.is_up = false;
        machine.life += 1;
        machine.paused_until = 0;
        self.common.schedule.after(after, Event::Restart(node));
        match node {
            Node::DataPlane(number) => self.data_planes[number].crash(how, &mut self.common)?,
            _ => self.common.seen.note("kill"),
        }
        Ok(())
    }

    pub(super) fn boot(&mut self, node: Node) {
        let machine = self.common.network.machine(node);
        if machine.is_up && machine.life > 0 {
            return;
        }
        machine.is_up = true;
        machine.life += 1;
        match node {
            Node::DataPlane(number) => self.data_planes[number].boot(&mut self.common),
            Node::Office(number) => self.offices[number].boot(&mut self.common),
            Node::Consumer(number) => self.consumers[number].boot(&mut self.common),
            Node::Topic | Node::Database => {}
        }
    }

    /// All faults end.
    pub(super) fn heal(&mut self) {
        self.common.heal();
        self.database.down_until = 0;
        self.database.unsure_until = 0;
        self.processes().into_iter().for_each(|node| self.boot(node));
    }

    /// Data planes come together at one control plane: only there is idle money found.
    pub(super) fn meet(&mut self) {
        for data_plane in &mut self.data_planes {
            if let Some(running) = data_plane.running() {
                running.connect(0, &mut self.common);
            }
        }
    }
}
