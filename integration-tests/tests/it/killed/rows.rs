//! What a change may write, table by table: for telling whether it wrote all of it or nothing.

use integration_tests::Gateway;
use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection};
use std::collections::BTreeMap;

/// What belongs together in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Objects,
    Revision,
    /// What data planes are told. Not every change of the configuration tells them anything.
    Log,
    Operators,
    /// Ledger, lots and accounts, but for what data planes hold of these.
    Money,
    /// Usage that is missing.
    Gaps,
    /// Data planes that are to be forgotten.
    Lives,
    Audit,
    Answers,
}

const PARTS: [(Part, &str); 9] = [
    (
        Part::Objects,
        "SELECT kind || ' ' || name || ' ' || rev || ' ' || spec || ' ' || secret || ' ' || previous_secret
         FROM config_object ORDER BY kind, name",
    ),
    (Part::Revision, "SELECT CAST(rev AS TEXT) FROM config_head"),
    (Part::Log, "SELECT rev || '/' || ord || ' ' || body FROM config_log ORDER BY rev, ord"),
    (Part::Operators, "SELECT name || ' ' || rev || ' ' || digest FROM operator ORDER BY name"),
    (
        Part::Money,
        "SELECT 'transaction ' || id || ' ' || idempotency_key FROM ledger_transaction
         UNION ALL SELECT 'posting ' || transaction_id || ' ' || ord || ' ' || amount FROM posting
         UNION ALL SELECT 'lot ' || id || ' ' || remaining FROM lot
         UNION ALL SELECT 'account ' || org_uid || ' ' || key_uid || ' ' || posted || ' ' || credit_limit
         FROM account ORDER BY 1",
    ),
    (
        Part::Gaps,
        "SELECT data_plane || ' ' || partition_no || ' ' || from_seq || ' ' || to_seq || ' ' || written_off_us || reason
         FROM usage_gap ORDER BY 1",
    ),
    (
        Part::Lives,
        "SELECT data_plane || ' ' || incarnation || ' ' || reason FROM life WHERE reason <> '' ORDER BY 1",
    ),
    (
        Part::Audit,
        "SELECT seq || ' ' || method || ' ' || resource || ' ' || outcome || ' ' || hash FROM audit_record ORDER BY seq",
    ),
    (
        Part::Answers,
        "SELECT operator_uid || ' ' || request_id || ' ' || request FROM admin_answer ORDER BY 1",
    ),
];

/// All of it at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rows(BTreeMap<Part, Vec<String>>);

impl Rows {
    pub(crate) async fn of(gateway: &Gateway) -> Self {
        let file = gateway.data_dir().join("turnpike.db");
        let url = format!("sqlite://{}?mode=ro", file.display());
        let mut connection = SqliteConnection::connect(&url).await.unwrap();
        // One transaction, so that all is of one moment.
        let mut read = connection.begin().await.unwrap();
        let mut parts = BTreeMap::new();
        for (part, query) in PARTS {
            let rows = sqlx::query(AssertSqlSafe(query)).fetch_all(&mut *read).await.unwrap();
            parts.insert(part, rows.iter().map(|row| row.get(0)).collect());
        }
        read.rollback().await.unwrap();
        connection.close().await.unwrap();
        Self(parts)
    }

    /// The parts in which two moments differ.
    pub(crate) fn changed(&self, later: &Self) -> Vec<Part> {
        let differs = |part: &Part| self.0.get(part) != later.0.get(part);
        self.0.keys().copied().filter(differs).collect()
    }

    /// How many rows a part has.
    pub(crate) fn count(&self, part: Part) -> usize {
        self.0.get(&part).map_or(0, Vec::len)
    }
}
