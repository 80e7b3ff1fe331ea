//! A data plane's place among those of its cell: its seat, the one that comes next, how long they stand, and in which minutes
//! it draws. What it has of a single limit is `share`'s business.
//!
//! Who calls this keeps `Placed` on disk, synced before anything that was answered is sent: an acknowledgement, a departure.

use crate::limits::minute::Span;
use crate::limits::seat::Seat;

/// What the control plane says of a data plane's place. Always the whole of it: the latest turn replaces all before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// Orders what is said. Only grows.
    pub turn: u64,
    /// The seat.
    pub seat: Seat,
    /// The one that follows it.
    pub coming: Option<Coming>,
    /// No other data plane belongs to the cell.
    pub is_alone: bool,
    /// The last minute in which this stands without another word. Merged by maximum.
    pub stands_through: u64,
}

/// A seat of the next edition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coming {
    /// The seat.
    pub seat: Seat,
    /// The first minute that it is for.
    pub from: u64,
    /// All have agreed: it counts. Else, from that minute on, the smaller of the two does.
    pub is_certain: bool,
}

/// A data plane has agreed to an edition: from its first minute on it keeps within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// Which.
    pub edition: u64,
}

/// A data plane draws what it uses in a minute of drawn limits, and leaves its parts of them to all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// The minute.
    pub minute: u64,
    /// The edition of it that the data plane knows of: which limits are drawn depends on it.
    pub edition: u64,
}

/// What became of a word about one's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned {
    /// It is old.
    Old,
    /// It came too late: what stood has ended for good. A new life begins with a place of its own.
    Over,
    /// It counts.
    Placed {
        /// To be answered, once it is on disk.
        acknowledge: Option<Acknowledged>,
    },
}

/// A data plane's place.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place {
    placed: Placed,
    declared: [Declared; 2],
    /// What was used in minutes up to this one, nobody remembers.
    blind_through: u64,
    /// In minutes up to this one it may have said that it would draw.
    bare_through: u64,
    /// What was used in minutes up to this one was counted by another clock, while it was alone.
    unsure_through: u64,
    /// It was alone before the restart, too.
    was_alone: bool,
    era: u64,
}

impl Place {
    /// The place of a life that goes on after a restart. It has nothing before it knows the time and `begin`s.
    #[must_use]
    pub fn restored(placed: Placed) -> Self {
        let unknown = u64::MAX;
        let was_alone = placed.is_alone && placed.seat.is_whole();
        Self { placed, blind_through: unknown, bare_through: unknown, was_alone, ..Self::default() }
    }

    /// What is to be kept.
    #[must_use]
    pub const fn placed(&self) -> &Placed {
        &self.placed
    }

    /// Begins anew where what was counted is lost: after a restart, and when the control plane's clock was set. The minutes
    /// that it may be are taken as used up, and as declared, the one after them, too.
    pub fn begin(&mut self, span: Span) {
        *self = Self {
            placed: self.placed,
            blind_through: span.to,
            bare_through: span.to.saturating_add(1),
            was_alone: self.was_alone,
            era: span.era,
            ..Self::default()
        };
    }

    /// Learns what the control plane says. What has lapsed stays lapsed: the control plane may have given it to others.
    pub fn learn(&mut self, word: &Placed, span: Span) -> Learned {
        if span.era != self.era {
            return Learned::Old;
        }
        let stands_through = self.placed.stands_through;
        if self.placed.turn > 0 && span.to > stands_through {
            return Learned::Over;
        }
        let stands_through = stands_through.max(word.stands_through);
        self.placed.stands_through = stands_through;
        if word.turn < self.placed.turn {
            return Learned::Old;
        }
        if self.placed.is_alone && !word.is_alone {
            self.unsure_through = span.to;
            self.was_alone = false;
        }
        self.placed = Placed { stands_through, ..*word };
        let coming = word.coming.filter(|coming| !coming.is_certain && span.to < coming.from);
        let acknowledge = coming.map(|coming| Acknowledged { edition: coming.seat.edition });
        Learned::Placed { acknowledge }
    }

    /// Gives everything up, and returns the last minute in which any of it was used. To be synced before it is told. The
    /// life is over: nothing that is said later counts for it.
    pub fn leave(&mut self, span: Span) -> u64 {
        let turn = self.placed.turn.max(1);
        *self =
            Self { placed: Placed { turn, ..Placed::default() }, era: self.era, ..Self::default() };
        span.to
    }

    /// Says that it will draw in the next minute: once for all limits. To be told; whether it arrives changes nothing here.
    /// Who has not heard from the control plane just now had better not. Nothing is said around a boundary: a restart counts
    /// on it that no later minute can have been declared.
    pub fn declare(&mut self, span: Span) -> Option<Declared> {
        let minute = span.to.saturating_add(1);
        let declared = Declared { minute, edition: self.seat_in(minute).edition };
        (span.era == self.era && span.from == span.to).then(|| {
            *slot_mut(&mut self.declared, minute) = declared;
            declared
        })
    }

    /// Whether it has the whole of every limit and shares it with nobody: then windows of its own will do. For who was alone
    /// before a restart they begin anew with it: nobody could be wronged.
    #[must_use]
    pub fn is_alone(&self, span: Span) -> bool {
        let Placed { seat, is_alone, stands_through, .. } = self.placed;
        let is_whole = is_alone && seat.is_whole() && span.to <= stands_through;
        is_whole && (self.was_alone || self.remembers(span.from))
    }

    pub(super) const fn era(&self) -> u64 {
        self.era
    }

    /// The seat that counts in a minute.
    pub(super) fn seat_in(&self, minute: u64) -> Seat {
        match self.placed.coming {
            Some(coming) if coming.is_certain && minute >= coming.from => coming.seat,
            Some(_) | None => self.placed.seat,
        }
    }

    /// What an edition that may have come into force allows of a limit in a minute. Who has restarted may have known that it
    /// did, and have declared to draw by it.
    pub(super) fn bound(&self, limit: u64, minute: u64) -> u64 {
        match self.placed.coming {
            Some(Coming { seat, from, is_certain: false }) if minute >= from => {
                let is_bare = minute <= self.bare_through && seat.is_drawn(limit);
                if is_bare { 0 } else { seat.part(limit) }
            }
            Some(_) | None => u64::MAX,
        }
    }

    pub(super) const fn stands_in(&self, minute: u64) -> bool {
        minute <= self.placed.stands_through
    }

    /// Whether what was used in a minute is known.
    pub(super) const fn remembers(&self, minute: u64) -> bool {
        minute > self.blind_through
    }

    /// Whether what was used in a minute is known and counted as a share.
    pub(super) const fn is_sure_of(&self, minute: u64) -> bool {
        self.remembers(minute) && minute > self.unsure_through
    }

    /// Whether its part of a drawn limit is its own in a minute. Not if it can have said otherwise.
    pub(super) fn falls_back_in(&self, minute: u64) -> bool {
        let declared = *slot(&self.declared, minute);
        let is_other = declared.minute < minute || declared.edition != self.seat_in(minute).edition;
        minute > self.bare_through && declared.minute <= minute && is_other
    }
}

/// Of two neighbouring minutes, each has a slot of its own.
pub(super) const fn slot<T>([even, odd]: &[T; 2], minute: u64) -> &T {
    if minute & 1 == 0 { even } else { odd }
}

/// The same, to be changed.
pub(super) const fn slot_mut<T>([even, odd]: &mut [T; 2], minute: u64) -> &mut T {
    if minute & 1 == 0 { even } else { odd }
}
