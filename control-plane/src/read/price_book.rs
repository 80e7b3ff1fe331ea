//! Price books, as operators write them. Entries are told apart by their model, as `domain` does.

use super::{Reader, decimal, listed, moment};
use domain::catalog::Violation;
use domain::config::{Kind, PriceBook, PriceEntry};
use domain::money::{Currency, Nano};
use domain::name::Glob;
use domain::price::{RateCard, RateOverride, Rates, UtcWindow};
use domain::time::Timestamp;
use domain::tokens::TokenClass;
use proto::admin::v1;
use std::collections::BTreeMap;

const UNIT_PRICE_DECIMALS: u32 = 9;
const MINUTES_PER_HOUR: u32 = 60;
const MINUTES_PER_DAY: u32 = 24 * MINUTES_PER_HOUR;

pub(super) fn read(name: &str, spec: &v1::PriceBookSpec) -> Result<PriceBook, Vec<Violation>> {
    let mut reader = Reader::new(Kind::PriceBook, name);
    let currency = reader.field("currency", Currency::parse(&spec.currency));
    let entries: Vec<Option<PriceEntry>> =
        spec.entries.iter().map(|entry| read_entry(&mut reader, entry)).collect();
    reader.finish(|| {
        Some(PriceBook {
            name: name.to_owned(),
            currency: currency?,
            upstreams: spec.upstreams.clone(),
            entries: entries.into_iter().collect::<Option<_>>()?,
        })
    })
}

fn read_entry(reader: &mut Reader, entry: &v1::PriceEntry) -> Option<PriceEntry> {
    let path = format!("entries[{}]", entry.model);
    let valid_from = match &entry.valid_from {
        Some(at) => reader.field(format!("{path}.valid_from"), moment(at)),
        None => Some(Timestamp::default()),
    };
    let base = read_rates(reader, &path, &entry.prices);
    let overrides: Vec<Option<RateOverride>> = entry
        .overrides
        .iter()
        .enumerate()
        .map(|(index, over)| read_override(reader, &format!("{path}.overrides[{index}]"), over))
        .collect();
    Some(PriceEntry {
        model: Glob(entry.model.clone()),
        valid_from: valid_from?,
        card: RateCard { base: base?, overrides: overrides.into_iter().collect::<Option<_>>()? },
    })
}

fn read_override(
    reader: &mut Reader,
    path: &str,
    over: &v1::PriceOverride,
) -> Option<RateOverride> {
    let window = if over.utc_from.is_empty() && over.utc_to.is_empty() {
        Some(None)
    } else {
        read_window(reader, path, over).map(Some)
    };
    let rates = read_rates(reader, path, &over.prices);
    Some(RateOverride {
        above_input_tokens: over.above_input_tokens,
        window: window?,
        rates: rates?,
    })
}

fn read_window(reader: &mut Reader, path: &str, over: &v1::PriceOverride) -> Option<UtcWindow> {
    let from = reader.field(format!("{path}.utc_from"), minute_of_day(&over.utc_from));
    let to = reader.field(format!("{path}.utc_to"), minute_of_day(&over.utc_to));
    Some(UtcWindow { from_minute: from?, to_minute: to? })
}

fn read_rates(reader: &mut Reader, path: &str, prices: &BTreeMap<String, String>) -> Option<Rates> {
    let mut rates = Some(Rates::NONE);
    for (class, price) in prices {
        let read = reader.field(format!("{path}.prices.{class}"), read_price(class, price));
        rates = rates.zip(read).map(|(rates, (class, rate))| rates.with(class, rate));
    }
    rates
}

fn read_price(class: &str, price: &str) -> Result<(TokenClass, Nano), String> {
    let class = TokenClass::parse(class).ok_or_else(|| {
        let known = listed(TokenClass::ALL, TokenClass::name);
        format!("\"{class}\" is not a class: use {known}")
    })?;
    let rate = Nano::new(decimal(price, UNIT_PRICE_DECIMALS)?);
    rate.map(|rate| (class, rate)).map_err(|wrong| format!("\"{price}\": {wrong}"))
}

/// `24:00` ends a day.
fn minute_of_day(text: &str) -> Result<u32, String> {
    let two_digits = |part: &str| {
        let is_plain = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
        part.parse::<u32>().ok().filter(|_| is_plain)
    };
    text.split_once(':')
        .and_then(|(hour, minute)| Some((two_digits(hour)?, two_digits(minute)?)))
        .filter(|(_, minute)| *minute < MINUTES_PER_HOUR)
        .map(|(hour, minute)| hour * MINUTES_PER_HOUR + minute)
        .filter(|minute| *minute <= MINUTES_PER_DAY)
        .ok_or_else(|| format!("\"{text}\" is not a time of day in UTC: write it as \"16:30\""))
}
