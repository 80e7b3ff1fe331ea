//! The guard against a bad push: an update that would take away too large a share of keys or models is held back and
//! reported, until it has come again after a while. Pure.

use domain::snapshot::{Change, Tombstone};
use std::time::Duration;
use tokio::time::Instant;

/// What is too much.
#[derive(Clone, Copy, Debug)]
pub struct GuardSettings {
    /// More than this share of all keys, or of all models, at once. 100: never.
    pub deleted_percent: u8,
    /// Fewer objects than this may always go.
    pub deleted_min: u64,
    /// How long such an update is held back before it may come again.
    pub held_back_for: Duration,
}

impl Default for GuardSettings {
    fn default() -> Self {
        Self { deleted_percent: 30, deleted_min: 20, held_back_for: Duration::from_secs(60) }
    }
}

/// How much of one kind an update takes away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) gone: u64,
    pub(super) of: u64,
}

/// What an update takes away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Losses {
    pub(super) keys: Loss,
    pub(super) models: Loss,
}

/// What the tombstones of a delta take away at most.
pub(super) fn buried(changes: &[Change]) -> (u64, u64) {
    let count = |is: fn(&Tombstone) -> bool| {
        let gone = changes.iter().filter(|change| match change {
            Change::Tombstone(tombstone) => is(tombstone),
            _ => false,
        });
        u64::try_from(gone.count()).unwrap_or(u64::MAX)
    };
    let keys = count(|gone| matches!(gone, Tombstone::Key(_)));
    (keys, count(|gone| matches!(gone, Tombstone::Model(_))))
}

/// Holds back.
pub(super) struct Guard {
    settings: GuardSettings,
    held: Option<Held>,
}

struct Held {
    since: Instant,
    reason: String,
    /// Asked for again: what comes now is meant.
    is_repeated: bool,
}

impl Guard {
    pub(super) const fn new(settings: GuardSettings) -> Self {
        Self { settings, held: None }
    }

    /// Whether an update may be applied; if not, it is held back from now on.
    pub(super) fn allows(&mut self, losses: Losses, now: Instant) -> bool {
        let too_much =
            self.too_much("keys", losses.keys).or(self.too_much("models", losses.models));
        let Some(reason) = too_much else {
            self.held = None;
            return true;
        };
        match &self.held {
            Some(held) if held.is_repeated => {
                self.held = None;
                true
            }
            Some(_) => false,
            None => {
                self.held = Some(Held { since: now, reason, is_repeated: false });
                false
            }
        }
    }

    /// Why something is held back, for people.
    pub(super) fn held(&self) -> Option<&str> {
        self.held.as_ref().map(|held| held.reason.as_str())
    }

    /// Whether it is time to ask for everything again; true once for each update that is held back.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let wait = self.settings.held_back_for;
        let Some(held) = self.held.as_mut().filter(|held| !held.is_repeated) else { return false };
        held.is_repeated = now.duration_since(held.since) >= wait;
        held.is_repeated
    }

    fn too_much(&self, what: &str, loss: Loss) -> Option<String> {
        let share = u128::from(loss.gone).saturating_mul(100);
        let most = u128::from(loss.of).saturating_mul(u128::from(self.settings.deleted_percent));
        if loss.gone < self.settings.deleted_min || share <= most {
            return None;
        }
        Some(format!(
            "an update that deletes {} of {} {what} is held back for {} s (data_plane.configuration.deleted_percent); it is \
             applied if it comes again then",
            loss.gone,
            loss.of,
            self.settings.held_back_for.as_secs()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(gone: u64, of: u64) -> Losses {
        Losses { keys: Loss { gone, of }, models: Loss::default() }
    }

    #[test]
    fn a_large_share_of_many_is_too_much_and_a_few_never_are() {
        let rows = [
            (keys(0, 0), true),
            (keys(1, 1), true),
            (keys(19, 19), true),
            (keys(20, 20), false),
            (keys(30, 100), true),
            (keys(31, 100), false),
            (Losses { models: Loss { gone: 50, of: 60 }, ..Losses::default() }, false),
        ];
        for (losses, is_allowed) in rows {
            let mut guard = Guard::new(GuardSettings::default());
            assert_eq!(guard.allows(losses, Instant::now()), is_allowed, "{losses:?}");
            assert_eq!(guard.held().is_none(), is_allowed);
        }
    }

    #[test]
    fn what_is_held_back_is_asked_for_again_once_and_then_meant() {
        let settings = GuardSettings::default();
        let mut guard = Guard::new(settings);
        let begun = Instant::now();
        assert!(!guard.allows(keys(90, 100), begun));
        assert!(!guard.is_due(begun + settings.held_back_for / 2));
        assert!(!guard.allows(keys(90, 100), begun), "it came again too soon");
        let due = begun + settings.held_back_for;
        assert!(guard.is_due(due) && !guard.is_due(due));
        assert!(guard.allows(keys(90, 100), due), "repeated after the wait");
        assert!(!guard.allows(keys(90, 100), due), "the next one is a new one");
    }

    #[test]
    fn what_is_mended_meanwhile_is_forgotten() {
        let mut guard = Guard::new(GuardSettings::default());
        let begun = Instant::now();
        assert!(!guard.allows(keys(90, 100), begun));
        assert!(guard.allows(keys(1, 100), begun));
        assert_eq!(guard.held(), None);
        assert!(!guard.is_due(begun + Duration::from_secs(3_600)));
    }

    #[test]
    fn a_hundred_percent_switches_it_off() {
        let settings = GuardSettings { deleted_percent: 100, ..GuardSettings::default() };
        assert!(Guard::new(settings).allows(keys(100, 100), Instant::now()));
    }
}
