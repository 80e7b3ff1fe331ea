//! What a core does now and then, whether requests come or not.

use crate::plane::Core;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::sleep;

/// A core always waits for something that is near: for a timer that ends before all others the runtime makes a system call, and
/// those of requests end later than this.
const TICK: Duration = Duration::from_millis(250);
/// How often free connections to upstreams are looked at: nothing else does while nobody needs one.
const TICKS_PER_SWEEP: u32 = 60;
/// After as many ticks with little to do a core rests.
const TICKS_TO_REST: u32 = 16;
/// A core that works for less than this part of a tick has little to do.
const LITTLE: u32 = 50;

/// Until the core ends.
pub(super) async fn chores(core: Arc<Core>) {
    let mut rest = Rest::default();
    let ticks = (1..=TICKS_PER_SWEEP).cycle();
    for tick in ticks {
        sleep(TICK).await;
        if tick == TICKS_PER_SWEEP {
            core.upstreams.sweep();
        }
        // Memory that many requests needed at once is given back as others come. Once none do, nobody would.
        if rest.begins(Handle::current().metrics().worker_total_busy_duration(0)) {
            (core.plane.parts.give_back)();
        }
    }
}

/// How long a core has had little to do.
#[derive(Default)]
struct Rest {
    worked: Duration,
    ticks: u32,
}

impl Rest {
    /// Whether it begins to rest with this tick, having worked for so long since its start.
    fn begins(&mut self, worked: Duration) -> bool {
        let of_tick = worked.saturating_sub(self.worked);
        self.worked = worked;
        self.ticks = if of_tick < TICK / LITTLE { self.ticks.saturating_add(1) } else { 0 };
        self.ticks == TICKS_TO_REST
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, Rest, TICK, TICKS_TO_REST};

    #[test]
    fn rest_begins_once_after_each_time_of_work() {
        let mut rest = Rest::default();
        let mut worked = Duration::ZERO;
        for _ in 0..3 {
            worked += TICK;
            assert!(!rest.begins(worked));
            let resting = (1..=10 * TICKS_TO_REST).filter(|_| rest.begins(worked)).count();
            assert_eq!(resting, 1);
        }
    }
}
