//! Sell prices with their schedules and rate cards. Also what the `price` table keeps of every price that ever was.

use super::super::Unreadable;
use crate::feed::v1;
use domain::money::Nano;
use domain::price::{DatedCard, RateCard, RateOverride, Rates, Schedule, UtcWindow};
use domain::snapshot::SellPrice;
use domain::time::Timestamp;
use domain::tokens::TokenClass;
use std::collections::BTreeMap;

/// A sell price as a message. A price of no org in particular has an empty one.
#[must_use]
pub fn sell_price_to_proto(price: &SellPrice) -> v1::SellPrice {
    v1::SellPrice {
        entity: price.entity.clone(),
        audience: price.audience.clone(),
        org: price.org.clone().unwrap_or_default(),
        revision: price.revision,
        schedule: schedule_to_proto(&price.schedule),
    }
}

/// Reads a sell price.
///
/// # Errors
/// When its schedule cannot be read.
pub fn sell_price_from_proto(price: v1::SellPrice) -> Result<SellPrice, Unreadable> {
    Ok(SellPrice {
        schedule: schedule_from_proto(&price.schedule)?,
        entity: price.entity,
        audience: price.audience,
        org: (!price.org.is_empty()).then_some(price.org),
        revision: price.revision,
    })
}

/// A schedule as dated cards.
#[must_use]
pub fn schedule_to_proto(schedule: &Schedule) -> Vec<v1::DatedCard> {
    let dated = |dated: &DatedCard| v1::DatedCard {
        from_us: dated.from.0,
        card: Some(rate_card_to_proto(&dated.card)),
    };
    schedule.0.iter().map(dated).collect()
}

/// Reads a schedule.
///
/// # Errors
/// When a card is missing or unreadable, or the dates do not ascend.
pub fn schedule_from_proto(cards: &[v1::DatedCard]) -> Result<Schedule, Unreadable> {
    if !cards.is_sorted_by(|earlier, later| earlier.from_us < later.from_us) {
        return Err(Unreadable::new("schedule", "dates must ascend"));
    }
    let dated = |dated: &v1::DatedCard| {
        let card = dated.card.as_ref().ok_or_else(|| Unreadable::missing("schedule.card"))?;
        Ok(DatedCard { from: Timestamp(dated.from_us), card: rate_card_from_proto(card)? })
    };
    cards.iter().map(dated).collect::<Result<_, _>>().map(Schedule)
}

/// A rate card as a message.
#[must_use]
pub fn rate_card_to_proto(card: &RateCard) -> v1::RateCard {
    let conditional = |over: &RateOverride| v1::RateOverride {
        above_input_tokens: over.above_input_tokens,
        window: over.window.map(|window| v1::UtcWindow {
            from_minute: window.from_minute,
            to_minute: window.to_minute,
        }),
        rates: rates_to_proto(&over.rates),
    };
    v1::RateCard {
        base: rates_to_proto(&card.base),
        overrides: card.overrides.iter().map(conditional).collect(),
    }
}

/// Reads a rate card.
///
/// # Errors
/// When a class is unknown or a rate is beyond all amounts.
pub fn rate_card_from_proto(card: &v1::RateCard) -> Result<RateCard, Unreadable> {
    let conditional = |over: &v1::RateOverride| {
        Ok(RateOverride {
            above_input_tokens: over.above_input_tokens,
            window: over.window.map(|window| UtcWindow {
                from_minute: window.from_minute,
                to_minute: window.to_minute,
            }),
            rates: rates_from_proto(&over.rates)?,
        })
    };
    Ok(RateCard {
        base: rates_from_proto(&card.base)?,
        overrides: card.overrides.iter().map(conditional).collect::<Result<_, _>>()?,
    })
}

fn rates_to_proto(rates: &Rates) -> BTreeMap<String, i64> {
    rates.priced().map(|(class, rate)| (class.name().to_owned(), rate.get())).collect()
}

fn rates_from_proto(rates: &BTreeMap<String, i64>) -> Result<Rates, Unreadable> {
    let mut read = Rates::NONE;
    for (name, nano) in rates {
        let class = TokenClass::parse(name)
            .ok_or_else(|| Unreadable::new("rates", format!("unknown class {name:?}")))?;
        let rate = Nano::new(*nano).map_err(|wrong| Unreadable::new("rates", wrong))?;
        if rate < Nano::ZERO {
            return Err(Unreadable::new("rates", format!("the rate of {class} is negative")));
        }
        read.set(class, rate);
    }
    Ok(read)
}
