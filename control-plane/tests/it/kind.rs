//! Kinds of databases: where one of its own is for each test, and what is said otherwise to each.

use std::path::Path;
use tempfile::TempDir;

/// A kind of database.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Sqlite,
}

/// Where a database is. It goes when this goes, and outlives control planes, so that they can be restarted.
pub(crate) enum Place {
    Folder(TempDir),
}

impl Kind {
    /// That of a copy of the suite, by the name that it is loaded under.
    pub(crate) fn of(module: &str) -> Self {
        match module.rsplit("::").next() {
            Some("on_sqlite") => Self::Sqlite,
            _ => panic!("{module} is loaded for no kind of database"),
        }
    }

    /// A place for a database that nobody else has.
    pub(crate) fn place(self) -> Place {
        match self {
            Self::Sqlite => Place::Folder(TempDir::new().unwrap()),
        }
    }

    /// Has a statement run behind each insertion of such a row.
    pub(crate) fn behind_insert(self, table: &str, when: &str, statement: &str) -> Vec<String> {
        match self {
            Self::Sqlite => vec![format!(
                "CREATE TRIGGER behind AFTER INSERT ON {table} WHEN {when} BEGIN {statement}; END"
            )],
        }
    }
}

impl Place {
    /// As the program is told.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Folder(folder) => format!("sqlite://{}/turnpike.db", folder.path().display()),
        }
    }

    /// Where its files are, if they are this machine's.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(folder) => Some(folder.path()),
        }
    }
}
