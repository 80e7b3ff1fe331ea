//! Lists, page by page.

use super::harness::{Rig, TOKEN, told};
use super::people::{call, hire, town};
use super::samples;
use control_plane::AdminLimits;
use prost::Message;
use proto::admin::v1::{
    self, CreatePlanRequest, CreatePriceBookRequest, ListOrgsRequest, ListPlansRequest,
    ListPriceBooksRequest, Plan, PriceBook,
};
use tonic::{Code, Status};

#[tokio::test]
async fn pages_give_every_object_once_in_order_of_name() {
    let rig = Rig::start().await;
    for number in 0..7 {
        let plan = Plan { name: format!("plan-{number}"), ..samples::plan() };
        let request =
            CreatePlanRequest { plan: Some(plan), validate_only: false, ..Default::default() };
        rig.plans().create_plan(request).await.unwrap();
    }
    let mut names = Vec::new();
    let mut sizes = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListPlansRequest { page_size: 3, page_token, ..Default::default() };
        let page = rig.plans().list_plans(request).await.unwrap().into_inner();
        sizes.push(page.plans.len());
        names.extend(page.plans.into_iter().map(|plan| plan.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(sizes, [3, 3, 1]);
    let expected: Vec<String> = (0..7).map(|number| format!("plan-{number}")).collect();
    assert_eq!(names, expected);
}

#[tokio::test]
async fn a_page_is_bounded_in_bytes_but_never_empty() {
    let limits = AdminLimits { page_bytes_max: 1, ..AdminLimits::default() };
    let rig = Rig::start_with(limits).await;
    for name in ["a", "b"] {
        let price_book = PriceBook { name: name.to_owned(), ..samples::price_book() };
        let mut price_book = price_book;
        price_book.spec.as_mut().unwrap().entries.truncate(0);
        let request = CreatePriceBookRequest {
            price_book: Some(price_book),
            validate_only: false,
            ..Default::default()
        };
        rig.price_books().create_price_book(request).await.unwrap();
    }
    let request = ListPriceBooksRequest::default();
    let first = rig.price_books().list_price_books(request).await.unwrap().into_inner();
    assert_eq!(first.price_books.len(), 1);
    let request = ListPriceBooksRequest { page_token: first.next_page_token, ..Default::default() };
    let second = rig.price_books().list_price_books(request).await.unwrap().into_inner();
    assert_eq!(second.price_books[0].name, "b");
    assert_eq!(second.next_page_token, "");
}

#[tokio::test]
async fn a_page_token_of_another_list_or_of_nobody_is_refused() {
    let rig = Rig::start().await;
    for name in ["a", "b"] {
        let plan = Plan { name: name.to_owned(), ..samples::plan() };
        let request =
            CreatePlanRequest { plan: Some(plan), validate_only: false, ..Default::default() };
        rig.plans().create_plan(request).await.unwrap();
    }
    let request = ListPlansRequest { page_size: 1, ..Default::default() };
    let page = rig.plans().list_plans(request).await.unwrap().into_inner();
    for page_token in [page.next_page_token, "junk".to_owned()] {
        let request = ListOrgsRequest { page_token, ..Default::default() };
        let refused = told(rig.orgs().list_orgs(request).await);
        assert_eq!(refused.code, Code::InvalidArgument);
        assert_eq!(refused.fields, ["page_token"]);
    }
    let request = ListPlansRequest { page_size: -1, ..Default::default() };
    assert_eq!(told(rig.plans().list_plans(request).await).fields, ["page_size"]);
}

async fn operators(
    rig: &Rig,
    page_size: i32,
    token: &str,
) -> Result<v1::ListOperatorsResponse, Status> {
    let request = v1::ListOperatorsRequest { page_size, page_token: token.to_owned() };
    let bytes = call(rig, TOKEN, "OperatorService/ListOperators", &request.encode_to_vec()).await?;
    Ok(v1::ListOperatorsResponse::decode(bytes.as_slice()).unwrap())
}

async fn records(
    rig: &Rig,
    operator: &str,
    resource: &str,
    token: &str,
) -> Result<v1::ListAuditRecordsResponse, Status> {
    let request = v1::ListAuditRecordsRequest {
        page_size: 1,
        page_token: token.to_owned(),
        operator: operator.to_owned(),
        resource: resource.to_owned(),
    };
    let bytes = call(rig, TOKEN, "AuditService/ListAuditRecords", &request.encode_to_vec()).await?;
    Ok(v1::ListAuditRecordsResponse::decode(bytes.as_slice()).unwrap())
}

#[tokio::test]
async fn operators_and_audit_records_come_in_pages_whose_tokens_know_their_list() {
    let rig = town().await;
    for name in ["alice", "bob", "carol"] {
        hire(&rig, name, "viewer", ("", "")).await;
    }
    let (mut names, mut token) = (Vec::new(), String::new());
    loop {
        let page = operators(&rig, 1, &token).await.unwrap();
        names.extend(page.operators.into_iter().map(|operator| operator.name));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(names, ["alice", "bob", "carol"]);
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let page = records(&rig, "root", "", &token).await.unwrap();
        seen.extend(page.records.into_iter().map(|record| record.seq));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert!(seen.len() > 10 && seen.is_sorted_by(|later, earlier| later > earlier), "{seen:?}");

    let of_operators = operators(&rig, 1, "").await.unwrap().next_page_token;
    let of_records = records(&rig, "root", "", "").await.unwrap().next_page_token;
    for foreign in [
        operators(&rig, 1, &of_records).await.map(drop),
        records(&rig, "root", "", &of_operators).await.map(drop),
        records(&rig, "", "", &of_records).await.map(drop),
        records(&rig, "root", "Org acme", &of_records).await.map(drop),
    ] {
        let refused = told(foreign);
        assert_eq!(
            (refused.code, refused.reason.as_str()),
            (Code::InvalidArgument, "PAGE_TOKEN_FOREIGN")
        );
        assert_eq!(refused.fields, ["page_token"]);
    }
    for made_up in ["alice", "5", of_operators.split_at(1).1] {
        assert_eq!(
            told(operators(&rig, 1, made_up).await).reason,
            "PAGE_TOKEN_GARBLED",
            "{made_up}"
        );
        assert_eq!(
            told(records(&rig, "", "", made_up).await).reason,
            "PAGE_TOKEN_GARBLED",
            "{made_up}"
        );
    }
    rig.sql("UPDATE config_head SET generation = 2").await;
    let rig = rig.restart().await;
    assert_eq!(told(operators(&rig, 1, &of_operators).await).reason, "PAGE_TOKEN_STALE");
    assert_eq!(told(records(&rig, "root", "", &of_records).await).reason, "PAGE_TOKEN_STALE");
}
