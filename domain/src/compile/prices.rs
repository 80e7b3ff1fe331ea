//! What every buyer pays on a route: cost × (1 + markup) × exchange rate, by date.

use super::Compiled;
use crate::catalog::{Catalog, Cost, CostIndex, Costs, Violation};
use crate::config::{Entity, Kind, MarkupRule, Model, Org};
use crate::jurisdiction::Jurisdiction;
use crate::markup::{self, Buyer};
use crate::money::Currency;
use crate::price::{DatedCard, Schedule};
use crate::snapshot::SellPrice;
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// All that prices are made of.
pub(super) struct Pricing<'a> {
    catalog: &'a Catalog,
    revision: u64,
    rules: Vec<MarkupRule>,
    shops: Vec<Shop<'a>>,
    index: CostIndex<'a>,
    previous: &'a Compiled,
}

/// A seller with those for whom it has prices.
struct Shop<'a> {
    entity: &'a Entity,
    audiences: BTreeSet<&'a str>,
    orgs_with_rules: Vec<&'a Org>,
}

/// Who pays a price: entity, audience, org.
type Payer<'a> = (&'a str, &'a str, Option<&'a str>);

impl<'a> Pricing<'a> {
    pub(super) fn new(catalog: &'a Catalog, revision: u64, previous: &'a Compiled) -> Self {
        Self {
            catalog,
            revision,
            rules: catalog.markup_rules.values().cloned().collect(),
            shops: catalog.entities.values().map(|entity| Shop::of(catalog, entity)).collect(),
            index: CostIndex::of(catalog),
            previous,
        }
    }

    /// The prices of a model on an upstream, for every entity that may use it. None for the others: to them the route
    /// does not exist.
    pub(super) fn prices(
        &self,
        model: &Model,
        upstream: &str,
    ) -> Result<Vec<SellPrice>, Violation> {
        let Some(place) = self.catalog.upstreams.get(upstream).map(|u| u.jurisdiction) else {
            return Ok(Vec::new());
        };
        let costs = self.index.costs(&model.name, upstream);
        let known = known_prices(self.previous, &model.name, upstream);
        let mut schedules: BTreeMap<(i64, Currency), Schedule> = BTreeMap::new();
        let mut prices = Vec::new();
        for shop in self.shops.iter().filter(|shop| shop.entity.allowed.permits(place)) {
            for buyer in self.buyers(shop, model, place) {
                let rule = markup::choose(&self.rules, &buyer);
                // Where no rule applies, nothing is added; `Catalog::at_cost` says so to whoever changes it.
                let markup_ppm = rule.map_or(0, |rule| rule.markup_ppm);
                let currency = shop.entity.currency;
                let schedule = match schedules.get(&(markup_ppm, currency)) {
                    Some(schedule) => schedule.clone(),
                    None => self
                        .schedule(&costs, markup_ppm, currency)
                        .ok_or_else(|| out_of_range(&buyer, upstream, rule))?,
                };
                schedules.entry((markup_ppm, currency)).or_insert_with(|| schedule.clone());
                prices.push(self.numbered(&buyer, schedule, &known));
            }
        }
        Ok(prices)
    }

    /// Each audience, and each org for which a rule of its own decides.
    fn buyers<'b>(
        &self,
        shop: &'b Shop<'a>,
        model: &'b Model,
        place: Jurisdiction,
    ) -> Vec<Buyer<'b>> {
        let buyer = |audience: &'b str, org: Option<&'b str>| Buyer {
            entity: &shop.entity.name,
            audience,
            org,
            model: &model.name,
            origin: &model.origin,
        };
        let audiences = shop.audiences.iter().map(|audience| buyer(audience, None));
        let orgs = shop.orgs_with_rules.iter().filter(|org| org.allowed.permits(place));
        let decided_by_own = |buyer: &Buyer<'_>| {
            markup::choose(&self.rules, buyer).is_some_and(|rule| rule.org.is_some())
        };
        let own = orgs.map(|org| buyer(&org.audience, Some(&org.name))).filter(decided_by_own);
        audiences.chain(own).collect()
    }

    fn schedule(&self, costs: &Costs<'_>, markup_ppm: i64, currency: Currency) -> Option<Schedule> {
        let sell = |(from, cost): &(Timestamp, Cost<'_>)| {
            let rate_e10 = self.catalog.exchange_e10(cost.book.currency, currency)?;
            let card = markup::sell_card(&cost.entry.card, markup_ppm, rate_e10)?;
            Some(DatedCard { from: *from, card })
        };
        costs.dated.iter().map(sell).collect::<Option<Vec<_>>>().map(Schedule)
    }

    fn numbered(
        &self,
        buyer: &Buyer<'_>,
        schedule: Schedule,
        known: &BTreeMap<Payer<'_>, &SellPrice>,
    ) -> SellPrice {
        let unchanged = known
            .get(&(buyer.entity, buyer.audience, buyer.org))
            .filter(|known| known.schedule == schedule);
        SellPrice {
            entity: buyer.entity.to_owned(),
            audience: buyer.audience.to_owned(),
            org: buyer.org.map(str::to_owned),
            revision: unchanged.map_or(self.revision, |known| known.revision),
            schedule,
        }
    }
}

impl<'a> Shop<'a> {
    /// Prices are made for everyone who buys here, for every audience that a rule names, and for those who have none.
    fn of(catalog: &'a Catalog, entity: &'a Entity) -> Self {
        let orgs = || catalog.orgs.values().filter(|org| org.entity == entity.name);
        let rules = || catalog.markup_rules.values();
        let mut audiences: BTreeSet<&str> = orgs().map(|org| org.audience.as_str()).collect();
        audiences.extend(rules().filter_map(|rule| rule.audience.as_deref()));
        audiences.insert("");
        let named: BTreeSet<&str> = rules().filter_map(|rule| rule.org.as_deref()).collect();
        let orgs_with_rules = orgs().filter(|org| named.contains(org.name.as_str())).collect();
        Self { entity, audiences, orgs_with_rules }
    }
}

/// What was asked before for a model on an upstream. Of several prices for the same payer the latest counts.
fn known_prices<'a>(
    previous: &'a Compiled,
    model: &str,
    upstream: &str,
) -> BTreeMap<Payer<'a>, &'a SellPrice> {
    let mut known: BTreeMap<_, &SellPrice> = BTreeMap::new();
    let routes = previous.models.get(model).into_iter().flat_map(|model| &model.routes);
    for price in routes.filter(|route| route.upstream == upstream).flat_map(|route| &route.prices) {
        let payer = (price.entity.as_str(), price.audience.as_str(), price.org.as_deref());
        let latest = known.entry(payer).or_insert(price);
        if price.revision > latest.revision {
            *latest = price;
        }
    }
    known
}

fn out_of_range(buyer: &Buyer<'_>, upstream: &str, rule: Option<&MarkupRule>) -> Violation {
    let markup = rule.map_or(String::new(), |rule| format!(" with MarkupRule {:?}", rule.name));
    Violation {
        kind: Kind::Model,
        name: buyer.model.to_owned(),
        field: format!("routes[{upstream}]"),
        reason: format!(
            "its price for entity {:?}{markup} is out of range: lower the cost, the markup or the FxRate",
            buyer.entity
        ),
    }
}
