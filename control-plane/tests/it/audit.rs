//! The audit chain: every change is in it, and nobody changes it unseen.

use super::harness::{Rig, TOKEN, told};
use super::people::{call, hire, town};
use super::samples::{self, CREDENTIAL};
use prost::Message;
use proto::admin::v1::object::Object as Any;
use proto::admin::v1::{self, AuditRecord, VerifyAuditRequest, VerifyAuditResponse};
use sqlx::{Column as _, Row as _};
use tonic::Code;

pub(crate) async fn verify(rig: &Rig, noted: Option<(u64, &str)>) -> VerifyAuditResponse {
    let (seq, hash) = noted.unwrap_or_default();
    let request = VerifyAuditRequest { expected_seq: seq, expected_hash: hash.to_owned() };
    let answer = call(rig, TOKEN, "AuditService/VerifyAudit", &request.encode_to_vec()).await;
    VerifyAuditResponse::decode(answer.unwrap().as_slice()).unwrap()
}

/// Newest first.
pub(crate) async fn records(rig: &Rig) -> Vec<AuditRecord> {
    let request = v1::ListAuditRecordsRequest { page_size: 1_000, ..Default::default() };
    let path = "AuditService/ListAuditRecords";
    let answer = call(rig, TOKEN, path, &request.encode_to_vec()).await.unwrap();
    v1::ListAuditRecordsResponse::decode(answer.as_slice()).unwrap().records
}

fn credit(key: &str) -> v1::CreditOrgRequest {
    v1::CreditOrgRequest {
        org: "acme".to_owned(),
        amount: "2.00 USD".to_owned(),
        idempotency_key: key.to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn every_change_is_recorded_with_who_what_and_from_which_state_to_which() {
    let rig = town().await;
    let before = records(&rig).await.len();
    let alice = hire(&rig, "alice", "owner", ("", "")).await;
    let mut upstream = samples::upstream();
    upstream.spec.as_mut().unwrap().vendor = "other".to_owned();
    upstream.spec.as_mut().unwrap().credential = format!("new-{CREDENTIAL}");
    let request = v1::UpdateUpstreamRequest {
        upstream: Some(upstream),
        request_id: "change-1".to_owned(),
        ..Default::default()
    };
    let path = "UpstreamService/UpdateUpstream";
    call(&rig, &alice, path, &request.encode_to_vec()).await.unwrap();
    for _ in 0..2 {
        call(&rig, &alice, "MoneyService/CreditOrg", &credit("one").encode_to_vec()).await.unwrap();
    }
    rig.apply([Any::Plan(samples::plan())]).await.unwrap();
    let new = records(&rig).await;
    let new: Vec<&AuditRecord> = new.iter().take(new.len() - before).collect();
    let [credited, updated, hired] = new.as_slice() else { panic!("{new:?}") };
    assert_eq!((hired.operator.as_str(), hired.resource.as_str()), ("root", "Operator alice"));
    assert_eq!(hired.detail, "owner of everything");
    assert_eq!((updated.operator.as_str(), updated.method.as_str()), ("alice", path));
    assert_eq!(
        (updated.resource.as_str(), updated.request_id.as_str()),
        ("Upstream alpha", "change-1")
    );
    assert!(!updated.etag_before.is_empty() && updated.etag_before != updated.etag_after);
    assert_eq!(updated.detail, "vendor, credential");
    assert_eq!((credited.resource.as_str(), credited.detail.as_str()), ("Org acme", "+2.00 USD"));
    assert!(new.iter().all(|record| record.outcome == "done" && record.client.len() == 16));
    assert!(!format!("{new:?}").contains("127.0.0.1") && !format!("{new:?}").contains(CREDENTIAL));
    let verified = verify(&rig, None).await;
    assert!(verified.ok, "{verified:?}");
    assert_eq!(verified.records, credited.seq);
    assert_eq!(verified.head_hash, credited.hash);
}

#[tokio::test]
async fn a_change_that_fails_or_is_only_tried_leaves_no_record() {
    let rig = town().await;
    let before = records(&rig).await;
    let mut bad = samples::org();
    bad.spec.as_mut().unwrap().plan = "nothing".to_owned();
    rig.apply([Any::Org(bad)]).await.unwrap_err();
    let mut plan = samples::plan();
    plan.name = "tried".to_owned();
    let request =
        v1::CreatePlanRequest { plan: Some(plan), validate_only: true, ..Default::default() };
    rig.plans().create_plan(request).await.unwrap();
    assert_eq!(records(&rig).await, before);
}

#[tokio::test]
async fn each_column_of_a_record_that_is_changed_is_found_and_named() {
    let rig = town().await;
    let whole = verify(&rig, None).await;
    assert!(whole.ok && whole.records > 5, "{whole:?}");
    let columns = columns(&rig, "SELECT * FROM audit_record WHERE seq = 1").await;
    assert_eq!(columns.len(), 13);
    for column in columns {
        let bent = match column.as_str() {
            "seq" => "100000",
            "at_us" | "operator_uid" => "at_us + 1",
            _ => "'x'",
        };
        rig.sql("CREATE TABLE kept AS SELECT * FROM audit_record").await;
        rig.sql(&format!("UPDATE audit_record SET {column} = {bent} WHERE seq = 3")).await;
        let found = verify(&rig, None).await;
        assert!(!found.ok, "{column}");
        assert_eq!((found.differs_at, found.records), (3, 2), "{column}: {}", found.difference);
        rig.sql("DELETE FROM audit_record").await;
        rig.sql("INSERT INTO audit_record SELECT * FROM kept").await;
        rig.sql("DROP TABLE kept").await;
        assert_eq!(verify(&rig, None).await, whole, "as it was");
    }
}

#[tokio::test]
async fn a_record_that_is_taken_out_swapped_or_written_by_hand_is_found() {
    let rig = town().await;
    let swap = "UPDATE audit_record SET seq = CASE seq WHEN 3 THEN -4 WHEN 4 THEN -3 ELSE seq END";
    let table = [
        (vec!["DELETE FROM audit_record WHERE seq = 3"], 3),
        (vec![swap, "UPDATE audit_record SET seq = -seq WHERE seq < 0"], 3),
        (vec!["UPDATE audit_head SET hash = 'x'"], 0),
        (vec!["UPDATE audit_head SET seq = seq + 1"], 1),
        (vec!["INSERT INTO audit_record SELECT seq + 1, at_us, operator, operator_uid, method, resource, etag_before,
               etag_after, request_id, client, outcome, detail, hash FROM audit_record ORDER BY seq DESC LIMIT 1"], 1),
    ];
    for (statements, at) in table {
        let rig = town().await;
        let whole = verify(&rig, None).await;
        for statement in &statements {
            rig.sql(statement).await;
        }
        let found = verify(&rig, None).await;
        let expected = if at == 3 { 3 } else { whole.records + at };
        assert_eq!((found.ok, found.differs_at), (false, expected), "{statements:?}: {found:?}");
    }
    assert!(verify(&rig, None).await.ok);
}

#[tokio::test]
async fn a_chain_whose_end_was_cut_off_fits_together_but_not_with_a_head_that_was_noted() {
    let rig = town().await;
    let noted = verify(&rig, None).await;
    let (seq, hash) = (noted.records, noted.head_hash.clone());
    assert!(verify(&rig, Some((seq, &hash))).await.ok);
    rig.apply([Any::Entity(super::people::entity("more"))]).await.unwrap();
    assert!(verify(&rig, Some((seq, &hash))).await.ok, "an earlier head is still held");
    let wrong = verify(&rig, Some((seq, &"0".repeat(64)))).await;
    assert_eq!((wrong.ok, wrong.differs_at), (false, seq));
    rig.sql(&format!("DELETE FROM audit_record WHERE seq >= {seq}")).await;
    rig.sql(
        "UPDATE audit_head SET seq = (SELECT MAX(seq) FROM audit_record),
               hash = (SELECT hash FROM audit_record ORDER BY seq DESC LIMIT 1)",
    )
    .await;
    assert!(verify(&rig, None).await.ok, "nothing within tells it");
    let cut = verify(&rig, Some((seq, &hash))).await;
    assert_eq!((cut.ok, cut.differs_at), (false, seq), "{cut:?}");
}

#[tokio::test]
async fn refused_attempts_are_recorded_and_bounded() {
    let rig = town().await;
    let viewer = hire(&rig, "viewer", "viewer", ("", "")).await;
    let of_org = hire(&rig, "of-org", "admin", ("", "acme")).await;
    let request = v1::DeleteOrgRequest { name: "far".to_owned(), ..Default::default() };
    let refused = call(&rig, &of_org, "OrgService/DeleteOrg", &request.encode_to_vec()).await;
    assert_eq!(told(refused).code, Code::NotFound);
    let name = format!("n\0\n{}", "o".repeat(5_000));
    let odd = v1::DeleteOrgRequest { name, ..request.clone() }.encode_to_vec();
    let refused = call(&rig, &of_org, "OrgService/DeleteOrg", &odd).await;
    assert_eq!(told(refused).code, Code::NotFound);
    for _ in 0..60 {
        let refused = call(&rig, &viewer, "OrgService/DeleteOrg", &request.encode_to_vec()).await;
        assert_eq!(told(refused).code, Code::PermissionDenied);
    }
    let denied: Vec<AuditRecord> =
        records(&rig).await.into_iter().filter(|record| record.outcome == "denied").collect();
    // Twenty a minute; the minute may have changed in between.
    assert!((2..=60).contains(&denied.len()) && denied.len() <= 42, "{}", denied.len());
    let [.., odd, first] = denied.as_slice() else { panic!("{denied:?}") };
    assert_eq!((first.operator.as_str(), first.resource.as_str()), ("of-org", "Org far"));
    assert!(odd.resource.starts_with("Org noo") && odd.resource.len() < 200, "{}", odd.resource);
    assert_eq!(denied[0].operator, "viewer");
    assert!(verify(&rig, None).await.ok);
    let reads = v1::GetOrgRequest { name: "far".to_owned() };
    let count = records(&rig).await.len();
    call(&rig, &of_org, "OrgService/GetOrg", &reads.encode_to_vec()).await.unwrap_err();
    assert_eq!(records(&rig).await.len(), count, "looking is no attempt to change");
}

#[tokio::test]
async fn many_writers_at_once_make_one_chain() {
    let rig = town().await;
    let before = verify(&rig, None).await.records;
    let writers = (0..12).map(|number| {
        let rig = &rig;
        async move {
            if number % 2 == 0 {
                let request = credit(&format!("k{number}")).encode_to_vec();
                call(rig, TOKEN, "MoneyService/CreditOrg", &request).await.unwrap();
            } else {
                rig.apply([Any::Entity(super::people::entity(&format!("e{number}")))])
                    .await
                    .unwrap();
            }
        }
    });
    futures::future::join_all(writers).await;
    let after = verify(&rig, None).await;
    assert!(after.ok, "{after:?}");
    assert_eq!(after.records, before + 12);
}

/// The names of all columns of a row.
async fn columns(rig: &Rig, query: &'static str) -> Vec<String> {
    let mut read = rig.database.read().await.unwrap();
    let row = sqlx::query(query).fetch_one(&mut *read).await.unwrap();
    read.finish().await.unwrap();
    row.columns().iter().map(|column| column.name().to_owned()).collect()
}
