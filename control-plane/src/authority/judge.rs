//! Whether the configuration is still right after a change, by the rules of `domain`, and what the change means to data
//! planes. Pure: no rows are read or written here.

use super::step::Fate;
use crate::errors::Refusal;
use crate::read;
use crate::resource::Spec;
use crate::rows::Row;
use crate::state::{State, compile_at, key_change};
use domain::catalog::{Object, Violation};
use domain::config::{Key, Kind};
use domain::id::{KeyUid, Revision};
use domain::network::Networks;
use domain::snapshot::{Change, Tombstone};
use std::sync::Arc;

/// A change that may be recorded.
pub(super) struct Draft {
    /// What becomes of each object.
    pub(super) fates: Vec<Fate>,
    /// The configuration after it.
    pub(super) next: State,
    /// What data planes are told.
    pub(super) changes: Vec<Change>,
}

impl Draft {
    /// Whether there is anything to record.
    pub(super) fn changes_anything(&self) -> bool {
        self.fates.iter().any(|fate| !matches!(fate, Fate::Unchanged(_)))
    }

    /// What is allowed and hardly meant, of a change of more than keys.
    pub(super) fn warnings(&self, state: &State) -> Vec<String> {
        if Arc::ptr_eq(&self.next.catalog, &state.catalog) {
            return Vec::new();
        }
        self.next.catalog.at_cost().iter().map(ToString::to_string).collect()
    }
}

/// Judges the fates of some objects, as revision `at`.
pub(super) fn judge(
    fates: Vec<Fate>,
    state: &State,
    at: Revision,
    networks: &Networks,
) -> Result<Draft, Refusal> {
    let mut next = State { at, ..state.clone() };
    let outcome = read_into(&mut next, &fates, networks).and_then(|keys| {
        check(&mut next, state, &keys)?;
        Ok(keys)
    });
    match outcome {
        Ok(keys) => {
            let changes = changes(state, &next, keys, &fates);
            Ok(Draft { fates, next, changes })
        }
        Err(violations) => Err(refusal(&fates, violations)),
    }
}

/// Puts what is written into the catalog and takes out what is deleted. Returns the keys that are written.
fn read_into(
    next: &mut State,
    fates: &[Fate],
    networks: &Networks,
) -> Result<Vec<Key>, Vec<Violation>> {
    let mut keys = Vec::new();
    let mut violations = Vec::new();
    for fate in fates {
        match fate {
            Fate::Created { after, .. } | Fate::Updated { after, .. } => {
                match read::object(&next.catalog, after) {
                    Ok(object) => {
                        violations.extend(closed(&object, networks));
                        keys.extend(put(next, object, after));
                    }
                    Err(wrong) => violations.extend(wrong),
                }
            }
            Fate::Deleted(row) => remove(next, row),
            Fate::Unchanged(_) => {}
        }
    }
    if violations.is_empty() { Ok(keys) } else { Err(violations) }
}

/// An upstream where none may be. Only what is written is asked, so that a setting that was narrowed keeps no control plane
/// from starting; data planes ask again before they dial.
fn closed(object: &Object, networks: &Networks) -> Option<Violation> {
    let Object::Upstream(upstream) = object else {
        return None;
    };
    let closed = networks.permit_url(&upstream.base_url).err()?;
    Some(Violation {
        kind: Kind::Upstream,
        name: upstream.name.clone(),
        field: "base_url".to_owned(),
        reason: closed.to_string(),
    })
}

/// The catalog is copied by the first object that goes into it: a change of keys alone copies nothing.
fn put(next: &mut State, object: Object, row: &Row) -> Option<Key> {
    match object {
        Object::Key(key) => return Some(key),
        Object::Model(_) => {
            Arc::make_mut(&mut next.created).insert(row.name.clone(), row.created);
        }
        _ => {}
    }
    Arc::make_mut(&mut next.catalog).put(object)
}

fn remove(next: &mut State, row: &Row) {
    let kind = row.spec.kind();
    if kind == Kind::Model {
        Arc::make_mut(&mut next.created).remove(&row.name);
    }
    if kind != Kind::Key {
        Arc::make_mut(&mut next.catalog).remove(kind, &row.name);
    }
}

/// Compiles the catalog, which validates it, unless only keys change.
fn check(next: &mut State, state: &State, keys: &[Key]) -> Result<(), Vec<Violation>> {
    let mut violations = Vec::new();
    if !Arc::ptr_eq(&next.catalog, &state.catalog) {
        match compile_at(&next.catalog, next.at.rev, &next.created, &state.compiled) {
            Ok(compiled) => next.compiled = Arc::new(compiled),
            Err(wrong) => violations = wrong,
        }
        violations.extend(next.catalog.validate_change(&state.catalog));
    }
    violations.extend(keys.iter().flat_map(|key| next.catalog.validate_key(key)));
    if violations.is_empty() { Ok(()) } else { Err(violations) }
}

/// In an order in which nothing points at what is not there yet, or no longer: puts, keys, keys that go, the rest that
/// goes.
fn changes(state: &State, next: &State, keys: Vec<Key>, fates: &[Fate]) -> Vec<Change> {
    let mut changes = if Arc::ptr_eq(&next.compiled, &state.compiled) {
        Vec::new()
    } else {
        next.compiled.changes_from(&state.compiled)
    };
    let puts = changes.iter().take_while(|change| !matches!(change, Change::Tombstone(_))).count();
    let gone = changes.split_off(puts);
    changes.extend(keys.into_iter().filter_map(|key| key_change(&next.catalog, key)));
    changes.extend(fates.iter().filter_map(key_tombstone));
    changes.extend(gone);
    changes
}

fn key_tombstone(fate: &Fate) -> Option<Change> {
    match fate {
        Fate::Deleted(Row { uid, spec: Spec::Key(_), .. }) => {
            Some(Change::Tombstone(Tombstone::Key(KeyUid(*uid))))
        }
        _ => None,
    }
}

/// What a deletion breaks is no fault of the request's fields: something else needs the object.
fn refusal(fates: &[Fate], mut violations: Vec<Violation>) -> Refusal {
    violations.sort();
    violations.dedup();
    match fates {
        [Fate::Deleted(row)] => Refusal::InUse {
            kind: row.spec.kind(),
            name: row.name.clone(),
            needed_by: violations.iter().map(ToString::to_string).collect(),
        },
        _ => Refusal::Invalid(violations),
    }
}
