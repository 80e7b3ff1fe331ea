//! The methods that are not the five of a kind: bulk changes, money, operators, the audit chain, content.

use super::client::Grpcurl;
use crate::samples::method;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use integration_tests::{Gateway, eventually, say};
use serde_json::{Value, json};

pub(super) async fn objects_are_applied_and_deleted_together(grpcurl: &Grpcurl) {
    let apply = method("Apply/Apply");
    let plan = |name: &str| json!({"plan": {"name": name, "spec": {"concurrency": "1"}}});
    let objects = json!([plan("free"), plan("dear")]);
    let before = grpcurl.everything().await;
    let tried = json!({"objects": objects, "validateOnly": true});
    let tried = grpcurl.call(&apply, &tried).await.unwrap();
    assert_eq!(tried["objects"][0]["action"], "created");
    assert_eq!(grpcurl.everything().await, before, "a trial applies nothing");
    grpcurl.call(&apply, &json!({"objects": objects})).await.unwrap();
    let planes = json!({"filter": "name = local"});
    let planes = grpcurl.call(&method("Apply/ListDataPlanes"), &planes).await.unwrap();
    assert_eq!(planes["dataPlanes"][0]["name"], "local");

    let delete = method("Apply/DeleteObjects");
    let named = |name: &str| json!({"kind": "Plan", "name": name});
    let objects = json!([named("free"), named("never"), named("dear")]);
    let there = grpcurl.everything().await;
    let missing = grpcurl.call(&delete, &json!({"objects": objects})).await.unwrap_err();
    missing.is("NotFound", "NOT_FOUND");
    let mut request = json!({"objects": objects, "allowMissing": true, "validateOnly": true});
    grpcurl.call(&delete, &request).await.unwrap();
    assert_eq!(grpcurl.everything().await, there, "neither deletes anything");
    request["validateOnly"] = json!(false);
    let gone = grpcurl.call(&delete, &request).await.unwrap();
    assert_eq!(actions(&gone["objects"]), ["deleted", "deleted"]);
}

pub(super) async fn keys_are_imported(grpcurl: &Grpcurl) {
    let import = method("Key/ImportKeys");
    let key = |name: &str, secret: &str| {
        let key = json!({"name": format!("demo/{name}"), "spec": {"org": "demo"}});
        json!({"key": key, "secret": secret})
    };
    let mut request = json!({"keys": [key("brought", "secret-of-elsewhere"), key("made", "")]});
    let before = grpcurl.everything().await;
    request["validateOnly"] = json!(true);
    let tried = grpcurl.call(&import, &request).await.unwrap();
    assert!(tried["keys"][1].get("secret").is_none(), "{tried}");
    assert_eq!(grpcurl.everything().await, before, "a trial imports nothing");
    let mut short = request.clone();
    short["keys"][0]["secret"] = json!("short");
    let short = grpcurl.call(&import, &short).await.unwrap_err();
    assert_eq!(short.code, "InvalidArgument");
    assert!(short.message.contains("demo/brought"), "{}", short.message);
    request["validateOnly"] = json!(false);
    let imported = grpcurl.call(&import, &request).await.unwrap();
    assert_eq!(actions(&imported["keys"]), ["created", "created"]);
    let has_secret = |index: usize| imported["keys"][index].get("secret").is_some();
    assert_eq!((has_secret(0), has_secret(1)), (false, true));
}

pub(super) async fn keys_are_rotated(grpcurl: &Grpcurl) {
    let rotate = method("Key/RotateKey");
    let mut request = json!({"name": "demo/made", "overlap": "3600s", "validateOnly": true});
    let before = grpcurl.everything().await;
    let tried = grpcurl.call(&rotate, &request).await.unwrap();
    assert!(tried.get("secret").is_none(), "{tried}");
    let mut stale = request.clone();
    stale["etag"] = json!("1000000");
    grpcurl.call(&rotate, &stale).await.unwrap_err().is("Aborted", "ETAG_MISMATCH");
    assert_eq!(grpcurl.everything().await, before, "neither rotates anything");
    request["validateOnly"] = json!(false);
    let rotated = grpcurl.call(&rotate, &request).await.unwrap();
    assert!(
        rotated["secret"].is_string() && rotated["key"]["previousSecretExpireTime"].is_string()
    );
    let again = grpcurl.call(&rotate, &request).await.unwrap_err();
    again.is("FailedPrecondition", "STILL_ROTATING");
    request["overlap"] = json!("99999999s");
    let long = grpcurl.call(&rotate, &request).await.unwrap_err();
    assert_eq!(long.fields(), ["overlap"]);
}

pub(super) async fn money_is_posted_shown_and_checked(gateway: &Gateway, grpcurl: &Grpcurl) {
    let credit = json!({"org": "demo", "amount": "1.00 USD", "idempotencyKey": "once"});
    let credited = grpcurl.call(&method("Money/CreditOrg"), &credit).await.unwrap();
    assert_eq!(credited["balance"]["postedNano"], "11000000000");
    let again = grpcurl.call(&method("Money/CreditOrg"), &credit).await.unwrap();
    assert_eq!((&again["repeatedCall"], &again["balance"]), (&json!(true), &credited["balance"]));
    let euros = json!({"org": "demo", "amount": "1.00 EUR", "idempotencyKey": "euros"});
    let euros = grpcurl.call(&method("Money/CreditOrg"), &euros).await.unwrap_err();
    assert_eq!(euros.fields(), ["amount"]);
    let balance = json!({"org": "demo"});
    let balance = grpcurl.call(&method("Money/GetBalance"), &balance).await.unwrap();
    assert_eq!(balance["postedNano"], "11000000000");

    let reply = gateway.chat(gateway.api_key(), say(3)).await;
    let id = reply.request_id().to_owned();
    gateway.admin().bill(&id).await;
    let explain = method("Money/Explain");
    let bill = grpcurl.call(&explain, &json!({"requestId": id})).await.unwrap();
    assert_eq!(bill["model"], "demo/chat");
    let usage = json!({"filter": "org = demo AND key = demo/* AND model = demo/chat"});
    let usage = grpcurl.call(&method("Money/ListUsage"), &usage).await.unwrap();
    assert_eq!(usage["rows"][0]["requestId"], id.as_str());
    let unknown = grpcurl.call(&explain, &json!({"requestId": "x"})).await.unwrap_err();
    unknown.is("NotFound", "REQUEST_NOT_FOUND");
    let books = grpcurl.call(&method("Money/Reconcile"), &json!({})).await.unwrap();
    assert_eq!((&books["ok"], &books["events"]), (&json!(true), &json!("1")));
}

pub(super) async fn operators_come_and_go(gateway: &Gateway, grpcurl: &Grpcurl) {
    let create = method("Operator/CreateOperator");
    let request = json!({"operator": {"name": "alice", "spec": {"role": "admin"}}});
    let made = grpcurl.call(&create, &request).await.unwrap();
    let again = grpcurl.call(&create, &request).await.unwrap_err();
    again.is("AlreadyExists", "ALREADY_EXISTS");
    let alice = json!({"name": "alice"});
    let hers = Grpcurl::of(gateway).with_token(made["token"].as_str().unwrap());
    let get = method("Operator/GetOperator");
    for caller in [grpcurl, &hers] {
        assert_eq!(caller.call(&get, &alice).await.unwrap(), made["operator"]);
    }
    let owner = json!({"operator": {"name": "eve", "spec": {"role": "owner"}}});
    let denied = hers.call(&create, &owner).await.unwrap_err();
    denied.is("PermissionDenied", "PERMISSION_DENIED");

    let update = method("Operator/UpdateOperator");
    let change = json!({"name": "alice", "spec": {"role": "billing", "disabled": true}});
    let mut request = json!({"operator": change, "updateMask": {"paths": ["entity"]}});
    let wrong = grpcurl.call(&update, &request).await.unwrap_err();
    assert_eq!(wrong.fields(), ["update_mask"]);
    request["updateMask"]["paths"] = json!(["disabled"]);
    request["operator"]["etag"] = json!("1000000");
    let stale = grpcurl.call(&update, &request).await.unwrap_err();
    stale.is("Aborted", "ETAG_MISMATCH");
    request["operator"]["etag"] = made["operator"]["etag"].clone();
    let changed = grpcurl.call(&update, &request).await.unwrap();
    let spec = json!({"role": "admin", "disabled": true});
    assert_eq!(changed["spec"], spec, "only what the mask names");
    assert_eq!(hers.call(&get, &alice).await.unwrap_err().code, "Unauthenticated");
    let listed = grpcurl.call(&method("Operator/ListOperators"), &json!({})).await.unwrap();
    assert_eq!(listed["operators"], json!([changed]));

    grpcurl.call(&method("Operator/DeleteOperator"), &alice).await.unwrap();
    grpcurl.call(&get, &alice).await.unwrap_err().is("NotFound", "NOT_FOUND");
}

pub(super) async fn the_audit_chain_is_read_and_verified(grpcurl: &Grpcurl) {
    let list = method("Audit/ListAuditRecords");
    let newest = grpcurl.call(&list, &json!({"pageSize": 1})).await.unwrap();
    let next = json!({"pageSize": 1, "pageToken": newest["nextPageToken"]});
    let next = grpcurl.call(&list, &next).await.unwrap();
    let number = |page: &Value| page["records"][0]["seq"].as_str().unwrap().parse::<u64>().unwrap();
    assert_eq!(number(&newest), number(&next) + 1);
    let garbled = grpcurl.call(&list, &json!({"pageToken": "x"})).await.unwrap_err();
    assert_eq!(garbled.fields(), ["page_token"]);

    let verify = method("Audit/VerifyAudit");
    let found = grpcurl.call(&verify, &json!({})).await.unwrap();
    assert_eq!((&found["ok"], &found["records"]), (&json!(true), &newest["records"][0]["seq"]));
    let mut noted = json!({"expectedSeq": found["records"], "expectedHash": found["headHash"]});
    assert_eq!(grpcurl.call(&verify, &noted).await.unwrap()["ok"], true);
    noted["expectedHash"] = next["records"][0]["hash"].clone();
    let cut = grpcurl.call(&verify, &noted).await.unwrap();
    assert_eq!(cut["differsAt"], found["records"]);
    noted["expectedSeq"] = json!("0");
    let wrong = grpcurl.call(&verify, &noted).await.unwrap_err();
    assert_eq!(wrong.fields(), ["expected_seq"]);
}

pub(super) async fn content_is_read_where_it_is_kept(gateway: &Gateway, grpcurl: &Grpcurl) {
    let org = json!({"name": "demo", "spec": {"storeContent": true}});
    let wanted = json!({"org": org, "updateMask": {"paths": ["store_content"]}});
    grpcurl.call(&method("Org/UpdateOrg"), &wanted).await.unwrap();
    eventually("the data plane has it", async || {
        let planes = method("Apply/ListDataPlanes");
        let planes = grpcurl.call(&planes, &json!({})).await.unwrap();
        (planes["dataPlanes"][0]["applied"] == planes["head"]).then_some(())
    })
    .await;
    let reply = gateway.chat(gateway.api_key(), say(3)).await;
    let get = method("Content/GetContent");
    let kept = eventually("the content is kept", async || {
        grpcurl.call(&get, &json!({"requestId": reply.request_id()})).await.ok()
    });
    let kept = kept.await;
    assert_eq!(kept["org"], "demo");
    let prompt = STANDARD.decode(kept["prompt"].as_str().unwrap()).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&prompt).unwrap(), say(3));
    let none = grpcurl.call(&get, &json!({"requestId": "x"})).await.unwrap_err();
    none.is("NotFound", "NO_CONTENT");
}

/// Methods with a request, and what makes another request of it: a place in it and another value.
fn repeated() -> [(&'static str, Value, &'static str, Value); 8] {
    let demo = |name: &str| json!({"name": format!("demo/{name}"), "spec": {"org": "demo"}});
    let plan = json!({"name": "twice", "spec": {"concurrency": "1"}});
    let gone = json!({"objects": [{"kind": "Key", "name": "demo/again"}]});
    let credit = json!({"org": "demo", "amount": "1.00 USD", "idempotencyKey": "twice"});
    let bob = json!({"operator": {"name": "bob", "spec": {"role": "viewer"}}});
    let (two, secret) = (json!("2"), json!("secret-of-elsewhere-2"));
    [
        ("Plan/CreatePlan", json!({"plan": plan}), "/plan/spec/concurrency", two.clone()),
        ("Plan/UpdatePlan", json!({"plan": plan}), "/plan/spec/concurrency", two.clone()),
        ("Apply/Apply", json!({"objects": [{"plan": plan}]}), "/objects/0/plan/name", json!("x")),
        ("Key/CreateKey", json!({"key": demo("again")}), "/key/name", json!("demo/x")),
        ("Key/ImportKeys", json!({"keys": [{"key": demo("many")}]}), "/keys/0/secret", secret),
        ("Apply/DeleteObjects", gone, "/objects/0/name", json!("demo/many")),
        ("Money/CreditOrg", credit, "/amount", json!("2.00 USD")),
        ("Operator/CreateOperator", bob, "/operator/spec/role", json!("owner")),
    ]
}

pub(super) async fn repeated_calls_get_the_earlier_answer(grpcurl: &Grpcurl) {
    for (name, mut request, place, other) in repeated() {
        request["requestId"] = json!(name);
        let first = grpcurl.call(&method(name), &request).await.unwrap();
        let after = head(grpcurl).await;
        assert_eq!(grpcurl.call(&method(name), &request).await.unwrap(), first, "{name}");
        let (parent, field) = place.rsplit_once('/').unwrap();
        request.pointer_mut(parent).unwrap()[field] = other;
        let refused = grpcurl.call(&method(name), &request).await.unwrap_err();
        refused.is("InvalidArgument", "REQUEST_ID_REUSED");
        assert_eq!(refused.fields(), ["request_id"], "{name}");
        assert_eq!(head(grpcurl).await, after, "{name}: done once");
    }
}

/// Every change of anything moves it.
async fn head(grpcurl: &Grpcurl) -> Value {
    grpcurl.call(&method("Audit/VerifyAudit"), &json!({})).await.unwrap()["headHash"].clone()
}

fn actions(changed: &Value) -> Vec<&str> {
    let changed = changed.as_array().unwrap();
    changed.iter().map(|one| one["action"].as_str().unwrap()).collect()
}
