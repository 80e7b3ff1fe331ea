//! Kinds of databases: where one of its own is for each test, and what is said otherwise to each.

use servers::Place;
use storage::Database;

/// A kind of database.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    /// That of a copy of the suite, by the name that it is loaded under.
    pub(crate) fn of(module: &str) -> Self {
        match module.rsplit("::").next() {
            Some("on_sqlite") => Self::Sqlite,
            Some("on_postgres") => Self::Postgres,
            _ => panic!("{module} is loaded for no kind of database"),
        }
    }

    /// A place for a database that nobody else has.
    pub(crate) async fn place(self) -> Place {
        match self {
            Self::Sqlite => Place::folder(),
            Self::Postgres => Place::filled(migrate).await,
        }
    }

    /// Has a statement run behind each insertion of such a row.
    pub(crate) fn behind_insert(self, table: &str, when: &str, statement: &str) -> Vec<String> {
        match self {
            Self::Sqlite => vec![format!(
                "CREATE TRIGGER behind AFTER INSERT ON {table} WHEN {when} BEGIN {statement}; END"
            )],
            Self::Postgres => vec![
                format!(
                    "CREATE FUNCTION behind() RETURNS trigger LANGUAGE plpgsql
                     AS $$ BEGIN {statement}; RETURN NEW; END $$"
                ),
                format!(
                    "CREATE TRIGGER behind AFTER INSERT ON {table}
                     FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION behind()"
                ),
            ],
        }
    }
}

async fn migrate(url: String) {
    let database = Database::open(&url).await.unwrap();
    database.migrate().await.unwrap();
    database.close().await;
}
