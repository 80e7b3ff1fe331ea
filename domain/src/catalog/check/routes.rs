//! Every route may be used by someone, and has all prices for whoever may use it: an unpriced class is never free.

use super::findings::{Findings, Subject};
use crate::catalog::Catalog;
use crate::catalog::costs::{Cost, CostIndex};
use crate::config::{Entity, Kind, Modality, Model, Upstream};
use crate::money::Currency;
use crate::tokens::TokenClass;
use std::collections::BTreeSet;

impl Catalog {
    pub(super) fn check_routes(&self, findings: &mut Findings) {
        let index = CostIndex::of(self);
        for model in self.models.values() {
            let names: BTreeSet<&str> = model.routes.iter().map(|r| r.upstream.as_str()).collect();
            for upstream in names.into_iter().filter_map(|name| self.upstreams.get(name)) {
                self.check_route(model, upstream, &index, findings);
            }
        }
    }

    /// While nobody sells, a route leads nowhere and needs no price.
    fn check_route(
        &self,
        model: &Model,
        upstream: &Upstream,
        index: &CostIndex<'_>,
        findings: &mut Findings,
    ) {
        let sellers: Vec<&Entity> =
            self.entities.values().filter(|e| e.allowed.permits(upstream.jurisdiction)).collect();
        if sellers.is_empty() {
            if !self.entities.is_empty() {
                let reason = format!(
                    "is in {}, which no entity allows: allow it for one, or remove the route",
                    upstream.jurisdiction
                );
                findings.about(Kind::Model, &model.name).refuse(route_field(upstream), reason);
            }
            return;
        }
        let costs = index.costs(&model.name, &upstream.name);
        for (first, other) in &costs.ties {
            refuse_tie(*first, *other, findings);
        }
        let mut subject = findings.about(Kind::Model, &model.name);
        if costs.dated.is_empty() {
            let reason = "has no price: add an entry that names the model to a price book";
            subject.refuse(route_field(upstream), reason);
        }
        for (_, cost) in &costs.dated {
            refuse_unpriced(&mut subject, model, upstream, *cost);
            self.refuse_unexchanged(&mut subject, upstream, cost.book.currency, &sellers);
        }
    }

    fn refuse_unexchanged(
        &self,
        subject: &mut Subject<'_>,
        upstream: &Upstream,
        paid_in: Currency,
        sellers: &[&Entity],
    ) {
        for entity in sellers {
            let sold_in = entity.currency;
            if self.exchange_e10(paid_in, sold_in).is_none() {
                let reason = format!(
                    "costs {paid_in} and entity {:?} sells in {sold_in}: create an FxRate from {paid_in} to \
                     {sold_in}",
                    entity.name
                );
                subject.refuse(route_field(upstream), reason);
            }
        }
    }
}

fn refuse_tie(first: Cost<'_>, other: Cost<'_>, findings: &mut Findings) {
    let reason = format!(
        "entry {:?} of PriceBook {:?} prices the same models on the same upstreams from the same date: \
         remove one of them, or name upstreams or a narrower model in one",
        other.entry.model.0, other.book.name
    );
    let field = format!("entries[{}]", first.entry.model.0);
    findings.about(Kind::PriceBook, &first.book.name).refuse(field, reason);
}

fn refuse_unpriced(subject: &mut Subject<'_>, model: &Model, upstream: &Upstream, cost: Cost<'_>) {
    for class in model.classes_to_price() {
        if cost.entry.card.base.get(class).is_none() {
            let reason = format!(
                "class {class} has no price: add it to entry {:?} of PriceBook {:?}",
                cost.entry.model.0, cost.book.name
            );
            subject.refuse(route_field(upstream), reason);
        }
    }
}

fn route_field(upstream: &Upstream) -> String {
    format!("routes[{}]", upstream.name)
}

impl Model {
    /// Whether it only makes vectors.
    pub(super) fn is_embeddings(&self) -> bool {
        self.output_modalities == [Modality::Embeddings]
    }

    /// Classes without whose price the model may not be sold: those that its upstreams may report.
    fn classes_to_price(&self) -> Vec<TokenClass> {
        let media_in =
            [(Modality::Image, TokenClass::ImageIn), (Modality::Audio, TokenClass::AudioIn)];
        let media_out =
            [(Modality::Image, TokenClass::ImageOut), (Modality::Audio, TokenClass::AudioOut)];
        let mut classes = vec![TokenClass::Input];
        if !self.is_embeddings() {
            classes.extend([
                TokenClass::CacheRead,
                TokenClass::CacheWrite5m,
                TokenClass::CacheWrite1h,
                TokenClass::Output,
                TokenClass::Reasoning,
            ]);
        }
        let reads = media_in.into_iter().filter(|(m, _)| self.input_modalities.contains(m));
        let writes = media_out.into_iter().filter(|(m, _)| self.output_modalities.contains(m));
        classes.extend(reads.chain(writes).map(|(_, class)| class));
        classes
    }
}
