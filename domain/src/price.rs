//! Prices: nano-units per million of a class, with conditions; what quantities cost by them; and the bill's lines.
//!
//! How a sell price comes about (cost, markup, FX) is `markup`'s and `compile`'s business.

use crate::money::{Nano, divide_half_away};
use crate::time::Timestamp;
use crate::tokens::{CLASSES, Quantities, TokenClass};
use thiserror::Error;

/// Units that a price is given for.
pub const PER_MILLION: i128 = 1_000_000;

/// Prices by class, in nano-units per million. A class may be unpriced, which is not the same as free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates([Option<Nano>; CLASSES]);

impl Rates {
    /// Nothing priced.
    pub const NONE: Self = Self([None; CLASSES]);

    /// The price of a class.
    #[must_use]
    pub fn get(&self, class: TokenClass) -> Option<Nano> {
        self.0.get(class.index()).copied().flatten()
    }

    /// Prices a class.
    pub fn set(&mut self, class: TokenClass, rate: Nano) {
        if let Some(slot) = self.0.get_mut(class.index()) {
            *slot = Some(rate);
        }
    }

    /// The same with a class priced.
    #[must_use]
    pub fn with(mut self, class: TokenClass, rate: Nano) -> Self {
        self.set(class, rate);
        self
    }

    /// Classes that have a price, in order.
    pub fn priced(&self) -> impl Iterator<Item = (TokenClass, Nano)> + '_ {
        TokenClass::ALL.into_iter().filter_map(|class| self.get(class).map(|rate| (class, rate)))
    }

    /// Only those of the classes that are kept.
    #[must_use]
    pub fn only(self, keep: impl Fn(TokenClass) -> bool) -> Self {
        let kept = self.priced().filter(|(class, _)| keep(*class));
        kept.fold(Self::NONE, |rates, (class, rate)| rates.with(class, rate))
    }

    /// These, with those of `other` on top.
    #[must_use]
    pub fn overlaid(mut self, other: &Self) -> Self {
        for (class, rate) in other.priced() {
            self.set(class, rate);
        }
        self
    }

    /// What is charged for a class: its own price, else its parent's, which a catalog that validates always has.
    #[must_use]
    pub fn effective(&self, class: TokenClass) -> Option<Nano> {
        self.get(class).or_else(|| self.get(class.parent()))
    }
}

/// Minutes of the UTC day, `[from, to)`, wrapping past midnight when `to <= from`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UtcWindow {
    /// First minute inside.
    pub from_minute: u32,
    /// First minute outside.
    pub to_minute: u32,
}

impl UtcWindow {
    /// Whether the minute of the day lies inside.
    #[must_use]
    pub const fn contains(self, minute: u32) -> bool {
        if self.from_minute < self.to_minute {
            self.from_minute <= minute && minute < self.to_minute
        } else {
            minute >= self.from_minute || minute < self.to_minute
        }
    }
}

/// Other rates under conditions. Applies when all of them hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateOverride {
    /// Holds when the request's whole input is strictly more than this; it then prices every token.
    pub above_input_tokens: Option<u64>,
    /// Holds when the request was admitted within it.
    pub window: Option<UtcWindow>,
    /// What changes; other classes keep their rate.
    pub rates: Rates,
}

/// Base rates and what overrides them, later ones on top.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateCard {
    /// Unconditional.
    pub base: Rates,
    /// In order of precedence, last wins class by class.
    pub overrides: Vec<RateOverride>,
}

impl RateCard {
    /// The rates of a request with that much input, admitted at `at`.
    #[must_use]
    pub fn rates(&self, input_tokens: u64, at: Timestamp) -> Rates {
        let holds = |over: &&RateOverride| {
            over.above_input_tokens.is_none_or(|limit| input_tokens > limit)
                && over.window.is_none_or(|window| window.contains(at.minute_of_day()))
        };
        self.overrides
            .iter()
            .filter(holds)
            .fold(self.base, |rates, over| rates.overlaid(&over.rates))
    }

    /// For each class the dearest rate that any input of up to `input_tokens_max` may meet when admitted at `at`.
    #[must_use]
    pub fn dearest(&self, input_tokens_max: u64, at: Timestamp) -> Rates {
        let may_hold = |over: &&RateOverride| {
            over.above_input_tokens.is_none_or(|limit| input_tokens_max > limit)
                && over.window.is_none_or(|window| window.contains(at.minute_of_day()))
        };
        let mut dearest = self.base;
        for over in self.overrides.iter().filter(may_hold) {
            for (class, rate) in over.rates.priced() {
                let now = dearest.get(class).unwrap_or(Nano::ZERO);
                dearest.set(class, now.max(rate));
            }
        }
        dearest
    }
}

/// Cards that take effect one after another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule(pub Vec<DatedCard>);

/// A card and when it takes effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatedCard {
    /// First moment of effect.
    pub from: Timestamp,
    /// The prices.
    pub card: RateCard,
}

impl Schedule {
    /// The card in effect at a moment; the list is ascending by date.
    #[must_use]
    pub fn at(&self, at: Timestamp) -> Option<&RateCard> {
        self.0.iter().rev().find(|dated| dated.from <= at).map(|dated| &dated.card)
    }
}

/// A cost that cannot be told.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum CostError {
    /// Neither the class nor its parent has a price.
    #[error("no price for class {0}")]
    Unpriced(TokenClass),
    /// Larger than any amount.
    #[error("cost out of range")]
    OutOfRange,
}

/// One line of a bill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BillLine {
    /// What was used.
    pub class: TokenClass,
    /// How much of it.
    pub quantity: u64,
    /// Nano-units per million.
    pub unit: Nano,
    /// Its share of the total. Shares add up exactly.
    pub amount: Nano,
}

/// What quantities cost: the total, rounded once, and lines that add up to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bill {
    /// One line per class that was used.
    pub lines: Vec<BillLine>,
    /// The sum, rounded half away from zero to the nano-unit.
    pub total: Nano,
}

/// The cost of quantities at given rates, rounded once.
///
/// # Errors
/// When a used class has no price, or the sum does not fit.
pub fn cost(rates: &Rates, quantities: &Quantities) -> Result<Nano, CostError> {
    let exact = quantities.nonzero().try_fold(0_i128, |sum, (class, quantity)| {
        sum.checked_add(line_exact(rates, class, quantity)?).ok_or(CostError::OutOfRange)
    })?;
    round(exact)
}

/// The whole bill. Line amounts are floors, and what rounding left over goes to the lines that lost most by it.
///
/// # Errors
/// As [`cost`].
pub fn bill(rates: &Rates, quantities: &Quantities) -> Result<Bill, CostError> {
    let total = cost(rates, quantities)?;
    let mut lines = Vec::new();
    let mut lost: Vec<(i128, usize)> = Vec::new();
    let mut allocated = 0_i128;
    for (class, quantity) in quantities.nonzero() {
        let exact = line_exact(rates, class, quantity)?;
        let floor = exact.div_euclid(PER_MILLION);
        lost.push((exact.rem_euclid(PER_MILLION), lines.len()));
        allocated = allocated.checked_add(floor).ok_or(CostError::OutOfRange)?;
        let unit = rates.effective(class).ok_or(CostError::Unpriced(class))?;
        lines.push(BillLine { class, quantity, unit, amount: Nano::saturating(floor) });
    }
    let mut left = i128::from(total.get()).saturating_sub(allocated);
    lost.sort_by_key(|(remainder, index)| (std::cmp::Reverse(*remainder), *index));
    for (_, index) in lost {
        if left <= 0 {
            break;
        }
        if let Some(line) = lines.get_mut(index) {
            line.amount = line.amount.saturating_plus(Nano::saturating(1));
            left = left.saturating_sub(1);
        }
    }
    Ok(Bill { lines, total })
}

fn line_exact(rates: &Rates, class: TokenClass, quantity: u64) -> Result<i128, CostError> {
    let rate = rates.effective(class).ok_or(CostError::Unpriced(class))?;
    i128::from(rate.get()).checked_mul(i128::from(quantity)).ok_or(CostError::OutOfRange)
}

fn round(exact: i128) -> Result<Nano, CostError> {
    let rounded = divide_half_away(exact, PER_MILLION).ok_or(CostError::OutOfRange)?;
    i64::try_from(rounded).ok().and_then(|n| Nano::new(n).ok()).ok_or(CostError::OutOfRange)
}
