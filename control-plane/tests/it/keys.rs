//! Keys: their secrets, their budgets, and what data planes are told of them.

use super::feed::View;
use super::harness::{PEPPER, Rig, told};
use super::samples;
use domain::key::{digest, is_well_formed};
use proto::admin::v1::object::Object as Any;
use proto::admin::v1::{CreateKeyRequest, DeleteKeyRequest, Key, KeySpec, UpdateKeyRequest};
use tonic::Code;

fn create(validate_only: bool) -> CreateKeyRequest {
    CreateKeyRequest { key: Some(samples::key()), validate_only, ..Default::default() }
}

fn with_budget(budget: &str) -> UpdateKeyRequest {
    let mut key = samples::key();
    key.spec.as_mut().unwrap().budget = budget.to_owned();
    UpdateKeyRequest { key: Some(key), ..Default::default() }
}

async fn budget_account(rig: &Rig) -> Vec<String> {
    rig.table(
        "SELECT currency || ' ' || posted || ' ' || held AS line FROM account WHERE key_uid <> 0",
    )
    .await
}

#[tokio::test]
async fn a_new_key_works_on_data_planes_by_the_secret_that_is_shown_once() {
    let rig = Rig::start().await;
    rig.apply(samples::all()).await.unwrap();
    let mut view = View::of(&rig).await;

    let tried = rig.keys().create_key(create(true)).await.unwrap().into_inner();
    assert_eq!(tried.secret, "", "a key that was only tried has no secret");
    let made = rig.keys().create_key(create(false)).await.unwrap().into_inner();
    assert!(made.secret.starts_with("sk-tp-"), "the entity's prefix");
    assert!(is_well_formed(&made.secret));

    view.follow_to(made.key.unwrap().etag.parse().unwrap()).await;
    let known = view.key_by_digest(digest(&PEPPER, &made.secret)).unwrap();
    let org = view.snapshot.orgs.get(&known.org).unwrap();
    assert_eq!((known.name.as_str(), org.name.as_str()), ("acme/production", "acme"));
    assert!(known.budgeted);

    let uid = known.uid.0;
    let request = DeleteKeyRequest { name: "acme/production".to_owned(), ..Default::default() };
    rig.keys().delete_key(request).await.unwrap();
    let head = rig.control_plane.publisher().head().rev;
    view.follow_to(head).await;
    assert!(!view.keys.contains_key(&uid), "gone from data planes");
}

#[tokio::test]
async fn a_key_made_again_under_its_name_is_another_key() {
    let rig = Rig::start().await;
    rig.apply(samples::all()).await.unwrap();
    let first = rig.keys().create_key(create(false)).await.unwrap().into_inner();
    let request = DeleteKeyRequest { name: "acme/production".to_owned(), ..Default::default() };
    rig.keys().delete_key(request).await.unwrap();
    let second = rig.keys().create_key(create(false)).await.unwrap().into_inner();
    assert_ne!(first.secret, second.secret);
    let view = View::of(&rig).await;
    assert!(view.key_by_digest(digest(&PEPPER, &first.secret)).is_none());
    assert!(view.key_by_digest(digest(&PEPPER, &second.secret)).is_some());
    assert_eq!(budget_account(&rig).await.len(), 2, "each uid has an account of its own");
}

#[tokio::test]
async fn a_budget_account_follows_the_budget_of_its_key() {
    let rig = Rig::start().await;
    rig.apply(samples::all()).await.unwrap();
    rig.keys().create_key(create(false)).await.unwrap();
    assert_eq!(budget_account(&rig).await, ["USD 3000000000 0"]);

    // One unit is spent and one is held by a data plane.
    rig.sql(
        "UPDATE account SET posted = posted - 1000000000, held = 1000000000 WHERE key_uid <> 0",
    )
    .await;
    rig.keys().update_key(with_budget("5.00 USD")).await.unwrap();
    assert_eq!(budget_account(&rig).await, ["USD 4000000000 1000000000"]);

    let before = rig.rows().await;
    let low = told(rig.keys().update_key(with_budget("1.99 USD")).await);
    assert_eq!(low.code, Code::InvalidArgument);
    assert_eq!(low.fields, ["Key \"acme/production\": budget"]);
    assert!(low.text.contains("2.00 is the least"), "{}", low.text);
    assert_eq!(rig.rows().await, before);
    rig.keys().update_key(with_budget("2.00 USD")).await.unwrap();
    assert_eq!(budget_account(&rig).await, ["USD 1000000000 1000000000"]);

    // Without a budget it is unlimited; one that is set later counts from then.
    rig.keys().update_key(with_budget("")).await.unwrap();
    rig.keys().update_key(with_budget("7.00 USD")).await.unwrap();
    assert_eq!(budget_account(&rig).await, ["USD 7000000000 1000000000"]);
}

#[tokio::test]
async fn apply_changes_keys_but_does_not_make_them() {
    let rig = Rig::start().await;
    rig.apply(samples::all()).await.unwrap();
    let refused = told(rig.apply([Any::Key(samples::key())]).await);
    assert_eq!(refused.code, Code::InvalidArgument);
    assert!(refused.text.contains("turnpike key create"), "{}", refused.text);

    let made = rig.keys().create_key(create(false)).await.unwrap().into_inner();
    let applied = rig.apply([Any::Key(samples::key())]).await.unwrap();
    assert_eq!(applied.objects[0].action, "unchanged");

    let mut key = samples::key();
    key.spec.as_mut().unwrap().disabled = true;
    let applied = rig.apply([Any::Key(key)]).await.unwrap();
    assert_eq!(applied.objects[0].action, "updated");
    let view = View::of(&rig).await;
    let known = view.key_by_digest(digest(&PEPPER, &made.secret)).unwrap();
    assert!(known.disabled, "and its secret stays what it was");
}

#[tokio::test]
async fn the_process_itself_can_make_a_key_for_its_demo() {
    let rig = Rig::start().await;
    rig.apply(samples::all()).await.unwrap();
    let made = rig.control_plane.create_key("acme", "first", KeySpec::default()).await.unwrap();
    let Key { name, spec, .. } = made.key.unwrap();
    assert_eq!((name.as_str(), spec.unwrap().org.as_str()), ("acme/first", "acme"));
    assert!(is_well_formed(&made.secret));
}
