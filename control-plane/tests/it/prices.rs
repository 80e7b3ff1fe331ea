//! Compiled prices: cost × markup × exchange rate, recorded with the revision that brought them about.

use super::feed::View;
use super::harness::Rig;
use super::samples;
use domain::money::Nano;
use domain::snapshot::SellPrice;
use domain::tokens::TokenClass;
use proto::admin::v1::object::Object as Any;

fn input_price(price: &SellPrice) -> Option<Nano> {
    price.schedule.0.first()?.card.base.get(TokenClass::Input)
}

fn retail(view: &View) -> SellPrice {
    let model = view.snapshot.models.get("demo/chat").unwrap();
    let org = view.snapshot.orgs.values().find(|org| org.name == "acme").unwrap();
    model.routes[0].price_for(org).unwrap().as_ref().clone()
}

#[tokio::test]
async fn a_sell_price_is_the_cost_with_its_markup_and_carries_the_revision_that_made_it() {
    let rig = Rig::start().await;
    let first = rig.apply(samples::all()).await.unwrap().revision;
    let mut view = View::of(&rig).await;
    let price = retail(&view);
    assert_eq!(input_price(&price), Some(Nano::new(3_000_000_000).unwrap()), "2.50 and 20 %");
    assert_eq!(price.revision, first);

    // A change elsewhere leaves prices and their revision alone.
    let mut plan = samples::plan();
    plan.spec.as_mut().unwrap().concurrency = Some(4);
    let second = rig.apply([Any::Plan(plan)]).await.unwrap().revision;
    view.follow_to(second).await;
    assert_eq!(retail(&view), price);

    let mut rule = samples::markup_rule();
    rule.spec.as_mut().unwrap().percent = "0".to_owned();
    let third = rig.apply([Any::MarkupRule(rule)]).await.unwrap().revision;
    view.follow_to(third).await;
    let price = retail(&view);
    assert_eq!(input_price(&price), Some(Nano::new(2_500_000_000).unwrap()));
    assert_eq!(price.revision, third);

    let retail_rows: Vec<String> = rig
        .table(
            "SELECT revision || ' ' || model || ' ' || upstream || ' ' || entity AS line FROM price
             WHERE audience = 'retail' ORDER BY revision",
        )
        .await;
    let expected = |revision| format!("{revision} demo/chat alpha global");
    assert_eq!(retail_rows, [expected(first), expected(third)], "every price that ever was, once");
}
