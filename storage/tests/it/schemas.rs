//! Both kinds of database have the same schema: SQLite's migrations run on Postgres as they are, so Postgres itself says
//! what differs.

use servers::Postgres;
use std::fs;
use std::path::Path;

const COLUMNS: &str = "SELECT table_name, column_name, data_type, is_nullable, column_default
    FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2";
const INDEXES: &str = "SELECT tablename, indexname, indexdef FROM pg_indexes
    WHERE schemaname = 'public' ORDER BY 1, 2";
const CONSTRAINTS: &str = "SELECT conrelid::regclass, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2";
const ROWS: &str = "SELECT * FROM config_head CROSS JOIN ledger_head CROSS JOIN audit_head
    CROSS JOIN recall_head";
const NO_ROWS: &str = "SELECT 'none'";

/// A database with all migrations of a folder of `migrations`.
fn made_by(folder: &str) -> String {
    let postgres = Postgres::shared();
    let url = postgres.database();
    let name = url.rsplit_once('/').unwrap().1.split_once('?').unwrap().0.to_owned();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(folder);
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files {
        postgres.execute(&name, &fs::read_to_string(file).unwrap());
    }
    name
}

fn check(sqlite: &str, postgres: &str, rows: &str) {
    let (sqlite, postgres) = (made_by(sqlite), made_by(postgres));
    for question in [COLUMNS, INDEXES, CONSTRAINTS, rows] {
        let [expected, found] =
            [&sqlite, &postgres].map(|database| Postgres::shared().execute(database, question));
        assert!(!expected.is_empty(), "{question}");
        assert_eq!(found, expected, "{question}");
    }
    let unordered = "SELECT table_name, column_name FROM information_schema.columns
        WHERE table_schema = 'public' AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'";
    assert_eq!(Postgres::shared().execute(&postgres, unordered), "", "a text not ordered by bytes");
    let other = "SELECT table_name, column_name, data_type FROM information_schema.columns
        WHERE table_schema = 'public' AND data_type NOT IN ('text', 'bigint')";
    assert_eq!(Postgres::shared().execute(&postgres, other), "", "a type that SQLite has not");
}

#[test]
fn both_schemas_are_alike() {
    check("sqlite", "postgres", ROWS);
}

#[test]
fn both_schemas_of_contents_are_alike() {
    check("sqlite_content", "postgres_content", NO_ROWS);
}
