//! From cost to sell price: the markup table, exchange rates, and the rounding of a compiled unit price.

use crate::config::MarkupRule;
use crate::money::{Nano, divide_half_away};
use crate::price::{RateCard, RateOverride, Rates};

/// Parts per million in a whole: a markup of 15.5 % is 155 000.
pub const WHOLE_PPM: i64 = 1_000_000;
/// An exchange rate of 1: rates carry ten decimals.
pub const RATE_ONE: i64 = 10_000_000_000;

/// Who buys, and what: that by which a rule is chosen.
#[derive(Clone, Copy, Debug)]
pub struct Buyer<'a> {
    /// The selling entity.
    pub entity: &'a str,
    /// The org's audience.
    pub audience: &'a str,
    /// The org itself, when the price is its own.
    pub org: Option<&'a str>,
    /// The model.
    pub model: &'a str,
    /// Where the model comes from.
    pub origin: &'a str,
}

/// The one rule that applies: highest priority, then most specific, then first by name.
#[must_use]
pub fn choose<'a>(rules: &'a [MarkupRule], buyer: &Buyer<'_>) -> Option<&'a MarkupRule> {
    let names =
        |wanted: &Option<String>, actual: &str| wanted.as_deref().is_none_or(|w| w == actual);
    rules
        .iter()
        .filter(|rule| {
            names(&rule.entity, buyer.entity)
                && names(&rule.audience, buyer.audience)
                && names(&rule.origin, buyer.origin)
                && rule.org.as_deref().is_none_or(|org| Some(org) == buyer.org)
                && rule.model.as_ref().is_none_or(|glob| glob.matches(buyer.model))
        })
        .min_by(|a, b| {
            (b.priority, specificity(b), &a.name).cmp(&(a.priority, specificity(a), &b.name))
        })
}

/// An org outweighs a model glob, a longer glob a shorter one, and any glob the other three.
fn specificity(rule: &MarkupRule) -> (bool, usize, usize) {
    let named = [&rule.entity, &rule.audience, &rule.origin].into_iter().flatten().count();
    let glob = rule.model.as_ref().map_or(0, |glob| glob.specificity().saturating_add(1));
    (rule.org.is_some(), glob, named)
}

/// Compiles a cost card into a sell card: `cost × (1 + markup) × rate`, each unit price rounded once, half away from
/// zero. `None` when a price leaves the range.
#[must_use]
pub fn sell_card(cost: &RateCard, markup_ppm: i64, rate_e10: i64) -> Option<RateCard> {
    let base = sell_rates(&cost.base, markup_ppm, rate_e10)?;
    let overrides = cost
        .overrides
        .iter()
        .map(|over| {
            let rates = sell_rates(&over.rates, markup_ppm, rate_e10)?;
            Some(RateOverride { rates, ..*over })
        })
        .collect::<Option<_>>()?;
    Some(RateCard { base, overrides })
}

fn sell_rates(cost: &Rates, markup_ppm: i64, rate_e10: i64) -> Option<Rates> {
    let mut sell = Rates::NONE;
    for (class, rate) in cost.priced() {
        sell.set(class, sell_unit(rate, markup_ppm, rate_e10)?);
    }
    Some(sell)
}

fn sell_unit(cost: Nano, markup_ppm: i64, rate_e10: i64) -> Option<Nano> {
    let factor = i128::from(WHOLE_PPM).checked_add(i128::from(markup_ppm))?;
    let scale = i128::from(WHOLE_PPM).checked_mul(i128::from(RATE_ONE))?;
    let exact = i128::from(cost.get()).checked_mul(factor)?.checked_mul(i128::from(rate_e10))?;
    let rounded = divide_half_away(exact, scale)?;
    Nano::new(i64::try_from(rounded).ok()?).ok()
}
