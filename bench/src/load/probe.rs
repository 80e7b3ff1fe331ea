//! The gateway's CPU time at both edges of the window, and its memory along it.

use super::Window;
use crate::procfs::{self, CpuSample, CpuTime, CpuTimes, Memory, WHOLE};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

const LOOK: Duration = Duration::from_millis(200);
/// Shared pages are counted at every so many looks: that takes a while.
const PSS_EVERY: u32 = 3;

/// What a gateway used.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Probed {
    /// How long it was looked at.
    pub wall_s: f64,
    /// By group of threads, and as `process`.
    pub cpu: CpuTimes,
    /// Before the load.
    pub before: Memory,
    /// Lowest resident memory that was seen.
    pub rss_kib_min: u64,
    /// Highest resident memory that was seen.
    pub rss_kib_max: u64,
    /// Highest that the kernel saw.
    pub rss_kib_peak: u64,
    /// Highest memory with shared pages counted once.
    pub pss_kib_max: u64,
}

impl Probed {
    /// CPU time of the whole process.
    #[must_use]
    pub fn whole(&self) -> CpuTime {
        self.cpu.get(WHOLE).copied().unwrap_or_default()
    }
}

pub(super) struct Probe {
    pid: u32,
    before: Memory,
}

impl Probe {
    pub(super) fn new(pid: u32) -> Self {
        procfs::forget_peak(pid);
        Self { pid, before: procfs::memory(pid) }
    }

    pub(super) async fn watch(self, window: Window, memory_from: Instant) -> Probed {
        sleep_until(window.from).await;
        let (began, cpu) = (Instant::now(), CpuSample::of(self.pid));
        let (mut lowest, mut highest, mut pss, mut looks) = (u64::MAX, 0, 0, 0_u32);
        while Instant::now() < window.until {
            if Instant::now() >= memory_from {
                let rss = procfs::rss_kib(self.pid);
                (lowest, highest) = (lowest.min(rss), highest.max(rss));
                if looks % PSS_EVERY == 1 {
                    pss = pss.max(procfs::memory(self.pid).pss_kib);
                }
                looks += 1;
            }
            sleep_until((Instant::now() + LOOK).min(window.until)).await;
        }
        let cpu = CpuSample::of(self.pid).since(&cpu);
        Probed {
            wall_s: began.elapsed().as_secs_f64(),
            cpu,
            before: self.before,
            rss_kib_min: lowest.min(highest),
            rss_kib_max: highest,
            rss_kib_peak: procfs::peak_kib(self.pid),
            pss_kib_max: pss,
        }
    }
}
