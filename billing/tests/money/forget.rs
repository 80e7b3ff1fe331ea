//! Data planes that are gone for good: what they held comes back to its owners, and what they still cost is the company's.

use super::consumer::{end, pay, records, settings, spool, until};
use super::desk::{Open, Plane, hasty, open, report};
use super::events::{Shape, envelopes};
use super::world::{Amounts, NOW, World, wallet};
use billing::consumer::{Consumer, ConsumerSettings, apply};
use billing::desk::DeskSettings;
use billing::{ForgetError, ForgetOrder, Forgotten};
use domain::escrow::life::{LifeState, Patience};
use links::escrow::{FromDataPlane, ToDataPlane};
use links::usage::UsageSource;
use std::time::Duration;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const NEVER: Duration = Duration::from_secs(1_000_000);

/// Looks often, and gives up for silence only where it is told to.
fn watchful() -> DeskSettings {
    DeskSettings {
        heard_every: Duration::from_millis(20),
        sweep_every: Duration::from_millis(10),
        suspect_after: NEVER,
        give_up_after: NEVER,
        ..hasty()
    }
}

fn order(data_plane: &str) -> ForgetOrder {
    let reason = "its machine burnt".to_owned();
    ForgetOrder { data_plane: data_plane.to_owned(), incarnation: None, reason }
}

async fn forget(
    world: &World,
    data_plane: &str,
    patience: &Patience,
) -> Result<Vec<Forgotten>, ForgetError> {
    let mut write = world.database.write().await.unwrap();
    let (lives, _) = billing::forget(&mut write, &order(data_plane), patience).await?;
    write.commit().await.unwrap();
    Ok(lives)
}

/// Waits until it is not connected any more, and says so.
async fn forget_soon(world: &World, data_plane: &str, settings: &DeskSettings) -> Vec<Forgotten> {
    let mut lives = Vec::new();
    until("it is silent", async || match forget(world, data_plane, &settings.patience()).await {
        Ok(forgotten) => {
            lives = forgotten;
            true
        }
        Err(ForgetError::Alive { .. }) => false,
        Err(other) => panic!("{other}"),
    })
    .await;
    lives
}

async fn state(world: &World, data_plane: &str) -> String {
    let text = format!("SELECT state FROM life WHERE data_plane = '{data_plane}'");
    world.table(&text).await.join(" ")
}

/// 1000 in a wallet, of which a data plane was granted so much.
async fn granted(settings: DeskSettings, amount: i64) -> (World, Open, Plane) {
    let world = World::new().await;
    world.credit(1, 1000, "a").await;
    let desk = open(&world, settings);
    let mut plane = desk.connect("dp", 7, &[]).await;
    plane.want(1, wallet(1), amount, amount);
    assert_eq!(plane.granted(1).await, (amount, 1000 - amount));
    (world, desk, plane)
}

#[tokio::test]
async fn what_a_forgotten_data_plane_held_comes_back_and_late_usage_is_the_companys() {
    let (world, desk, plane) = granted(watchful(), 600).await;
    assert!(matches!(
        forget(&world, "dp", &watchful().patience()).await,
        Err(ForgetError::Alive { .. })
    ));
    drop(plane);
    let lives = forget_soon(&world, "dp", &watchful()).await;
    assert_eq!((lives.len(), lives[0].incarnation, lives[0].state), (1, 7, LifeState::Forgetting));
    assert_eq!(lives[0].held[0].amount.get(), 600);
    until("it is given up", async || state(&world, "dp").await == "given-up").await;
    assert_eq!(world.amounts(wallet(1)).await, Amounts { posted: 1000, held: 0 });
    let noted = world.table("SELECT org_uid, key_uid, amount, cause FROM given_up").await;
    assert_eq!(noted, ["1|0|600|word"]);
    let again = forget(&world, "dp", &watchful().patience()).await.unwrap();
    assert_eq!((again[0].state, again[0].given_up[0].amount.get()), (LifeState::GivenUp, 600));
    world.assert_sound().await;

    // What it had not shipped comes after all: it counts, and the customer pays nothing.
    let late = envelopes(&[Shape::new("dp", 1, 1, 250), Shape::new("dp", 2, 1, 100)]);
    assert_eq!(apply(&world.database, &late, NOW).await.unwrap().applied, 2);
    assert_eq!(world.amounts(wallet(1)).await, Amounts { posted: 1000, held: 0 });
    let unpaid = "SELECT CAST(SUM(shortfall_nano) AS BIGINT) FROM usage_record";
    assert_eq!(world.number(unpaid).await, 350);
    let posted = world.table("SELECT debit, amount FROM posting WHERE debit = 'uncollected'").await;
    assert_eq!(posted, ["uncollected|350"]);
    world.assert_sound().await;

    // It is back itself, with 250 that it has not spent: it is asked for them, and serves on with money of its own.
    let mut plane = desk.connect("dp", 7, &[report(wallet(1), 600, 0)]).await;
    assert_eq!(state(&world, "dp").await, "active");
    assert_eq!(plane.next().await, ToDataPlane::Recall(wallet(1)));
    plane.want(1, wallet(1), 400, 400);
    assert_eq!(plane.granted(1).await, (1000, 600));
    let more = envelopes(&[Shape::new("dp", 3, 1, 300)]);
    apply(&world.database, &more, NOW).await.unwrap();
    // 250 by the company, 50 by the customer.
    assert_eq!(world.amounts(wallet(1)).await, Amounts { posted: 950, held: 350 });
    plane.report(report(wallet(1), 1000, 350));
    until("it is free", async || world.amounts(wallet(1)).await.held == 0).await;
    world.assert_sound().await;
}

#[tokio::test]
async fn usage_of_others_is_charged_as_ever_while_some_was_given_up() {
    let (world, _desk, plane) = granted(watchful(), 300).await;
    world.grant("other", wallet(1), 400).await;
    drop(plane);
    forget_soon(&world, "dp", &watchful()).await;
    until("it is given up", async || state(&world, "dp").await == "given-up").await;
    let both = envelopes(&[Shape::new("dp", 1, 1, 120), Shape::new("other", 1, 1, 150)]);
    apply(&world.database, &both, NOW).await.unwrap();
    assert_eq!(world.amounts(wallet(1)).await, Amounts { posted: 850, held: 250 });
    world.assert_sound().await;
}

#[tokio::test]
async fn silence_costs_the_company_after_its_time_and_nobody_before() {
    let settings = DeskSettings {
        suspect_after: Duration::from_millis(300),
        give_up_after: Duration::from_millis(600),
        ..watchful()
    };
    let (world, desk, plane) = granted(settings, 600).await;
    let quiet = desk.connect("quiet", 1, &[]).await;
    drop(plane);
    until("it is given up", async || state(&world, "dp").await == "given-up").await;
    let noted = world.table("SELECT data_plane, amount, cause FROM given_up").await;
    assert_eq!(noted, ["dp|600|silence"]);
    // Who is connected is never silent, and who holds nothing is not given up.
    assert_eq!(state(&world, "quiet").await, "active");
    drop(quiet);
    world.assert_sound().await;
}

#[tokio::test]
async fn silence_before_anybody_listened_is_nobodys() {
    let (world, desk, plane) = granted(watchful(), 600).await;
    drop((plane, desk));
    world.run(["UPDATE life SET heard_us = 1"]).await;
    let patient = DeskSettings { give_up_after: Duration::from_secs(1), ..watchful() };
    let desk = open(&world, patient);
    // A control plane that begins after a long outage waits for those that live, before it gives anyone up.
    let plane = desk.connect("dp", 7, &[report(wallet(1), 600, 0)]).await;
    assert_eq!(plane.welcome.len(), 1);
    assert_eq!(world.amounts(wallet(1)).await, Amounts { posted: 1000, held: 600 });
    assert_eq!(world.number("SELECT COUNT(*) FROM given_up").await, 0);
}

#[tokio::test]
async fn where_usage_may_be_in_a_topic_a_word_alone_frees_nothing() {
    let patient = DeskSettings {
        suspect_after: Duration::from_millis(300),
        give_up_after: Duration::from_millis(600),
        ..watchful()
    };
    let as_set = DeskSettings { marks_every: Some(Duration::from_millis(20)), ..patient };
    let row = "INSERT INTO usage_partition
         (cell, partition_no, owner, epoch, next_offset, renewed_us) VALUES ('eu', 0, '', 1, 0, 0)";
    for (settings, rows) in [(as_set, None), (patient, Some(row))] {
        let (world, _desk, plane) = granted(settings, 600).await;
        world.run(rows).await;
        drop(plane);
        let lives = forget_soon(&world, "dp", &settings).await;
        assert_eq!(lives[0].state, LifeState::Forgetting);
        until("it is given up", async || state(&world, "dp").await == "given-up").await;
        // Nobody could prove that all is counted, so that only its silence ended it.
        let noted = world.table("SELECT data_plane, amount, cause FROM given_up").await;
        assert_eq!(noted, ["dp|600|silence"]);
        world.assert_sound().await;
    }
}

#[tokio::test]
async fn forgetting_waits_until_all_that_was_shipped_is_counted() {
    let world = World::new().await;
    let folder = TempDir::new().unwrap();
    let spool = spool(folder.path());
    pay(&world, &spool, 1, 100_000).await;
    let desk = open(&world, watchful());
    let often = || ConsumerSettings { renew_every: Duration::from_millis(10), ..settings() };
    let consume = |token: &CancellationToken| {
        let source = UsageSource::spool(spool.clone());
        Consumer::start_with(often(), world.database.clone(), source, token.clone())
    };
    // Somebody began to take in what it ships, and has not said that it came to the end.
    let token = CancellationToken::new();
    let stuck = consume(&token);
    until("it is claimed", async || world.number("SELECT COUNT(*) FROM usage_owner").await == 1)
        .await;
    token.cancel();
    stuck.await.unwrap();
    for number in 1..=20 {
        end(&spool, number, 1, 100);
    }
    let witness = desk.connect("witness", 1, &[]).await;
    drop(witness);
    forget_soon(&world, "dp", &watchful()).await;
    forget_soon(&world, "witness", &watchful()).await;
    // Nobody ships for the other one, which is looked after behind this one.
    until("it is forgotten", async || state(&world, "witness").await == "given-up").await;
    assert_eq!(state(&world, "dp").await, "forgetting");
    let token = CancellationToken::new();
    let consumer = consume(&token);
    until("it is given up", async || state(&world, "dp").await == "given-up").await;
    assert_eq!(records(&world).await, 20, "all of it was counted before");
    let short = "SELECT CAST(SUM(shortfall_nano) AS BIGINT) FROM usage_record";
    assert_eq!(world.number(short).await, 0, "the customer pays for what it got");
    assert_eq!(world.amounts(wallet(1)).await, Amounts { posted: 98_000, held: 0 });
    token.cancel();
    consumer.await.unwrap();
    world.assert_sound().await;
}

#[tokio::test]
async fn a_final_report_ends_the_connection_and_leaves_nothing_to_wait_for() {
    let (world, desk, mut plane) = granted(watchful(), 600).await;
    let last = report(wallet(1), 600, 500);
    plane.send(FromDataPlane::Final(vec![last]));
    assert_eq!(plane.next().await, ToDataPlane::Disconnected);
    assert_eq!(state(&world, "dp").await, "final");
    assert_eq!(world.amounts(wallet(1)).await, Amounts { posted: 1000, held: 100 });
    drop(plane);
    // Another life of it, with the same spool: it lives.
    let plane = desk.connect("dp", 7, &[last]).await;
    assert_eq!(state(&world, "dp").await, "active");
    drop(plane);
    world.assert_sound().await;
}

#[tokio::test]
async fn totals_that_no_account_ever_had_park_nothing() {
    let world = World::new().await;
    world.credit(1, 1000, "a").await;
    let desk = open(&world, watchful());
    let garbage = 2_000_000_000_000_000_000;
    let mut plane = desk.connect("dp", 7, &[report(wallet(1), garbage, 5)]).await;
    assert_eq!(plane.welcome, []);
    plane.report(report(wallet(1), garbage, 900));
    plane.want(1, wallet(1), 1000, 1000);
    assert_eq!(plane.granted(1).await, (1000, 0));
    world.assert_sound().await;
}

#[tokio::test]
async fn nobody_is_forgotten_who_was_never_here() {
    let world = World::new().await;
    let unknown = forget(&world, "dp", &watchful().patience()).await;
    assert!(matches!(unknown, Err(ForgetError::Unknown)), "{unknown:?}");
}
