//! The admin API from outside: grpcurl, which knows of it only what reflection tells, calls every method of a running
//! gateway.

mod calls;
mod client;
pub(crate) mod gaps;

use crate::samples::{KINDS, Sample};
use client::{Grpcurl, Refused};
use integration_tests::{Gateway, workspace};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;

#[tokio::test]
async fn reflection_tells_of_every_service_and_method_and_health_of_each() {
    let gateway = Gateway::demo().start().await;
    let grpcurl = Grpcurl::of(&gateway);
    let written = written();
    let mut services = grpcurl.list("").await;
    services.retain(|service| service.starts_with("turnpike."));
    let expected: BTreeSet<String> =
        written.iter().filter_map(|method| Some(method.rsplit_once('.')?.0.to_owned())).collect();
    assert_eq!(services, expected);
    let mut methods = BTreeSet::new();
    for service in &services {
        methods.extend(grpcurl.list(service).await);
        let health = json!({"service": service});
        let health = grpcurl.call("grpc.health.v1.Health/Check", &health).await.unwrap();
        assert_eq!(health["status"], "SERVING", "{service}");
    }
    assert_eq!(methods, written);
    let whole = grpcurl.call("grpc.health.v1.Health/Check", &json!({})).await.unwrap();
    assert_eq!(whole["status"], "SERVING");
}

/// The methods in the `.proto` files.
fn written() -> BTreeSet<String> {
    let folder = workspace().join("proto/turnpike/admin/v1");
    let mut methods = BTreeSet::new();
    for file in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        let mut service = String::new();
        for line in text.lines().map(str::trim) {
            if let Some(rest) = line.strip_prefix("service ") {
                service = rest.trim_end_matches(" {").to_owned();
            }
            if let Some((name, _)) = line.strip_prefix("rpc ").and_then(|rest| rest.split_once('('))
            {
                methods.insert(format!("turnpike.admin.v1.{service}.{name}"));
            }
        }
    }
    assert!(methods.len() > 50, "{methods:?}");
    methods
}

#[tokio::test]
async fn every_method_works_and_what_is_wrong_is_told_in_the_same_way() {
    let gateway = Gateway::demo().start().await;
    let grpcurl = Grpcurl::of(&gateway);
    for sample in &KINDS {
        begins(&grpcurl, sample).await;
        changes(&grpcurl, sample).await;
    }
    for sample in KINDS.iter().rev() {
        ends(&grpcurl, sample).await;
    }
    calls::objects_are_applied_and_deleted_together(&grpcurl).await;
    calls::keys_are_imported(&grpcurl).await;
    calls::keys_are_rotated(&grpcurl).await;
    calls::money_is_posted_shown_and_checked(&gateway, &grpcurl).await;
    gaps::missing_usage_is_listed_and_written_off(&gateway, &grpcurl).await;
    calls::operators_come_and_go(&gateway, &grpcurl).await;
    calls::the_audit_chain_is_read_and_verified(&grpcurl).await;
    calls::content_is_read_where_it_is_kept(&gateway, &grpcurl).await;
    calls::repeated_calls_get_the_earlier_answer(&grpcurl).await;
    gateway.admin().reconciled().await;
    let untried: Vec<String> = written().difference(&grpcurl.answered()).cloned().collect();
    assert!(untried.is_empty(), "never called with success: {untried:?}");
}

/// Tried, created, created once more, read, listed.
async fn begins(grpcurl: &Grpcurl, sample: &Sample) {
    let &Sample { kind, one, many, .. } = sample;
    let create = sample.method("Create");
    let before = grpcurl.everything().await;
    let object = json!({one: sample.object()});
    let tried = json!({one: sample.object(), "validateOnly": true});
    let tried = grpcurl.call(&create, &tried).await.unwrap();
    assert_eq!(tried.get("secret").and_then(Value::as_str).unwrap_or_default(), "", "{kind}");
    assert_eq!(grpcurl.everything().await, before, "{kind}: a trial creates nothing");
    grpcurl.call(&create, &object).await.unwrap();
    let again = grpcurl.call(&create, &object).await.unwrap_err();
    again.is("AlreadyExists", "ALREADY_EXISTS");
    assert_eq!(again.detail("ResourceInfo")["resourceName"], sample.name, "{kind}");
    let got = grpcurl.call(&sample.method("Get"), &json!({"name": sample.name})).await.unwrap();
    assert_eq!(got["name"], sample.name);
    let listed = json!({"filter": format!("name = \"{}\"", sample.name)});
    let listed = grpcurl.call(&sample.lists(), &listed).await.unwrap();
    assert_eq!(listed[many], json!([got]), "{kind}");
    let nobody = json!({"name": "nobody"});
    grpcurl.call(&sample.method("Get"), &nobody).await.unwrap_err().is("NotFound", "NOT_FOUND");
}

/// Changed by a mask, by a wrong mask, with a wrong etag, with a page token of another list.
async fn changes(grpcurl: &Grpcurl, sample: &Sample) {
    let &Sample { kind, one, .. } = sample;
    let update = sample.method("Update");
    let mut object = sample.object();
    let (field, value) = sample.change();
    object["spec"][field] = value.clone();
    let request = json!({one: object, "updateMask": {"paths": [snake(field)]}});
    let before = grpcurl.everything().await;
    let mut tried = request.clone();
    tried["validateOnly"] = json!(true);
    grpcurl.call(&update, &tried).await.unwrap();
    assert_eq!(grpcurl.everything().await, before, "{kind}: a trial changes nothing");
    let changed = grpcurl.call(&update, &request).await.unwrap();
    assert_eq!(changed["spec"][field], value, "{kind}");

    let mut stale = request.clone();
    stale[one]["etag"] = json!("1000000");
    let stale = grpcurl.call(&update, &stale).await.unwrap_err();
    stale.is("Aborted", "ETAG_MISMATCH");
    assert_eq!(stale.detail("ErrorInfo")["metadata"]["currentEtag"], changed["etag"], "{kind}");
    for mask in ["nonsense", "etag", "name"] {
        let mut wrong = request.clone();
        wrong["updateMask"] = json!({"paths": [mask]});
        let wrong = grpcurl.call(&update, &wrong).await.unwrap_err();
        wrong.is("InvalidArgument", "INVALID_ARGUMENT");
        assert_eq!(wrong.fields(), ["update_mask"], "{kind}");
        assert!(wrong.message.contains(mask), "{kind}: {}", wrong.message);
    }
    check_tokens(grpcurl, sample).await;
}

async fn check_tokens(grpcurl: &Grpcurl, sample: &Sample) {
    let list = sample.lists();
    let first = grpcurl.call(&list, &json!({"pageSize": 1})).await.unwrap();
    let token = first["nextPageToken"].as_str().unwrap_or_default();
    assert!(!token.is_empty(), "{}: the demo has one more", sample.kind);
    grpcurl.call(&list, &json!({"pageSize": 1, "pageToken": token})).await.unwrap();
    let other = json!({"pageToken": token, "filter": "name = a*"});
    let other = grpcurl.call(&list, &other).await.unwrap_err();
    other.is("InvalidArgument", "PAGE_TOKEN_FOREIGN");
    let garbled = json!({"pageToken": token.split_at(1).1});
    let garbled = grpcurl.call(&list, &garbled).await.unwrap_err();
    garbled.is("InvalidArgument", "PAGE_TOKEN_GARBLED");
    assert_eq!(garbled.fields(), ["page_token"]);
}

async fn ends(grpcurl: &Grpcurl, sample: &Sample) {
    let delete = sample.method("Delete");
    let stale = json!({"name": sample.name, "etag": "1000000"});
    grpcurl.call(&delete, &stale).await.unwrap_err().is("Aborted", "ETAG_MISMATCH");
    let before = grpcurl.everything().await;
    let tried = json!({"name": sample.name, "validateOnly": true});
    grpcurl.call(&delete, &tried).await.unwrap();
    assert_eq!(grpcurl.everything().await, before, "{}: a trial deletes nothing", sample.kind);
    grpcurl.call(&delete, &json!({"name": sample.name})).await.unwrap();
    let gone = grpcurl.call(&delete, &json!({"name": sample.name})).await.unwrap_err();
    gone.is("NotFound", "NOT_FOUND");
}

#[tokio::test]
async fn nobody_is_let_in_without_a_token_and_that_too_has_one_error_info() {
    let gateway = Gateway::demo().start().await;
    let stranger = Grpcurl::of(&gateway).without_token();
    for method in written() {
        let (service, name) = method.rsplit_once('.').unwrap();
        let refused: Refused =
            stranger.call(&format!("{service}/{name}"), &json!({})).await.unwrap_err();
        assert_eq!(refused.code, "Unauthenticated", "{method}");
    }
}

/// Masks name fields as the `.proto` files do: `display_name` for `displayName`.
fn snake(field: &str) -> String {
    let letter = |letter: char| match letter {
        upper if upper.is_ascii_uppercase() => format!("_{}", upper.to_ascii_lowercase()),
        other => other.to_string(),
    };
    field.chars().map(letter).collect()
}
