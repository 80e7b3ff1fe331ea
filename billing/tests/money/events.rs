//! Usage events, charged by a real price.

use super::world::{NOW, nano};
use domain::price::{self, DatedCard, RateCard, Rates, Schedule};
use domain::snapshot;
use domain::time::Timestamp;
use domain::tokens::{Metered, Quantities, TokenClass};
use proto::convert::feed::sell_price_to_proto;
use proto::convert::usage::lines;
use proto::feed::v1::SellPrice;
use proto::usage::v1::{Outcome, PriceRef, UsageEnvelope, UsageEvent};

/// One nano-unit a token of input, two a token of output.
pub(crate) fn rates() -> Rates {
    Rates::NONE.with(TokenClass::Input, nano(1_000_000)).with(TokenClass::Output, nano(2_000_000))
}

pub(crate) fn price() -> SellPrice {
    let card = RateCard { base: rates(), overrides: Vec::new() };
    sell_price_to_proto(&snapshot::SellPrice {
        entity: "global".to_owned(),
        audience: "all".to_owned(),
        org: None,
        revision: 1,
        schedule: Schedule(vec![DatedCard { from: Timestamp(0), card }]),
    })
}

pub(crate) fn price_ref() -> PriceRef {
    PriceRef {
        revision: 1,
        model: "demo/chat".to_owned(),
        upstream: "demo-a".to_owned(),
        entity: "global".to_owned(),
        audience: "all".to_owned(),
        org: String::new(),
    }
}

/// An event of `data_plane`'s incarnation 7, in partition 0: `seq` also makes its request id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) data_plane: &'static str,
    pub(crate) seq: u64,
    pub(crate) org: i64,
    pub(crate) key: i64,
    /// Costs one each.
    pub(crate) input: u64,
    /// Costs two each.
    pub(crate) output: u64,
    /// What of the cost was not held.
    pub(crate) uncollected: i64,
    pub(crate) budgeted: bool,
}

impl Shape {
    pub(crate) const fn new(data_plane: &'static str, seq: u64, org: i64, input: u64) -> Self {
        let (key, output, uncollected, budgeted) = (10, 0, 0, false);
        Self { data_plane, seq, org, key, input, output, uncollected, budgeted }
    }

    pub(crate) const fn output(self, output: u64) -> Self {
        Self { output, ..self }
    }

    pub(crate) const fn uncollected(self, uncollected: i64) -> Self {
        Self { uncollected, ..self }
    }

    pub(crate) const fn budgeted(self, key: i64) -> Self {
        Self { key, budgeted: true, ..self }
    }

    pub(crate) fn cost(&self) -> i64 {
        i64::try_from(self.input + 2 * self.output).unwrap()
    }

    pub(crate) fn charge(&self) -> i64 {
        self.cost() - self.uncollected
    }

    pub(crate) fn envelope(&self) -> UsageEnvelope {
        UsageEnvelope {
            data_plane: self.data_plane.to_owned(),
            incarnation: 7,
            partition: 0,
            seq: self.seq,
            event: Some(self.event()),
            ..UsageEnvelope::default()
        }
    }

    pub(crate) fn event(&self) -> UsageEvent {
        let quantities = Quantities::NONE
            .with(TokenClass::Input, self.input)
            .with(TokenClass::Output, self.output);
        let metered = Metered { quantities, ..Metered::default() };
        assert_eq!(price::cost(&rates(), &quantities).unwrap().get(), self.cost());
        UsageEvent {
            request_id: format!("req-{}-{}", self.data_plane, self.seq),
            upstream_id: format!("up-{}-{}", self.data_plane, self.seq),
            org_uid: self.org,
            key_uid: self.key,
            entity: "global".to_owned(),
            currency: "USD".to_owned(),
            model: "demo/chat".to_owned(),
            price: Some(price_ref()),
            outcome: Outcome::Completed.into(),
            lines: lines(&metered, &rates()),
            charge_nano: self.charge(),
            uncollected_nano: self.uncollected,
            admitted_us: NOW.0,
            ended_us: NOW.0.saturating_add(self.seq),
            status: 200,
            budgeted: self.budgeted,
            ..UsageEvent::default()
        }
    }
}

/// Envelopes of shapes.
pub(crate) fn envelopes(shapes: &[Shape]) -> Vec<UsageEnvelope> {
    shapes.iter().map(Shape::envelope).collect()
}
