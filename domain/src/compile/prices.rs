//! What every buyer pays on a route: cost × (1 + markup) × exchange rate, by date.

use super::Compiled;
use crate::catalog::{Catalog, Cost, Costs, Violation};
use crate::config::{Entity, Kind, MarkupRule, Model, Org};
use crate::jurisdiction::Jurisdiction;
use crate::markup::{self, Buyer};
use crate::money::Currency;
use crate::price::{DatedCard, Schedule};
use crate::snapshot::SellPrice;
use crate::time::Timestamp;
use std::collections::{BTreeSet, HashMap};

/// All that prices are made of.
pub(super) struct Pricing<'a> {
    catalog: &'a Catalog,
    revision: u64,
    rules: Vec<MarkupRule>,
    shops: Vec<Shop<'a>>,
    known: HashMap<PriceName<'a>, &'a SellPrice>,
}

/// A seller with those for whom it has prices.
struct Shop<'a> {
    entity: &'a Entity,
    audiences: BTreeSet<&'a str>,
    orgs_with_rules: Vec<&'a Org>,
}

#[derive(PartialEq, Eq, Hash)]
struct PriceName<'a> {
    model: &'a str,
    upstream: &'a str,
    entity: &'a str,
    audience: &'a str,
    org: Option<&'a str>,
}

impl<'a> Pricing<'a> {
    pub(super) fn new(catalog: &'a Catalog, revision: u64, previous: &'a Compiled) -> Self {
        Self {
            catalog,
            revision,
            rules: catalog.markup_rules.values().cloned().collect(),
            shops: catalog.entities.values().map(|entity| Shop::of(catalog, entity)).collect(),
            known: known_prices(previous),
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
        let costs = self.catalog.costs(&model.name, upstream);
        let mut prices = Vec::new();
        for shop in self.shops.iter().filter(|shop| shop.entity.allowed.permits(place)) {
            for buyer in self.buyers(shop, model, place) {
                let rule = markup::choose(&self.rules, &buyer);
                let schedule = self
                    .schedule(&costs, shop.entity.currency, rule)
                    .ok_or_else(|| out_of_range(&buyer, upstream, rule))?;
                prices.push(self.numbered(&buyer, upstream, schedule));
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

    /// Where no rule applies, nothing is added.
    fn schedule(
        &self,
        costs: &Costs<'_>,
        currency: Currency,
        rule: Option<&MarkupRule>,
    ) -> Option<Schedule> {
        let markup_ppm = rule.map_or(0, |rule| rule.markup_ppm);
        let sell = |(from, cost): &(Timestamp, Cost<'_>)| {
            let rate_e10 = self.catalog.exchange_e10(cost.book.currency, currency)?;
            let card = markup::sell_card(&cost.entry.card, markup_ppm, rate_e10)?;
            Some(DatedCard { from: *from, card })
        };
        costs.dated.iter().map(sell).collect::<Option<Vec<_>>>().map(Schedule)
    }

    fn numbered(&self, buyer: &Buyer<'_>, upstream: &str, schedule: Schedule) -> SellPrice {
        let name = PriceName {
            model: buyer.model,
            upstream,
            entity: buyer.entity,
            audience: buyer.audience,
            org: buyer.org,
        };
        let unchanged = self.known.get(&name).filter(|known| known.schedule == schedule);
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

fn known_prices(previous: &Compiled) -> HashMap<PriceName<'_>, &SellPrice> {
    let mut known: HashMap<_, &SellPrice> = HashMap::new();
    for model in previous.models.values() {
        for route in &model.routes {
            for price in &route.prices {
                let name = PriceName {
                    model: &model.name,
                    upstream: &route.upstream,
                    entity: &price.entity,
                    audience: &price.audience,
                    org: price.org.as_deref(),
                };
                let latest = known.entry(name).or_insert(price);
                if price.revision > latest.revision {
                    *latest = price;
                }
            }
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
