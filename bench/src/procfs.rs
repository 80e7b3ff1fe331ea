//! CPU time and memory of a process and its descendants, from /proc; CPU by group of threads, user and kernel apart.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;

/// The group that is the whole process, ended threads included.
pub const WHOLE: &str = "process";

/// /proc counts user and kernel time in hundredths of a second.
const TICK_NS: u64 = 10_000_000;

/// CPU time over a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CpuTime {
    /// All of it.
    pub total_s: f64,
    /// In the program.
    pub user_s: f64,
    /// In the kernel on its behalf.
    pub kernel_s: f64,
}

/// CPU time by group of threads. A group's name is its threads' without their number; `process` is all together.
pub type CpuTimes = BTreeMap<String, CpuTime>;

/// Counters at one moment.
#[derive(Clone, Debug, Default)]
pub struct CpuSample(BTreeMap<String, Counted>);

#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    nanoseconds: u64,
    user_ticks: u64,
    kernel_ticks: u64,
}

impl CpuSample {
    /// The counters of a process and its descendants.
    #[must_use]
    pub fn of(root: u32) -> Self {
        let mut groups: BTreeMap<String, Counted> = BTreeMap::new();
        for process in tree(root) {
            let mut in_threads = Counted::default();
            for thread in numbers_in(&format!("/proc/{process}/task")) {
                let Some((name, counted)) = thread_times(process, thread) else { continue };
                groups.entry(name).or_default().add(counted);
                in_threads.add(counted);
            }
            if let Some(counted) = process_times(process, in_threads.nanoseconds) {
                groups.entry(WHOLE.to_owned()).or_default().add(counted);
            }
        }
        Self(groups)
    }

    /// What was used since an earlier moment.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> CpuTimes {
        let span = |(name, now): (&String, &Counted)| {
            let before = earlier.0.get(name).copied().unwrap_or_default();
            (name.clone(), now.since(before))
        };
        self.0.iter().map(span).collect()
    }
}

impl Counted {
    fn add(&mut self, other: Self) {
        self.nanoseconds += other.nanoseconds;
        self.user_ticks += other.user_ticks;
        self.kernel_ticks += other.kernel_ticks;
    }

    /// The scheduler counts nanoseconds; how they divide is told in ticks.
    fn since(self, before: Self) -> CpuTime {
        let total_s = self.nanoseconds.saturating_sub(before.nanoseconds) as f64 / 1e9;
        let user = self.user_ticks.saturating_sub(before.user_ticks) as f64;
        let kernel = self.kernel_ticks.saturating_sub(before.kernel_ticks) as f64;
        let all = (user + kernel).max(1.0);
        CpuTime { total_s, user_s: total_s * user / all, kernel_s: total_s * kernel / all }
    }
}

fn thread_times(process: u32, thread: u32) -> Option<(String, Counted)> {
    let folder = format!("/proc/{process}/task/{thread}");
    let name = fs::read_to_string(format!("{folder}/comm")).ok()?;
    let times = fs::read_to_string(format!("{folder}/schedstat")).ok()?;
    let nanoseconds = times.split(' ').next()?.parse().ok()?;
    let (user_ticks, kernel_ticks) = ticks(&format!("{folder}/stat"))?;
    Some((group(name.trim_end()), Counted { nanoseconds, user_ticks, kernel_ticks }))
}

/// The process' own count has the threads that have ended, but only to the tick; theirs is taken where the two agree.
fn process_times(process: u32, in_threads: u64) -> Option<Counted> {
    let (user_ticks, kernel_ticks) = ticks(&format!("/proc/{process}/stat"))?;
    let by_ticks = (user_ticks + kernel_ticks).saturating_mul(TICK_NS);
    let tolerance = 50_000_000 + by_ticks / 50;
    let agree = in_threads.abs_diff(by_ticks) < tolerance;
    let nanoseconds = if agree { in_threads } else { by_ticks };
    Some(Counted { nanoseconds, user_ticks, kernel_ticks })
}

/// `core-0` and `core-1` are `core`.
fn group(name: &str) -> String {
    name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('-').to_owned()
}

fn ticks(path: &str) -> Option<(u64, u64)> {
    let fields = stat(path)?;
    Some((*fields.get(11)?, *fields.get(12)?))
}

/// The numbers after the command's name, from the state on; what is no number is 0.
fn stat(path: &str) -> Option<Vec<u64>> {
    let text = fs::read_to_string(path).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    Some(rest.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect())
}

fn numbers_in(folder: &str) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// A process and all that descend from it.
#[must_use]
pub fn tree(root: u32) -> Vec<u32> {
    let parent = |process: u32| stat(&format!("/proc/{process}/stat"))?.get(1).copied();
    let all: Vec<(u32, u64)> = numbers_in("/proc")
        .into_iter()
        .filter_map(|process| Some((process, parent(process)?)))
        .collect();
    let mut tree = vec![root];
    let mut next = 0;
    while let Some(&ancestor) = tree.get(next) {
        let children = all.iter().filter(|(_, parent)| *parent == u64::from(ancestor));
        tree.extend(children.map(|(process, _)| *process));
        next += 1;
    }
    tree
}

/// Memory of a process and its descendants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Resident.
    pub rss_kib: u64,
    /// The same with shared pages counted once.
    pub pss_kib: u64,
}

/// Exact, but it takes a while.
#[must_use]
pub fn memory(root: u32) -> Memory {
    let mut memory = Memory::default();
    for process in tree(root) {
        let Ok(text) = fs::read_to_string(format!("/proc/{process}/smaps_rollup")) else {
            continue;
        };
        memory.rss_kib += field(&text, "Rss:");
        memory.pss_kib += field(&text, "Pss:");
    }
    memory
}

/// Resident memory now.
#[must_use]
pub fn rss_kib(root: u32) -> u64 {
    status(root, "VmRSS:")
}

/// The most resident memory since `forget_peak`.
#[must_use]
pub fn peak_kib(root: u32) -> u64 {
    status(root, "VmHWM:")
}

/// Begins to look for the peak anew. Where that is not permitted, the peak is that of the process' life.
pub fn forget_peak(root: u32) {
    for process in tree(root) {
        drop(fs::write(format!("/proc/{process}/clear_refs"), "5"));
    }
}

fn status(root: u32, name: &str) -> u64 {
    let of = |process: u32| fs::read_to_string(format!("/proc/{process}/status")).ok();
    tree(root).into_iter().filter_map(of).map(|text| field(&text, name)).sum()
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn threads_that_differ_by_their_number_are_one_group() {
        assert_eq!(group("core-0"), "core");
        assert_eq!(group("tokenizer-12"), "tokenizer");
        assert_eq!(group("spool-sync"), "spool-sync");
    }

    #[test]
    fn what_this_process_burns_is_seen_in_its_threads_and_as_a_whole() {
        let me = std::process::id();
        let before = CpuSample::of(me);
        let began = Instant::now();
        // However busy the machine is, it gets its share sooner or later.
        let used = loop {
            std::hint::black_box(tree(me));
            let used = CpuSample::of(me).since(&before);
            if used[WHOLE].total_s > 0.05 || began.elapsed() > Duration::from_secs(60) {
                break used;
            }
        };
        let whole = used[WHOLE];
        assert!(whole.total_s > 0.05, "{used:?}");
        assert!((whole.user_s + whole.kernel_s - whole.total_s).abs() < 1e-6, "{used:?}");
        assert!(used.len() > 1, "{used:?}");
    }

    #[test]
    fn memory_that_is_taken_is_seen_and_so_is_its_peak() {
        let me = std::process::id();
        let before = memory(me);
        forget_peak(me);
        let large = vec![1_u8; 64 << 20];
        assert!(std::hint::black_box(&large).iter().all(|byte| *byte == 1));
        assert!(rss_kib(me) > before.rss_kib + 50_000);
        drop(large);
        assert!(peak_kib(me) > before.rss_kib + 50_000);
        assert!(before.pss_kib > 0 && before.pss_kib <= before.rss_kib);
    }
}
