//! Kinds of databases: where one of its own is for each test, and what is said otherwise to each.

use servers::Place;
use storage::Database;

/// A kind of database.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// Takes all CHECKs of all tables away.
const UNCHECKED: &str = "DO $$
    DECLARE found record;
    BEGIN
        FOR found IN SELECT conrelid::regclass AS name, conname FROM pg_constraint
            WHERE contype = 'c' AND connamespace = 'public'::regnamespace
        LOOP
            EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', found.name, found.conname);
        END LOOP;
    END $$";

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

    /// What gives the rows of a table numbers that they keep, called `rowid`, where they have none.
    pub(crate) fn number(self, table: &str) -> Option<String> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => {
                let column = "rowid BIGINT GENERATED ALWAYS AS IDENTITY";
                Some(format!("ALTER TABLE {table} ADD COLUMN {column}"))
            }
        }
    }

    /// From where on rows are taken that the schema would refuse.
    pub(crate) const fn unchecked(self) -> &'static str {
        match self {
            Self::Sqlite => "PRAGMA ignore_check_constraints = ON",
            Self::Postgres => UNCHECKED,
        }
    }

    /// What makes a statement fail at a row.
    pub(crate) fn cut(self, operation: &str, table: &str, when: &str) -> Vec<String> {
        match self {
            Self::Sqlite => vec![format!(
                "CREATE TRIGGER cut BEFORE {operation} ON {table} WHEN {when}
                 BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
            )],
            Self::Postgres => vec![
                "CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql
                 AS $$ BEGIN RAISE EXCEPTION 'the disk is full'; END $$"
                    .to_owned(),
                format!(
                    "CREATE TRIGGER cut BEFORE {operation} ON {table}
                     FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION cut()"
                ),
            ],
        }
    }

    /// What lets it through again.
    pub(crate) const fn mend(self) -> &'static str {
        match self {
            Self::Sqlite => "DROP TRIGGER cut",
            Self::Postgres => "DROP FUNCTION cut CASCADE",
        }
    }
}

async fn migrate(url: String) {
    let database = Database::open(&url).await.unwrap();
    database.migrate().await.unwrap();
    database.close().await;
}
