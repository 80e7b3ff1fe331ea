//! What a model is offered as: its other names, what it may be asked, and the parameters that it honours.

use super::findings::{Findings, Subject};
use crate::catalog::Catalog;
use crate::config::{Kind, Model};
use crate::name;
use crate::operation::Operation;
use std::collections::{BTreeMap, BTreeSet};

impl Catalog {
    pub(super) fn check_offers(&self, findings: &mut Findings) {
        let mut aliases: BTreeMap<&str, &str> = BTreeMap::new();
        for model in self.models.values() {
            let mut subject = findings.about(Kind::Model, &model.name);
            for alias in &model.aliases {
                subject.expect("aliases", name::check(alias));
                let own = !self.models.contains_key(alias);
                let reason = format!("\"{alias}\" is the name of a model: choose another");
                subject.require(own, "aliases", reason);
                if let Some(other) = aliases.insert(alias, &model.name) {
                    let reason = format!("\"{alias}\" is an alias of \"{other}\": use it once");
                    subject.refuse("aliases", reason);
                }
            }
            check_operations(&mut subject, model);
            check_parameters(&mut subject, model);
        }
    }
}

fn check_operations(subject: &mut Subject<'_>, model: &Model) {
    let possible = Operation::of_outputs(&model.output_modalities);
    for operation in &model.operations {
        let reason = format!("{} needs other output_modalities", operation.name());
        subject.require(possible.contains(operation), "operations", reason);
    }
    let distinct: BTreeSet<_> = model.operations.iter().collect();
    let once = distinct.len() == model.operations.len();
    subject.require(once, "operations", "one is listed twice: remove it");
}

fn check_parameters(subject: &mut Subject<'_>, model: &Model) {
    let of_routes = model.routes.iter().map(|route| &route.supported_parameters);
    for list in of_routes.chain([&model.supported_parameters]) {
        let plain = |name: &String| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let are_names = list.iter().all(|name| !name.is_empty() && plain(name));
        let reason = "must be names of request fields, for instance temperature";
        subject.require(are_names, "supported_parameters", reason);
    }
}
