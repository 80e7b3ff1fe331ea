//! Where the binary under test comes from: cargo builds it once per run of the tests, so that a stale one is never tested.

use serde_json::Value;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The cargo that builds these tests.
#[must_use]
pub fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into())
}

/// The folder of the workspace's `Cargo.toml`.
#[must_use]
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Where cargo put the running program, which is where it shall put the binary: target folder, then profile; tests are one deeper.
fn build_output_folder() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let folder = program.parent().unwrap();
    if folder.ends_with("deps") { folder.parent().unwrap() } else { folder }.to_owned()
}

/// The path of `turnpike`, built as these tests were.
pub(crate) fn turnpike() -> &'static Path {
    static BINARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    BINARY.get_or_init(build).as_deref().expect("turnpike does not build; cargo says why above")
}

/// `None` when it does not build, so that only the first test tries. TURNPIKE_BINARY names one that is built already, such
/// as the one that is shipped.
fn build() -> Option<PathBuf> {
    if let Some(built) = std::env::var_os("TURNPIKE_BINARY") {
        return Some(PathBuf::from(built));
    }
    let output = build_output_folder();
    let profile = match output.file_name().and_then(|name| name.to_str()).unwrap() {
        "debug" => "dev",
        other => other,
    };
    let built = Command::new(cargo())
        .current_dir(workspace())
        .args(["build", "--package", "turnpike", "--bin", "turnpike", "--profile", profile])
        .args(["--message-format", "json-render-diagnostics", "--target-dir"])
        .arg(output.parent().unwrap())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    built.status.success().then(|| executable(&String::from_utf8(built.stdout).unwrap()))
}

fn executable(messages: &str) -> PathBuf {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut paths =
        messages.filter_map(|message| message["executable"].as_str().map(PathBuf::from));
    paths.next().expect("cargo names the executable that it built")
}
