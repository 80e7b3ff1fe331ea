//! Top-ups, balances and bills through the API, and what money keeps from happening.

use super::harness::{Rig, told};
use super::samples;
use control_plane::AdminError;
use proto::admin::v1::object::Object as Any;
use proto::admin::v1::{
    CreditOrgRequest, DeleteOrgRequest, ExplainRequest, GetBalanceRequest, ListUsageRequest, Org,
    ReconcileRequest,
};
use std::time::Duration;
use tonic::Code;

fn credit(amount: &str, idempotency_key: &str) -> CreditOrgRequest {
    CreditOrgRequest {
        org: "acme".to_owned(),
        amount: amount.to_owned(),
        idempotency_key: idempotency_key.to_owned(),
        ..Default::default()
    }
}

async fn rig() -> Rig {
    let rig = Rig::start().await;
    rig.apply(samples::all()).await.unwrap();
    rig
}

#[tokio::test]
async fn a_top_up_posts_once_per_idempotency_key() {
    let rig = rig().await;
    let posted = rig.money().credit_org(credit("10.00 USD", "a")).await.unwrap().into_inner();
    assert!(!posted.repeated_call);
    let again = rig.money().credit_org(credit("10.00 USD", "a")).await.unwrap().into_inner();
    assert!(again.repeated_call);
    let request = GetBalanceRequest { org: "acme".to_owned() };
    let balance = rig.money().get_balance(request).await.unwrap().into_inner();
    assert_eq!(posted.balance.as_ref(), Some(&balance));
    assert_eq!(again.balance.as_ref(), Some(&balance));
    assert_eq!(balance.currency, "USD");
    assert_eq!(balance.posted_nano, 10_000_000_000);
    assert_eq!(balance.held_nano, 0);
    assert_eq!(balance.free_nano, 15_000_000_000, "the credit limit of 5 USD is free as well");

    let request = ReconcileRequest::default();
    assert!(rig.money().reconcile(request).await.unwrap().into_inner().ok);
}

#[tokio::test]
async fn top_ups_that_cannot_be_are_refused_with_the_field_named() {
    let rig = rig().await;
    rig.money().credit_org(credit("1.00 USD", "used")).await.unwrap();
    let table = [
        (credit("10.00", "b"), "amount"),
        (credit("10.00 CNY", "b"), "amount"),
        (credit("-1.00 USD", "b"), "amount"),
        (credit("1.00 USD", ""), "idempotency_key"),
        (credit("2.00 USD", "used"), "idempotency_key"),
    ];
    let before = rig.rows().await;
    for (request, field) in table {
        let told = told(rig.money().credit_org(request.clone()).await);
        assert_eq!(
            (told.code, told.fields),
            (Code::InvalidArgument, vec![field.to_owned()]),
            "{request:?}"
        );
    }
    let nobody = CreditOrgRequest { org: "moon".to_owned(), ..credit("1 USD", "b") };
    assert_eq!(told(rig.money().credit_org(nobody).await).code, Code::NotFound);
    assert_eq!(rig.rows().await, before);
}

#[tokio::test]
async fn an_org_with_money_or_records_is_not_deleted() {
    let rig = rig().await;
    rig.money().credit_org(credit("1.00 USD", "a")).await.unwrap();
    let delete = || DeleteOrgRequest { name: "acme".to_owned(), ..Default::default() };
    let funded = told(rig.orgs().delete_org(delete()).await);
    assert_eq!(funded.code, Code::FailedPrecondition);
    assert!(funded.text.contains("its wallet is not empty; disable"), "{}", funded.text);

    // All of it is spent; what remains are the records.
    rig.sql("UPDATE account SET posted = 0").await;
    let recorded = told(rig.orgs().delete_org(delete()).await);
    assert_eq!(recorded.code, Code::FailedPrecondition);
    assert!(recorded.text.contains("records of it; disable"), "{}", recorded.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_top_up_and_a_deletion_of_its_org_by_two_processes_one_happens() {
    let rig = rig().await;
    let other = rig.neighbour().await;
    for round in 0..10 {
        let name = format!("brief-{round}");
        rig.apply([Any::Org(Org { name: name.clone(), ..samples::org() })]).await.unwrap();
        let mut gate = rig.database.write().await.unwrap();
        sqlx::query("UPDATE account SET held = held").execute(&mut *gate).await.unwrap();
        let order = CreditOrgRequest { org: name.clone(), ..credit("1.00 USD", &name) };
        let (neighbour, mut orgs) = (other.clone(), rig.orgs());
        let crediting = tokio::spawn(async move { neighbour.credit(order).await });
        let delete = DeleteOrgRequest { name, ..Default::default() };
        let deleting = tokio::spawn(async move { orgs.delete_org(delete).await });
        // Nobody says when both wait at the gate; if they do not, this round shows less.
        tokio::time::sleep(Duration::from_millis(30)).await;
        gate.rollback().await.unwrap();
        match (crediting.await.unwrap(), deleting.await.unwrap()) {
            (Ok(_), Err(status)) => assert_eq!(status.code(), Code::FailedPrecondition),
            (Err(AdminError::Refused(refusal)), Ok(_)) => {
                assert!(refusal.to_string().contains("there is no Org"), "{refusal}");
            }
            other => panic!("round {round}: {other:?}"),
        }
    }
    let orphans = "SELECT currency AS line FROM account
         WHERE posted <> 0 AND org_uid NOT IN (SELECT uid FROM config_object)";
    assert_eq!(rig.table(orphans).await, Vec::<String>::new());
    assert!(rig.money().reconcile(ReconcileRequest::default()).await.unwrap().into_inner().ok);
}

#[tokio::test]
async fn a_credit_limit_does_not_fall_below_what_is_spent_and_held() {
    let rig = rig().await;
    rig.sql("UPDATE account SET posted = -1000000000, held = 2000000000").await;
    let with_limit = |limit: &str| {
        let mut org = samples::org();
        org.spec.as_mut().unwrap().credit_limit = limit.to_owned();
        [Any::Org(org)]
    };
    let before = rig.rows().await;
    let low = told(rig.apply(with_limit("2.99 USD")).await);
    assert_eq!(low.code, Code::InvalidArgument);
    assert_eq!(low.fields, ["Org \"acme\": credit_limit"]);
    assert!(low.text.contains("3.00 USD is the least"), "{}", low.text);
    assert_eq!(rig.rows().await, before, "nor is the row changed");

    rig.apply(with_limit("3.00 USD")).await.unwrap();
    let accounts = rig.rows().await.accounts;
    assert!(accounts[0].ends_with("USD -1000000000 2000000000 3000000000"), "{accounts:?}");
}

#[tokio::test]
async fn money_does_not_change_its_currency() {
    let rig = rig().await;
    let mut entity = samples::entity();
    entity.spec.as_mut().unwrap().currency = "EUR".to_owned();
    let mut org = samples::org();
    org.spec.as_mut().unwrap().credit_limit.clear();
    let mut rate = samples::fx_rate();
    rate.spec.as_mut().unwrap().quote = "EUR".to_owned();
    let refused = told(rig.apply([Any::Entity(entity), Any::Org(org), Any::FxRate(rate)]).await);
    assert_eq!(refused.code, Code::InvalidArgument);
    assert!(refused.fields.contains(&"Entity \"global\": currency".to_owned()), "{refused:?}");
}

#[tokio::test]
async fn an_unknown_request_is_told_with_what_was_searched() {
    let rig = rig().await;
    let request = ExplainRequest { request_id: "req-404".to_owned() };
    let told = told(rig.money().explain(request).await);
    assert_eq!((told.code, told.reason.as_str()), (Code::NotFound, "REQUEST_NOT_FOUND"));
    assert!(told.text.contains("req-404") && told.text.contains("upstreams"), "{}", told.text);
}

#[tokio::test]
async fn usage_is_listed_by_org_and_bad_arguments_are_named() {
    let rig = rig().await;
    let request = ListUsageRequest { org: "acme".to_owned(), ..Default::default() };
    let page = rig.money().list_usage(request).await.unwrap().into_inner();
    assert!(page.rows.is_empty());
    let request = ListUsageRequest { org: "moon".to_owned(), ..Default::default() };
    assert_eq!(told(rig.money().list_usage(request).await).code, Code::NotFound);
    let request = ListUsageRequest { page_token: "junk".to_owned(), ..Default::default() };
    assert_eq!(told(rig.money().list_usage(request).await).fields, ["page_token"]);
    let request = ReconcileRequest { since: "yesterday".to_owned() };
    assert_eq!(told(rig.money().reconcile(request).await).fields, ["since"]);
}
