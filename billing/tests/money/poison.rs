//! Events that cannot be applied are kept and counted, and applied when they can be.

use super::events::{Shape, envelopes};
use super::world::{Amounts, NOW, World, wallet};
use billing::consumer::{apply, retry_poison};
use proto::usage::v1::{UsageEnvelope, UsageEvent};

fn spoiled(seq: u64, spoil: impl FnOnce(&mut UsageEvent)) -> UsageEnvelope {
    let mut envelope = Shape::new("dp", seq, 1, 10).envelope();
    spoil(envelope.event.as_mut().unwrap());
    envelope
}

#[tokio::test]
async fn what_cannot_be_applied_is_kept_with_its_reason_and_stops_nobody() {
    let world = World::new().await;
    world.credit(1, 1000, "a").await;
    world.grant("dp", wallet(1), 1000).await;
    let empty = UsageEnvelope { event: None, ..Shape::new("dp", 2, 1, 0).envelope() };
    let batch = [
        Shape::new("dp", 1, 1, 10).envelope(),
        empty,
        spoiled(3, |event| event.org_uid = 99),
        spoiled(4, |event| event.currency = "TWD".to_owned()),
        spoiled(5, |event| event.charge_nano = -1),
        spoiled(6, |event| event.lines[0].class = "dreams".to_owned()),
        spoiled(7, |event| event.outcome = 0),
        spoiled(8, |event| event.budgeted = true),
        spoiled(9, |event| event.ended_us = u64::MAX),
        spoiled(10, |event| event.currency = "usd".to_owned()),
        spoiled(11, |event| event.currency = "U\0D".to_owned()),
        spoiled(12, |event| event.request_id = "r".repeat(129)),
        spoiled(13, |event| event.upstream_id = "up\0".to_owned()),
        spoiled(14, |event| event.model = "a\nb".to_owned()),
        spoiled(0, |_| {}),
        spoiled(u64::MAX, |_| {}),
        Shape::new("dp", 15, 1, 10).envelope(),
    ];
    let applied = apply(&world.database, &batch, NOW).await.unwrap();
    assert_eq!((applied.applied, applied.duplicates, applied.poisoned), (2, 0, 15));
    assert_eq!(applied.billed[0].next_seq, 16, "the mark moves over them");
    assert_eq!(world.amounts(wallet(1)).await, Amounts { posted: 980, held: 980 });
    let reasons = world
        .table("SELECT seq, reason FROM usage_poison WHERE seq BETWEEN 1 AND 100 ORDER BY seq")
        .await;
    let expected = [
        "2|the envelope holds no event",
        "3|there is no account Wallet(OrgUid(99))",
        "4|the account Wallet(OrgUid(1)) is kept in USD, not in TWD",
        "5|charge_nano: -1 is no amount to pay",
        "6|lines: class: unknown class \"dreams\"",
        "7|outcome: outcome: missing",
        "8|there is no account Budget(OrgUid(1), KeyUid(10))",
        "9|ended_us: not a date",
        "10|currency: \"usd\" is not a currency: three capital letters are needed, for instance USD",
        "11|currency: \"U\u{fffd}D\" is not a currency: three capital letters are needed, for instance USD",
        "12|request_id: must have at most 128 bytes, all of them printable",
        "13|upstream_id: must have at most 256 bytes, all of them printable",
        "14|model: must have at most 128 bytes, all of them printable",
    ];
    assert_eq!(reasons, expected);
    let again = apply(&world.database, &batch, NOW).await.unwrap();
    assert_eq!((again.applied, again.duplicates), (0, 15));
    assert_eq!(retry_poison(&world.database, NOW).await.unwrap(), 0, "nor later");
    world.assert_sound().await;
}

#[tokio::test]
async fn what_was_kept_is_applied_once_it_can_be() {
    let world = World::new().await;
    world.credit(1, 1000, "a").await;
    let shapes = [Shape::new("dp", 1, 4, 30), Shape::new("dp", 2, 4, 40).budgeted(14)];
    let applied = apply(&world.database, &envelopes(&shapes), NOW).await.unwrap();
    assert_eq!(applied.poisoned, 2);
    assert_eq!(retry_poison(&world.database, NOW).await.unwrap(), 0);

    world.add_org(4, "").await;
    world.credit(4, 1000, "b").await;
    world.grant("dp", wallet(4), 100).await;
    assert_eq!(retry_poison(&world.database, NOW).await.unwrap(), 1);
    assert_eq!(world.amounts(wallet(4)).await, Amounts { posted: 970, held: 70 });
    world.add_key(4, 14, 100).await;
    world.grant("dp", super::world::budget(4, 14), 100).await;
    assert_eq!(retry_poison(&world.database, NOW).await.unwrap(), 1);
    assert_eq!(world.amounts(wallet(4)).await, Amounts { posted: 930, held: 30 });

    assert_eq!(retry_poison(&world.database, NOW).await.unwrap(), 0);
    let again = apply(&world.database, &envelopes(&shapes), NOW).await.unwrap();
    assert_eq!((again.applied, again.duplicates), (0, 2));
    assert_eq!(world.number("SELECT COUNT(*) FROM usage_poison").await, 0);
    world.assert_sound().await;
}

#[tokio::test]
async fn a_request_that_is_told_twice_is_billed_once() {
    let world = World::new().await;
    world.credit(1, 1000, "a").await;
    world.grant("dp", wallet(1), 1000).await;
    let mut batch = envelopes(&[Shape::new("dp", 1, 1, 10)]);
    apply(&world.database, &batch, NOW).await.unwrap();
    // A spool that lost its newest file begins another life and ends the request once more; and so does a third.
    batch.push(UsageEnvelope { incarnation: 8, ..batch[0].clone() });
    batch.push(UsageEnvelope { incarnation: 9, ..batch[0].clone() });
    let applied = apply(&world.database, &batch, NOW).await.unwrap();
    assert_eq!((applied.applied, applied.duplicates, applied.poisoned), (0, 1, 2));
    assert_eq!(retry_poison(&world.database, NOW).await.unwrap(), 0);
    assert_eq!(world.amounts(wallet(1)).await, Amounts { posted: 990, held: 990 });
    let reasons =
        world.table("SELECT incarnation, reason FROM usage_poison ORDER BY incarnation").await;
    assert_eq!(reasons[0], "8|the request req-dp-1 is billed already, from another place");
    // Twice in one batch.
    let twice = envelopes(&[Shape::new("dp", 2, 1, 10)]);
    let twice = [twice[0].clone(), UsageEnvelope { incarnation: 8, seq: 2, ..twice[0].clone() }];
    let applied = apply(&world.database, &twice, NOW).await.unwrap();
    assert_eq!((applied.applied, applied.poisoned), (1, 1));
    world.assert_sound().await;
}
