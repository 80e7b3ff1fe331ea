//! `demo.env`: where everything listens, and with what to come in, as `turnpike up --demo` tells it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The variables of a `demo.env`.
#[derive(Clone, Debug)]
pub struct DemoEnv(BTreeMap<String, String>);

/// Which file it was: each start moves a new one into place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edition {
    inode: u64,
    modified: (i64, i64),
}

pub(crate) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("demo.env")
}

pub(crate) fn edition(data_dir: &Path) -> Option<Edition> {
    let file = fs::metadata(path(data_dir)).ok()?;
    Some(Edition { inode: file.ino(), modified: (file.mtime(), file.mtime_nsec()) })
}

impl DemoEnv {
    pub(crate) fn read(data_dir: &Path) -> Self {
        let text = fs::read_to_string(path(data_dir)).unwrap();
        Self(text.lines().map(variable).collect())
    }

    /// The value of a variable.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).unwrap_or_else(|| panic!("demo.env has no {name}"))
    }

    /// A later life may be elsewhere.
    pub(crate) fn set(&mut self, name: &str, value: String) {
        self.0.insert(name.to_owned(), value);
    }

    /// Every variable's name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// `export K='v'`.
fn variable(line: &str) -> (String, String) {
    let parts = line.strip_prefix("export ").and_then(|rest| rest.split_once('='));
    let value = parts.and_then(|(_, value)| value.strip_prefix('\'')?.strip_suffix('\''));
    match (parts, value) {
        (Some((name, _)), Some(value)) => (name.to_owned(), value.to_owned()),
        _ => panic!("no line of demo.env: {line:?}"),
    }
}
