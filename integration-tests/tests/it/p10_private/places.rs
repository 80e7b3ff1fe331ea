//! Where it is looked: each place is shown to say something, and to be searched, by what must be found there; then nothing
//! that was planted may be.

use super::needle::Needle;
use integration_tests::{Client, Collector, Gateway, Request};
use std::fs;
use std::path::{Path, PathBuf};

/// What lies in a data directory.
const PARTS: [&str; 4] = ["turnpike.db", "spool", "configuration", "content.db"];

/// Something that was written down.
pub(super) struct Place {
    name: String,
    bytes: Vec<u8>,
    /// What must be there: without it the search would prove nothing.
    control: Vec<String>,
}

fn place(name: &str, bytes: impl Into<Vec<u8>>, control: &[&str]) -> Place {
    let control = control.iter().map(|text| (*text).to_owned()).collect();
    Place { name: name.to_owned(), bytes: bytes.into(), control }
}

impl Place {
    pub(super) fn assert_clean(&self, needles: &[Needle]) {
        for text in &self.control {
            let is_found = Needle::new(text).is_in(&self.bytes);
            assert!(is_found, "{text} is not in {}: it was not written, or not read", self.name);
        }
        needles.iter().for_each(|needle| needle.assert_absent(&self.name, &self.bytes));
    }
}

/// What a running gateway tells: log, metrics, spans, the command line, and the process itself.
pub(super) async fn of_process(
    gateway: &Gateway,
    collector: &Collector,
    requests: &[String],
) -> Vec<Place> {
    let ids: Vec<&str> = requests.iter().map(String::as_str).collect();
    let metrics = Client::new(gateway.ops_url()).try_send(&Request::get("/metrics")).await.unwrap();
    let shown = ["turnpike_requests_settled_total{", "demo/vision", "demo/embed", "http_responses"];
    let mut logged = vec![" TRACE ", " DEBUG ", " INFO ", "request settled", "request refused"];
    logged.extend(&ids);
    let mut spans = vec!["turnpike.request_id", "turnpike.upstream", "demo-a", "demo-b"];
    spans.extend(&ids);
    let told = told_by_the_command_line(gateway, requests).await;
    vec![
        place("the log", gateway.stderr(), &logged),
        place("stdout", gateway.stdout(), &[]),
        place("metrics", metrics.text(), &shown),
        place("spans", format!("{:?}", collector.spans()), &spans),
        place("the command line", told, &ids),
        of_proc(gateway, "environ", "TURNPIKE__LOG__FILTER=trace"),
        of_proc(gateway, "cmdline", "--data-dir"),
    ]
}

fn of_proc(gateway: &Gateway, file: &str, control: &str) -> Place {
    let path = format!("/proc/{}/{file}", gateway.process_id());
    place(&path, fs::read(&path).unwrap(), &[control])
}

/// All that the command line answers in its machine form.
async fn told_by_the_command_line(gateway: &Gateway, requests: &[String]) -> String {
    let admin = gateway.admin();
    let mut told = String::new();
    let kinds = ["Entity", "Plan", "Upstream", "Model", "PriceBook", "Org", "Key"];
    let lists = kinds.map(|kind| vec!["get", kind, "-o", "json"]);
    let rest = ["usage", "reconcile", "doctor"].map(|command| vec![command, "-o", "json"]);
    let more = [
        vec!["balance", "quiet", "-o", "json"],
        vec!["describe", "Upstream", "demo-a"],
        vec!["audit", "list", "-o", "json"],
        vec!["usage", "gaps", "-o", "json"],
    ];
    for command in lists.iter().chain(&rest).chain(&more) {
        let output = admin.run(command).await;
        assert!(output.status == 0 || command[0] == "doctor", "{command:?}: {}", output.stderr);
        told.push_str(&output.stdout);
        told.push_str(&output.stderr);
    }
    for request in requests {
        told.push_str(&admin.bill(request).await.to_string());
    }
    told
}

/// What lies on the disk: database with its log, spool, snapshot, contents; the secrets that operators must be able to read
/// are files of their own.
pub(super) fn of_disk(gateway: &Gateway, requests: &[String]) -> Vec<Place> {
    let ids: Vec<&str> = requests.iter().map(String::as_str).collect();
    let folder = gateway.data_dir();
    let all = files(folder);
    let of = |part: &str, control: &[&str]| {
        let is_part = |path: &&PathBuf| path.strip_prefix(folder).unwrap().starts_with(part);
        let is_beside = |path: &&PathBuf| {
            path.file_name().unwrap().to_str().unwrap().starts_with(&format!("{part}-"))
        };
        let parts = all.iter().filter(|path| is_part(path) || is_beside(path));
        let bytes: Vec<u8> = parts.flat_map(|path| written(path)).collect();
        place(&format!("{part} on the disk"), bytes, control)
    };
    let known = [
        of(PARTS[0], &ids),
        of(PARTS[1], &ids),
        of(PARTS[2], &["quiet", "demo/vision"]),
        of(PARTS[3], &["CREATE TABLE content"]),
    ];
    let is_other = |path: &&PathBuf| {
        let name = path.strip_prefix(folder).unwrap().to_str().unwrap();
        let is_known = PARTS.iter().any(|part| name.starts_with(part));
        !is_known && !is_meant_for_operators(path)
    };
    let others = all.iter().filter(is_other);
    let rest = others.map(|path| place(&path.display().to_string(), written(path), &[]));
    known.into_iter().chain(rest).collect()
}

/// What a file holds, without the room at its end. One that is gone by now was deleted; what it held is in another.
fn written(path: &Path) -> Vec<u8> {
    let mut bytes = fs::read(path).unwrap_or_default();
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes.truncate(end);
    bytes
}

/// Every file below a folder.
pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.push(path);
        }
    }
    all
}

fn is_meant_for_operators(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_str().unwrap();
    ["operator.token", "demo.env", "demo.json"].contains(&name)
}

/// A core file would hold all that the process knows.
pub(super) fn assert_no_core_is_written(gateway: &Gateway) {
    let limits = fs::read_to_string(format!("/proc/{}/limits", gateway.process_id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let words: Vec<&str> = core.split_whitespace().collect();
    assert_eq!((words.get(4), words.get(5)), (Some(&"0"), Some(&"0")), "{core}");
}
