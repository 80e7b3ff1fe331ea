//! Where servers keep what they keep: folders that tell whose they are, and go with their owners.

use std::env;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// A folder of this process for a server of that kind.
pub(crate) fn of(kind: &str) -> TempDir {
    TempDir::with_prefix(format!("turnpike-{kind}-{}-", std::process::id())).unwrap()
}

/// Removes the folders of processes that are no more: what a static holds is not dropped.
pub(crate) fn sweep(kind: &str) {
    let prefix = format!("turnpike-{kind}-");
    for entry in fs::read_dir(env::temp_dir()).unwrap().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(&prefix)?.split('-').next());
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists()) {
            // Another test binary may be at it as well.
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}
