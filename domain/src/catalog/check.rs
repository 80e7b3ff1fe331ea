//! Whether objects fit together. Each violation names the object, the field and the remedy.

mod findings;
mod offers;
mod parties;
mod prices;
mod routes;
mod supply;

use super::{Catalog, Violation};
use crate::config::{Key, Kind};
use findings::Findings;

impl Catalog {
    /// All that is wrong, in order of kind and name. Empty: the catalog may be compiled, which can then fail only by
    /// prices out of range.
    #[must_use]
    pub fn validate(&self) -> Vec<Violation> {
        let mut findings = Findings::default();
        self.check_entities(&mut findings);
        self.check_plans(&mut findings);
        self.check_orgs(&mut findings);
        self.check_upstreams(&mut findings);
        self.check_models(&mut findings);
        self.check_offers(&mut findings);
        self.check_price_books(&mut findings);
        self.check_fx_rates(&mut findings);
        self.check_markup_rules(&mut findings);
        self.check_routes(&mut findings);
        findings.into_sorted()
    }

    /// All that is wrong with a key, given the rest of the configuration.
    #[must_use]
    pub fn validate_key(&self, key: &Key) -> Vec<Violation> {
        let mut findings = Findings::default();
        self.check_key(key, &mut findings);
        findings.into_sorted()
    }

    /// All that a change from `previous` to this catalog may not do, though both are valid: money does not change its
    /// currency.
    #[must_use]
    pub fn validate_change(&self, previous: &Self) -> Vec<Violation> {
        let mut findings = Findings::default();
        for org in self.orgs.values() {
            let now = self.currency_of_org(&org.name);
            let Some(before) = previous.currency_of_org(&org.name) else { continue };
            if now == Some(before) {
                continue;
            }
            let moved = previous.orgs.get(&org.name).is_some_and(|old| old.entity != org.entity);
            if moved {
                let reason = format!(
                    "its wallet is in {before}, so it can only move to an entity that sells in {before}: \
                     create another org instead"
                );
                findings.about(Kind::Org, &org.name).refuse("entity", reason);
            } else {
                let reason = format!(
                    "org {:?} has a wallet in {before}: create another entity instead",
                    org.name
                );
                findings.about(Kind::Entity, &org.entity).refuse("currency", reason);
            }
        }
        findings.into_sorted()
    }
}
