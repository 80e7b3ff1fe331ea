//! A restart goes on exactly where the last process was.

use super::feed::View;
use super::harness::{Rig, SEAL_KEY, TOKEN, settings};
use super::samples;
use control_plane::{
    AdminError, AdminLimits, ControlPlane, ControlPlaneSettings, Failure, Secret, StartError,
};
use proto::admin::v1::object::Object as Any;
use proto::admin::v1::{CreateKeyRequest, DeleteModelRequest};
use tokio_util::sync::CancellationToken;

async fn lived_in() -> Rig {
    let rig = Rig::start().await;
    rig.apply(samples::all()).await.unwrap();
    let key =
        CreateKeyRequest { key: Some(samples::key()), validate_only: false, ..Default::default() };
    rig.keys().create_key(key).await.unwrap();
    let mut rule = samples::markup_rule();
    rule.spec.as_mut().unwrap().percent = "33.3".to_owned();
    rig.apply([Any::MarkupRule(rule)]).await.unwrap();
    let mut plan = samples::plan();
    plan.spec.as_mut().unwrap().concurrency = Some(2);
    rig.apply([Any::Plan(plan)]).await.unwrap();
    rig
}

#[tokio::test]
async fn a_restart_reproduces_revision_prices_and_what_data_planes_get() {
    let rig = lived_in().await;
    let (rows, before) = (rig.rows().await, View::of(&rig).await);
    assert_eq!(before.snapshot.revision.rev, 4);
    let rig = rig.restart().await;
    let after = View::of(&rig).await;
    assert_eq!(after.snapshot.revision, before.snapshot.revision);
    assert_eq!(after.everything(), before.everything());
    assert_eq!(rig.rows().await, rows, "starting writes nothing");

    // And it goes on without a gap, with prices of their old revisions.
    let again = rig.apply(samples::all()).await.unwrap();
    assert_eq!(again.revision, 5);
    let prices = rig.rows().await.prices;
    let new: Vec<&String> = prices.iter().filter(|line| !rows.prices.contains(line)).collect();
    assert!(!new.is_empty() && new.iter().all(|line| line.starts_with("5 ")), "{new:?}");
}

#[tokio::test]
async fn a_price_that_went_and_came_back_keeps_the_revision_it_came_back_with() {
    let rig = lived_in().await;
    let request = DeleteModelRequest { name: "demo/chat".to_owned(), ..Default::default() };
    rig.models().delete_model(request).await.unwrap();
    let rig = rig.restart().await;
    let back = rig.apply([Any::Model(samples::model())]).await.unwrap().revision;
    let revision_of = |view: &View| view.snapshot.models["demo/chat"].routes[0].prices[0].revision;
    let before = View::of(&rig).await;
    assert_eq!(revision_of(&before), back);
    let rig = rig.restart().await;
    let after = View::of(&rig).await;
    assert_eq!(after.everything(), before.everything());
}

#[tokio::test]
async fn prices_that_were_never_recorded_get_a_revision_of_their_own() {
    let rig = lived_in().await;
    // As if this program compiled prices otherwise than the one that wrote the rows.
    rig.sql("DELETE FROM price WHERE audience = 'retail'").await;
    let rig = rig.restart().await;
    let rows = rig.rows().await;
    assert_eq!(rows.head, ["5"]);
    let recorded = rows.prices.iter().filter(|line| line.starts_with("5 ")).count();
    assert_eq!(recorded, 1, "{:?}", rows.prices);
    let view = View::of(&rig).await;
    assert_eq!(view.snapshot.revision.rev, 5);
    let prices = &view.snapshot.models["demo/chat"].routes[0].prices;
    let retail = prices.iter().find(|price| price.audience == "retail").unwrap();
    assert_eq!(retail.revision, 5);
    let rig = rig.restart().await;
    assert_eq!(rig.rows().await, rows, "once");
}

#[tokio::test]
async fn what_another_process_committed_is_read_before_the_next_change_and_passed_on() {
    let rig = lived_in().await;
    let mut view = View::of(&rig).await;
    let other = ControlPlane::start(
        settings(AdminLimits::default()),
        rig.database.clone(),
        CancellationToken::new(),
    )
    .await
    .unwrap();
    let mut plan = samples::plan();
    plan.name = "from-elsewhere".to_owned();
    let theirs = other.apply(super::harness::objects_of([Any::Plan(plan)])).await.unwrap();
    assert_eq!(theirs.revision, 5);

    let mut org = samples::org();
    org.spec.as_mut().unwrap().plan = "from-elsewhere".to_owned();
    let ours = rig.apply([Any::Org(org)]).await.unwrap();
    assert_eq!(ours.revision, 6, "validated against rows, not against memory");
    view.follow_to(6).await;
    assert_eq!(view.updates, 3, "a snapshot, what was missed, and the change");
    assert!(view.snapshot.plans.contains_key("from-elsewhere"));
    assert_eq!(View::of(&rig).await.everything(), view.everything());
}

#[tokio::test]
async fn once_it_is_told_to_stop_changes_are_refused() {
    let rig = Rig::start().await;
    let stop = CancellationToken::new();
    let stopping =
        ControlPlane::start(settings(AdminLimits::default()), rig.database.clone(), stop.clone())
            .await
            .unwrap();
    stop.cancel();
    let plan = super::harness::objects_of([Any::Plan(samples::plan())]);
    let refused = stopping.apply(plan).await.unwrap_err();
    assert!(matches!(refused, AdminError::Failed(Failure::ShuttingDown)), "{refused:?}");
}

#[tokio::test]
async fn rows_that_cannot_be_read_stop_the_start_and_are_named() {
    let rig = lived_in().await;
    rig.sql("UPDATE config_object SET spec = 'zz' WHERE kind = 'Plan'").await;
    let started = ControlPlane::start(
        settings(AdminLimits::default()),
        rig.database.clone(),
        CancellationToken::new(),
    )
    .await;
    let error = started.err().unwrap().to_string();
    assert!(error.contains("Plan starter") && error.contains("config_object"), "{error}");
}

#[tokio::test]
async fn a_token_that_can_be_guessed_is_refused() {
    let rig = Rig::start().await;
    let weak = ControlPlaneSettings {
        operator_token: Secret::new("short"),
        ..settings(AdminLimits::default())
    };
    let printed = format!("{weak:?} {:?}", settings(AdminLimits::default()));
    assert!(!printed.contains("short") && !printed.contains(TOKEN), "{printed}");
    assert!(!printed.contains(&format!("{SEAL_KEY:?}")), "{printed}");
    let started = ControlPlane::start(weak, rig.database.clone(), CancellationToken::new()).await;
    assert!(matches!(started.err().unwrap(), StartError::WeakToken));
}
