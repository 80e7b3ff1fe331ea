//! What can be asked about usage: the bill of a request, and the list of them.

use super::events::{Shape, envelopes};
use super::world::{NOW, World, nano, wallet};
use billing::consumer::apply;
use billing::{ExplainedLine, HistoryError, UsageQuery, UsageRow, explain, usage_page};
use domain::id::{KeyUid, OrgUid};
use domain::money::Nano;
use domain::tokens::{Provenance, TokenClass};
use domain::usage::Outcome;
use proto::usage::v1::Attempt;

#[tokio::test]
async fn a_bill_is_found_by_either_id_and_adds_up() {
    let world = World::new().await;
    world.credit(1, 10_000, "a").await;
    world.grant("dp", wallet(1), 10_000).await;
    let mut batch =
        envelopes(&[Shape::new("dp", 1, 1, 700).output(100).uncollected(50).budgeted(11)]);
    let attempt = Attempt { upstream: "demo-a".to_owned(), status: 200, ..Attempt::default() };
    batch[0].event.as_mut().unwrap().attempts.push(attempt);
    apply(&world.database, &batch, NOW).await.unwrap();

    let explained = explain(&world.database, "req-dp-1").await.unwrap().unwrap();
    assert_eq!(explain(&world.database, "up-dp-1").await.unwrap().as_ref(), Some(&explained));
    assert_eq!((explained.org, explained.org_name.as_str()), (OrgUid(1), "org-1"));
    assert_eq!((explained.key, explained.key_name.as_str()), (KeyUid(11), "org-1/key-11"));
    assert_eq!((explained.outcome, explained.price_revision), (Outcome::Completed, 1));
    assert_eq!((explained.charge, explained.uncollected), (nano(850), nano(50)));
    let line = |class, quantity, unit, amount| ExplainedLine {
        class,
        quantity,
        provenance: Provenance::Reported,
        unit: nano(unit),
        amount: nano(amount),
    };
    let input = line(TokenClass::Input, 700, 1_000_000, 700);
    let output = line(TokenClass::Output, 100, 2_000_000, 200);
    assert_eq!(explained.lines, [input, output]);
    assert_eq!(explained.attempts[0].upstream, "demo-a");
    assert_eq!((explained.admitted, explained.ended.0), (NOW, NOW.0 + 1));

    for nothing in ["", "req-dp-2", "%"] {
        assert_eq!(explain(&world.database, nothing).await.unwrap(), None, "{nothing:?}");
    }
}

#[tokio::test]
async fn every_record_is_on_one_page_newest_first() {
    let world = World::new().await;
    for org in 1..=3 {
        world.credit(org, 10_000, &format!("a-{org}")).await;
    }
    let mut batch = Vec::new();
    for seq in 1..=25_u64 {
        let org = i64::try_from(seq % 3).unwrap() + 1;
        batch.push(Shape::new("a", seq, org, seq).envelope());
        batch.push(Shape::new("b", seq, org, seq).envelope());
    }
    for envelope in &mut batch {
        let event = envelope.event.as_mut().unwrap();
        if envelope.seq % 5 == 0 {
            event.model = "demo/long".to_owned();
        }
        // Several end at the same moment.
        event.ended_us = NOW.0 + envelope.seq / 4;
    }
    apply(&world.database, &batch, NOW).await.unwrap();

    let model = |name: &str| Some(name.to_owned());
    let table = [
        // orgs, model, records
        (None, None, 50),
        (Some(vec![1]), None, 16),
        (None, model("demo/long"), 10),
        (Some(vec![1]), model("demo/long"), 2),
        (Some(vec![9]), None, 0),
        (Some(vec![]), None, 0),
        (Some(vec![1, 9, 2, 3]), None, 50),
    ];
    for (orgs, model, records) in table {
        let orgs = orgs.map(|uids| uids.into_iter().map(OrgUid).collect::<Vec<_>>());
        for page_size in [1, 7, 0, 5000] {
            let query = UsageQuery { orgs: orgs.clone(), page_size, ..UsageQuery::default() };
            let ids = all(&world, query.clone(), model.as_deref()).await;
            assert_eq!(ids.len(), records, "{query:?}");
            let unique: std::collections::BTreeSet<_> = ids.iter().map(|(id, _)| id).collect();
            assert_eq!(unique.len(), records, "{query:?}");
            assert!(ids.is_sorted_by(|newer, older| newer.1 >= older.1), "{query:?}");
        }
    }
    let wrong = UsageQuery { page_token: "nonsense".to_owned(), ..UsageQuery::default() };
    let error = usage_page(&world.database, &wrong, &|_| true).await.unwrap_err();
    assert!(matches!(error, HistoryError::PageToken));
}

#[tokio::test]
async fn a_page_that_leaves_enough_out_ends_and_the_next_one_goes_on() {
    let world = World::new().await;
    let batch: Vec<_> = (1..=50).map(|seq| Shape::new("a", seq, 1, seq).envelope()).collect();
    apply(&world.database, &batch, NOW).await.unwrap();
    let mut query = UsageQuery { rows_left_out_max: 7, ..UsageQuery::default() };
    let (mut pages, mut found) = (0, 0);
    loop {
        let wanted = &batch[40].event.as_ref().unwrap().request_id;
        let page = usage_page(&world.database, &query, &|row| row.request_id == *wanted).await;
        let page = page.unwrap();
        (pages, found) = (pages + 1, found + page.rows.len());
        if page.next_page_token.is_empty() {
            break;
        }
        query.page_token = page.next_page_token;
    }
    assert_eq!((pages, found), (7, 1), "49 left out, 7 on a page");
}

async fn all(world: &World, mut query: UsageQuery, model: Option<&str>) -> Vec<(String, u64)> {
    let mut ids = Vec::new();
    let fits = |row: &UsageRow| model.is_none_or(|model| row.model == model);
    loop {
        let page = usage_page(&world.database, &query, &fits).await.unwrap();
        if query.page_size > 0 {
            assert!(page.rows.len() <= usize::try_from(query.page_size).unwrap());
        }
        for row in page.rows {
            assert_eq!(row.org_name, format!("org-{}", row.org.0));
            assert_eq!((row.key, row.key_name.as_str()), (KeyUid(10), ""));
            ids.push((row.request_id, row.ended.0));
        }
        if page.next_page_token.is_empty() {
            return ids;
        }
        query.page_token = page.next_page_token;
    }
}

#[tokio::test]
async fn a_balance_is_what_is_posted_held_and_free() {
    let world = World::new().await;
    world.add_org(4, "0.000000500 USD").await;
    world.credit(4, 1000, "a").await;
    world.grant("dp", wallet(4), 1200).await;
    let told = world.balance(4).await.unwrap();
    assert_eq!((told.posted, told.held, told.free), (nano(1000), nano(1200), nano(300)));
    let empty = world.balance(2).await.unwrap();
    assert_eq!((empty.posted, empty.free), (Nano::ZERO, Nano::ZERO));
    assert_eq!(world.balance(99).await, None);
}
