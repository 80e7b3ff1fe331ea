//! Entities, as operators write them.

use super::Reader;
use domain::catalog::Violation;
use domain::config::{Entity, Kind};
use domain::jurisdiction::{Allowed, Jurisdiction};
use domain::money::Currency;
use proto::admin::v1::{Charge, EntitySpec};

pub(super) fn read(name: &str, spec: &EntitySpec) -> Result<Entity, Vec<Violation>> {
    let mut reader = Reader::new(Kind::Entity, name);
    let jurisdiction = reader.field("jurisdiction", Jurisdiction::parse(&spec.jurisdiction));
    let currency = reader.field("currency", Currency::parse(&spec.currency));
    let allowed =
        reader.field("allowed_jurisdictions", Allowed::parse(&spec.allowed_jurisdictions));
    let empty = reader.field("empty_answer", is_charged(spec.empty_answer));
    let cut = reader.field("cut_answer", is_charged(spec.cut_answer));
    reader.finish(|| {
        Some(Entity {
            name: name.to_owned(),
            display_name: spec.display_name.clone(),
            jurisdiction: jurisdiction?,
            currency: currency?,
            key_prefix: spec.key_prefix.clone(),
            allowed: allowed?,
            charge_empty_answers: empty?,
            charge_cut_answers: cut?,
        })
    })
}

fn is_charged(charge: i32) -> Result<bool, &'static str> {
    match Charge::try_from(charge) {
        Ok(Charge::Unspecified | Charge::Delivered) => Ok(true),
        Ok(Charge::Nothing) => Ok(false),
        Err(_) => Err("unknown: use CHARGE_DELIVERED or CHARGE_NOTHING"),
    }
}
