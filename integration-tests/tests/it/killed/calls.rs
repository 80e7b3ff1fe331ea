//! `kill -9` in the middle of every method of the admin API that changes something. The methods come from the descriptors:
//! one that has no entry here, neither among those that change nor among those that only read, fails the test.

use super::api::{Api, methods, path};
use super::death::{Moment, Whole, agrees, dying, kept, steady};
use super::rows::Rows;
use crate::grpcurl::gaps::overtaken;
use crate::samples::{KINDS, method};
use integration_tests::{Chance, Gateway};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Methods that change nothing, besides Get and List of each kind.
const READS: [&str; 10] = [
    "Apply/ListDataPlanes",
    "Money/GetBalance",
    "Money/Explain",
    "Money/ListUsage",
    "Money/Reconcile",
    "Money/ListUsageGaps",
    "Operator/GetOperator",
    "Operator/ListOperators",
    "Audit/ListAuditRecords",
    "Audit/VerifyAudit",
];

/// A call that changes something.
struct Call {
    method: String,
    request: Value,
    writes: Whole,
    /// Whether it takes a `request_id`, by which it is done once however often it is made.
    is_once: bool,
}

fn call(method: String, request: Value, writes: Whole) -> Call {
    Call { method, request, writes, is_once: true }
}

fn of_kinds() -> Vec<Call> {
    let created = KINDS.iter().map(|sample| ("Create", sample, sample.object()));
    let updated = KINDS.iter().map(|sample| {
        let mut object = sample.object();
        let (field, value) = sample.change();
        object["spec"][field] = value;
        ("Update", sample, object)
    });
    let changes = created.chain(updated);
    changes
        .map(|(verb, sample, object)| {
            call(sample.method(verb), json!({sample.one: object}), Whole::CONFIGURATION)
        })
        .collect()
}

fn deletions() -> Vec<Call> {
    let gone = |sample: &crate::samples::Sample| {
        call(sample.method("Delete"), json!({"name": sample.name}), Whole::CONFIGURATION)
    };
    KINDS.iter().rev().map(gone).collect()
}

/// Those of keys beside the five of each kind, while the samples are there.
fn of_keys() -> Vec<Call> {
    let import = |name: &str| {
        let key = json!({"name": format!("bonn/{name}"), "spec": {"org": "bonn"}});
        json!({"key": key, "secret": ""})
    };
    let keys = json!({"keys": [import("one"), import("two"), import("three")]});
    let gone =
        ["one", "two", "three"].map(|name| json!({"kind": "Key", "name": format!("bonn/{name}")}));
    let many = Whole::CONFIGURATION.with(3);
    vec![
        call(
            method("Key/RotateKey"),
            json!({"name": "bonn/ci", "overlap": "3600s"}),
            Whole::CONFIGURATION,
        ),
        call(method("Key/ImportKeys"), keys, many),
        call(method("Apply/DeleteObjects"), json!({"objects": gone}), many),
    ]
}

fn others(content_of: &str) -> Vec<Call> {
    let plan = |name: &str| json!({"plan": {"name": name, "spec": {"concurrency": "1"}}});
    let plans = json!({"objects": [plan("bronze"), plan("iron")]});
    let gone = ["bronze", "iron"].map(|name| json!({"kind": "Plan", "name": name}));
    let gap = json!({"dataPlane": "gone", "incarnation": "7", "partition": 3, "fromSeq": "1", "toSeq": "2", "reason": "its disk"});
    let operator = |role: &str| json!({"name": "alice", "spec": {"role": role}});
    let (two, who) = (Whole::CONFIGURATION.with(2), Whole::OPERATORS);
    vec![
        call(method("Apply/Apply"), plans, two),
        call(method("Apply/DeleteObjects"), json!({"objects": gone}), two),
        call(method("Money/CreditOrg"), json!({"org": "demo", "amount": "1.00 USD"}), Whole::MONEY),
        call(method("Money/WriteOffUsage"), gap, Whole::GAPS),
        call(
            method("Money/ForgetDataPlane"),
            json!({"dataPlane": "gone", "reason": "its disk"}),
            Whole::LIVES,
        ),
        call(method("Operator/CreateOperator"), json!({"operator": operator("admin")}), who),
        call(method("Operator/UpdateOperator"), json!({"operator": operator("viewer")}), who),
        call(method("Operator/DeleteOperator"), json!({"name": "alice"}), who),
        Call {
            is_once: false,
            ..call(method("Content/GetContent"), json!({"requestId": content_of}), Whole::READING)
        },
    ]
}

fn all(content_of: &str) -> Vec<Call> {
    let mut all = of_kinds();
    all.extend(of_keys());
    all.extend(deletions());
    all.extend(others(content_of));
    all
}

#[test]
fn every_method_is_one_that_only_reads_or_has_an_entry_here() {
    let of_kinds = KINDS.iter().flat_map(|sample| [sample.method("Get"), sample.lists()]);
    let reads: BTreeSet<String> = READS.map(method).into_iter().chain(of_kinds).collect();
    let changes: BTreeSet<String> = all("").into_iter().map(|call| call.method).collect();
    assert!(reads.is_disjoint(&changes));
    let known: BTreeSet<String> = reads.union(&changes).cloned().collect();
    let written: BTreeSet<String> = methods().iter().map(path).collect();
    assert_eq!(known, written);
}

#[tokio::test]
async fn every_call_whose_server_is_killed_is_done_or_not_and_once_when_it_is_repeated() {
    let mut chance = Chance::new("killed calls");
    let mut gateway = steady().start().await;
    let content_of = kept(&gateway).await;
    overtaken(&gateway).await;
    let mut done = Vec::new();
    for (number, call) in all(&content_of).into_iter().enumerate() {
        let moment = Moment::any(&mut chance);
        done.push(dies_in_the_middle(&mut gateway, number, call, moment).await);
    }
    assert!(
        done.contains(&true) && done.contains(&false),
        "all died too late, or too early: {done:?}"
    );
}

/// Whether it was done when its server died.
async fn dies_in_the_middle(
    gateway: &mut Gateway,
    number: usize,
    call: Call,
    moment: Moment,
) -> bool {
    let Call { method, mut request, writes, is_once } = call;
    let what = format!("{method}, {moment:?}");
    if is_once {
        request["requestId"] = json!(format!("call-{number}"));
    }
    if method.ends_with("/CreditOrg") {
        request["idempotencyKey"] = json!(format!("credit-{number}"));
    }
    let before = Rows::of(gateway).await;
    let api = Api::of(gateway);
    let said = dying(gateway, moment, api.call(&method, &request)).await;
    gateway.restart().await;
    let after = Rows::of(gateway).await;
    let is_done = writes.is_done(&what, is_once, &before, &after);
    assert!(is_done || said.is_err(), "{what}: it was answered, and is not done: {said:?}");

    let api = Api::of(gateway);
    let repeated = api.call(&method, &request).await;
    let repeated = repeated.unwrap_or_else(|status| panic!("{what}, repeated: {status}"));
    let settled = Rows::of(gateway).await;
    if !is_once || !is_done {
        assert!(writes.is_done(&what, is_once, &after, &settled), "{what}: repeating it does it");
    } else {
        assert_eq!(after.changed(&settled), [], "{what}: it was done already");
        let first = said.unwrap_or_else(|_| repeated.clone());
        assert_eq!(first, repeated, "{what}: two answers to one call");
    }
    if is_once {
        assert_eq!(api.call(&method, &request).await.unwrap(), repeated, "{what}");
        assert_eq!(settled.changed(&Rows::of(gateway).await), [], "{what}: once is enough");
    }
    agrees(&api, &what).await;
    is_done
}
