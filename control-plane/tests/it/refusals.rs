//! What is refused, and that the field and the remedy are named.

use super::harness::{Rig, Told, told};
use super::samples::{self, prices};
use proto::admin::v1::object::Object as Any;
use proto::admin::v1::{
    CreateKeyRequest, CreatePlanRequest, DeleteEntityRequest, DeleteFxRateRequest,
    DeleteOrgRequest, DeletePlanRequest, DeletePriceBookRequest, DeleteUpstreamRequest, Entity,
    EntitySpec, FxRate, FxRateSpec, Key, KeySpec, MarkupRule, MarkupRuleSpec, Model, ModelSpec,
    Org, OrgSpec, Plan, PlanSpec, PriceBook, PriceBookSpec, PriceOverride, Upstream, UpstreamSpec,
};
use tonic::Code;

/// Applies the samples with one bent, and returns what was refused.
async fn refused(bent: impl FnOnce(&mut Vec<Any>)) -> Told {
    refused_by(&Rig::start().await, bent).await
}

async fn refused_by(rig: &Rig, bent: impl FnOnce(&mut Vec<Any>)) -> Told {
    let mut objects = samples::all();
    bent(&mut objects);
    let before = rig.rows().await;
    let told = told(rig.apply(objects).await);
    assert_eq!(rig.rows().await, before, "a refused apply leaves nothing");
    assert_eq!((told.code, told.reason.as_str()), (Code::InvalidArgument, "INVALID_OBJECT"));
    told
}

macro_rules! bend {
    ($objects:expr, $kind:ident, |$spec:ident: &mut $type:ty| $change:expr) => {
        for object in $objects.iter_mut() {
            if let Any::$kind(message) = object {
                let $spec: &mut $type = message.spec.as_mut().unwrap();
                $change;
            }
        }
    };
}

macro_rules! refuses {
    ($($test:ident: $kind:ident $type:ident, |$spec:ident| $change:expr => $field:literal, $text:literal;)*) => {$(
        #[tokio::test]
        async fn $test() {
            let told = refused(|objects| bend!(objects, $kind, |$spec: &mut $type| $change)).await;
            let fields = &told.fields;
            assert!(fields.iter().any(|field| field == $field), "{fields:?}\n{}", told.text);
            assert!(told.text.contains($text), "{}", told.text);
        }
    )*};
}

refuses! {
    a_bad_currency_is_refused: Entity EntitySpec, |spec| spec.currency = "usd".to_owned()
        => "Entity \"global\": currency", "three capital letters";
    a_bad_jurisdiction_is_refused: Entity EntitySpec, |spec| spec.jurisdiction = "Singapore".to_owned()
        => "Entity \"global\": jurisdiction", "two capital letters";
    a_bad_allowed_jurisdiction_is_refused: Entity EntitySpec, |spec| spec.allowed_jurisdictions = vec!["sg".to_owned()]
        => "Entity \"global\": allowed_jurisdictions", "two capital letters";
    an_unknown_charge_policy_is_refused: Entity EntitySpec, |spec| spec.cut_answer = 7
        => "Entity \"global\": cut_answer", "CHARGE_NOTHING";
    a_key_prefix_that_cannot_be_is_refused: Entity EntitySpec, |spec| spec.key_prefix = "sk tp".to_owned()
        => "Entity \"global\": key_prefix", "sk-tp-";
    a_limit_of_zero_is_refused: Plan PlanSpec, |spec| spec.concurrency = Some(0)
        => "Plan \"starter\": concurrency", "leave it out";
    an_unknown_dialect_is_refused: Upstream UpstreamSpec, |spec| spec.dialect = "klingon".to_owned()
        => "Upstream \"alpha\": dialect", "use openai";
    a_base_url_that_is_none_is_refused: Upstream UpstreamSpec, |spec| spec.base_url = "upstream.example".to_owned()
        => "Upstream \"alpha\": base_url", "https://";
    a_route_to_nowhere_is_refused: Model ModelSpec, |spec| spec.routes[0].upstream = "omega".to_owned()
        => "Model \"demo/chat\": routes[omega].upstream", "there is no Upstream \"omega\"";
    an_unknown_modality_is_refused: Model ModelSpec, |spec| spec.input_modalities = vec!["smell".to_owned()]
        => "Model \"demo/chat\": input_modalities", "use text, image";
    a_route_outside_every_jurisdiction_is_refused: Upstream UpstreamSpec, |spec| spec.jurisdiction = "US".to_owned()
        => "Model \"demo/chat\": routes[alpha]", "no entity allows";
    an_unpriced_class_is_refused: PriceBook PriceBookSpec, |spec| drop(spec.entries[0].prices.remove("reasoning"))
        => "Model \"demo/chat\": routes[alpha]", "class reasoning has no price";
    a_price_in_words_is_refused: PriceBook PriceBookSpec, |spec| spec.entries[0].prices = prices(&[("input", "2,50")])
        => "PriceBook \"costs\": entries[demo/*].prices.input", "decimal number";
    a_price_with_too_many_decimals_is_refused: PriceBook PriceBookSpec,
        |spec| spec.entries[0].prices = prices(&[("input", "0.0000000001")])
        => "PriceBook \"costs\": entries[demo/*].prices.input", "at most 9 decimals";
    a_negative_price_is_refused: PriceBook PriceBookSpec,
        |spec| drop(spec.entries[0].prices.insert("input".to_owned(), "-1".to_owned()))
        => "PriceBook \"costs\": entries[demo/*].prices.input", "must not be negative";
    an_unknown_class_is_refused: PriceBook PriceBookSpec, |spec| spec.entries[0].prices = prices(&[("inputs", "1")])
        => "PriceBook \"costs\": entries[demo/*].prices.inputs", "use input, cache_read";
    a_time_of_day_that_is_none_is_refused: PriceBook PriceBookSpec,
        |spec| spec.entries[0].overrides[0].utc_from = "16:3".to_owned()
        => "PriceBook \"costs\": entries[demo/*].overrides[0].utc_from", "16:30";
    half_a_window_is_refused: PriceBook PriceBookSpec, |spec| spec.entries[0].overrides[0].utc_to.clear()
        => "PriceBook \"costs\": entries[demo/*].overrides[0].utc_to", "not a time of day";
    an_override_without_condition_is_refused: PriceBook PriceBookSpec,
        |spec| spec.entries[0].overrides[0] = PriceOverride { prices: prices(&[("input", "1")]), ..Default::default() }
        => "PriceBook \"costs\": entries[demo/*].overrides[0]", "condition";
    a_date_before_time_began_is_refused: PriceBook PriceBookSpec,
        |spec| spec.entries[0].valid_from = Some(prost_types::Timestamp { seconds: -1, nanos: 0 })
        => "PriceBook \"costs\": entries[demo/*].valid_from", "1970";
    a_percentage_that_is_none_is_refused: MarkupRule MarkupRuleSpec, |spec| spec.percent = "20%".to_owned()
        => "MarkupRule \"retail\": percent", "decimal number";
    a_rule_for_nobody_is_refused: MarkupRule MarkupRuleSpec, |spec| spec.entity = "moon".to_owned()
        => "MarkupRule \"retail\": entity", "there is no Entity \"moon\"";
    a_rate_of_zero_is_refused: FxRate FxRateSpec, |spec| spec.rate = "0".to_owned()
        => "FxRate \"usd-cny\": rate", "more than 0";
    a_rate_too_precise_is_refused: FxRate FxRateSpec, |spec| spec.rate = "7.12345678901".to_owned()
        => "FxRate \"usd-cny\": rate", "at most 10 decimals";
    an_org_of_nobody_is_refused: Org OrgSpec, |spec| spec.entity = "moon".to_owned()
        => "Org \"acme\": entity", "there is no Entity \"moon\"";
    an_org_without_plan_is_refused: Org OrgSpec, |spec| spec.plan.clear()
        => "Org \"acme\": plan", "name one Plan";
    a_credit_limit_without_currency_is_refused: Org OrgSpec, |spec| spec.credit_limit = "5".to_owned()
        => "Org \"acme\": credit_limit", "10.00 USD";
    a_credit_limit_in_another_currency_is_refused: Org OrgSpec, |spec| spec.credit_limit = "5 EUR".to_owned()
        => "Org \"acme\": credit_limit", "must be in USD";
    a_negative_credit_limit_is_refused: Org OrgSpec, |spec| spec.credit_limit = "-5 USD".to_owned()
        => "Org \"acme\": credit_limit", "must not be negative";
    an_org_that_widens_its_entity_is_refused: Org OrgSpec, |spec| spec.allowed_jurisdictions = vec!["US".to_owned()]
        => "Org \"acme\": allowed_jurisdictions", "does not allow US";
}

#[tokio::test]
async fn names_that_nobody_could_refer_to_are_refused_for_every_kind() {
    let rig = Rig::start().await;
    for bad in ["", "With Capitals", "trailing-", "a//b", "a\0b", &"x".repeat(129)] {
        for index in 0..samples::all().len() {
            let told = refused_by(&rig, |objects| {
                rename(&mut objects[index], bad);
            })
            .await;
            let named = told.fields.iter().any(|field| field.ends_with(": name"));
            assert!(named, "{bad:?} as object {index}: {:?}", told.fields);
        }
    }
}

fn rename(object: &mut Any, name: &str) {
    let name = name.to_owned();
    match object {
        Any::Entity(Entity { name: old, .. })
        | Any::Plan(Plan { name: old, .. })
        | Any::Upstream(Upstream { name: old, .. })
        | Any::Model(Model { name: old, .. })
        | Any::PriceBook(PriceBook { name: old, .. })
        | Any::MarkupRule(MarkupRule { name: old, .. })
        | Any::FxRate(FxRate { name: old, .. })
        | Any::Org(Org { name: old, .. })
        | Any::Key(Key { name: old, .. }) => *old = name,
    }
}

#[tokio::test]
async fn keys_that_cannot_be_are_refused() {
    type Bend = fn(&mut Key);
    let table: [(Bend, &str, &str); 6] = [
        (|key| key.name = "other/production".to_owned(), "name", "must be acme/NAME"),
        (|key| key.name = "acme/".to_owned(), "name", "must be acme/NAME"),
        (|key| spec(key).org = "moon".to_owned(), "org", "there is no Org \"moon\""),
        (|key| spec(key).budget = "3 CNY".to_owned(), "budget", "must be in USD"),
        (|key| spec(key).budget = "-3 USD".to_owned(), "budget", "must not be negative"),
        (
            |key| spec(key).allowed_jurisdictions = vec!["CN".to_owned()],
            "allowed_jurisdictions",
            "does not allow CN",
        ),
    ];
    let rig = Rig::start().await;
    rig.apply(samples::all()).await.unwrap();
    let before = rig.rows().await;
    for (bend, field, text) in table {
        let mut key = samples::key();
        bend(&mut key);
        let name = key.name.clone();
        let request =
            CreateKeyRequest { key: Some(key), validate_only: false, ..Default::default() };
        let told = told(rig.keys().create_key(request).await);
        assert_eq!(told.code, Code::InvalidArgument);
        let expected = format!("Key {name:?}: {field}");
        assert!(told.fields.contains(&expected), "{expected}: {:?}", told.fields);
        assert!(told.text.contains(text), "{}", told.text);
    }
    assert_eq!(rig.rows().await, before);
}

fn spec(key: &mut Key) -> &mut KeySpec {
    key.spec.as_mut().unwrap()
}

#[tokio::test]
async fn what_others_need_is_not_deleted_and_they_are_named() {
    let rig = Rig::start().await;
    rig.apply(samples::all()).await.unwrap();
    let key =
        CreateKeyRequest { key: Some(samples::key()), validate_only: false, ..Default::default() };
    rig.keys().create_key(key).await.unwrap();
    let before = rig.rows().await;

    let name = |name: &str| name.to_owned();
    let mut cases = Vec::new();
    let request = DeletePlanRequest { name: name("starter"), ..Default::default() };
    cases.push((told(rig.plans().delete_plan(request).await), "Org \"acme\" refers to it"));
    let request = DeleteEntityRequest { name: name("global"), ..Default::default() };
    cases.push((told(rig.entities().delete_entity(request).await), "Org \"acme\" refers to it"));
    let request = DeleteUpstreamRequest { name: name("alpha"), ..Default::default() };
    cases.push((told(rig.upstreams().delete_upstream(request).await), "Model \"demo/chat\""));
    let request = DeletePriceBookRequest { name: name("costs"), ..Default::default() };
    let told_price_book = told(rig.price_books().delete_price_book(request).await);
    cases.push((told_price_book, "Model \"demo/chat\": routes[alpha]: has no price"));
    let request = DeleteOrgRequest { name: name("acme"), ..Default::default() };
    cases.push((told(rig.orgs().delete_org(request).await), "the key \"acme/production\""));

    for (told, text) in cases {
        assert_eq!((told.code, told.reason.as_str()), (Code::FailedPrecondition, "IN_USE"));
        assert!(told.text.contains(text), "{}", told.text);
    }
    assert_eq!(rig.rows().await, before);

    let request = DeleteFxRateRequest { name: name("usd-cny"), ..Default::default() };
    rig.fx_rates().delete_fx_rate(request).await.unwrap();
}

#[tokio::test]
async fn a_request_without_an_object_is_refused() {
    let rig = Rig::start().await;
    let told = told(rig.plans().create_plan(CreatePlanRequest::default()).await);
    assert_eq!(told.code, Code::InvalidArgument);
    assert!(told.text.contains("the request has no Plan"), "{}", told.text);
}

#[tokio::test]
async fn a_refusal_of_many_things_still_fits_into_headers() {
    let rig = Rig::start().await;
    let long = "x".repeat(3_000);
    let plans = (0..300).map(|number| {
        Any::Plan(Plan { name: format!("Bad Name {number} {long}"), ..samples::plan() })
    });
    let told = told(rig.apply(plans).await);
    assert_eq!(told.code, Code::InvalidArgument);
    assert!(told.text.contains("more)"), "{}", told.text);
}
