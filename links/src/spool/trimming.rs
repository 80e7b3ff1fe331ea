//! Which segments nobody needs any more: the billed marks tell.

use super::log::Log;
use domain::id::Partition;
use std::path::PathBuf;

impl Log {
    /// Takes in the billed marks, and takes out the segments that nobody needs.
    pub(super) fn trim(&mut self, marks: &[(Partition, u64)]) -> Vec<PathBuf> {
        for (partition, billed) in marks {
            let given_out = self.books.next().get(*partition).unwrap_or(0);
            self.billed.raise(*partition, given_out.min(*billed));
        }
        self.ages.forget(&self.billed);
        let mut removed = Vec::new();
        while let Some(at) = self.trimmable() {
            if let Some(segment) = self.segments.remove(at) {
                self.bytes = self.bytes.saturating_sub(segment.length);
                removed.push(segment.path);
            }
        }
        removed
    }

    /// The oldest segment, if it is billed, no open request began in it, and the next one stands for it. Segments of
    /// earlier incarnations, found damaged, wait for an operator.
    fn trimmable(&self) -> Option<usize> {
        let at = self.segments.iter().position(|of| of.incarnation == self.incarnation)?;
        let segment = self.segments.get(at)?;
        let successor = self.segments.get(at.saturating_add(1))?;
        let is_free = segment.pins == 0
            && self.billed.covers(&segment.next_at_end)
            && successor.synced >= successor.first;
        is_free.then_some(at)
    }
}
