//! Missing usage that an operator gives up: the mark steps over it, no money moves, and what comes after all counts once.

use super::events::{Shape, envelopes};
use super::world::{Amounts, NOW, World, wallet};
use billing::consumer::{Applied, WrittenOff, apply};
use billing::{GapName, GapQuery, Missing, UsageGap, WriteOff, WriteOffError};
use billing::{reconcile, usage_gaps, write_off};
use domain::id::Partition;
use domain::time::Timestamp;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const LATER: Timestamp = Timestamp(NOW.0 + 2 * 3_600_000_000);

fn gap(from_seq: u64, to_seq: u64) -> GapName {
    GapName {
        data_plane: "dp".to_owned(),
        incarnation: 7,
        partition: Partition(0),
        from_seq,
        to_seq,
    }
}

async fn give_up(world: &World, gap: GapName, now: Timestamp) -> Result<UsageGap, WriteOffError> {
    let order = WriteOff { gap, reason: "the disk of dp".to_owned(), age_min: HOUR };
    let mut write = world.database.write().await.unwrap();
    let given_up = write_off(&mut write, &order, now).await;
    write.commit().await.unwrap();
    given_up
}

async fn arrive(world: &World, seqs: &[u64]) -> Applied {
    let shapes: Vec<Shape> = seqs.iter().map(|seq| Shape::new("dp", *seq, 1, 10)).collect();
    apply(&world.database, &envelopes(&shapes), NOW).await.unwrap()
}

/// A wallet of 1000, all of it held by a slice, of which the events 1, 2, 5 and 9 have come.
async fn with_gaps() -> World {
    let world = World::new().await;
    world.credit(1, 1000, "a").await;
    world.grant("dp", wallet(1), 1000).await;
    let applied = arrive(&world, &[1, 2, 5, 9]).await;
    assert_eq!((applied.applied, applied.gaps_opened, applied.billed[0].next_seq), (4, 2, 3));
    world
}

async fn listed(world: &World, written_off: bool) -> Vec<(u64, u64, bool)> {
    let query = GapQuery { written_off, after: None, limit: 100 };
    let gaps = usage_gaps(&world.database, &query).await.unwrap();
    let row = |gap: &UsageGap| (gap.name.from_seq, gap.name.to_seq, gap.written_off.is_some());
    gaps.iter().map(row).collect()
}

async fn missing(world: &World) -> Missing {
    world.assert_sound().await;
    reconcile(&world.database, None).await.unwrap().missing
}

#[tokio::test]
async fn the_mark_steps_over_what_is_given_up_and_no_money_moves() {
    let world = with_gaps().await;
    assert_eq!(listed(&world, false).await, [(3, 4, false), (6, 8, false)]);
    assert_eq!(missing(&world).await, Missing { awaited: 5, written_off: 0 });
    let before = Amounts { posted: 960, held: 960 };
    assert_eq!(world.amounts(wallet(1)).await, before);

    let given_up = give_up(&world, gap(3, 4), LATER).await.unwrap();
    assert_eq!((given_up.since, &given_up.name), (NOW, &gap(3, 4)));
    let written_off = WrittenOff { at: LATER, reason: "the disk of dp".to_owned() };
    assert_eq!(given_up.written_off, Some(written_off));
    assert_eq!(world.amounts(wallet(1)).await, before, "what was held for them stays held");
    assert_eq!(listed(&world, false).await, [(6, 8, false)]);
    assert_eq!(listed(&world, true).await, [(3, 4, true), (6, 8, false)]);
    assert_eq!(missing(&world).await, Missing { awaited: 3, written_off: 2 });
    let again = arrive(&world, &[9]).await;
    assert_eq!((again.duplicates, again.billed[0].next_seq), (1, 6), "up to the next gap");

    give_up(&world, gap(6, 8), LATER).await.unwrap();
    let next = arrive(&world, &[10]).await;
    assert_eq!((next.applied, next.gaps_opened, next.billed[0].next_seq), (1, 0, 11));
    assert_eq!(missing(&world).await, Missing { awaited: 0, written_off: 5 });
}

#[tokio::test]
async fn an_event_that_comes_after_all_counts_once_from_the_money_that_is_held_for_it() {
    let world = with_gaps().await;
    give_up(&world, gap(6, 8), LATER).await.unwrap();
    for (applied, duplicates) in [(1, 0), (0, 1)] {
        let late = arrive(&world, &[7]).await;
        assert_eq!((late.applied, late.duplicates), (applied, duplicates));
        assert_eq!(world.amounts(wallet(1)).await, Amounts { posted: 950, held: 950 });
    }
    assert_eq!(listed(&world, true).await, [(3, 4, false), (6, 6, true), (8, 8, true)]);
    assert_eq!(missing(&world).await, Missing { awaited: 2, written_off: 2 });
    let rest = arrive(&world, &[3, 4, 6, 8]).await;
    assert_eq!((rest.applied, rest.billed[0].next_seq), (4, 10));
    assert_eq!(world.amounts(wallet(1)).await, Amounts { posted: 910, held: 910 });
    assert_eq!(missing(&world).await, Missing::default());
    assert_eq!(world.number("SELECT COUNT(*) FROM usage_gap").await, 0);
}

#[tokio::test]
async fn only_what_is_missing_for_long_enough_is_given_up_and_only_once() {
    let world = with_gaps().await;
    for name in [
        gap(3, 3),
        gap(3, 5),
        gap(2, 4),
        gap(1, 2),
        gap(10, 12),
        GapName { incarnation: 8, ..gap(3, 4) },
        GapName { partition: Partition(1), ..gap(3, 4) },
        GapName { data_plane: "other".to_owned(), ..gap(3, 4) },
    ] {
        let refused = give_up(&world, name.clone(), LATER).await.unwrap_err();
        assert!(matches!(refused, WriteOffError::NotMissing), "{name:?}: {refused}");
    }
    let young = give_up(&world, gap(3, 4), Timestamp(NOW.0 + 60_000_000)).await.unwrap_err();
    assert!(young.to_string().contains("missing for 60 s only"), "{young}");
    give_up(&world, gap(3, 4), LATER).await.unwrap();
    let twice = give_up(&world, gap(3, 4), LATER).await.unwrap_err();
    assert!(matches!(twice, WriteOffError::WrittenOff), "{twice}");
    assert_eq!(listed(&world, true).await, [(3, 4, true), (6, 8, false)]);
    world.assert_sound().await;
}

#[tokio::test]
async fn gaps_are_listed_page_by_page() {
    let world = with_gaps().await;
    apply(&world.database, &envelopes(&[Shape::new("another", 4, 1, 0)]), NOW).await.unwrap();
    let mut query = GapQuery { written_off: false, after: None, limit: 1 };
    let mut seen = Vec::new();
    while let Some(gap) = usage_gaps(&world.database, &query).await.unwrap().pop() {
        seen.push((gap.name.data_plane.clone(), gap.name.from_seq, gap.name.to_seq));
        query.after = Some(gap.name);
    }
    let expected = [("another", 1, 3), ("dp", 3, 4), ("dp", 6, 8)];
    assert_eq!(seen, expected.map(|(name, from, to)| (name.to_owned(), from, to)));
}
