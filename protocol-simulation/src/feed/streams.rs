//! Connections of the feed: messages arrive in order and once, or the connection breaks. A data plane comes back by itself,
//! to the next replica, and says what it has.

use super::data_plane::State;
use super::{Event, World};
use crate::invariant::Invariant::{C5, C6};
use crate::mutant::Mutant;
use crate::network::Node;
use crate::schedule::{MILLISECOND, SECOND, Time};
use domain::snapshot::{Change, Delta};
use links::feed::FeedUpdate;
use links::feed::simulated::{Cursor, Reception};

/// Messages under way at once; a data plane that takes none is sent none.
const WINDOW: usize = 2;

pub(super) struct Stream {
    id: u64,
    office: usize,
    cursor: Cursor,
    under_way: usize,
    /// When its last message arrives.
    last: Time,
    /// A message was lost: nothing comes after it, though nobody has noticed yet.
    is_cut: bool,
}

impl World {
    pub(super) fn connect(&mut self, number: usize) {
        let now = self.schedule.now();
        self.opened += 1;
        let office = (number + usize::try_from(self.opened).unwrap_or(0)) % self.offices.len();
        let (node, peer) = (Node::DataPlane(number), Node::Office(office));
        let is_there = self.network.machine(peer).is_up && !self.network.is_cut(node, peer, now);
        if !is_there {
            return self.connect_later(number);
        }
        let forgets = self.is(Mutant::OlderOverNewer);
        let data_plane = &mut self.data_planes[number];
        data_plane.reception.start_over();
        if forgets {
            data_plane.reception = Reception::new(None);
        }
        let applied = data_plane.shown().filter(|_| !data_plane.wants_all && !forgets);
        if applied > Some(self.offices[office].at) {
            self.seen.note("ahead of a replica");
        }
        let cursor =
            Cursor::begin(&self.offices[office].publisher, &format!("dp-{number}"), applied);
        let id = self.opened;
        self.streams
            .insert(number, Stream { id, office, cursor, under_way: 0, last: now, is_cut: false });
        self.pump(number);
    }

    pub(super) fn connect_later(&mut self, number: usize) {
        let delay = self.chance.between(20 * MILLISECOND, 300 * MILLISECOND);
        let life = self.network.machine(Node::DataPlane(number)).life;
        self.schedule.after(delay, Event::Connect { data_plane: number, life });
    }

    pub(super) fn pump_all(&mut self, office: usize) {
        for number in self.followers(office) {
            self.pump(number);
        }
    }

    fn followers(&self, office: usize) -> Vec<usize> {
        let own = self.streams.iter().filter(|(_, stream)| stream.office == office);
        own.map(|(number, _)| *number).collect()
    }

    /// Sends what there is, as far as it is taken.
    fn pump(&mut self, number: usize) {
        while let Some(stream) = self.streams.get_mut(&number)
            && stream.under_way < WINDOW
            && !stream.is_cut
            && let Some(message) = stream.cursor.next_message()
        {
            self.send(number, message);
        }
    }

    pub(super) fn beat(&mut self, office: usize) {
        for number in self.followers(office) {
            let heartbeat = self.streams.get(&number).and_then(|stream| stream.cursor.heartbeat());
            if let Some(message) = heartbeat {
                self.send(number, message);
            }
        }
    }

    /// A message that is lost is the end of its connection.
    fn send(&mut self, number: usize, message: Vec<u8>) {
        let now = self.schedule.now();
        let Some(stream) = self.streams.get_mut(&number).filter(|stream| !stream.is_cut) else {
            return;
        };
        let (from, to) = (Node::Office(stream.office), Node::DataPlane(number));
        let (data_plane, id) = (number, stream.id);
        match self.network.carry(from, to, now, &mut self.seen).first() {
            Some(delay) => {
                stream.last = stream.last.max(now + delay);
                stream.under_way += 1;
                let event = Event::Frame { data_plane, stream: id, message };
                self.schedule.at(stream.last, event);
            }
            None => {
                stream.is_cut = true;
                self.schedule.after(500 * MILLISECOND, Event::Broken { data_plane, stream: id });
            }
        }
    }

    pub(super) fn break_all(&mut self, office: usize) {
        for data_plane in self.followers(office) {
            if let Some(stream) = self.streams.get(&data_plane) {
                let stream = stream.id;
                self.schedule.after(MILLISECOND, Event::Broken { data_plane, stream });
            }
        }
    }

    /// A data plane notices that a connection is gone. Nothing else changes by that.
    pub(super) fn broken(&mut self, number: usize, id: u64) {
        if self.streams.get(&number).is_none_or(|stream| stream.id != id) {
            return;
        }
        self.streams.remove(&number);
        self.seen.note("connection broken");
        let before = self.data_planes[number].state.objects();
        if self.is(Mutant::AbsenceDeletes) {
            self.data_planes[number].state = State::default();
        }
        let is_same = before == self.data_planes[number].state.objects();
        self.claim(C5, is_same, || format!("data plane {number} has lost what it held"));
        self.connect_later(number);
    }

    pub(super) fn receive(&mut self, number: usize, id: u64, message: &[u8]) {
        let Some(stream) = self.streams.get_mut(&number).filter(|stream| stream.id == id) else {
            return;
        };
        stream.under_way = stream.under_way.saturating_sub(1);
        match self.data_planes[number].reception.take(message) {
            Ok(Some(update)) => self.take(number, update),
            Ok(None) => self.compare(number, id),
            Err(error) => {
                self.seen.note("message refused");
                self.tell(|| error);
                self.broken(number, id);
            }
        }
        self.pump(number);
    }

    fn take(&mut self, number: usize, update: FeedUpdate) {
        let before = self.data_planes[number].shown();
        let update = self.bent(number, update);
        self.data_planes[number].apply(update, &mut self.seen);
        let applied = self.data_planes[number].shown();
        self.tell(|| format!("data plane {number} has {applied:?}"));
        self.check_applied(number, before);
    }

    /// What a mutant makes of an update.
    fn bent(&mut self, number: usize, update: FeedUpdate) -> FeedUpdate {
        match update {
            FeedUpdate::Snapshot { at, changes } if self.is(Mutant::SnapshotMerged) => {
                let held = self.data_planes[number].state.objects();
                FeedUpdate::Snapshot { at, changes: held.into_values().chain(changes).collect() }
            }
            FeedUpdate::Delta(delta) if self.is(Mutant::ShownPieceByPiece) => {
                self.show_backwards(number, &delta);
                FeedUpdate::Delta(delta)
            }
            FeedUpdate::Delta(delta) if self.is(Mutant::RevocationIgnored) => {
                let is_revocation =
                    |change: &Change| matches!(change, Change::Key(key) if key.disabled);
                let changes = delta.changes.into_iter().filter(|change| !is_revocation(change));
                FeedUpdate::Delta(Delta { changes: changes.collect(), ..delta })
            }
            update => update,
        }
    }

    fn show_backwards(&mut self, number: usize, delta: &Delta) {
        let mut state = self.data_planes[number].state.clone();
        for change in delta.changes.iter().rev() {
            let keys = state.snapshot.extend(vec![change.clone()]);
            state.change_keys(keys);
            self.check_whole(&state);
        }
    }

    /// Takes a heartbeat at its word: whoever holds something else at the same revision begins anew.
    fn compare(&mut self, number: usize, id: u64) {
        let data_plane = &mut self.data_planes[number];
        let Some(heartbeat) = data_plane.reception.take_heartbeat() else { return };
        let differences = data_plane.differences(&heartbeat);
        let now = self.schedule.now();
        let is_mending = data_plane.mended.is_some_and(|mended| now < mended + SECOND);
        if differences.is_empty() || is_mending || self.is(Mutant::NoDigest) {
            return;
        }
        self.seen.note("digest differed");
        let data_plane = &mut self.data_planes[number];
        let is_corrupt = data_plane.is_corrupt;
        data_plane.mended = Some(now);
        data_plane.wants_all = true;
        data_plane.reception.forget();
        self.claim(C6, is_corrupt, || format!("at {:?}: {differences:?}", heartbeat.head));
        self.broken(number, id);
    }
}
