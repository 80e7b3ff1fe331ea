//! What is looked at on ours alone: billing, the office, memory, the key table.

use super::{Running, Scenario};
use crate::driver::gateway::Face;
use crate::driver::records::{Figures, Record};
use crate::driver::rig::Rig;
use crate::http;
use crate::procfs::{self, CpuSample, WHOLE};
use anyhow::{Context, bail};
use std::ffi::OsStr;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

const UNBILLED: &str = "turnpike_spool_unbilled_events";
const LOOK: Duration = Duration::from_millis(20);
/// How long billing may take for what a scenario left.
const BILLING_MAX: Duration = Duration::from_secs(600);
/// How many keys there are when it is seriously meant, and for a look.
const KEYS: [u32; 2] = [1_000_000, 10_000_000];
const KEYS_SHORT: [u32; 1] = [100_000];

/// A process that does nothing more gives nothing back after the allocator's usual delay: it is only looked at when something
/// is allocated. What starting took is not what keys take.
const PURGE_DELAY_MS: &str = "10";

/// Waits until everything is billed; how long that took.
pub(super) async fn billed(face: &Face) -> anyhow::Result<Duration> {
    let began = Instant::now();
    while http::metric(face.ops, UNBILLED).await? > 0.0 {
        if began.elapsed() > BILLING_MAX {
            bail!("usage events are not billed after {BILLING_MAX:?}");
        }
        sleep(LOOK).await;
    }
    Ok(began.elapsed())
}

/// What has gathered is billed now, with nothing else going on: full batches.
pub(super) async fn billing(running: &Running, face: &Face) -> anyhow::Result<Figures> {
    let cpu = CpuSample::of(running.pid);
    let events = http::metric(face.ops, UNBILLED).await?;
    let took = billed(face).await?;
    let used = CpuSample::of(running.pid).since(&cpu);
    let of = |name: &str| used.get(name).map_or(0.0, |cpu| cpu.total_s);
    let on_path: f64 =
        running.target.threads_of_path().unwrap_or_default().iter().map(|name| of(name)).sum();
    let mut figures = Figures::from([("events".to_owned(), events)]);
    // A handful says nothing about batches.
    if events >= 1000.0 {
        figures.insert("cpu_us_per_event".to_owned(), (of(WHOLE) - on_path) * 1e6 / events);
        figures.insert("events_per_s".to_owned(), events / took.as_secs_f64());
    }
    Ok(figures)
}

/// Changes, cold orgs, grants.
pub(super) async fn office(rig: &Rig, running: &Running, face: &Face) -> anyhow::Result<Figures> {
    let (changes, orgs) = if rig.is_short() { ("50", "50") } else { ("500", "500") };
    let crowd = if rig.is_short() { "200" } else { "2000" };
    let admin = format!("http://{}", face.admin);
    let client = running.address.to_string();
    let arguments = ["office", "--admin", &admin, "--client", &client, "--changes", changes];
    let token = face.token.display().to_string();
    let more = ["--orgs", orgs, "--crowd", crowd, "--token-file", &token];
    parts(rig.command(&rig.programs().parts), arguments.iter().chain(&more)).await
}

/// Memory of a process that has nothing to do.
pub(super) async fn rest(rig: &Rig, running: &Running) -> Figures {
    sleep(Duration::from_secs(if rig.is_short() { 1 } else { 5 })).await;
    let memory = procfs::memory(running.pid);
    let mib = |kib: u64| kib as f64 / 1024.0;
    Figures::from([
        ("rss_mib".to_owned(), mib(memory.rss_kib)),
        ("pss_mib".to_owned(), mib(memory.pss_kib)),
    ])
}

/// Whether the memory of a crowd comes back.
pub(super) async fn after_crowd(rig: &Rig, running: &Running) -> Figures {
    sleep(Duration::from_secs(if rig.is_short() { 2 } else { 15 })).await;
    Figures::from([("after_mib".to_owned(), procfs::rss_kib(running.pid) as f64 / 1024.0)])
}

/// What needs no gateway.
pub(in crate::driver) async fn alone(
    rig: &Rig,
    scenario: Scenario,
    round: u32,
) -> anyhow::Result<Vec<Record>> {
    let counts = if rig.is_short() { KEYS_SHORT.as_slice() } else { KEYS.as_slice() };
    let mut found = Vec::new();
    for count in counts {
        let folder = rig.on_disk("keys")?;
        let (count, folder) = (count.to_string(), folder.display().to_string());
        rig.detail(&format!("  {count} keys are written"));
        let program = &rig.programs().parts;
        let write = ["write-keys", "--dir", &folder, "--keys", &count];
        parts(rig.command_alone(program), write).await?;
        rig.detail(&format!("  {count} keys are read"));
        let mut figures =
            parts(rig.command_alone(program), ["read-keys", "--dir", &folder]).await?;
        figures.insert("keys".to_owned(), count.parse()?);
        found.push(Record::of_nobody(&format!("{count} keys"), scenario, round, figures));
    }
    Ok(found)
}

/// Runs a part of ours; what it found.
async fn parts(
    mut command: Command,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> anyhow::Result<Figures> {
    command.env("MIMALLOC_PURGE_DELAY", PURGE_DELAY_MS);
    let output = command.args(arguments).output().await;
    let output = output.context("parts does not start")?;
    if !output.status.success() {
        bail!("parts: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
