//! Under which revision a price goes: the one at which its schedule last changed.

use super::{compiled, fresh};
use crate::sample::{any_catalog, entity, fx, model, rule, with};
use domain::catalog::Object;
use domain::compile::{Compiled, compile};
use domain::config::Model;
use domain::snapshot::SellPrice;
use domain::time::Timestamp;
use proptest::prelude::*;

#[test]
fn only_prices_that_change_get_a_new_revision() {
    let seller = || Object::Entity(entity("tw", "TWD", &[]));
    let rate = |rate_e10| Object::FxRate(fx("f", "USD", "TWD", rate_e10));
    let first = fresh(&with([seller(), rate(320_000_000_000)]));
    assert_eq!(first.new_prices(1).count(), 3);

    let renamed = Object::Model(Model {
        display_name: "Renamed".to_owned(),
        ..model("openai/gpt-5", &["openai"])
    });
    let second = compiled(&with([seller(), rate(320_000_000_000), renamed]), 2, &first);
    assert_eq!(second.new_prices(2).count(), 0);
    assert_eq!(second.new_prices(1).count(), 3, "the model changed, its prices did not");

    let third = compiled(&with([seller(), rate(330_000_000_000)]), 3, &second);
    let new: Vec<_> =
        third.new_prices(3).map(|(m, u, price)| (m, u, price.entity.as_str())).collect();
    assert_eq!(new, [("openai/gpt-5", "openai", "tw")]);
    assert_eq!(third.new_prices(1).count(), 2);
}

#[test]
fn two_routes_on_one_upstream_have_one_new_price() {
    let mut twin = model("openai/gpt-5", &["openai", "openai"]);
    twin.routes[1].model = "gpt-dated".to_owned();
    let compiled = fresh(&with([Object::Model(twin)]));
    assert_eq!(compiled.models["openai/gpt-5"].routes.len(), 2);
    assert_eq!(compiled.new_prices(1).count(), 2, "one for each audience");
}

#[test]
fn a_restarted_control_plane_keeps_the_revisions_of_prices() {
    let catalog = with([Object::MarkupRule(rule("own", 100_000, None, Some("acme")))]);
    let first = fresh(&catalog);
    let mut rows: Vec<(String, String, SellPrice)> = first
        .new_prices(1)
        .map(|(m, u, price)| (m.to_owned(), u.to_owned(), price.clone()))
        .collect();
    let mut outdated = rows[0].clone();
    outdated.2.revision = 0;
    outdated.2.schedule.0.clear();
    rows.push(outdated);
    let restarted = compiled(&catalog, 9, &Compiled::remembering(rows));
    assert_eq!(restarted, first);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn compiling_the_same_again_changes_nothing(catalog in any_catalog()) {
        if let Ok(first) = compile(&catalog, 1, &|_| Timestamp(7), &Compiled::default()) {
            let again = compiled(&catalog, 2, &first);
            prop_assert_eq!(&again, &first);
            prop_assert_eq!(again.new_prices(2).count(), 0);
        }
    }

    #[test]
    fn a_price_has_the_revision_at_which_its_schedule_last_changed(before in any_catalog(), after in any_catalog()) {
        let Ok(first) = compile(&before, 1, &|_| Timestamp(7), &Compiled::default()) else { return Ok(()) };
        let Ok(second) = compile(&after, 2, &|_| Timestamp(7), &first) else { return Ok(()) };
        let old: Vec<_> = first.new_prices(1).collect();
        for (model, upstream, price) in second.new_prices(2).chain(second.new_prices(1)) {
            let same = old.iter().any(|(m, u, known)| {
                let known = SellPrice { revision: price.revision, ..(*known).clone() };
                (*m, *u) == (model, upstream) && known == *price
            });
            prop_assert_eq!(price.revision, if same { 1 } else { 2 });
        }
        let all = |c: &Compiled| c.models.values().flat_map(|m| &m.routes).map(|r| r.prices.len()).sum::<usize>();
        prop_assert_eq!(all(&second), second.new_prices(1).count() + second.new_prices(2).count());
    }
}
