//! What a batch of usage does.

use super::events::{Shape, envelopes};
use super::world::{Amounts, NOW, World, budget, wallet};
use billing::consumer::{Applied, apply};
use domain::id::Partition;
use sqlx::Row;

async fn apply_shapes(world: &World, shapes: &[Shape]) -> Applied {
    apply(&world.database, &envelopes(shapes), NOW).await.unwrap()
}

fn billed(applied: &Applied) -> Vec<(&str, u64)> {
    let mark = |mark: &'_ billing::consumer::BilledMark| {
        assert_eq!((mark.incarnation, mark.partition), (7, Partition(0)));
        mark.next_seq
    };
    applied.billed.iter().map(|of| (of.data_plane.as_str(), mark(of))).collect()
}

#[tokio::test]
async fn a_batch_charges_wallets_budgets_slices_and_lots() {
    let world = World::new().await;
    world.credit(1, 1000, "a").await;
    world.credit(1, 1000, "b").await;
    world.credit(2, 1000, "c").await;
    world.grant("dp", wallet(1), 1500).await;
    world.grant("dp", budget(1, 11), 500).await;
    world.grant("dp", wallet(2), 100).await;
    let shapes = [
        Shape::new("dp", 1, 1, 700).output(100),
        Shape::new("dp", 2, 1, 200).budgeted(11),
        Shape::new("dp", 3, 2, 60).uncollected(10),
        Shape::new("dp", 4, 2, 0),
    ];
    let applied = apply_shapes(&world, &shapes).await;
    assert_eq!((applied.applied, applied.duplicates, applied.poisoned), (4, 0, 0));
    assert_eq!(billed(&applied), [("dp", 5)]);

    assert_eq!(world.amounts(wallet(1)).await, Amounts { posted: 900, held: 400 });
    assert_eq!(world.amounts(budget(1, 11)).await, Amounts { posted: 800, held: 300 });
    assert_eq!(world.amounts(wallet(2)).await, Amounts { posted: 950, held: 50 });
    let lots = world.table("SELECT id, remaining FROM lot ORDER BY id").await;
    assert_eq!(lots, ["1|0", "2|900", "3|950"], "the oldest is used first");
    let postings = world
        .table("SELECT debit, credit, amount FROM posting WHERE transaction_id = 4 ORDER BY ord")
        .await;
    assert_eq!(
        postings,
        ["uncollected|usage:202611|10", "wallet:1|usage:202611|1100", "wallet:2|usage:202611|50"]
    );
    world.assert_sound().await;
}

#[tokio::test]
async fn an_event_counts_once_however_often_it_arrives() {
    let world = World::new().await;
    world.credit(1, 1000, "a").await;
    world.grant("dp", wallet(1), 1000).await;
    let shapes = [Shape::new("dp", 1, 1, 10), Shape::new("dp", 2, 1, 20)];
    let first = apply_shapes(&world, &shapes).await;
    // The process dies before it can tell; everything comes again.
    let again = apply_shapes(&world, &shapes).await;
    assert_eq!((again.applied, again.duplicates), (0, 2));
    assert_eq!(again.billed, first.billed);
    let twice = [shapes[0], shapes[1], Shape::new("dp", 3, 1, 5), Shape::new("dp", 3, 1, 5)];
    let mixed = apply_shapes(&world, &twice).await;
    assert_eq!((mixed.applied, mixed.duplicates), (1, 3));
    assert_eq!(world.amounts(wallet(1)).await, Amounts { posted: 965, held: 965 });
    world.assert_sound().await;
}

#[tokio::test]
async fn a_gap_is_noticed_and_closes_when_the_missing_come() {
    let world = World::new().await;
    world.credit(1, 1000, "a").await;
    world.grant("dp", wallet(1), 1000).await;
    let event = |seq| Shape::new("dp", seq, 1, 10);
    let table: [(&[u64], u64, u64); 5] = [
        // arrive, gaps opened, billed below
        (&[1, 2], 0, 3),
        (&[5, 9], 2, 3),
        (&[4, 7], 0, 3),
        (&[3], 0, 6),
        (&[6, 8, 10], 0, 11),
    ];
    for (arrive, gaps_opened, next) in table {
        let shapes: Vec<Shape> = arrive.iter().map(|seq| event(*seq)).collect();
        let applied = apply_shapes(&world, &shapes).await;
        assert_eq!(applied.applied, u64::try_from(arrive.len()).unwrap(), "{arrive:?}");
        assert_eq!(applied.gaps_opened, gaps_opened, "{arrive:?}");
        assert_eq!(billed(&applied), [("dp", next)], "{arrive:?}");
        world.assert_sound().await;
    }
    assert_eq!(world.amounts(wallet(1)).await.posted, 900);
    assert_eq!(world.number("SELECT COUNT(*) FROM usage_gap").await, 0);
}

#[tokio::test]
async fn a_charge_beyond_its_slice_takes_what_is_free_and_never_more() {
    let world = World::new().await;
    world.credit(1, 1000, "a").await;
    world.grant("lost", wallet(1), 100).await;
    world.grant("other", wallet(1), 600).await;
    // 300 are free. The slice covers 100 of 350, what is free 250 more.
    apply_shapes(&world, &[Shape::new("lost", 1, 1, 350)]).await;
    assert_eq!(world.amounts(wallet(1)).await, Amounts { posted: 650, held: 600 });
    world.assert_sound().await;
    // Only 50 are left for 80; the company pays 30, and the other's money is not touched.
    apply_shapes(&world, &[Shape::new("lost", 2, 1, 80)]).await;
    assert_eq!(world.amounts(wallet(1)).await, Amounts { posted: 600, held: 600 });
    let short = world.table("SELECT seq, shortfall_nano FROM usage_record ORDER BY seq").await;
    assert_eq!(short, ["1|0", "2|30"]);
    let postings = world
        .table("SELECT debit, amount FROM posting WHERE transaction_id = 3 ORDER BY ord")
        .await;
    assert_eq!(postings, ["uncollected|30", "wallet:1|50"]);
    world.assert_sound().await;
    // A slice that no row tells of, and one that is covered, in the same batch.
    let both = [Shape::new("unheard-of", 1, 1, 40), Shape::new("other", 1, 1, 500)];
    apply_shapes(&world, &both).await;
    assert_eq!(world.amounts(wallet(1)).await, Amounts { posted: 100, held: 100 });
    world.assert_sound().await;
}

#[tokio::test]
async fn a_budget_falls_short_by_itself() {
    let world = World::new().await;
    world.credit(1, 5000, "a").await;
    world.grant("dp", wallet(1), 4000).await;
    world.grant("dp", budget(1, 11), 900).await;
    // 1000 is all the key may spend; the wallet pays in full.
    apply_shapes(&world, &[Shape::new("dp", 1, 1, 1200).budgeted(11)]).await;
    assert_eq!(world.amounts(budget(1, 11)).await, Amounts { posted: 0, held: 0 });
    assert_eq!(world.amounts(wallet(1)).await, Amounts { posted: 3800, held: 2800 });
    let row = world.rows("SELECT * FROM usage_record").await.pop().unwrap();
    assert_eq!(row.get::<i64, _>("shortfall_nano"), 0);
    assert_eq!(row.get::<i64, _>("budget_shortfall_nano"), 200);
    world.assert_sound().await;
}

#[tokio::test]
async fn what_cost_nothing_is_recorded_without_a_transaction() {
    let world = World::new().await;
    let applied = apply_shapes(&world, &[Shape::new("dp", 1, 1, 0)]).await;
    assert_eq!(applied.applied, 1);
    assert_eq!(world.number("SELECT COUNT(*) FROM ledger_transaction").await, 0);
    assert_eq!(world.number("SELECT COUNT(*) FROM usage_record").await, 1);
    world.assert_sound().await;
}

#[tokio::test]
async fn a_wallet_with_credit_goes_below_zero_and_a_top_up_pays_it_back() {
    let world = World::new().await;
    world.add_org(4, "0.000000500 USD").await;
    world.credit(4, 100, "a").await;
    world.grant("dp", wallet(4), 600).await;
    apply_shapes(&world, &[Shape::new("dp", 1, 4, 350)]).await;
    assert_eq!(world.amounts(wallet(4)).await, Amounts { posted: -250, held: 250 });
    world.assert_sound().await;
    world.credit(4, 400, "b").await;
    let lots = world.table("SELECT amount, remaining FROM lot ORDER BY id").await;
    assert_eq!(lots, ["100|0", "400|150"]);
    world.assert_sound().await;
}

#[tokio::test]
async fn each_month_has_its_own_revenue() {
    let world = World::new().await;
    world.credit(1, 1000, "a").await;
    world.grant("dp", wallet(1), 1000).await;
    let mut batch = envelopes(&[Shape::new("dp", 1, 1, 10), Shape::new("dp", 2, 1, 20)]);
    // The last microsecond of November 2026, and the first of December.
    for (envelope, ended_us) in batch.iter_mut().zip([1_796_083_199_999_999, 1_796_083_200_000_000])
    {
        envelope.event.as_mut().unwrap().ended_us = ended_us;
    }
    apply(&world.database, &batch, NOW).await.unwrap();
    let postings = world
        .table("SELECT credit, amount FROM posting WHERE transaction_id = 2 ORDER BY ord")
        .await;
    assert_eq!(postings, ["usage:202611|10", "usage:202612|20"]);
    world.assert_sound().await;
}
