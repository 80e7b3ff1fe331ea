//! Exchange rates, as operators write them.

use super::{Reader, decimal};
use domain::catalog::Violation;
use domain::config::{FxRate, Kind};
use domain::money::Currency;
use proto::admin::v1::FxRateSpec;

const RATE_DECIMALS: u32 = 10;

pub(super) fn read(name: &str, spec: &FxRateSpec) -> Result<FxRate, Vec<Violation>> {
    let mut reader = Reader::new(Kind::FxRate, name);
    let base = reader.field("base", Currency::parse(&spec.base));
    let quote = reader.field("quote", Currency::parse(&spec.quote));
    let rate_e10 = reader.field("rate", decimal(&spec.rate, RATE_DECIMALS));
    reader.finish(|| {
        Some(FxRate {
            name: name.to_owned(),
            base: base?,
            quote: quote?,
            rate_e10: rate_e10?,
            source: spec.source.clone(),
        })
    })
}
