//! Price books, exchange rates and markup rules, each on its own.

use super::findings::{Findings, Subject};
use super::parties::{check_label, unknown};
use crate::catalog::Catalog;
use crate::config::{Kind, PriceEntry};
use crate::markup::WHOLE_PPM;
use crate::money::Nano;
use crate::name;
use crate::price::{RateOverride, Rates};
use std::collections::{BTreeMap, BTreeSet};

const MINUTES_PER_DAY: u32 = 24 * 60;

impl Catalog {
    pub(super) fn check_price_books(&self, findings: &mut Findings) {
        for book in self.price_books.values() {
            let mut subject = findings.about(Kind::PriceBook, &book.name);
            subject.expect("name", name::check(&book.name));
            for upstream in &book.upstreams {
                let exists = self.upstreams.contains_key(upstream);
                subject.require(exists, "upstreams", unknown(Kind::Upstream, upstream));
            }
            let mut seen = BTreeSet::new();
            for entry in &book.entries {
                check_entry(&mut subject, entry);
                let new = seen.insert((&entry.model, entry.valid_from));
                let field = format!("entries[{}]", entry.model.0);
                subject.require(new, field, "two entries with the same valid_from: remove one");
            }
        }
    }

    pub(super) fn check_fx_rates(&self, findings: &mut Findings) {
        let mut rate_of_pair = BTreeMap::new();
        for rate in self.fx_rates.values() {
            let mut subject = findings.about(Kind::FxRate, &rate.name);
            subject.expect("name", name::check(&rate.name));
            subject.require(rate.rate_e10 > 0, "rate", "must be more than 0");
            let differ = rate.base != rate.quote;
            subject.require(
                differ,
                "quote",
                "must differ from base: within a currency the rate is 1",
            );
            if let Some(other) = rate_of_pair.insert((rate.base, rate.quote), &rate.name) {
                let pair = format!("{} to {}", rate.base, rate.quote);
                subject.refuse("base", format!("FxRate {other:?} is {pair} too: remove one"));
            }
        }
    }

    pub(super) fn check_markup_rules(&self, findings: &mut Findings) {
        for rule in self.markup_rules.values() {
            let mut subject = findings.about(Kind::MarkupRule, &rule.name);
            subject.expect("name", name::check(&rule.name));
            if let Some(entity) = &rule.entity {
                let exists = self.entities.contains_key(entity);
                subject.require(exists, "entity", unknown(Kind::Entity, entity));
            }
            if let Some(org) = &rule.org {
                subject.require(self.orgs.contains_key(org), "org", unknown(Kind::Org, org));
            }
            if let Some(glob) = &rule.model {
                subject.expect("model", glob.check());
            }
            check_label(&mut subject, "audience", rule.audience.as_deref().unwrap_or_default());
            check_label(&mut subject, "origin", rule.origin.as_deref().unwrap_or_default());
            let sells = rule.markup_ppm > -WHOLE_PPM;
            subject.require(sells, "percent", "must be more than -100, or all would be free");
        }
    }
}

fn check_entry(subject: &mut Subject<'_>, entry: &PriceEntry) {
    let field = |rest: &str| format!("entries[{}]{rest}", entry.model.0);
    subject.expect(field(".model"), entry.model.check());
    let priced = entry.card.base.priced().next().is_some();
    subject.require(priced, field(".prices"), "needed: price at least one class");
    check_rates(subject, &field(".prices"), &entry.card.base);
    for (index, over) in entry.card.overrides.iter().enumerate() {
        check_override(subject, &field(&format!(".overrides[{index}]")), over);
    }
}

fn check_override(subject: &mut Subject<'_>, field: &str, over: &RateOverride) {
    let conditional = over.above_input_tokens.is_some() || over.window.is_some();
    let reason = "needs a condition: above_input_tokens, or utc_from and utc_to";
    subject.require(conditional, field, reason);
    let priced = over.rates.priced().next().is_some();
    subject.require(priced, format_args!("{field}.prices"), "needed: price at least one class");
    check_rates(subject, &format!("{field}.prices"), &over.rates);
    if let Some(window) = over.window {
        let within = window.from_minute < MINUTES_PER_DAY && window.to_minute <= MINUTES_PER_DAY;
        subject.require(within, field, "utc_from and utc_to must be from 00:00 to 24:00");
        let part = window.from_minute != window.to_minute % MINUTES_PER_DAY;
        subject.require(part, field, "utc_from and utc_to must differ: leave out both for all day");
    }
}

fn check_rates(subject: &mut Subject<'_>, field: &str, rates: &Rates) {
    for (class, rate) in rates.priced() {
        let reason = "must not be negative: 0 is free";
        subject.require(rate >= Nano::ZERO, format_args!("{field}.{class}"), reason);
    }
}
