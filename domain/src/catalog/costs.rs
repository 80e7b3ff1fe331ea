//! Which price book entry applies to a model on an upstream, from when on, and at which exchange rate it is sold.
//!
//! Both the checks and the compiler ask here, so that what was checked is what is compiled.

use super::Catalog;
use crate::config::{PriceBook, PriceEntry};
use crate::markup::RATE_ONE;
use crate::money::{Currency, divide_half_away};
use crate::time::Timestamp;
use std::collections::BTreeMap;

/// An entry of a price book that prices a model on an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cost<'a> {
    pub(crate) book: &'a PriceBook,
    pub(crate) entry: &'a PriceEntry,
}

impl Cost<'_> {
    /// What decides between entries that are in effect: a book that names its upstreams beats one that does not, then the
    /// narrower pattern wins, then the later date.
    fn rank(&self) -> (bool, usize, Timestamp) {
        let names_upstreams = !self.book.upstreams.is_empty();
        (names_upstreams, self.entry.model.specificity(), self.entry.valid_from)
    }
}

/// The entries that apply one after another.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Costs<'a> {
    /// Ascending by when each begins to apply.
    pub(crate) dated: Vec<(Timestamp, Cost<'a>)>,
    /// Entries between which nothing decides. The first of them is in `dated`.
    pub(crate) ties: Vec<(Cost<'a>, Cost<'a>)>,
}

/// All entries, so arranged that those of a model are found without looking at each.
#[derive(Debug)]
pub(crate) struct CostIndex<'a> {
    by_name: BTreeMap<&'a str, Vec<Cost<'a>>>,
    by_pattern: Vec<Cost<'a>>,
}

impl<'a> CostIndex<'a> {
    pub(crate) fn of(catalog: &'a Catalog) -> Self {
        let mut index = Self { by_name: BTreeMap::new(), by_pattern: Vec::new() };
        for book in catalog.price_books.values() {
            for entry in &book.entries {
                let cost = Cost { book, entry };
                if entry.model.is_open() {
                    index.by_pattern.push(cost);
                } else {
                    index.by_name.entry(&entry.model.0).or_default().push(cost);
                }
            }
        }
        index
    }

    /// What an upstream charges for a model. At each moment the best entry of those already valid applies.
    pub(crate) fn costs(&self, model: &str, upstream: &str) -> Costs<'a> {
        let candidates = self.candidates(model, upstream);
        let mut dates: Vec<Timestamp> = candidates.iter().map(|c| c.entry.valid_from).collect();
        dates.sort_unstable();
        dates.dedup();
        let mut costs = Costs::default();
        for date in dates {
            let mut valid: Vec<Cost<'a>> =
                candidates.iter().filter(|c| c.entry.valid_from <= date).copied().collect();
            valid.sort_by_key(|cost| std::cmp::Reverse(cost.rank()));
            let mut best = valid.into_iter();
            let Some(first) = best.next() else { continue };
            if costs.dated.last().is_some_and(|(_, last)| *last == first) {
                continue;
            }
            let tied = best.take_while(|other| other.rank() == first.rank());
            costs.ties.extend(tied.map(|other| (first, other)));
            costs.dated.push((date, first));
        }
        costs
    }

    fn candidates(&self, model: &str, upstream: &str) -> Vec<Cost<'a>> {
        let covers = |cost: &&Cost<'_>| {
            let upstreams = &cost.book.upstreams;
            upstreams.is_empty() || upstreams.iter().any(|name| name == upstream)
        };
        let named = self.by_name.get(model).into_iter().flatten();
        let matching = self.by_pattern.iter().filter(|cost| cost.entry.model.matches(model));
        named.chain(matching).filter(covers).copied().collect()
    }
}

impl Catalog {
    /// How many units of `to` one unit of `from` costs, times 10^10: 1 within a currency, else the rate of the pair, else
    /// the inverse of the rate of the opposite pair.
    pub(crate) fn exchange_e10(&self, from: Currency, to: Currency) -> Option<i64> {
        if from == to {
            return Some(RATE_ONE);
        }
        let quoted = |base: Currency, quote: Currency| {
            self.fx_rates.values().find(|rate| rate.base == base && rate.quote == quote)
        };
        if let Some(direct) = quoted(from, to) {
            return Some(direct.rate_e10);
        }
        let opposite = i128::from(quoted(to, from)?.rate_e10);
        let one = i128::from(RATE_ONE);
        i64::try_from(divide_half_away(one.checked_mul(one)?, opposite)?).ok()
    }
}
