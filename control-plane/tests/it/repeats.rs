//! Calls that are repeated with their `request_id`: once is what happens, and the answer is the same.

use super::harness::{Rig, TOKEN, told};
use super::people::{call, hire, key, town};
use super::samples;
use control_plane::AdminLimits;
use prost::Message;
use proto::admin::v1::object::Object as Any;
use proto::admin::v1::{self, CreateKeyResponse, CreateOperatorResponse, CreditOrgResponse};
use std::time::Duration;
use tonic::Code;

fn key_request(name: &str, id: &str) -> Vec<u8> {
    let request = v1::CreateKeyRequest {
        key: Some(key("acme", name)),
        request_id: id.to_owned(),
        ..Default::default()
    };
    request.encode_to_vec()
}

async fn create_key(rig: &Rig, token: &str, name: &str, id: &str) -> CreateKeyResponse {
    let answer = call(rig, token, "KeyService/CreateKey", &key_request(name, id)).await.unwrap();
    CreateKeyResponse::decode(answer.as_slice()).unwrap()
}

#[tokio::test]
async fn a_repeated_creation_gives_the_same_key_with_its_secret_also_after_a_restart() {
    let rig = town().await;
    let first = create_key(&rig, TOKEN, "once", "id-1").await;
    assert!(!first.secret.is_empty());
    let rows = rig.rows().await;
    assert_eq!(create_key(&rig, TOKEN, "once", "id-1").await, first);
    assert_eq!(rig.rows().await, rows, "nothing was done twice");
    let rig = rig.restart().await;
    assert_eq!(create_key(&rig, TOKEN, "once", "id-1").await, first);
    let kept = rig.table("SELECT answer AS line FROM admin_answer").await;
    assert_eq!(kept.len(), 1);
    assert!(!kept[0].contains(&hex::encode(&first.secret)), "sealed");
}

#[tokio::test]
async fn an_id_stands_for_one_request_of_one_operator() {
    let rig = town().await;
    create_key(&rig, TOKEN, "once", "id-1").await;
    let other =
        told(call(&rig, TOKEN, "KeyService/CreateKey", &key_request("twice", "id-1")).await);
    assert_eq!((other.code, other.reason.as_str()), (Code::InvalidArgument, "REQUEST_ID_REUSED"));
    assert_eq!(other.fields, ["request_id"]);
    let delete = v1::DeleteKeyRequest {
        name: "acme/once".to_owned(),
        request_id: "id-1".to_owned(),
        ..Default::default()
    };
    let other = told(call(&rig, TOKEN, "KeyService/DeleteKey", &delete.encode_to_vec()).await);
    assert_eq!(other.reason, "REQUEST_ID_REUSED", "another method is another request");
    let alice = hire(&rig, "alice", "admin", ("", "")).await;
    let hers = told(call(&rig, &alice, "KeyService/CreateKey", &key_request("once", "id-1")).await);
    assert_eq!(hers.code, Code::AlreadyExists, "nobody is given another's answer");
}

#[tokio::test]
async fn what_was_refused_or_only_tried_is_not_remembered() {
    let rig = town().await;
    let far = |org: &str, validate_only| v1::CreateKeyRequest {
        key: Some(key(org, "late")),
        request_id: "id-1".to_owned(),
        validate_only,
    };
    let path = "KeyService/CreateKey";
    call(&rig, TOKEN, path, &far("nowhere", false).encode_to_vec()).await.unwrap_err();
    call(&rig, TOKEN, path, &far("acme", true).encode_to_vec()).await.unwrap();
    let made = call(&rig, TOKEN, path, &far("acme", false).encode_to_vec()).await.unwrap();
    assert!(!CreateKeyResponse::decode(made.as_slice()).unwrap().secret.is_empty());
}

#[tokio::test]
async fn a_call_that_changed_nothing_changes_nothing_when_it_is_repeated_later() {
    let rig = town().await;
    let request = v1::UpdatePlanRequest {
        plan: Some(samples::plan()),
        request_id: "id-1".to_owned(),
        ..Default::default()
    };
    let same = rig.plans().update_plan(request.clone()).await.unwrap().into_inner();
    let mut plan = samples::plan();
    plan.spec.as_mut().unwrap().concurrency = Some(7);
    rig.apply([Any::Plan(plan)]).await.unwrap();
    let rows = rig.rows().await;
    assert_eq!(rig.plans().update_plan(request).await.unwrap().into_inner(), same);
    assert_eq!(rig.rows().await, rows, "what came in between stands");
}

#[tokio::test]
async fn money_and_operators_are_repeated_alike() {
    let rig = town().await;
    let credit = v1::CreditOrgRequest {
        org: "acme".to_owned(),
        amount: "2.00 USD".to_owned(),
        idempotency_key: "k".to_owned(),
        request_id: "id-1".to_owned(),
    };
    let post = async || {
        let path = "MoneyService/CreditOrg";
        let answer = call(&rig, TOKEN, path, &credit.encode_to_vec()).await.unwrap();
        CreditOrgResponse::decode(answer.as_slice()).unwrap()
    };
    let first = post().await;
    assert!(!first.repeated_call);
    assert_eq!(post().await, first, "the earlier answer, not a new one");
    let hire = v1::CreateOperatorRequest {
        operator: Some(super::people::operator("alice", "viewer", ("", ""))),
        request_id: "id-2".to_owned(),
        ..Default::default()
    };
    let make = async || {
        let path = "OperatorService/CreateOperator";
        let answer = call(&rig, TOKEN, path, &hire.encode_to_vec()).await.unwrap();
        CreateOperatorResponse::decode(answer.as_slice()).unwrap()
    };
    let first = make().await;
    assert!(!first.token.is_empty());
    assert_eq!(make().await, first);
}

#[tokio::test]
async fn many_repeats_at_once_are_one() {
    let rig = town().await;
    let tries = (0..16).map(|_| create_key(&rig, TOKEN, "crowd", "id-1"));
    let answers = futures::future::join_all(tries).await;
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    let records = rig
        .table("SELECT method AS line FROM audit_record WHERE resource = 'Key acme/crowd'")
        .await;
    assert_eq!(records.len(), 1);
}

#[tokio::test]
async fn an_answer_is_kept_for_its_window_and_then_swept() {
    let limits = AdminLimits {
        request_id_window: Duration::from_millis(1),
        request_id_sweep: Duration::from_millis(5),
        ..AdminLimits::default()
    };
    let rig = Rig::start_with(limits).await;
    rig.apply(samples::all()).await.unwrap();
    create_key(&rig, TOKEN, "once", "id-1").await;
    tokio::time::timeout(Duration::from_secs(20), async {
        while !rig.table("SELECT request_id AS line FROM admin_answer").await.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    let again = told(call(&rig, TOKEN, "KeyService/CreateKey", &key_request("once", "id-1")).await);
    assert_eq!(again.code, Code::AlreadyExists, "a call of its own again");
}

#[tokio::test]
async fn an_id_whose_window_is_over_is_free_before_it_is_swept() {
    let limits =
        AdminLimits { request_id_window: Duration::from_micros(1), ..AdminLimits::default() };
    let rig = Rig::start_with(limits).await;
    rig.apply(samples::all()).await.unwrap();
    let once = create_key(&rig, TOKEN, "once", "id-1").await;
    let twice = create_key(&rig, TOKEN, "twice", "id-1").await;
    assert_ne!(once.secret, twice.secret, "a call of its own");
}

#[tokio::test]
async fn an_id_that_nobody_could_repeat_is_refused() {
    let rig = town().await;
    for id in ["with blank", "ümlaut", &"a".repeat(129)] {
        let refused = told(call(&rig, TOKEN, "KeyService/CreateKey", &key_request("x", id)).await);
        assert_eq!(refused.fields, ["request_id"], "{id}");
    }
}
