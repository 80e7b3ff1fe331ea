//! Create, get, list, update and delete of every kind.

use super::harness::{Rig, told};
use super::samples;
use prost_types::FieldMask;
use proto::admin::v1::object::Object as Any;
use proto::admin::v1::{
    CreateEntityRequest, CreateFxRateRequest, CreateKeyRequest, CreateMarkupRuleRequest,
    CreateModelRequest, CreateOrgRequest, CreatePlanRequest, CreatePriceBookRequest,
    CreateUpstreamRequest, DeleteEntityRequest, DeleteFxRateRequest, DeleteKeyRequest,
    DeleteMarkupRuleRequest, DeleteModelRequest, DeleteOrgRequest, DeletePlanRequest,
    DeletePriceBookRequest, DeleteUpstreamRequest, GetEntityRequest, GetFxRateRequest,
    GetKeyRequest, GetMarkupRuleRequest, GetModelRequest, GetOrgRequest, GetPlanRequest,
    GetPriceBookRequest, GetUpstreamRequest, ListEntitiesRequest, ListFxRatesRequest,
    ListKeysRequest, ListMarkupRulesRequest, ListModelsRequest, ListOrgsRequest, ListPlansRequest,
    ListPriceBooksRequest, ListUpstreamsRequest, Plan, PlanSpec, UpdateEntityRequest,
    UpdateFxRateRequest, UpdateKeyRequest, UpdateMarkupRuleRequest, UpdateModelRequest,
    UpdateOrgRequest, UpdatePlanRequest, UpdatePriceBookRequest, UpdateUpstreamRequest,
};
use tonic::Code;

fn mask(paths: &[&str]) -> Option<FieldMask> {
    Some(FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() })
}

/// Lives the life of one object up to its deletion; gives its name and last etag.
macro_rules! live {
    (
        $rig:expr, $client:ident, $one:ident, $many:ident, $sample:expr, $stored:expr,
        create $create:ident $create_request:ident by $made:expr,
        get $get:ident $get_request:ident,
        list $list:ident $list_request:ident,
        update $update:ident $update_request:ident of $field:ident to $value:expr
    ) => {{
        let rig: &Rig = $rig;
        let kind = stringify!($one);
        let request = $create_request { $one: Some($sample), ..Default::default() };
        let made = $made(rig.$client().$create(request.clone()).await.unwrap().into_inner());
        assert_eq!(made.spec, $stored.spec, "{kind}: as given, without secrets");
        assert!(!made.etag.is_empty(), "{kind}");
        let name = made.name.clone();

        let got = rig.$client().$get($get_request { name: name.clone() }).await.unwrap();
        assert_eq!(got.into_inner(), made, "{kind}: what create answered is what get gives");
        let listed = rig.$client().$list($list_request::default()).await.unwrap().into_inner();
        assert!(listed.$many.contains(&made), "{kind}: listed");
        assert_eq!(listed.next_page_token, "", "{kind}: on the only page");

        let again = told(rig.$client().$create(request).await);
        assert_eq!(again.code, Code::AlreadyExists, "{kind}");

        let before = rig.rows().await;
        let same = $update_request { $one: Some($sample), ..Default::default() };
        let same = rig.$client().$update(same).await.unwrap().into_inner();
        assert_eq!(same.etag, made.etag, "{kind}: the same again is no change");
        assert_eq!(rig.rows().await, before, "{kind}: the same again writes nothing");

        let mut bent = $stored;
        bent.spec.as_mut().unwrap().$field = $value;
        let request = $update_request {
            $one: Some(bent.clone()),
            update_mask: mask(&[stringify!($field)]),
            validate_only: false,
            ..Default::default()
        };
        let tried = $update_request { validate_only: true, ..request.clone() };
        let tried = rig.$client().$update(tried).await.unwrap().into_inner();
        assert_eq!(tried.spec, bent.spec, "{kind}: a trial tells what would be");
        assert_eq!(rig.rows().await, before, "{kind}: a trial writes nothing");
        let updated = rig.$client().$update(request).await.unwrap().into_inner();
        assert_eq!(updated.spec, bent.spec, "{kind}: the named field changed, the others did not");
        assert_ne!(updated.etag, made.etag, "{kind}");

        let mut late = $sample;
        late.etag = made.etag;
        let late = $update_request { $one: Some(late), ..Default::default() };
        let late = told(rig.$client().$update(late).await);
        assert_eq!((late.code, late.reason.as_str()), (Code::Aborted, "ETAG_MISMATCH"), "{kind}");

        let unknown = $get_request { name: "no-such-thing".to_owned() };
        let unknown = told(rig.$client().$get(unknown).await);
        assert_eq!(
            (unknown.code, unknown.reason.as_str()),
            (Code::NotFound, "NOT_FOUND"),
            "{kind}"
        );
        let mut nobody = $sample;
        nobody.name = "no-such-thing".to_owned();
        let nobody = $update_request { $one: Some(nobody), ..Default::default() };
        assert_eq!(told(rig.$client().$update(nobody).await).code, Code::NotFound, "{kind}");

        let wrong = $update_request {
            $one: Some($sample),
            update_mask: mask(&["no_such_field"]),
            validate_only: false,
            ..Default::default()
        };
        let wrong = told(rig.$client().$update(wrong).await);
        assert_eq!(
            (wrong.code, wrong.fields),
            (Code::InvalidArgument, vec!["update_mask".to_owned()])
        );
        assert!(
            wrong.text.contains(stringify!($field)),
            "{kind}: tells what may be named: {}",
            wrong.text
        );
        (name, updated.etag)
    }};
}

macro_rules! die {
    ($rig:expr, $client:ident, $life:expr, $delete:ident $delete_request:ident, $get:ident $get_request:ident) => {{
        let rig: &Rig = $rig;
        let (name, etag): (String, String) = $life;
        let request = |etag: &str, validate_only| $delete_request {
            name: name.clone(),
            etag: etag.to_owned(),
            validate_only,
            ..Default::default()
        };
        let stale = told(rig.$client().$delete(request("1000000", false)).await);
        assert_eq!(stale.code, Code::Aborted, "{name}");
        rig.$client().$delete(request(&etag, true)).await.unwrap();
        rig.$client().$get($get_request { name: name.clone() }).await.unwrap();
        rig.$client().$delete(request(&etag, false)).await.unwrap();
        let gone = told(rig.$client().$get($get_request { name: name.clone() }).await);
        assert_eq!(gone.code, Code::NotFound, "{name}");
        let twice = told(rig.$client().$delete(request("", false)).await);
        assert_eq!(twice.code, Code::NotFound, "{name}");
    }};
}

#[tokio::test]
async fn every_kind_of_supply_can_be_created_read_listed_updated_and_deleted() {
    let rig = &Rig::start().await;
    let entity = live!(
        rig, entities, entity, entities, samples::entity(), samples::entity(),
        create create_entity CreateEntityRequest by std::convert::identity,
        get get_entity GetEntityRequest,
        list list_entities ListEntitiesRequest,
        update update_entity UpdateEntityRequest of display_name to "Other".to_owned()
    );
    let without_credential = || {
        let mut upstream = samples::upstream();
        upstream.spec.as_mut().unwrap().credential.clear();
        upstream
    };
    let upstream = live!(
        rig, upstreams, upstream, upstreams, samples::upstream(), without_credential(),
        create create_upstream CreateUpstreamRequest by std::convert::identity,
        get get_upstream GetUpstreamRequest,
        list list_upstreams ListUpstreamsRequest,
        update update_upstream UpdateUpstreamRequest of vendor to "other".to_owned()
    );
    let fx_rate = live!(
        rig, fx_rates, fx_rate, fx_rates, samples::fx_rate(), samples::fx_rate(),
        create create_fx_rate CreateFxRateRequest by std::convert::identity,
        get get_fx_rate GetFxRateRequest,
        list list_fx_rates ListFxRatesRequest,
        update update_fx_rate UpdateFxRateRequest of rate to "7.25".to_owned()
    );
    let price_book = live!(
        rig, price_books, price_book, price_books, samples::price_book(), samples::price_book(),
        create create_price_book CreatePriceBookRequest by std::convert::identity,
        get get_price_book GetPriceBookRequest,
        list list_price_books ListPriceBooksRequest,
        update update_price_book UpdatePriceBookRequest of upstreams to vec!["alpha".to_owned()]
    );
    let markup_rule = live!(
        rig, markup_rules, markup_rule, markup_rules, samples::markup_rule(), samples::markup_rule(),
        create create_markup_rule CreateMarkupRuleRequest by std::convert::identity,
        get get_markup_rule GetMarkupRuleRequest,
        list list_markup_rules ListMarkupRulesRequest,
        update update_markup_rule UpdateMarkupRuleRequest of percent to "15.5".to_owned()
    );
    let model = live!(
        rig, models, model, models, samples::model(), samples::model(),
        create create_model CreateModelRequest by std::convert::identity,
        get get_model GetModelRequest,
        list list_models ListModelsRequest,
        update update_model UpdateModelRequest of max_output_tokens to 500
    );
    die!(rig, models, model, delete_model DeleteModelRequest, get_model GetModelRequest);
    die!(rig, markup_rules, markup_rule, delete_markup_rule DeleteMarkupRuleRequest, get_markup_rule GetMarkupRuleRequest);
    die!(rig, price_books, price_book, delete_price_book DeletePriceBookRequest, get_price_book GetPriceBookRequest);
    die!(rig, fx_rates, fx_rate, delete_fx_rate DeleteFxRateRequest, get_fx_rate GetFxRateRequest);
    die!(rig, upstreams, upstream, delete_upstream DeleteUpstreamRequest, get_upstream GetUpstreamRequest);
    die!(rig, entities, entity, delete_entity DeleteEntityRequest, get_entity GetEntityRequest);

    // Six creations, six updates, six deletions.
    assert_eq!(rig.rows().await.head, ["18"]);
    assert!(rig.rows().await.objects.is_empty());
}

#[tokio::test]
async fn plans_orgs_and_keys_can_be_created_read_listed_updated_and_deleted() {
    let rig = &Rig::start().await;
    rig.apply([Any::Entity(samples::entity())]).await.unwrap();
    let plan = live!(
        rig, plans, plan, plans, samples::plan(), samples::plan(),
        create create_plan CreatePlanRequest by std::convert::identity,
        get get_plan GetPlanRequest,
        list list_plans ListPlansRequest,
        update update_plan UpdatePlanRequest of requests_per_minute to None
    );
    let org = live!(
        rig, orgs, org, orgs, samples::org(), samples::org(),
        create create_org CreateOrgRequest by std::convert::identity,
        get get_org GetOrgRequest,
        list list_orgs ListOrgsRequest,
        update update_org UpdateOrgRequest of disabled to true
    );
    let key = live!(
        rig, keys, key, keys, samples::key(), samples::key(),
        create create_key CreateKeyRequest by |made: proto::admin::v1::CreateKeyResponse| made.key.unwrap(),
        get get_key GetKeyRequest,
        list list_keys ListKeysRequest,
        update update_key UpdateKeyRequest of disabled to true
    );

    die!(rig, keys, key, delete_key DeleteKeyRequest, get_key GetKeyRequest);
    die!(rig, orgs, org, delete_org DeleteOrgRequest, get_org GetOrgRequest);
    die!(rig, plans, plan, delete_plan DeletePlanRequest, get_plan GetPlanRequest);

    assert_eq!(rig.rows().await.head, ["10"]);
    assert_eq!(rig.rows().await.objects.len(), 1);
}

#[tokio::test]
async fn an_empty_mask_replaces_the_whole_spec_and_a_named_field_alone_keeps_the_rest() {
    let rig = Rig::start().await;
    let full = Plan {
        spec: Some(PlanSpec {
            requests_per_minute: Some(10),
            tokens_per_minute: Some(20),
            concurrency: Some(30),
        }),
        ..samples::plan()
    };
    rig.plans()
        .create_plan(CreatePlanRequest {
            plan: Some(full),
            validate_only: false,
            ..Default::default()
        })
        .await
        .unwrap();
    let sparse = Plan {
        spec: Some(PlanSpec { tokens_per_minute: Some(99), ..PlanSpec::default() }),
        ..samples::plan()
    };
    let update = |update_mask| UpdatePlanRequest {
        plan: Some(sparse.clone()),
        update_mask,
        validate_only: false,
        ..Default::default()
    };

    let two = mask(&["spec.tokens_per_minute", "concurrency"]);
    let partly = rig.plans().update_plan(update(two)).await;
    let expected =
        PlanSpec { requests_per_minute: Some(10), tokens_per_minute: Some(99), concurrency: None };
    assert_eq!(partly.unwrap().into_inner().spec, Some(expected));

    let whole = rig.plans().update_plan(update(None)).await.unwrap().into_inner();
    assert_eq!(whole.spec, sparse.spec);
}
