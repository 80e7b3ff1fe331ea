//! How much a slice should have in store, and since when it lies idle.

use super::settings::PurseSettings;
use domain::money::Nano;
use tokio::time::Instant;

/// What is remembered of a slice's use.
#[derive(Default)]
pub(super) struct Stock {
    /// What was available after the last grant.
    level: Nano,
    /// What the last request that waited wanted.
    typical_hold: Nano,
    spent_per_second: Nano,
    last_tick: Option<(Instant, Nano)>,
    was_used: bool,
    idle_since: Option<Instant>,
    pause_until: Option<Instant>,
}

impl Stock {
    pub(super) fn restored(available: Nano) -> Self {
        Self { level: available, ..Self::default() }
    }

    /// A request drew on the slice.
    pub(super) const fn used(&mut self) {
        self.was_used = true;
    }

    /// A request that wants so much had to wait.
    pub(super) const fn missed(&mut self, wanted: Nano) {
        self.typical_hold = wanted;
    }

    /// A grant came, or all was given back: so much is there now.
    pub(super) const fn filled(&mut self, available: Nano) {
        self.level = available;
    }

    /// No renewal for a while: the last one brought less than it wanted.
    pub(super) fn pause(&mut self, settings: &PurseSettings) {
        self.pause_until = Some(Instant::now() + settings.renew_pause);
    }

    pub(super) fn is_paused(&self) -> bool {
        self.pause_until.is_some_and(|until| Instant::now() < until)
    }

    pub(super) fn is_low(&self, available: Nano, settings: &PurseSettings) -> bool {
        let scaled =
            |amount: Nano, factor: u8| i128::from(amount.get()).saturating_mul(factor.into());
        scaled(available, 100) < scaled(self.level, settings.renew_below_percent)
    }

    /// What should be available: as much as there was, or a while's use beside all that is in flight, or a few holds.
    pub(super) fn wanted(&self, inflight: Nano, settings: &PurseSettings) -> Nano {
        let times = |amount: Nano, factor: i128| {
            Nano::saturating(i128::from(amount.get()).saturating_mul(factor))
        };
        let ahead = times(self.spent_per_second, settings.store.as_secs().into());
        let holds = times(self.typical_hold, settings.store_holds.into());
        self.level.max(ahead.saturating_plus(inflight)).max(holds)
    }

    /// Measures, every few seconds: half of the rate since the last time, half of what it was. Returns whether the slice
    /// has lain idle for as long as it may.
    pub(super) fn tick(&mut self, now: Instant, use_now: UseNow, settings: &PurseSettings) -> bool {
        if let Some((then, spent)) = self.last_tick.replace((now, use_now.spent)) {
            let millis = i128::try_from(now.duration_since(then).as_millis()).unwrap_or(i128::MAX);
            let fresh =
                i128::from(use_now.spent.saturating_minus(spent).get()).saturating_mul(1000);
            let fresh = fresh.checked_div(millis).unwrap_or(0);
            let before = i128::from(self.spent_per_second.get());
            self.spent_per_second = Nano::saturating(fresh.saturating_add(before) / 2);
        }
        if std::mem::take(&mut self.was_used) || use_now.is_busy {
            self.idle_since = None;
            return false;
        }
        let since = *self.idle_since.get_or_insert(now);
        now.duration_since(since) >= settings.idle_release_after
    }
}

/// How a slice is used at a tick.
#[derive(Clone, Copy)]
pub(super) struct UseNow {
    pub(super) spent: Nano,
    /// Requests hold some of it, or wait for it.
    pub(super) is_busy: bool,
}
