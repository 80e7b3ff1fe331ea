//! Sellers and buyers: entities, plans, orgs and keys.

use super::findings::{Findings, Subject};
use crate::catalog::Catalog;
use crate::config::{Entity, Key, Kind, Org};
use crate::jurisdiction::{Allowed, Jurisdiction};
use crate::key::PREFIX_LENGTH_MAX;
use crate::limits::LIMIT_MAX;
use crate::money::Nano;
use crate::name;
use std::collections::BTreeMap;

impl Catalog {
    pub(super) fn check_entities(&self, findings: &mut Findings) {
        let mut owner_of_prefix: BTreeMap<&str, &str> = BTreeMap::new();
        for entity in self.entities.values() {
            let mut subject = findings.about(Kind::Entity, &entity.name);
            subject.expect("name", name::check(&entity.name));
            subject.expect("display_name", name::check_display(&entity.display_name));
            refuse_nowhere(&mut subject, &entity.allowed);
            check_key_prefix(&mut subject, entity);
            if let Some(other) = owner_of_prefix.insert(&entity.key_prefix, &entity.name) {
                let reason = format!("entity {other:?} has the same: give each its own");
                subject.refuse("key_prefix", reason);
            }
        }
    }

    pub(super) fn check_plans(&self, findings: &mut Findings) {
        for plan in self.plans.values() {
            let mut subject = findings.about(Kind::Plan, &plan.name);
            subject.expect("name", name::check(&plan.name));
            let limits = [
                ("requests_per_minute", plan.requests_per_minute),
                ("tokens_per_minute", plan.tokens_per_minute),
                ("concurrency", plan.concurrency),
            ];
            for (field, limit) in limits {
                let reason = format!("must be 1 to {LIMIT_MAX}: leave it out for no limit");
                let fits = limit.is_none_or(|limit| (1..=LIMIT_MAX).contains(&limit));
                subject.require(fits, field, reason);
            }
        }
    }

    pub(super) fn check_orgs(&self, findings: &mut Findings) {
        let mut owner_of_uid: BTreeMap<i64, &str> = BTreeMap::new();
        for org in self.orgs.values() {
            let mut subject = findings.about(Kind::Org, &org.name);
            subject.expect("name", name::check(&org.name));
            subject.expect("display_name", name::check_display(&org.display_name));
            let flat = !org.name.contains('/');
            subject.require(flat, "name", "must have no '/': names of keys are org/name");
            self.check_seller(org, &mut subject);
            let planned = self.plans.contains_key(&org.plan);
            subject.require(planned, "plan", unknown(Kind::Plan, &org.plan));
            check_label(&mut subject, "audience", &org.audience);
            let positive = org.credit_limit >= Nano::ZERO;
            subject.require(
                positive,
                "credit_limit",
                "must not be negative: leave it out for none",
            );
            // A uid of 0 is one that is yet to be given.
            let twin = owner_of_uid.insert(org.uid.0, &org.name).filter(|_| org.uid.0 != 0);
            if let Some(other) = twin {
                subject.refuse("uid", format!("org {other:?} has the same: uids are never reused"));
            }
        }
    }

    fn check_seller(&self, org: &Org, subject: &mut Subject<'_>) {
        refuse_nowhere(subject, &org.allowed);
        match self.entities.get(&org.entity) {
            Some(entity) => {
                let outer = format!("entity {:?}", entity.name);
                refuse_widening(subject, &org.allowed, &entity.allowed, &outer);
            }
            None => subject.refuse("entity", unknown(Kind::Entity, &org.entity)),
        }
    }

    pub(super) fn check_key(&self, key: &Key, findings: &mut Findings) {
        let mut subject = findings.about(Kind::Key, &key.name);
        subject.expect("name", name::check(&key.name));
        let within = key.name.strip_prefix(&key.org).and_then(|rest| rest.strip_prefix('/'));
        let shaped = within.is_some_and(|own| !own.is_empty() && !own.contains('/'));
        subject.require(shaped, "name", format!("must be {}/NAME, without another '/'", key.org));
        for glob in &key.models {
            subject.expect(format_args!("models[{}]", glob.0), glob.check());
        }
        let positive = key.budget.is_none_or(|budget| budget >= Nano::ZERO);
        subject.require(positive, "budget", "must not be negative: leave it out for no limit");
        refuse_nowhere(&mut subject, &key.allowed);
        let Some(org) = self.orgs.get(&key.org) else {
            return subject.refuse("org", unknown(Kind::Org, &key.org));
        };
        refuse_widening(&mut subject, &key.allowed, &org.allowed, &format!("org {:?}", org.name));
        if let Some(entity) = self.entities.get(&org.entity) {
            let outer = format!("entity {:?}", entity.name);
            refuse_widening(&mut subject, &key.allowed, &entity.allowed, &outer);
        }
    }
}

/// What to say of a reference that leads nowhere.
pub(super) fn unknown(kind: Kind, name: &str) -> String {
    if name.is_empty() {
        format!("needed: name one {kind}")
    } else {
        format!("there is no {kind} {name:?}: create it, or name another")
    }
}

/// Labels such as audiences are compared as text, so they are held to the form of names.
pub(super) fn check_label(subject: &mut Subject<'_>, field: &str, label: &str) {
    if !label.is_empty() {
        subject.expect(field, name::check(label));
    }
}

fn check_key_prefix(subject: &mut Subject<'_>, entity: &Entity) {
    let prefix = &entity.key_prefix;
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let fits = (1..=PREFIX_LENGTH_MAX).contains(&prefix.len()) && prefix.bytes().all(plain);
    let reason = format!(
        "{prefix:?} must be 1 to {PREFIX_LENGTH_MAX} of a-z, 0-9 and '-', for instance \"sk-tp-\""
    );
    subject.require(fits, "key_prefix", reason);
}

fn refuse_nowhere(subject: &mut Subject<'_>, allowed: &Allowed) {
    let reason = "permits no place at all: name some, or leave it out for all";
    subject.require(!allowed.is_nowhere(), "allowed_jurisdictions", reason);
}

fn refuse_widening(subject: &mut Subject<'_>, inner: &Allowed, outer: &Allowed, whose: &str) {
    let beyond = inner.beyond(outer);
    if !beyond.is_empty() {
        let list = beyond.iter().map(Jurisdiction::as_str).collect::<Vec<_>>().join(", ");
        let reason = format!("{whose} does not allow {list}: remove it here, or allow it there");
        subject.refuse("allowed_jurisdictions", reason);
    }
}
