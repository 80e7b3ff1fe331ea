//! Filters, orders and page tokens: what they give, and what is said of wrong ones.

use super::harness::{Rig, Told, told};
use super::samples;
use control_plane::AdminLimits;
use prost_types::FieldMask;
use proto::admin::v1::object::Object as Any;
use proto::admin::v1::{
    CreatePlanRequest, DeletePlanRequest, ListKeysRequest, ListModelsRequest, ListOrgsRequest,
    ListPlansRequest, ListPlansResponse, ListUpstreamsRequest, Plan, UpdatePlanRequest,
};
use std::collections::BTreeSet;
use tonic::{Code, Status};

async fn plan(rig: &Rig, name: &str, rpm: u64) {
    let mut plan = Plan { name: name.to_owned(), ..samples::plan() };
    plan.spec.as_mut().unwrap().requests_per_minute = Some(rpm);
    let request = CreatePlanRequest { plan: Some(plan), ..Default::default() };
    rig.plans().create_plan(request).await.unwrap();
}

async fn plans(rig: &Rig, request: ListPlansRequest) -> Result<ListPlansResponse, Status> {
    rig.plans().list_plans(request).await.map(tonic::Response::into_inner)
}

fn names(page: &ListPlansResponse) -> Vec<&str> {
    page.plans.iter().map(|plan| plan.name.as_str()).collect()
}

#[tokio::test]
async fn a_filter_lets_through_what_it_says() {
    let rig = Rig::start().await;
    rig.apply(samples::all()).await.unwrap();
    for name in ["free", "free-trial", "gold"] {
        plan(&rig, name, 7).await;
    }
    let by_plan = [
        // filter, names
        ("", vec!["free", "free-trial", "gold", "starter"]),
        ("name = free", vec!["free"]),
        ("name = \"free\"", vec!["free"]),
        ("name=free*", vec!["free", "free-trial"]),
        ("name = \"free-*\"", vec!["free-trial"]),
        ("requests_per_minute = 7 AND name = g*", vec!["gold"]),
        ("spec.requests_per_minute = 10", vec!["starter"]),
        ("name = free* AND name = gold", vec![]),
        ("name = nobody", vec![]),
    ];
    for (filter, expected) in by_plan {
        let request = ListPlansRequest { filter: filter.to_owned(), ..Default::default() };
        let page = plans(&rig, request).await.unwrap();
        assert_eq!((names(&page), page.next_page_token.as_str()), (expected, ""), "{filter}");
    }
}

#[tokio::test]
async fn a_filter_sees_into_lists_messages_and_names_of_orgs() {
    let rig = Rig::start().await;
    rig.apply(samples::all()).await.unwrap();
    rig.keys()
        .create_key(proto::admin::v1::CreateKeyRequest {
            key: Some(samples::key()),
            ..Default::default()
        })
        .await
        .unwrap();
    let table = [
        ("routes.upstream = alpha", 1),
        ("routes.upstream = beta", 0),
        ("input_modalities = text AND routes.priority = 1", 1),
        ("hidden_reasoning = true", 0),
        ("hidden_reasoning = false", 1),
    ];
    for (filter, count) in table {
        let request = ListModelsRequest { filter: filter.to_owned(), ..Default::default() };
        let page = rig.models().list_models(request).await.unwrap().into_inner();
        assert_eq!(page.models.len(), count, "{filter}");
    }
    for (filter, count) in
        [("org = acme", 1), ("org = acm", 0), ("org = acm*", 1), ("disabled = true", 0)]
    {
        let request = ListKeysRequest { filter: filter.to_owned(), ..Default::default() };
        let page = rig.keys().list_keys(request).await.unwrap().into_inner();
        assert_eq!(page.keys.len(), count, "{filter}");
    }
}

#[tokio::test]
async fn a_wrong_filter_or_order_is_refused_with_what_may_be_written() {
    let rig = Rig::start().await;
    let long = format!("name = {}", "a".repeat(2_000));
    let table = [
        // filter, what the refusal says
        ("plan = starter", "there is no field \"plan\""),
        ("requests_per_minute = many", "cannot be \"many\""),
        ("requests_per_minute = 1*", "no prefix"),
        ("name", "is no term"),
        ("name =", "is no term"),
        ("name = a OR name = b", "instead of AND"),
        ("name != a", "is no term"),
        ("NOT name = a", "is no term"),
        ("(name = a)", "is no term"),
        ("name = a AND", "instead of AND"),
        ("name = a*b", "at the end"),
        ("name = *", "at the end"),
        ("name = \"a", "does not end"),
        (long.as_str(), "at most 1024"),
    ];
    for (filter, says) in table {
        let request = ListPlansRequest { filter: filter.to_owned(), ..Default::default() };
        let refused = told(plans(&rig, request).await);
        assert_eq!(refused.code, Code::InvalidArgument, "{filter}");
        assert_eq!(refused.fields, ["filter"], "{filter}");
        assert!(refused.text.contains(says), "{filter}: {}", refused.text);
    }
    for order_by in ["plan", "name down", "name, create_time", "-name"] {
        let request = ListPlansRequest { order_by: order_by.to_owned(), ..Default::default() };
        let refused = told(plans(&rig, request).await);
        assert_eq!(refused.fields, ["order_by"], "{order_by}");
        assert!(refused.text.contains("create_time"), "{order_by}: {}", refused.text);
    }
}

#[tokio::test]
async fn nobody_can_ask_for_a_credential_by_guessing_it() {
    let rig = Rig::start().await;
    rig.apply(samples::all()).await.unwrap();
    let filter = format!("credential = {}", samples::CREDENTIAL);
    let request = ListUpstreamsRequest { filter, ..Default::default() };
    let refused = told(rig.upstreams().list_upstreams(request).await);
    assert_eq!(refused.fields, ["filter"]);
    assert!(!refused.text.contains(samples::CREDENTIAL), "{}", refused.text);
}

#[tokio::test]
async fn lists_come_in_the_order_asked_for_in_pages_of_any_size() {
    let rig = Rig::start().await;
    for name in ["c", "a", "d", "b"] {
        plan(&rig, name, 1).await;
    }
    let update = UpdatePlanRequest {
        plan: Some(Plan { name: "a".to_owned(), ..samples::plan() }),
        update_mask: Some(FieldMask { paths: vec!["requests_per_minute".to_owned()] }),
        ..Default::default()
    };
    rig.plans().update_plan(update).await.unwrap();
    let table = [
        ("", "abcd"),
        ("name", "abcd"),
        ("name desc", "dcba"),
        ("create_time", "cadb"),
        ("create_time desc", "bdac"),
        ("update_time", "cdba"),
        ("update_time desc", "abdc"),
    ];
    for (order_by, expected) in table {
        for page_size in 1..=5 {
            let found = in_order(&rig, order_by, page_size).await;
            assert_eq!(found, expected, "{order_by}, pages of {page_size}");
        }
    }
}

/// All names, page by page.
async fn in_order(rig: &Rig, order_by: &str, page_size: i32) -> String {
    let mut found = String::new();
    let order_by = order_by.to_owned();
    let mut request = ListPlansRequest { page_size, order_by, ..Default::default() };
    loop {
        let page = plans(rig, request.clone()).await.unwrap();
        found.extend(names(&page));
        if page.next_page_token.is_empty() {
            return found;
        }
        request.page_token = page.next_page_token;
    }
}

#[tokio::test]
async fn a_token_of_another_request_and_a_garbled_one_are_told_apart() {
    let rig = Rig::start().await;
    for name in ["a", "b", "c"] {
        plan(&rig, name, 1).await;
    }
    let first = ListPlansRequest { page_size: 1, ..Default::default() };
    let token = plans(&rig, first.clone()).await.unwrap().next_page_token;
    let with = |change: fn(&mut ListPlansRequest)| {
        let mut request = ListPlansRequest { page_token: token.clone(), ..first.clone() };
        change(&mut request);
        request
    };
    let filtered = told(plans(&rig, with(|request| request.filter = "name = b*".to_owned())).await);
    let ordered =
        told(plans(&rig, with(|request| request.order_by = "name desc".to_owned())).await);
    let listed = ListOrgsRequest { page_token: token.clone(), ..Default::default() };
    let listed = told(rig.orgs().list_orgs(listed).await);
    for refused in [filtered, ordered, listed] {
        check(&refused, "PAGE_TOKEN_FOREIGN", "repeat those of the first page");
    }
    let garbled = told(plans(&rig, with(|request| request.page_token.truncate(20))).await);
    check(&garbled, "PAGE_TOKEN_GARBLED", "as it was given");
    let larger = plans(&rig, with(|request| request.page_size = 10)).await.unwrap();
    assert_eq!(names(&larger), ["b", "c"], "the size of a page may change on the way");

    rig.sql("UPDATE config_head SET generation = 2").await;
    let rig = rig.restart().await;
    let stale = told(plans(&rig, with(|_| ())).await);
    check(&stale, "PAGE_TOKEN_STALE", "begin again");
    assert!(stale.text.contains("generation 1") && stale.text.contains('2'), "{}", stale.text);
}

fn check(refused: &Told, reason: &str, says: &str) {
    assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, reason));
    assert_eq!(refused.fields, ["page_token"]);
    assert!(refused.text.contains(says), "{}", refused.text);
}

#[tokio::test]
async fn pages_neither_skip_nor_repeat_what_stays_while_others_come_and_go() {
    let rig = Rig::start().await;
    for number in 0..20 {
        plan(&rig, &format!("plan-{number:02}"), 1).await;
    }
    for order_by in ["name", "name desc", "create_time", "create_time desc", "update_time"] {
        let mut seen = Vec::new();
        let mut page_token = String::new();
        for round in 0.. {
            let order_by = order_by.to_owned();
            let request =
                ListPlansRequest { page_size: 3, page_token, order_by, ..Default::default() };
            let page = plans(&rig, request).await.unwrap();
            seen.extend(names(&page).into_iter().map(str::to_owned));
            page_token = page.next_page_token.clone();
            if page_token.is_empty() {
                break;
            }
            // The last one of the page goes, and comes back at the end of the orders by time; others come.
            let last = names(&page).last().copied().unwrap_or_default().to_owned();
            let gone = DeletePlanRequest { name: last.clone(), ..Default::default() };
            rig.plans().delete_plan(gone).await.unwrap();
            plan(&rig, &format!("extra-{round}"), 1).await;
            plan(&rig, &last, 1).await;
            let gone = DeletePlanRequest { name: format!("extra-{round}"), ..Default::default() };
            rig.plans().delete_plan(gone).await.unwrap();
        }
        let unique: BTreeSet<&String> =
            seen.iter().filter(|name| name.starts_with("plan")).collect();
        assert_eq!(unique.len(), 20, "{order_by}: nothing is skipped: {seen:?}");
        if order_by.starts_with("name") {
            assert_eq!(seen.len(), 20, "{order_by}: nothing is repeated: {seen:?}");
        }
    }
}

#[tokio::test]
async fn a_filtered_page_looks_at_so_many_objects_and_the_next_one_goes_on() {
    let limits = AdminLimits { filter_rows_max: 4, ..AdminLimits::default() };
    let rig = Rig::start_with(limits).await;
    for number in 0..10 {
        plan(&rig, &format!("plan-{number}"), number + 1).await;
    }
    let mut sizes = Vec::new();
    let mut page_token = String::new();
    loop {
        let filter = "requests_per_minute = 9".to_owned();
        let request = ListPlansRequest { page_token, filter, ..Default::default() };
        let page = plans(&rig, request).await.unwrap();
        sizes.push(page.plans.len());
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(sizes, [0, 1, 0], "an empty page with a token is not the last");
    let filter = "name = plan-9".to_owned();
    let page = plans(&rig, ListPlansRequest { filter, ..Default::default() }).await.unwrap();
    assert_eq!(page.plans.len(), 1, "a name is looked up, not looked for");
}

#[tokio::test]
async fn a_mask_may_name_each_field_of_the_spec_once_and_nothing_else() {
    let rig = Rig::start().await;
    rig.apply(samples::all()).await.unwrap();
    let before = rig.rows().await;
    let table: [(&[&str], &str); 11] = [
        (&["no_such_field"], "\"no_such_field\" is not a field"),
        (&["etag"], "\"etag\" cannot be updated"),
        (&["name"], "\"name\" cannot be updated"),
        (&["create_time"], "\"create_time\" cannot be updated"),
        (&["concurrency", "concurrency"], "\"concurrency\" is named twice"),
        (&["concurrency", "spec.concurrency"], "\"spec.concurrency\" is named twice"),
        (&["*", "concurrency"], "\"*\" means every field"),
        (&["spec", "concurrency"], "\"spec\" means every field"),
        (&["concurrency.inner"], "only a part of \"concurrency\""),
        (&[""], "\"\" is not a field"),
        (&["spec.spec.concurrency"], "is not a field"),
    ];
    for (paths, says) in table {
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        let request = UpdatePlanRequest {
            plan: Some(Plan {
                spec: Some(proto::admin::v1::PlanSpec::default()),
                ..samples::plan()
            }),
            update_mask: Some(FieldMask { paths: paths.clone() }),
            ..Default::default()
        };
        let refused = told(rig.plans().update_plan(request).await);
        assert_eq!(refused.code, Code::InvalidArgument, "{paths:?}");
        assert_eq!(refused.fields, ["update_mask"], "{paths:?}");
        assert!(refused.text.contains(says), "{paths:?}: {}", refused.text);
    }
    assert_eq!(rig.rows().await, before);
}

#[tokio::test]
async fn an_object_tells_when_it_came_and_when_it_last_changed() {
    let rig = Rig::start().await;
    rig.apply([Any::Plan(samples::plan())]).await.unwrap();
    let listed = plans(&rig, ListPlansRequest::default()).await.unwrap();
    let first = listed.plans.first().unwrap().clone();
    assert_eq!(first.create_time, first.update_time);
    let mut bent = first.clone();
    bent.spec.as_mut().unwrap().concurrency = Some(3);
    bent.create_time = None;
    let request = UpdatePlanRequest { plan: Some(bent), ..Default::default() };
    let changed = rig.plans().update_plan(request).await.unwrap().into_inner();
    assert_eq!(changed.create_time, first.create_time);
    let micros = |at: Option<prost_types::Timestamp>| at.map(|at| (at.seconds, at.nanos));
    assert!(micros(changed.update_time) > micros(first.update_time));
}
