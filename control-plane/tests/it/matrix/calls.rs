//! Rows of the methods that are not the five of a kind: bulk changes, money, operators, the audit chain.

use super::super::people::{ORGS, key, operator, org};
use super::super::samples;
use super::{ALL, CONFIGURE, Row, row};
use proto::admin::v1;

pub(super) fn apply_rows(rows: &mut Vec<Row>) {
    use v1::object::Object as Any;
    let apply = |objects: Vec<Any>| v1::ApplyRequest {
        objects: super::super::harness::objects_of(objects),
        validate_only: true,
        ..Default::default()
    };
    let own = || Any::Key(key("acme", "k"));
    let cases = [
        ("an own key", vec![own()], "PPP"),
        ("a sibling's key", vec![Any::Key(key("near", "k"))], "PPD"),
        ("a foreign org", vec![Any::Org(org("far", "rival"))], "PDD"),
        ("a foreign org, taken over", vec![Any::Org(org("far", "global"))], "PDD"),
        ("an own org, given away", vec![Any::Org(org("acme", "rival"))], "PDD"),
        ("what all share", vec![Any::Plan(samples::plan())], "PDD"),
        ("own and foreign", vec![own(), Any::Key(key("far", "k"))], "PDD"),
    ];
    for (target, objects, verdicts) in cases {
        rows.push(row("ApplyService/Apply", CONFIGURE, target, &apply(objects), verdicts));
    }
    for (kind, name, verdicts) in [
        ("Key", "acme/k", "PPP"),
        ("Key", "near/k", "PPN"),
        ("Key", "far/k", "PNN"),
        ("Org", "far", "PNN"),
        ("Plan", "starter", "PDN"),
    ] {
        let object = v1::ObjectName { kind: kind.to_owned(), name: name.to_owned() };
        let request = v1::DeleteObjectsRequest {
            objects: vec![object],
            validate_only: true,
            ..Default::default()
        };
        rows.push(row("ApplyService/DeleteObjects", CONFIGURE, name, &request, verdicts));
    }
    for (org, verdicts) in [("acme", "PPP"), ("near", "PPD"), ("far", "PDD")] {
        let import = v1::KeyImport { key: Some(key(org, "moved")), ..Default::default() };
        let request =
            v1::ImportKeysRequest { keys: vec![import], validate_only: true, ..Default::default() };
        rows.push(row("KeyService/ImportKeys", CONFIGURE, org, &request, verdicts));
    }
    for (name, verdicts) in [("acme/k", "PPP"), ("near/k", "PPN"), ("far/k", "PNN")] {
        let request = v1::RotateKeyRequest {
            name: name.to_owned(),
            validate_only: true,
            ..Default::default()
        };
        rows.push(row("KeyService/RotateKey", CONFIGURE, name, &request, verdicts));
    }
    let request = v1::ListDataPlanesRequest::default();
    rows.push(row("ApplyService/ListDataPlanes", ALL, "", &request, "PPP"));
}

pub(super) fn money_rows(rows: &mut Vec<Row>) {
    for ((name, whose), (read, write)) in
        ORGS.into_iter().zip([("PPP", "PPD"), ("PPN", "PPN"), ("PNN", "PNN")])
    {
        let org = name.to_owned();
        let credit = v1::CreditOrgRequest {
            org: org.clone(),
            amount: "1.00 USD".to_owned(),
            idempotency_key: format!("to-{org}"),
            ..Default::default()
        };
        rows.push(row("MoneyService/CreditOrg", "ob", whose, &credit, write));
        let request = v1::GetBalanceRequest { org: org.clone() };
        rows.push(row("MoneyService/GetBalance", ALL, whose, &request, read));
        let request = v1::ExplainRequest { request_id: format!("req-{org}") };
        rows.push(row("MoneyService/Explain", ALL, whose, &request, read));
        let request = v1::ListUsageRequest { org, ..Default::default() };
        rows.push(row("MoneyService/ListUsage", ALL, whose, &request, read));
    }
    // None is kept here; what is kept is shown to those of its org by the tests of stored content.
    let content = v1::GetContentRequest { request_id: "req-acme".to_owned() };
    rows.push(row("ContentService/GetContent", CONFIGURE, "", &content, "NNN"));
    let all = v1::ListUsageRequest::default();
    rows.push(row("MoneyService/ListUsage", ALL, "", &all, "PPP"));
    rows.push(row("MoneyService/Reconcile", "oab", "", &v1::ReconcileRequest::default(), "PDD"));
    let gaps = v1::ListUsageGapsRequest::default();
    rows.push(row("MoneyService/ListUsageGaps", "oab", "", &gaps, "PDD"));
    let given_up = v1::WriteOffUsageRequest {
        data_plane: "dp".to_owned(),
        reason: "it is none".to_owned(),
        ..Default::default()
    };
    rows.push(row("MoneyService/WriteOffUsage", "ob", "", &given_up, "PDD"));
    let forgotten = v1::ForgetDataPlaneRequest {
        data_plane: "dp".to_owned(),
        reason: "it is none".to_owned(),
        ..Default::default()
    };
    rows.push(row("MoneyService/ForgetDataPlane", "ob", "", &forgotten, "PDD"));
}

pub(super) fn operator_rows(rows: &mut Vec<Row>) {
    let scopes = [
        ("of-acme", ("", "acme"), "PPP", "PPP"),
        ("of-near", ("", "near"), "PPD", "PPN"),
        ("of-global", ("global", ""), "PPD", "PPN"),
        ("of-rival", ("rival", ""), "PDD", "PNN"),
        ("of-all", ("", ""), "PDD", "PNN"),
    ];
    for (name, scope, create, other) in scopes {
        let request = v1::CreateOperatorRequest {
            operator: Some(operator("new", "viewer", scope)),
            validate_only: true,
            ..Default::default()
        };
        rows.push(row("OperatorService/CreateOperator", CONFIGURE, name, &request, create));
        let request = v1::GetOperatorRequest { name: name.to_owned() };
        rows.push(row("OperatorService/GetOperator", CONFIGURE, name, &request, other));
        let request = v1::UpdateOperatorRequest {
            operator: Some(operator(name, "viewer", scope)),
            validate_only: true,
            ..Default::default()
        };
        rows.push(row("OperatorService/UpdateOperator", CONFIGURE, name, &request, other));
        let request = v1::DeleteOperatorRequest {
            name: name.to_owned(),
            validate_only: true,
            ..Default::default()
        };
        rows.push(row("OperatorService/DeleteOperator", CONFIGURE, name, &request, other));
    }
    let request = v1::ListOperatorsRequest::default();
    rows.push(row("OperatorService/ListOperators", CONFIGURE, "", &request, "PPP"));
    let request = v1::ListAuditRecordsRequest::default();
    rows.push(row("AuditService/ListAuditRecords", CONFIGURE, "", &request, "PDD"));
    let request = v1::VerifyAuditRequest::default();
    rows.push(row("AuditService/VerifyAudit", CONFIGURE, "", &request, "PDD"));
}
