//! Room for folded keys. It grows by blocks that never move: neither is anything copied, nor room for many kept for few.

use super::Folded;
use std::ops::Range;

/// Where on its shelf a key is, as long as it is there.
pub(in crate::keys) type Slot = u32;

/// Keys of a block: some twenty kilobytes.
const BLOCK: usize = 512;

#[derive(Default)]
pub(super) struct Slots {
    /// All but the last are full.
    blocks: Vec<Vec<Folded>>,
}

impl Slots {
    /// One more, at the end.
    pub(super) fn add(&mut self) -> Slot {
        if self.blocks.last().is_none_or(|last| last.len() == BLOCK) {
            // Few keys are on a shelf of their own, and there are hundreds of shelves.
            let room = if self.blocks.is_empty() { 0 } else { BLOCK };
            self.blocks.push(Vec::with_capacity(room));
        }
        let full = self.blocks.len().saturating_sub(1) * BLOCK;
        let Some(last) = self.blocks.last_mut() else { return Slot::MAX };
        last.push(Folded::default());
        Slot::try_from(full + last.len() - 1).unwrap_or(Slot::MAX)
    }

    /// All of one block; `None` where there is none.
    pub(super) fn of_block(&self, block: usize) -> Option<Range<Slot>> {
        let first = Slot::try_from(block * BLOCK).ok()?;
        let count = Slot::try_from(self.blocks.get(block)?.len()).ok()?;
        Some(first..first + count)
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Folded> {
        let (block, at) = place(slot);
        self.blocks.get(block)?.get(at)
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Folded> {
        let (block, at) = place(slot);
        self.blocks.get_mut(block)?.get_mut(at)
    }
}

fn place(slot: Slot) -> (usize, usize) {
    let slot = usize::try_from(slot).unwrap_or(usize::MAX);
    (slot / BLOCK, slot % BLOCK)
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, Folded, Slot, Slots};

    #[test]
    fn what_is_in_one_block_is_not_in_another() {
        let mut slots = Slots::default();
        let all = Slot::try_from(3 * BLOCK + 1).unwrap();
        for number in 0..all {
            assert_eq!(slots.add(), number);
            *slots.get_mut(number).unwrap() = Folded { uid: number.into(), ..Folded::default() };
        }
        assert!((0..all).all(|number| slots.get(number).unwrap().uid == u64::from(number)));
        let of_all: Vec<Slot> = (0..).map_while(|block| slots.of_block(block)).flatten().collect();
        assert_eq!(of_all, Vec::from_iter(0..all));
        assert!(slots.get(all).is_none() && slots.get_mut(Slot::MAX).is_none());
    }
}
