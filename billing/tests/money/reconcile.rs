//! Changing any amount by one nano-unit is found, and the row is named.

use super::events::{Shape, envelopes};
use super::world::{NOW, World, budget, wallet};
use billing::consumer::apply;
use billing::{Difference, reconcile};
use domain::time::Timestamp;
use prost::Message;
use proto::feed::v1::SellPrice;
use proto::usage::v1::UsageEvent;
use sqlx::Row;

/// A ledger with everything in it: two wallets, a budget, shortfalls, a gap, poison.
async fn world() -> World {
    let world = World::new().await;
    world.add_org(4, "0.000000500 USD").await;
    for (org, amount) in [(1, 1000), (2, 1000), (4, 300)] {
        world.credit(org, amount, &format!("a-{org}")).await;
        world.credit(org, amount, &format!("b-{org}")).await;
    }
    world.grant("dp", wallet(1), 900).await;
    world.grant("dp", budget(1, 11), 300).await;
    world.grant("dp", wallet(2), 1500).await;
    world.grant("other", wallet(2), 400).await;
    world.grant("dp", wallet(4), 1000).await;
    let batches = [
        vec![
            Shape::new("dp", 1, 1, 100).output(3).budgeted(11),
            Shape::new("dp", 2, 1, 200).uncollected(7),
            Shape::new("dp", 3, 2, 1100),
        ],
        vec![
            Shape::new("dp", 4, 4, 800),
            Shape::new("other", 1, 2, 560),
            Shape::new("dp", 7, 1, 1000).budgeted(11),
            Shape::new("dp", 8, 99, 5),
            Shape::new("dp", 9, 3, 0),
        ],
    ];
    for batch in batches {
        apply(&world.database, &envelopes(&batch), NOW).await.unwrap();
    }
    world.assert_sound().await;
    world
}

/// Each row's column, one up and one down: what is found must name the row.
async fn check(world: &World, table: &str, key: &str, columns: &[&str], called: &str) {
    let names = world.table(&format!("SELECT {called} FROM {table} ORDER BY {key}")).await;
    let keys = world.table(&format!("SELECT {key} FROM {table} ORDER BY {key}")).await;
    assert!(!keys.is_empty(), "{table} has rows");
    for (name, place) in names.iter().zip(&keys) {
        for column in columns {
            for step in [1, -1] {
                let change = |by: i64| {
                    let place: Vec<String> = key
                        .split(", ")
                        .zip(place.split('|'))
                        .map(|(column, value)| format!("{column} = '{value}'"))
                        .collect();
                    let place = place.join(" AND ");
                    format!("UPDATE {table} SET {column} = {column} + {by} WHERE {place}")
                };
                world.tamper(&change(step)).await;
                let found = world.differences().await;
                let named = found.iter().any(|difference| difference.row.contains(name.as_str()));
                assert!(named, "{table}.{column} of {name} by {step}: {found:#?}");
                world.tamper(&change(-step)).await;
                world.assert_sound().await;
            }
        }
    }
}

#[tokio::test]
async fn every_amount_of_an_account_or_slice() {
    let world = world().await;
    let called = "CASE WHEN key_uid = 0 THEN 'wallet org-' || org_uid
                  ELSE 'budget org-' || org_uid || '/key-' || key_uid END";
    let amounts = ["credited", "posted", "held", "credit_limit"];
    check(&world, "account", "org_uid, key_uid", &amounts, called).await;
    let amounts = ["granted", "released", "settled", "unbacked"];
    check(&world, "slice", "data_plane, org_uid, key_uid", &amounts, called).await;
}

#[tokio::test]
async fn every_posting_and_lot() {
    let world = world().await;
    let called = "'posting ' || transaction_id || '/' || ord";
    check(&world, "posting", "transaction_id, ord", &["amount"], called).await;
    check(&world, "lot", "id", &["amount", "remaining"], "'lot ' || id").await;
}

#[tokio::test]
async fn every_column_of_a_usage_record() {
    let world = world().await;
    let columns = ["charge_nano", "uncollected_nano", "input_tokens", "output_tokens", "ended_us"];
    let called = "'usage_record ' || request_id";
    check(&world, "usage_record", "data_plane, seq", &columns, called).await;
    // What fell short is nowhere else but in the postings of the same transaction, and in the budget.
    world.tamper("UPDATE usage_record SET shortfall_nano = shortfall_nano + 1 WHERE seq = 2").await;
    let found = world.differences().await;
    assert!(found.iter().any(|difference| difference.row.starts_with("posting 7/")), "{found:#?}");
    world.tamper("UPDATE usage_record SET shortfall_nano = shortfall_nano - 1 WHERE seq = 2").await;
    let statement = "UPDATE usage_record SET budget_shortfall_nano = budget_shortfall_nano";
    world.tamper(&format!("{statement} + 1 WHERE budgeted = 1 AND seq = 1")).await;
    let found = world.differences().await;
    assert!(found.iter().any(|difference| difference.row == "budget org-1/key-11"), "{found:#?}");
    world.tamper(&format!("{statement} - 1 WHERE budgeted = 1 AND seq = 1")).await;
    world.assert_sound().await;
}

#[tokio::test]
async fn every_sum_of_a_key() {
    let world = world().await;
    let called = "'key_usage of budget ' || COALESCE(
                      (SELECT name FROM config_object WHERE uid = key_uid), '#' || key_uid)
                  || ' on day ' || day";
    check(&world, "key_usage", "org_uid, key_uid, day", &["charge_nano"], called).await;
}

#[tokio::test]
async fn every_amount_in_an_event() {
    let world = world().await;
    type Change = fn(&mut UsageEvent);
    let changes: [(&str, Change); 7] = [
        ("charge", |event| event.charge_nano += 1),
        ("uncollected", |event| event.uncollected_nano += 1),
        ("quantity", |event| event.lines[0].quantity += 1),
        ("unit", |event| event.lines[0].unit_nano_per_million += 1),
        ("charge moved to uncollected", |event| {
            event.charge_nano -= 1;
            event.uncollected_nano += 1;
        }),
        ("org", |event| event.org_uid = 2),
        ("price revision", |event| event.price.as_mut().unwrap().revision += 1),
    ];
    let rows = world.rows("SELECT request_id, event FROM usage_record WHERE charge_nano > 0").await;
    for row in rows {
        let (request, hex): (String, String) = (row.get(0), row.get(1));
        let event = UsageEvent::decode(hex::decode(&hex).unwrap().as_slice()).unwrap();
        for (change, apply) in changes {
            let mut changed = event.clone();
            apply(&mut changed);
            if changed == event {
                continue;
            }
            let put = |body: &str| {
                format!("UPDATE usage_record SET event = '{body}' WHERE request_id = '{request}'")
            };
            world.tamper(&put(&hex::encode(changed.encode_to_vec()))).await;
            let found = world.differences().await;
            assert_named(&found, &format!("usage_record {request} "), change);
            world.tamper(&put(&hex)).await;
        }
    }
    world.assert_sound().await;
}

fn assert_named(found: &[Difference], row: &str, change: &str) {
    assert!(found.iter().any(|difference| difference.row.contains(row)), "{change}: {found:#?}");
}

#[tokio::test]
async fn a_price_that_was_changed_afterwards() {
    let world = world().await;
    let body: String = world.rows("SELECT body FROM price").await[0].get(0);
    let mut price = SellPrice::decode(hex::decode(&body).unwrap().as_slice()).unwrap();
    for rate in price.schedule[0].card.as_mut().unwrap().base.values_mut() {
        *rate += 1;
    }
    let body = hex::encode(price.encode_to_vec());
    world.tamper(&format!("UPDATE price SET body = '{body}'")).await;
    assert_named(&world.differences().await, "usage_record req-dp-1 ", "rate");
}

#[tokio::test]
async fn rows_that_are_missing_or_too_many() {
    let table = [
        ("DELETE FROM posting WHERE transaction_id = 7 AND ord = 0", "posting 7"),
        ("DELETE FROM posting WHERE transaction_id = 1", "ledger_transaction 1"),
        ("DELETE FROM ledger_transaction WHERE id = 2", "ledger_transaction 2"),
        ("DELETE FROM lot WHERE id = 1", "posting 1/0"),
        ("DELETE FROM usage_record WHERE seq = 3", "usage_mark dp:7:0"),
        ("DELETE FROM usage_record WHERE seq = 9", "usage_mark dp:7:0"),
        ("DELETE FROM usage_poison", "usage_mark dp:7:0"),
        ("DELETE FROM usage_gap", "usage_mark dp:7:0"),
        ("UPDATE usage_gap SET to_seq = to_seq + 1", "usage_mark dp:7:0"),
        (
            "UPDATE usage_mark SET next_seq = next_seq + 1 WHERE data_plane = 'dp'",
            "usage_mark dp:7:0",
        ),
        ("DELETE FROM usage_mark WHERE data_plane = 'other'", "usage_mark other:7:0"),
        ("DELETE FROM slice WHERE data_plane = 'other'", "slice of wallet org-2 on other:7"),
        ("DELETE FROM account WHERE org_uid = 2", "wallet:2"),
        ("UPDATE ledger_head SET last_transaction = 9", "ledger_head"),
        ("UPDATE usage_record SET transaction_id = 0 WHERE seq = 3", "posting 7/"),
        ("UPDATE usage_record SET transaction_id = 99 WHERE seq = 3", "posting 7/"),
        ("UPDATE posting SET currency = 'TWD' WHERE transaction_id = 7 AND ord = 0", "posting 7/0"),
        (
            "UPDATE posting SET debit = 'wallet:3' WHERE transaction_id = 7 AND ord = 1",
            "posting 7/1",
        ),
        ("UPDATE usage_record SET event = 'zz' WHERE seq = 3", "usage_record req-dp-3 "),
        ("UPDATE usage_record SET request_id = 'x' WHERE seq = 3", "usage_record x "),
    ];
    for (change, row) in table {
        let world = world().await;
        world.tamper(change).await;
        assert_named(&world.differences().await, row, change);
    }
}

#[tokio::test]
async fn since_leaves_out_what_was_posted_before() {
    let world = world().await;
    let later = Timestamp(NOW.0 + 1);
    apply(&world.database, &envelopes(&[Shape::new("dp", 10, 1, 1)]), later).await.unwrap();
    let all = reconcile(&world.database, None).await.unwrap();
    assert_eq!((all.events, all.differences.len()), (9 - 1, 0));
    let since = reconcile(&world.database, Some(later)).await.unwrap();
    assert_eq!((since.events, since.differences.len()), (1, 0));
    let none = reconcile(&world.database, Some(Timestamp(later.0 + 1))).await.unwrap();
    assert_eq!((none.events, none.differences.len()), (0, 0));
    world
        .tamper("UPDATE posting SET amount = amount + 1 WHERE transaction_id = 7 AND ord = 1")
        .await;
    let since = reconcile(&world.database, Some(later)).await.unwrap();
    assert!(!since.differences.is_empty(), "balances are always checked as a whole");
}
