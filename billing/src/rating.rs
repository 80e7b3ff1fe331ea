//! Bills recomputed: what an event's quantities cost by the price that its revision had.

use crate::rows;
use domain::name::is_printable;
use domain::price::{self, Schedule};
use domain::time::Timestamp;
use prost::Message;
use proto::convert::feed::sell_price_from_proto;
use proto::convert::usage;
use proto::feed::v1::SellPrice;
use proto::usage::v1::{PriceRef, UsageEvent};
use sqlx::AnyConnection;
use std::collections::HashMap;
use std::sync::Arc;
use storage::StorageError;

/// Prices that are remembered at most.
const REMEMBERED_MAX: usize = 10_000;

/// What every price was, read once.
#[derive(Debug, Default)]
pub(crate) struct PriceHistory(HashMap<PriceRef, Option<Arc<Schedule>>>);

impl PriceHistory {
    /// The schedule that an event was promised; `None` when there is none, or none that can be read.
    pub(crate) async fn schedule(
        &mut self,
        connection: &mut AnyConnection,
        event: &UsageEvent,
    ) -> Result<Option<Arc<Schedule>>, StorageError> {
        let Some(price) = &event.price else { return Ok(None) };
        if let Some(schedule) = self.0.get(price) {
            return Ok(schedule.clone());
        }
        let schedule = read(connection, price).await?.map(Arc::new);
        if self.0.len() >= REMEMBERED_MAX {
            self.0.clear();
        }
        self.0.insert(price.clone(), schedule.clone());
        Ok(schedule)
    }
}

async fn read(
    connection: &mut AnyConnection,
    price: &PriceRef,
) -> Result<Option<Schedule>, StorageError> {
    let names = [&price.model, &price.upstream, &price.entity, &price.audience, &price.org];
    if !names.into_iter().all(|name| is_printable(name)) {
        return Ok(None);
    }
    let row = sqlx::query(
        "SELECT body FROM price WHERE revision = $1 AND model = $2 AND upstream = $3
         AND entity = $4 AND audience = $5 AND org = $6",
    )
    .bind(rows::stored(price.revision))
    .bind(price.model.as_str())
    .bind(price.upstream.as_str())
    .bind(price.entity.as_str())
    .bind(price.audience.as_str())
    .bind(price.org.as_str())
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let body = hex::decode(rows::text(&row, "body")?).unwrap_or_default();
    let price = SellPrice::decode(body.as_slice()).ok();
    Ok(price.and_then(|price| sell_price_from_proto(price).ok()).map(|price| price.schedule))
}

/// One value of an event that is not what its quantities and its price make it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Misrated {
    pub(crate) field: String,
    pub(crate) expected: String,
    pub(crate) found: String,
}

impl Misrated {
    fn new(field: impl Into<String>, expected: impl ToString, found: impl ToString) -> Self {
        Self { field: field.into(), expected: expected.to_string(), found: found.to_string() }
    }
}

/// Computes an event's bill again. Empty when it agrees.
pub(crate) fn check(event: &UsageEvent, schedule: Option<&Schedule>) -> Vec<Misrated> {
    let metered = match usage::metered(&event.lines) {
        Ok(metered) => metered,
        Err(error) => return vec![Misrated::new("lines", "readable lines", error)],
    };
    let admitted = Timestamp(event.admitted_us);
    let quantities = metered.quantities;
    let rates = schedule
        .and_then(|schedule| schedule.at(admitted))
        .map(|card| card.rates(quantities.input_total(), admitted));
    let rates = match rates {
        Some(rates) => rates,
        // What used nothing costs nothing, whatever the price.
        None if quantities.nonzero().next().is_none() => price::Rates::NONE,
        None => return vec![Misrated::new("price", price_name(event), "no price in effect")],
    };
    let mut wrong = match price::cost(&rates, &quantities) {
        Err(error) => return vec![Misrated::new("price", price_name(event), error)],
        Ok(cost) => check_charge(event, cost.get()),
    };
    for line in &event.lines {
        let unit = domain::tokens::TokenClass::parse(&line.class)
            .and_then(|class| rates.effective(class))
            .map(domain::money::Nano::get);
        if unit.is_some_and(|unit| unit != line.unit_nano_per_million) {
            let field = format!("lines[{}].unit_nano_per_million", line.class);
            wrong.push(Misrated::new(field, unit.unwrap_or_default(), line.unit_nano_per_million));
        }
    }
    wrong
}

fn check_charge(event: &UsageEvent, cost: i64) -> Vec<Misrated> {
    let told = i128::from(event.charge_nano).saturating_add(i128::from(event.uncollected_nano));
    if told == i128::from(cost) {
        Vec::new()
    } else {
        vec![Misrated::new("charge_nano + uncollected_nano", cost, told)]
    }
}

fn price_name(event: &UsageEvent) -> String {
    event.price.as_ref().map_or_else(
        || "a price".to_owned(),
        |price| format!("the price of {} on {} at {}", price.model, price.upstream, price.revision),
    )
}
