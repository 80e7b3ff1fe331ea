//! Operators: their tokens, what they may grant, and that nobody climbs.

use super::harness::{Rig, TOKEN, told};
use super::people::{call, hire, operator, town};
use prost::Message;
use prost_types::FieldMask;
use proto::admin::v1;
use tonic::{Code, Status};

const CREATE: &str = "OperatorService/CreateOperator";
const UPDATE: &str = "OperatorService/UpdateOperator";
const DELETE: &str = "OperatorService/DeleteOperator";

fn creation(name: &str, role: &str, scope: (&str, &str)) -> Vec<u8> {
    let operator = Some(operator(name, role, scope));
    v1::CreateOperatorRequest { operator, ..Default::default() }.encode_to_vec()
}

fn update(name: &str, path: &str, bend: impl Fn(&mut v1::OperatorSpec)) -> Vec<u8> {
    let mut operator = operator(name, "viewer", ("", ""));
    bend(operator.spec.as_mut().unwrap());
    let update_mask = Some(FieldMask { paths: vec![path.to_owned()] });
    v1::UpdateOperatorRequest { operator: Some(operator), update_mask, ..Default::default() }
        .encode_to_vec()
}

fn deletion(name: &str) -> Vec<u8> {
    v1::DeleteOperatorRequest { name: name.to_owned(), ..Default::default() }.encode_to_vec()
}

async fn knock(rig: &Rig, token: &str) -> Result<Vec<u8>, Status> {
    call(rig, token, "OrgService/ListOrgs", &[]).await
}

fn seconds_from_now(seconds: i64) -> Option<prost_types::Timestamp> {
    let now = jiff::Timestamp::now().as_second();
    Some(prost_types::Timestamp { seconds: now + seconds, nanos: 0 })
}

#[tokio::test]
async fn a_token_is_shown_once_and_is_in_no_answer_row_or_record() {
    let rig = town().await;
    let token = hire(&rig, "alice", "admin", ("", "")).await;
    assert!(token.starts_with("op-"), "{token}");
    knock(&rig, &token).await.unwrap();
    let get = v1::GetOperatorRequest { name: "alice".to_owned() }.encode_to_vec();
    let got = call(&rig, &token, "OperatorService/GetOperator", &get).await.unwrap();
    assert!(!got.windows(token.len()).any(|window| window == token.as_bytes()));
    for query in [
        "SELECT name || ' ' || digest || ' ' || role AS line FROM operator",
        "SELECT operator || ' ' || resource || ' ' || detail AS line FROM audit_record",
    ] {
        let rows = rig.table(query).await.join("\n");
        assert!(rows.contains("alice"), "{rows}");
        assert!(!rows.contains(&token) && !rows.contains(&hex::encode(&token)));
    }
}

#[tokio::test]
async fn a_disabled_expired_or_deleted_operator_is_refused_on_the_next_call() {
    let rig = town().await;
    let reason = |answer: Result<Vec<u8>, Status>| {
        let told = told(answer);
        assert_eq!(told.code, Code::Unauthenticated);
        told.reason
    };
    let token = hire(&rig, "alice", "admin", ("", "")).await;
    call(&rig, TOKEN, UPDATE, &update("alice", "disabled", |spec| spec.disabled = true))
        .await
        .unwrap();
    assert_eq!(reason(knock(&rig, &token).await), "OPERATOR_DISABLED");
    call(&rig, TOKEN, UPDATE, &update("alice", "disabled", |_| ())).await.unwrap();
    knock(&rig, &token).await.unwrap();
    let over = |spec: &mut v1::OperatorSpec| spec.expire_time = seconds_from_now(-1);
    call(&rig, TOKEN, UPDATE, &update("alice", "expire_time", over)).await.unwrap();
    assert_eq!(reason(knock(&rig, &token).await), "OPERATOR_EXPIRED");
    call(&rig, TOKEN, UPDATE, &update("alice", "expire_time", |_| ())).await.unwrap();
    knock(&rig, &token).await.unwrap();
    call(&rig, TOKEN, DELETE, &deletion("alice")).await.unwrap();
    assert_eq!(reason(knock(&rig, &token).await), "OPERATOR_TOKEN_WRONG");
    let again = hire(&rig, "alice", "admin", ("", "")).await;
    assert_ne!(again, token);
    assert_eq!(reason(knock(&rig, &token).await), "OPERATOR_TOKEN_WRONG", "a new one of that name");
}

#[tokio::test]
async fn junk_is_no_token() {
    let rig = town().await;
    let token = hire(&rig, "alice", "owner", ("", "")).await;
    let mut almost = token.clone();
    almost.pop();
    for junk in ["' OR 1=1--", &almost, &format!("{token}x"), &"a".repeat(4000), "op-", "%", "sk-"]
    {
        assert_eq!(knock(&rig, junk).await.unwrap_err().code(), Code::Unauthenticated, "{junk}");
    }
}

#[tokio::test]
async fn nobody_grants_what_he_lacks() {
    let rig = town().await;
    let admin = hire(&rig, "admin", "admin", ("", "")).await;
    let of_entity = hire(&rig, "of-entity", "owner", ("global", "")).await;
    let of_org = hire(&rig, "of-org", "admin", ("", "acme")).await;
    let table = [
        (&admin, "owner", ("", ""), false),
        (&admin, "billing", ("", ""), false),
        (&admin, "billing", ("", "acme"), false),
        (&admin, "admin", ("", ""), true),
        (&admin, "viewer", ("rival", ""), true),
        (&of_entity, "viewer", ("", ""), false),
        (&of_entity, "viewer", ("rival", ""), false),
        (&of_entity, "viewer", ("", "far"), false),
        (&of_entity, "owner", ("global", ""), true),
        (&of_entity, "billing", ("", "near"), true),
        (&of_org, "owner", ("", "acme"), false),
        (&of_org, "viewer", ("global", ""), false),
        (&of_org, "viewer", ("", "near"), false),
        (&of_org, "viewer", ("", "nowhere"), false),
        (&of_org, "admin", ("", "acme"), true),
    ];
    for (number, (token, role, scope, granted)) in table.into_iter().enumerate() {
        let made = call(&rig, token, CREATE, &creation(&format!("n{number}"), role, scope)).await;
        let code = made.err().map_or(Code::Ok, |status| status.code());
        let expected = if granted { Code::Ok } else { Code::PermissionDenied };
        assert_eq!(code, expected, "row {number}: {role} of {scope:?}");
    }
}

#[tokio::test]
async fn nobody_lifts_himself_or_touches_who_is_above_him() {
    let rig = town().await;
    let admin = hire(&rig, "admin", "admin", ("", "")).await;
    hire(&rig, "owner", "owner", ("", "")).await;
    hire(&rig, "cashier", "billing", ("", "")).await;
    let owner = |spec: &mut v1::OperatorSpec| spec.role = "owner".to_owned();
    let attempts = [
        (UPDATE, update("admin", "role", owner)),
        (UPDATE, update("admin", "role", |spec| spec.role = "billing".to_owned())),
        (UPDATE, update("owner", "disabled", |spec| spec.disabled = true)),
        (UPDATE, update("cashier", "role", |_| ())),
        (DELETE, deletion("owner")),
        (DELETE, deletion("cashier")),
    ];
    let before =
        rig.table("SELECT name || role || disabled AS line FROM operator ORDER BY name").await;
    for (method, request) in &attempts {
        let told = told(call(&rig, &admin, method, request).await);
        assert_eq!(
            (told.code, told.reason.as_str()),
            (Code::PermissionDenied, "PERMISSION_DENIED")
        );
    }
    let after =
        rig.table("SELECT name || role || disabled AS line FROM operator ORDER BY name").await;
    assert_eq!(after, before);
    let denied =
        rig.table("SELECT resource AS line FROM audit_record WHERE outcome = 'denied'").await;
    assert_eq!(denied.len(), attempts.len(), "{denied:?}");
}

#[tokio::test]
async fn who_has_an_end_grants_nothing_that_outlives_him() {
    let rig = town().await;
    let mut mortal = operator("mortal", "admin", ("", ""));
    mortal.spec.as_mut().unwrap().expire_time = seconds_from_now(3600);
    let request = v1::CreateOperatorRequest { operator: Some(mortal), ..Default::default() };
    let made = call(&rig, TOKEN, CREATE, &request.encode_to_vec()).await.unwrap();
    let token = v1::CreateOperatorResponse::decode(made.as_slice()).unwrap().token;
    let denied = call(&rig, &token, CREATE, &creation("heir", "viewer", ("", ""))).await;
    assert_eq!(denied.unwrap_err().code(), Code::PermissionDenied);
    let longer = |spec: &mut v1::OperatorSpec| spec.expire_time = seconds_from_now(7200);
    for request in
        [update("mortal", "expire_time", longer), update("mortal", "expire_time", |_| ())]
    {
        let denied = call(&rig, &token, UPDATE, &request).await.unwrap_err();
        assert_eq!(denied.code(), Code::PermissionDenied);
    }
}

#[tokio::test]
async fn the_last_way_in_cannot_be_removed() {
    let rig = town().await;
    let owner = hire(&rig, "owner", "owner", ("", "")).await;
    for (method, request) in [
        (CREATE, creation("root", "owner", ("", ""))),
        (UPDATE, update("root", "disabled", |spec| spec.disabled = true)),
        (DELETE, deletion("root")),
    ] {
        let told = told(call(&rig, &owner, method, &request).await);
        assert_eq!((told.code, told.reason.as_str()), (Code::FailedPrecondition, "ROOT_OPERATOR"));
    }
    call(&rig, &owner, DELETE, &deletion("owner")).await.unwrap();
    knock(&rig, TOKEN).await.unwrap();
}

#[tokio::test]
async fn an_org_with_operators_is_kept_so_that_another_of_its_name_never_inherits_them() {
    let rig = town().await;
    hire(&rig, "of-rival", "viewer", ("rival", "")).await;
    rig.sql("DELETE FROM usage_record").await;
    let delete = |name: &str| v1::DeleteOrgRequest { name: name.to_owned(), ..Default::default() };
    rig.keys()
        .delete_key(v1::DeleteKeyRequest { name: "far/k".to_owned(), ..Default::default() })
        .await
        .unwrap();
    hire(&rig, "of-far", "viewer", ("", "far")).await;
    let refused = told(rig.orgs().delete_org(delete("far")).await);
    assert_eq!(refused.code, Code::FailedPrecondition);
    assert!(refused.text.contains("of-far"), "{}", refused.text);
    call(&rig, TOKEN, DELETE, &deletion("of-far")).await.unwrap();
    rig.orgs().delete_org(delete("far")).await.unwrap();
    let made = call(&rig, TOKEN, CREATE, &creation("late", "viewer", ("", "far"))).await;
    assert_eq!(told(made).fields, ["operator.spec.org"]);
}

#[tokio::test]
async fn a_wrong_etag_mask_role_or_scope_is_told() {
    let rig = town().await;
    hire(&rig, "alice", "viewer", ("", "acme")).await;
    let stale = v1::DeleteOperatorRequest {
        name: "alice".to_owned(),
        etag: "1.1".to_owned(),
        ..Default::default()
    };
    let stale = told(call(&rig, TOKEN, DELETE, &stale.encode_to_vec()).await);
    assert_eq!((stale.code, stale.reason.as_str()), (Code::Aborted, "ETAG_MISMATCH"));
    let mask = call(&rig, TOKEN, UPDATE, &update("alice", "org", |_| ())).await;
    assert_eq!(told(mask).fields, ["update_mask"]);
    let both = call(&rig, TOKEN, CREATE, &creation("bob", "viewer", ("global", "acme"))).await;
    assert_eq!(told(both).fields, ["operator.spec.org"]);
    let role = call(&rig, TOKEN, CREATE, &creation("bob", "god", ("", ""))).await;
    assert_eq!(told(role).fields, ["operator.spec.role"]);
    let moved = v1::UpdateOperatorRequest {
        operator: Some(operator("alice", "viewer", ("", "near"))),
        ..Default::default()
    };
    let moved = told(call(&rig, TOKEN, UPDATE, &moved.encode_to_vec()).await);
    assert_eq!(moved.code, Code::InvalidArgument);
    let twice = told(call(&rig, TOKEN, CREATE, &creation("alice", "viewer", ("", ""))).await);
    assert_eq!(twice.code, Code::AlreadyExists);
}
