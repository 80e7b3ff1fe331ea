//! How old the control plane's last word is.
//!
//! Within one boot of the machine it is measured by a clock that nobody can set and that counts sleep, across restarts of
//! the process, too. Only across a reboot is the wall clock asked; where that ran backwards, nothing is known.

use domain::time::Timestamp;
use proto::feed::v1::AgeNote;
use rustix::time::{ClockId, clock_gettime};
use std::fs;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// How far a wall clock may be corrected backwards across a reboot.
const WALL_TOLERANCE_US: u64 = 60_000_000;

/// No word was ever heard, or nobody knows when.
const NEVER: i64 = i64::MIN;

/// One moment by every clock there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// Names the boot; empty when it cannot be known.
    pub(super) boot_id: String,
    /// Since that boot, sleep included.
    pub(super) boot_us: u64,
    pub(super) wall_us: u64,
}

impl Moment {
    pub(super) fn now() -> Self {
        static BOOT_ID: OnceLock<String> = OnceLock::new();
        let read = || fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let boot_id = BOOT_ID.get_or_init(|| read().trim().to_owned()).clone();
        let Timestamp(wall_us) = crate::clock::now();
        Self { boot_id, boot_us: since_boot_us(), wall_us }
    }
}

fn since_boot_us() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000).saturating_add(nanos / 1_000)
}

/// The age that a note of an earlier life means by now. `None`: nobody can tell.
pub(super) fn age_now_us(note: &AgeNote, now: &Moment) -> Option<u64> {
    let is_same_boot = !now.boot_id.is_empty() && now.boot_id == note.boot_id;
    let passed = if is_same_boot {
        now.boot_us.saturating_sub(note.boot_us)
    } else if now.wall_us.saturating_add(WALL_TOLERANCE_US) < note.wall_us {
        return None;
    } else {
        now.wall_us.saturating_sub(note.wall_us)
    };
    Some(note.age_us.saturating_add(passed))
}

/// When the control plane's last word came. Read by every request.
#[derive(Debug)]
pub(super) struct LastWord {
    /// Microseconds since this boot; negative when it came before it.
    at_boot_us: AtomicI64,
}

impl LastWord {
    pub(super) const fn never() -> Self {
        Self { at_boot_us: AtomicI64::new(NEVER) }
    }

    /// It came so long ago.
    pub(super) fn came(&self, ago: Duration) {
        let ago = i64::try_from(ago.as_micros()).unwrap_or(i64::MAX);
        let now = i64::try_from(since_boot_us()).unwrap_or(i64::MAX);
        self.at_boot_us.fetch_max(now.saturating_sub(ago), Ordering::Relaxed);
    }

    /// How long ago it came. `None`: never, or nobody knows.
    pub(super) fn age(&self) -> Option<Duration> {
        let at = self.at_boot_us.load(Ordering::Relaxed);
        let now = i64::try_from(since_boot_us()).unwrap_or(i64::MAX);
        let age = (at != NEVER).then(|| now.saturating_sub(at))?;
        Some(Duration::from_micros(u64::try_from(age).unwrap_or(0)))
    }

    /// For the disk. `None` when there is nothing to be said.
    pub(super) fn note(&self) -> Option<AgeNote> {
        let age = self.age()?;
        let Moment { boot_id, boot_us, wall_us } = Moment::now();
        let age_us = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
        Some(AgeNote { age_us, boot_id, boot_us, wall_us })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000_000;

    fn moment(boot: &str, boot_us: u64, wall_us: u64) -> Moment {
        Moment { boot_id: boot.to_owned(), boot_us, wall_us }
    }

    #[test]
    fn the_wall_clock_counts_only_across_a_reboot_and_never_backwards() {
        let note = AgeNote {
            age_us: HOUR,
            boot_id: "a".to_owned(),
            boot_us: 10 * HOUR,
            wall_us: 1_000 * HOUR,
        };
        let rows = [
            ("a restart an hour later", moment("a", 11 * HOUR, 1_001 * HOUR), Some(2 * HOUR)),
            ("the wall jumped a year ahead", moment("a", 11 * HOUR, 9_760 * HOUR), Some(2 * HOUR)),
            ("the wall jumped back to 1970", moment("a", 11 * HOUR, 0), Some(2 * HOUR)),
            ("a reboot", moment("b", HOUR / 60, 1_003 * HOUR), Some(4 * HOUR)),
            ("a reboot, half a minute lost", moment("b", 1, 1_000 * HOUR - 30_000_000), Some(HOUR)),
            ("a reboot into the past", moment("b", 1, 999 * HOUR), None),
            ("a machine that hides its boots", moment("", 11 * HOUR, 1_001 * HOUR), Some(2 * HOUR)),
        ];
        for (what, now, expected) in rows {
            assert_eq!(age_now_us(&note, &now), expected, "{what}");
        }
    }

    #[test]
    fn a_word_that_is_older_than_the_last_one_says_nothing() {
        let word = LastWord::never();
        assert_eq!((word.age(), word.note()), (None, None));
        word.came(Duration::from_secs(7_200));
        assert!(word.age().unwrap() >= Duration::from_secs(7_200), "also before this boot");
        word.came(Duration::from_secs(60));
        word.came(Duration::from_secs(3_600));
        let age = word.age().unwrap();
        assert!(age >= Duration::from_secs(60) && age < Duration::from_secs(120), "{age:?}");
        let note = word.note().unwrap();
        let again = age_now_us(&note, &Moment::now()).unwrap();
        assert!(again >= note.age_us && again < note.age_us + HOUR);
    }
}
