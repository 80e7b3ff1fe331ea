//! Old records become sums; nothing else changes, and whatever is out of place is still found.

use super::events::{Shape, envelopes};
use super::kind;
use super::world::{NOW, World, budget, wallet};
use billing::consumer::apply;
use billing::retention::{RetentionSettings, roll_up, rolled_up, start};
use billing::{Difference, UsageQuery, UsageRow, explain, reconcile, usage_page};
use domain::id::OrgUid;
use domain::time::Timestamp;
use proto::usage::v1::UsageEnvelope;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const DAY_US: u64 = 86_400_000_000;
/// A moment after all that `world` has.
const LATER: Timestamp = Timestamp(NOW.0 + 60 * DAY_US);

/// Shapes whose events end so many days after `NOW`.
fn on_day(day: u64, shapes: &[Shape]) -> Vec<UsageEnvelope> {
    let mut batch = envelopes(shapes);
    for event in batch.iter_mut().filter_map(|envelope| envelope.event.as_mut()) {
        event.ended_us += day * DAY_US;
    }
    batch
}

/// Two wallets, a budget, shortfalls, a gap, poison, free requests; three transactions of usage over two months.
async fn world() -> World {
    let world = World::new().await;
    for (org, amount) in [(1, 2000), (2, 1000)] {
        world.credit(org, amount, &format!("a-{org}")).await;
    }
    world.grant("dp", wallet(1), 1000).await;
    world.grant("dp", budget(1, 11), 300).await;
    world.grant("dp", wallet(2), 500).await;
    world.grant("other", wallet(2), 400).await;
    let batches = [
        on_day(
            0,
            &[
                Shape::new("dp", 1, 1, 100).output(3).budgeted(11),
                Shape::new("dp", 2, 1, 200).uncollected(7),
                Shape::new("dp", 3, 2, 900),
                Shape::new("dp", 4, 1, 0),
            ],
        ),
        on_day(
            1,
            &[
                Shape::new("other", 1, 2, 560),
                Shape::new("dp", 7, 1, 1000).budgeted(11),
                Shape::new("dp", 8, 99, 5),
            ],
        ),
        on_day(20, &[Shape::new("dp", 9, 1, 30), Shape::new("dp", 10, 3, 0)]),
    ];
    for batch in batches {
        apply(&world.database, &batch, NOW).await.unwrap();
    }
    world.assert_sound().await;
    world
}

/// Everything but records and what is left of them.
async fn money(world: &World) -> Vec<Vec<String>> {
    let mut tables = Vec::new();
    for table in ["account", "slice", "posting", "lot", "usage_mark", "usage_gap", "usage_poison"] {
        tables.push(world.table(&format!("SELECT * FROM {table} ORDER BY 1, 2, 3, 4")).await);
    }
    tables
}

async fn records(world: &World) -> i64 {
    world.number("SELECT COUNT(*) FROM usage_record").await
}

async fn roll_up_all(world: &World, before: Timestamp, batch: u32) -> u64 {
    let mut all = 0;
    loop {
        match roll_up(&world.database, before, batch, LATER).await.unwrap() {
            0 => return all,
            some => all += some,
        }
        world.assert_sound().await;
    }
}

/// Requests, tokens and charges by org and model, over all pages of a size.
async fn usage(world: &World, page_size: u32) -> Vec<UsageRow> {
    let mut query = UsageQuery { page_size, ..UsageQuery::default() };
    let mut rows = Vec::new();
    loop {
        let page = usage_page(&world.database, &query, &|_| true).await.unwrap();
        rows.extend(page.rows);
        if page.next_page_token.is_empty() {
            return rows;
        }
        query.page_token = page.next_page_token;
    }
}

fn sums(rows: &[UsageRow], org: i64) -> (u64, u64, u64, i64) {
    rows.iter().filter(|row| row.org == OrgUid(org)).fold((0, 0, 0, 0), |sum, row| {
        let (requests, input, output, charge) = sum;
        (
            requests + row.requests,
            input + row.input_tokens,
            output + row.output_tokens,
            charge + row.charge.get(),
        )
    })
}

#[tokio::test]
async fn old_records_become_sums_and_no_money_moves() {
    for batch in [1, 2, 1000] {
        let world = world().await;
        let (before, all) = (money(&world).await, usage(&world, 1000).await);
        let rolled = roll_up_all(&world, Timestamp(NOW.0 + 10 * DAY_US), batch).await;
        assert_eq!((rolled, records(&world).await), (6, 2), "in steps of {batch}");
        assert_eq!(money(&world).await, before);
        let found = reconcile(&world.database, None).await.unwrap();
        assert_eq!((found.events, found.rolled_up, found.differences.len()), (2, 6, 0));
        for page_size in [1, 2, 3, 1000] {
            let left = usage(&world, page_size).await;
            assert_eq!(left.len(), 2 + 5, "two records, and five days of keys: {left:#?}");
            for org in 1..=3 {
                assert_eq!(sums(&left, org), sums(&all, org), "org {org}, pages of {page_size}");
            }
        }
    }
}

#[tokio::test]
async fn a_record_that_was_rolled_up_is_told_from_one_that_never_was() {
    let world = world().await;
    roll_up_all(&world, Timestamp(NOW.0 + 10 * DAY_US), 1000).await;
    for (request, is_rolled_up) in [("req-dp-1", true), ("req-dp-9", false), ("req-x", false)] {
        let when = rolled_up(&world.database, request).await.unwrap();
        assert_eq!(when, is_rolled_up.then_some(LATER), "{request}");
    }
    assert_eq!(explain(&world.database, "req-dp-1").await.unwrap(), None);
    assert!(explain(&world.database, "req-dp-9").await.unwrap().is_some());
    let kept = world.table("SELECT * FROM usage_rolled_up").await;
    assert!(!kept.iter().any(|row| row.contains("req")), "no id can be read: {kept:?}");
}

#[tokio::test]
async fn what_is_told_again_after_its_record_was_deleted_does_not_count_twice() {
    let world = world().await;
    roll_up_all(&world, LATER, 1000).await;
    let before = money(&world).await;
    // The same events again, by their places.
    let again = on_day(0, &[Shape::new("dp", 1, 1, 100).output(3).budgeted(11)]);
    let applied = apply(&world.database, &again, LATER).await.unwrap();
    assert_eq!((applied.applied, applied.duplicates), (0, 1));
    assert_eq!(money(&world).await, before);
    // From a damaged spool: the same request under another number.
    let mut elsewhere = on_day(0, &[Shape::new("dp", 11, 1, 100)]);
    elsewhere[0].event.as_mut().unwrap().request_id = "req-dp-1".to_owned();
    let applied = apply(&world.database, &elsewhere, LATER).await.unwrap();
    assert_eq!((applied.applied, applied.poisoned), (0, 1));
    world.assert_sound().await;
}

#[tokio::test]
async fn what_arrives_late_joins_the_sums() {
    let world = world().await;
    roll_up_all(&world, LATER, 1000).await;
    let late = on_day(0, &[Shape::new("dp", 5, 1, 11), Shape::new("dp", 6, 1, 12)]);
    assert_eq!(apply(&world.database, &late, LATER).await.unwrap().applied, 2);
    world.assert_sound().await;
    assert_eq!(roll_up_all(&world, LATER, 1000).await, 2);
    assert_eq!(records(&world).await, 0);
    assert_eq!(world.number("SELECT CAST(SUM(records) AS BIGINT) FROM usage_rollup").await, 10);
}

/// A step up and a step down of one column is found; of an amount, with the rollup's name.
async fn assert_found(world: &World, rollup: &str, column: &str, step: i64) {
    for step in [step, -step] {
        let change = |by: i64| {
            format!("UPDATE usage_rollup SET {column} = {column} + {by} WHERE rowid = {rollup}")
        };
        world.tamper(&change(step)).await;
        let found = world.differences().await;
        let is_amount = column.ends_with("_nano") && column != "shortfall_nano";
        let named = names(&found).iter().any(|row| {
            row.contains("usage_rollup") || row.contains("slice of") || row.contains("ledger_trans")
        });
        assert!(!found.is_empty() && (named || !is_amount), "{column} of {rollup}: {found:#?}");
        world.tamper(&change(-step)).await;
    }
}

fn names(found: &[Difference]) -> Vec<&str> {
    found.iter().map(|difference| difference.row.as_str()).collect()
}

#[tokio::test]
async fn one_nano_unit_out_of_place_in_a_rollup_or_a_posting_is_found() {
    let world = world().await;
    roll_up_all(&world, LATER, 1000).await;
    for table in ["usage_rollup", "posting"] {
        world.run(kind().number(table).as_deref()).await;
    }
    let rollups = world.table("SELECT rowid FROM usage_rollup").await;
    assert!(rollups.len() > 4, "{rollups:?}");
    for rollup in &rollups {
        let sum = "SELECT charge_nano + uncollected_nano FROM usage_rollup WHERE rowid";
        let is_free = world.number(&format!("{sum} = {rollup}")).await == 0;
        for column in ["charge_nano", "uncollected_nano", "shortfall_nano", "records"] {
            assert_found(&world, rollup, column, 1).await;
        }
        // What cost nothing may belong anywhere.
        if !is_free {
            assert_found(&world, rollup, "transaction_id", 1).await;
            assert_found(&world, rollup, "day_us", 40 * 86_400_000_000).await;
        }
    }
    let budget = "UPDATE usage_rollup SET budget_shortfall_nano = budget_shortfall_nano";
    world.tamper(&format!("{budget} + 1 WHERE budgeted = 1 AND charge_nano < 200")).await;
    assert_eq!(names(&world.differences().await), ["budget org-1/key-11"]);
    world.tamper(&format!("{budget} - 1 WHERE budgeted = 1 AND charge_nano < 200")).await;
    world.assert_sound().await;
    for posting in world.table("SELECT rowid FROM posting").await {
        for step in [1, -1] {
            let change =
                |by| format!("UPDATE posting SET amount = amount + {by} WHERE rowid = {posting}");
            world.tamper(&change(step)).await;
            assert!(!world.differences().await.is_empty(), "posting {posting} by {step}");
            world.tamper(&change(-step)).await;
        }
    }
    world.assert_sound().await;
}

#[tokio::test]
async fn a_rollup_that_is_cut_off_at_any_statement_never_was() {
    let steps = [
        ("DELETE", "usage_record", "OLD.seq = 3"),
        ("INSERT", "usage_rollup", "NEW.org_uid = 1"),
        ("INSERT", "usage_rollup", "NEW.org_uid = 2 AND NEW.data_plane = 'other'"),
        ("INSERT", "usage_rolled_up", "1 = 1"),
    ];
    for (operation, table, when) in steps {
        let step = format!("{operation} {table} {when}");
        let world = world().await;
        let before = (money(&world).await, world.table("SELECT * FROM usage_record").await);
        let cut = kind().cut(operation, table, when);
        world.run(cut.iter().map(String::as_str)).await;
        assert!(roll_up(&world.database, LATER, 1000, LATER).await.is_err(), "{step}");
        let after = (money(&world).await, world.table("SELECT * FROM usage_record").await);
        assert_eq!(after, before, "{step}");
        assert_eq!(world.number("SELECT COUNT(*) FROM usage_rollup").await, 0, "{step}");
        world.assert_sound().await;
        world.run([kind().mend()]).await;
        assert_eq!(roll_up_all(&world, LATER, 1000).await, 8, "{step}");
    }
}

#[tokio::test]
async fn the_sweeper_keeps_what_is_young_and_nothing_else() {
    // `NOW` is not the clock's now: whatever that is, these ended long before it or will end long after.
    let world = World::new().await;
    world.credit(1, 1000, "a").await;
    world.grant("dp", wallet(1), 1000).await;
    let mut batch = envelopes(&[Shape::new("dp", 1, 1, 10), Shape::new("dp", 2, 1, 20)]);
    for (envelope, ended_us) in batch.iter_mut().zip([1_000_000, 4_000_000_000_000_000]) {
        envelope.event.as_mut().unwrap().ended_us = ended_us;
    }
    apply(&world.database, &batch, NOW).await.unwrap();
    let settings = RetentionSettings {
        keep: Some(Duration::from_secs(1)),
        sweep_every: Duration::from_millis(10),
        ..RetentionSettings::default()
    };
    let token = CancellationToken::new();
    let sweeper = start(settings, world.database.clone(), token.clone());
    let swept = async {
        while records(&world).await > 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), swept).await.expect("it sweeps");
    token.cancel();
    sweeper.await.unwrap();
    assert_eq!(world.table("SELECT seq FROM usage_record").await, ["2"]);
    world.assert_sound().await;
}
