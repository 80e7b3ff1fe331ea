//! Kinds of databases: where one of its own is for each test, and what is said otherwise to each.

use tempfile::TempDir;

/// A kind of database.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Sqlite,
}

/// Where a database is. It goes when this goes.
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

    /// From where on a connection takes rows that the schema would refuse.
    pub(crate) const fn unchecked(self) -> &'static str {
        match self {
            Self::Sqlite => "PRAGMA ignore_check_constraints = ON",
        }
    }

    /// What makes a statement fail at a row.
    pub(crate) fn cut(self, operation: &str, table: &str, when: &str) -> Vec<String> {
        match self {
            Self::Sqlite => vec![format!(
                "CREATE TRIGGER cut BEFORE {operation} ON {table} WHEN {when}
                 BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
            )],
        }
    }

    /// What lets it through again.
    pub(crate) const fn mend(self) -> &'static str {
        match self {
            Self::Sqlite => "DROP TRIGGER cut",
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
}
