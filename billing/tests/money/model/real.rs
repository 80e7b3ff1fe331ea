//! The real database: what its tables say, and a standby of it that may be behind when it takes over.

use super::world::World;
use prost::Message;
use std::collections::BTreeSet;
use storage::Write;

/// All that the steps write.
const TABLES: [&str; 14] = [
    "config_object",
    "account",
    "slice",
    "ledger_head",
    "ledger_transaction",
    "posting",
    "lot",
    "key_usage",
    "usage_record",
    "usage_mark",
    "usage_gap",
    "usage_poison",
    "life",
    "given_up",
];

/// Accounts, slices, sums of records, sums of postings.
pub(super) async fn tables(world: &World) -> [BTreeSet<String>; 4] {
    let mut tables: [BTreeSet<String>; 4] = Default::default();
    let statements = [
        "SELECT org_uid, key_uid, credited, posted, held, credit_limit FROM account",
        "SELECT data_plane, incarnation, org_uid, key_uid, granted, released, settled, unbacked,
             CAST(CASE WHEN given_up_us > 0 THEN 1 ELSE 0 END AS BIGINT)
         FROM slice",
        "SELECT data_plane, incarnation, org_uid, CAST(COUNT(*) AS BIGINT),
             CAST(SUM(charge_nano) AS BIGINT), CAST(SUM(shortfall_nano) AS BIGINT),
             CAST(SUM(budget_shortfall_nano) AS BIGINT)
         FROM usage_record GROUP BY data_plane, incarnation, org_uid",
        "SELECT debit, credit, CAST(SUM(amount) AS BIGINT) FROM posting GROUP BY debit, credit",
    ];
    for (table, statement) in tables.iter_mut().zip(statements) {
        table.extend(world.table(statement).await);
    }
    tables
}

/// Makes a standby that has everything.
pub(super) async fn begin_standby(world: &World) {
    let made = |table| format!("CREATE TABLE kept_{table} AS SELECT * FROM {table}");
    run(world, TABLES.into_iter().map(made)).await;
}

/// The standby has everything now.
pub(super) async fn follow(world: &World) {
    run(world, TABLES.into_iter().flat_map(|table| copy(table, &format!("kept_{table}")))).await;
}

/// The standby takes over. What it did not have is lost.
pub(super) async fn take_over(world: &World) {
    run(world, TABLES.into_iter().flat_map(|table| copy(&format!("kept_{table}"), table))).await;
}

fn copy(from: &str, to: &str) -> [String; 2] {
    [format!("DELETE FROM {to}"), format!("INSERT INTO {to} SELECT * FROM {from}")]
}

async fn run(world: &World, statements: impl Iterator<Item = String>) {
    let statements: Vec<String> = statements.collect();
    world.run(statements.iter().map(String::as_str)).await;
}

/// Writes what operators have configured, so that `reconcile` has something to compare with.
pub(super) async fn configure(write: &mut Write, uid: i64, spec: &impl Message) {
    sqlx::query("UPDATE config_object SET spec = $2 WHERE uid = $1")
        .bind(uid)
        .bind(hex::encode(spec.encode_to_vec()))
        .execute(&mut **write)
        .await
        .unwrap();
}
