//! On what was measured: the report begins with it.

use super::options::Options;
use super::rig::Programs;
use serde::{Deserialize, Serialize};
use std::fs;
use std::process::Command;

/// Machine, versions, date.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Machine {
    pub(super) date: String,
    pub(super) commit: String,
    pub(super) processor: String,
    pub(super) processors: usize,
    pub(super) memory: String,
    pub(super) kernel: String,
    pub(super) rust: String,
    pub(super) nginx: String,
    pub(super) disk: String,
    pub(super) rounds: u32,
    pub(super) short: bool,
    /// Load of the machine before the run: what else ran disturbs.
    pub(super) load: String,
}

pub(super) fn describe(options: &Options, programs: &Programs) -> Machine {
    let dirty = if said("git", &["status", "--porcelain"]).is_empty() { "" } else { ", changed" };
    let file = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let memory = file("/proc/meminfo");
    let disk = options.disk.display().to_string();
    Machine {
        date: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string(),
        commit: format!("{}{dirty}", said("git", &["rev-parse", "--short", "HEAD"])),
        processor: labelled(&file("/proc/cpuinfo"), "model name"),
        processors: std::thread::available_parallelism().map_or(1, Into::into),
        memory: labelled(&memory, "MemTotal"),
        kernel: file("/proc/sys/kernel/osrelease"),
        rust: said("rustc", &["--version"]),
        nginx: said(&programs.nginx.display().to_string(), &["-v"]),
        disk: said("df", &["--output=source,fstype", &disk]).replace('\n', " "),
        rounds: options.rounds,
        short: options.short,
        load: file("/proc/loadavg"),
    }
}

fn labelled(text: &str, label: &str) -> String {
    let line = text.lines().find(|line| line.starts_with(label));
    let value = line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim());
    value.unwrap_or("unknown").to_owned()
}

/// What a program says, on whichever stream; nothing if it is not there.
fn said(program: &str, arguments: &[&str]) -> String {
    let Ok(output) = Command::new(program).args(arguments).output() else { return String::new() };
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    String::from_utf8_lossy(&text).trim().to_owned()
}
