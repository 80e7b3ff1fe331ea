//! From what callers ask to what becomes of each object: looks the object up, checks existence and etag, merges masks,
//! makes secrets. Whether the result fits together is `judge`'s business.

use super::reach::Reach;
use crate::audit::Entry;
use crate::authority::accounts;
use crate::errors::{AdminError, Refusal};
use crate::key_secret;
use crate::mask::{self, Masks};
use crate::operator::{Caller, Scope};
use crate::resource::{Parts, Spec};
use crate::rows::{self, Minted, Row};
use crate::settings::{ControlPlaneSettings, Secret};
use domain::catalog::Catalog;
use domain::config::Kind;
use domain::time::Timestamp;
use links::seal::{seal, unseal};
use std::collections::BTreeSet;
use storage::Write;

/// Names of keys or operators that are told when they keep something from being deleted.
const NAMES_TOLD: u32 = 5;

/// One thing to do to one object.
pub(crate) enum Step {
    /// It must be new.
    Create(Parts),
    /// It must be there; an empty mask replaces the whole spec.
    Update(Parts, Vec<String>),
    /// Whether it is there or not.
    Put(Parts),
    /// A key that is new, or there already just like that; with the secret that it has in another system, if any.
    Import(Parts, Option<Secret>),
    /// It must be there, and nothing may need it.
    Delete {
        /// Of which kind.
        kind: Kind,
        /// Which.
        name: String,
        /// What the caller believes to be deleting; empty: whatever it is.
        etag: String,
    },
}

/// What becomes of one object.
pub(crate) enum Fate {
    /// It is new.
    Created {
        /// What is stored.
        after: Row,
        /// A key's, to be shown once.
        secret: Option<Secret>,
    },
    /// It changes.
    Updated {
        /// What was stored.
        before: Box<Row>,
        /// What is.
        after: Row,
    },
    /// It was like that already.
    Unchanged(Row),
    /// It is gone.
    Deleted(Row),
}

impl Fate {
    /// For people, and on the wire.
    pub(crate) const fn action(&self) -> &'static str {
        match self {
            Self::Created { .. } => "created",
            Self::Updated { .. } => "updated",
            Self::Unchanged(_) => "unchanged",
            Self::Deleted(_) => "deleted",
        }
    }

    /// The object as it is now, or as it last was.
    pub(crate) const fn row(&self) -> &Row {
        match self {
            Self::Created { after, .. } | Self::Updated { after, .. } => after,
            Self::Unchanged(row) | Self::Deleted(row) => row,
        }
    }

    /// The same of something that was only tried: it does not exist, and neither does its secret.
    pub(crate) fn without_secret(self) -> Self {
        match self {
            Self::Created { after, .. } => Self::Created { after, secret: None },
            other => other,
        }
    }

    /// What the audit chain says of it; `fields` are those that differ.
    pub(super) fn entry(&self, mut fields: Vec<String>) -> Option<Entry> {
        let row = self.row();
        let (before, after) = match self {
            Self::Created { after, .. } => (None, Some(after)),
            Self::Updated { before, after } => {
                if before.secret != after.secret {
                    fields.push("credential".to_owned());
                }
                (Some(before.as_ref()), Some(after))
            }
            Self::Deleted(row) => (Some(row), None),
            Self::Unchanged(_) => return None,
        };
        let etag = |row: Option<&Row>| row.map(|row| row.rev.to_string()).unwrap_or_default();
        Some(Entry {
            resource: format!("{} {}", row.spec.kind(), row.name),
            etag_before: etag(before),
            etag_after: etag(after),
            detail: fields.join(", "),
        })
    }

    /// The same, kept.
    pub(crate) fn into_row(self) -> Row {
        match self {
            Self::Created { after, .. } | Self::Updated { after, .. } => after,
            Self::Unchanged(row) | Self::Deleted(row) => row,
        }
    }
}

/// Plans against the rows of the transaction.
pub(super) struct Planner<'a> {
    pub(super) connection: &'a mut Write,
    pub(super) caller: &'a Caller,
    pub(super) catalog: &'a Catalog,
    pub(super) masks: &'a Masks,
    pub(super) settings: &'a ControlPlaneSettings,
    pub(super) minted: &'a mut Minted,
    pub(super) now: Timestamp,
    /// What goes with the same change.
    pub(super) doomed: BTreeSet<(Kind, String)>,
}

impl Planner<'_> {
    /// The fate of each object, in an order in which each refers only to earlier ones.
    pub(super) async fn plan(mut self, mut steps: Vec<Step>) -> Result<Vec<Fate>, AdminError> {
        steps.sort_by_key(Step::kind);
        refuse_repeats(&steps)?;
        let reach = Reach::new(self.caller, self.catalog, &steps);
        self.doomed = steps.iter().filter_map(Step::doomed).collect();
        let mut fates = Vec::with_capacity(steps.len());
        for step in steps {
            fates.push(self.step(&reach, step).await?);
        }
        Ok(fates)
    }

    async fn step(&mut self, reach: &Reach<'_>, step: Step) -> Result<Fate, AdminError> {
        let (kind, name) = step.target();
        if let Step::Create(parts) | Step::Import(parts, _) = &step {
            reach.expect_new(parts)?;
        }
        let before = rows::find(self.connection, kind, name).await?;
        if let Some(before) = &before {
            reach.expect_changeable(&step, before)?;
        }
        let fate = match (step, before) {
            (Step::Create(parts), None) => self.create(parts),
            (Step::Import(parts, secret), before) => self.import(parts, secret, before).await,
            (Step::Put(parts), None) => {
                reach.expect_new(&parts)?;
                self.put_new(parts)
            }
            (Step::Put(parts), Some(before)) => self.replace(before, parts, &[]),
            (Step::Update(parts, mask), Some(before)) => self.replace(before, parts, &mask),
            (Step::Delete { etag, .. }, Some(before)) => self.delete(before, &etag).await,
            (Step::Create(parts), Some(_)) => {
                Err(Refusal::AlreadyExists { kind, name: parts.name }.into())
            }
            (Step::Update(Parts { name, .. }, _) | Step::Delete { name, .. }, None) => {
                Err(Refusal::NotFound { kind, name }.into())
            }
        }?;
        reach.expect_own(fate.row())?;
        Ok(fate)
    }

    /// An import can be repeated, but changes nothing that is there.
    async fn import(
        &mut self,
        parts: Parts,
        secret: Option<Secret>,
        before: Option<Row>,
    ) -> Result<Fate, AdminError> {
        let digest = secret
            .map(|secret| key_secret::of_another_system(secret.expose(), &self.settings.pepper));
        let refused = |field, reason: &str| Refusal::field(Kind::Key, &parts.name, field, reason);
        if let Some(before) = before {
            if digest.is_some_and(|digest| before.secret != digest.0) {
                return Err(refused(
                    "secret",
                    "the key is there with another secret; keep that, or delete it first",
                )
                .into());
            }
            if before.spec != parts.spec {
                return Err(refused(
                    "spec",
                    "the key is there with other settings; change them with `turnpike apply`",
                )
                .into());
            }
            return Ok(Fate::Unchanged(before));
        }
        let Some(digest) = digest else { return self.create(parts) };
        if rows::is_taken(self.connection, &digest.0, &parts.name).await? {
            return Err(refused("secret", "it is the secret of another key already").into());
        }
        match self.create(parts)? {
            Fate::Created { after, .. } => {
                let after = Row { secret: digest.0.to_vec(), ..after };
                Ok(Fate::Created { after, secret: None })
            }
            other => Ok(other),
        }
    }

    fn put_new(&mut self, parts: Parts) -> Result<Fate, AdminError> {
        if parts.spec.kind() != Kind::Key {
            return self.create(parts);
        }
        let reason = "no such key: make it with `turnpike key create`, which shows its secret once; apply can only change it";
        Err(Refusal::field(Kind::Key, &parts.name, "name", reason).into())
    }

    fn create(&mut self, parts: Parts) -> Result<Fate, AdminError> {
        let Parts { name, mut spec, .. } = parts;
        let (stored, shown) = match &mut spec {
            Spec::Upstream(upstream) => {
                let credential = std::mem::take(&mut upstream.credential);
                (self.sealed(&name, &credential, &[]), None)
            }
            Spec::Key(key) => {
                let prefix = self.key_prefix(&key.org);
                let (secret, digest) = key_secret::make(prefix, &self.settings.pepper)?;
                (digest.0.to_vec(), Some(secret))
            }
            _ => (Vec::new(), None),
        };
        let after = Row {
            name,
            uid: self.minted.take_uid(),
            rev: self.minted.revision.rev,
            spec,
            secret: stored,
            created: self.now,
            updated: self.now,
        };
        Ok(Fate::Created { after, secret: shown })
    }

    fn replace(&self, before: Row, parts: Parts, mask: &[String]) -> Result<Fate, AdminError> {
        check_etag(&before, &parts.etag)?;
        let mut after = before.clone();
        after.spec = self.masks.merge(&before.spec, &parts.spec, mask)?;
        if let Spec::Upstream(upstream) = &mut after.spec {
            let credential = std::mem::take(&mut upstream.credential);
            if !credential.is_empty() || mask::names(mask, "credential") {
                after.secret = self.sealed(&before.name, &credential, &before.secret);
            }
        }
        if after.spec == before.spec && after.secret == before.secret {
            return Ok(Fate::Unchanged(before));
        }
        after.rev = self.minted.revision.rev;
        after.updated = self.now;
        Ok(Fate::Updated { before: Box::new(before), after })
    }

    async fn delete(&mut self, before: Row, etag: &str) -> Result<Fate, AdminError> {
        check_etag(&before, etag)?;
        let (kind, name) = (before.spec.kind(), before.name.as_str());
        let referrers = self.catalog.referrers(kind, name);
        let stays = |kind: Kind, name: &String| !self.doomed.contains(&(kind, name.clone()));
        let mut needed_by: Vec<String> = referrers
            .iter()
            .filter(|(kind, name)| stays(*kind, name))
            .map(|(kind, name)| format!("{kind} {name:?} refers to it"))
            .collect();
        if kind == Kind::Org {
            let doomed = u32::try_from(self.doomed.len()).unwrap_or(u32::MAX);
            let most = NAMES_TOLD.saturating_add(doomed);
            let keys = rows::first_keys_of(self.connection, name, most).await?;
            let keys = keys.iter().filter(|key| stays(Kind::Key, key));
            needed_by.extend(keys.map(|key| format!("it has the key {key:?}")));
            let money = accounts::what_keeps(self.connection, before.uid).await?;
            needed_by.extend(money.map(str::to_owned));
        }
        needed_by.extend(self.operators_of(kind, name).await?);
        if needed_by.is_empty() {
            return Ok(Fate::Deleted(before));
        }
        Err(Refusal::InUse { kind, name: before.name, needed_by }.into())
    }

    /// An org that was made again under the name of another must not come with the other's operators.
    async fn operators_of(&mut self, kind: Kind, name: &str) -> Result<Vec<String>, AdminError> {
        let scope = match kind {
            Kind::Entity => Scope::Entity(name.to_owned()),
            Kind::Org => Scope::Org(name.to_owned()),
            _ => return Ok(Vec::new()),
        };
        let operators = rows::operators_of(self.connection, &scope, NAMES_TOLD).await?;
        let told = operators.iter().map(|operator| format!("operator {operator:?} is its own"));
        Ok(told.collect())
    }

    /// Sealed anew only when it differs, because a seal is never the same twice and would look like a change.
    fn sealed(&self, upstream: &str, credential: &str, before: &[u8]) -> Vec<u8> {
        let key = &self.settings.seal_key;
        if credential.is_empty() {
            return Vec::new();
        }
        if unseal(key, upstream, before).is_ok_and(|plain| plain == credential.as_bytes()) {
            return before.to_vec();
        }
        seal(key, upstream, credential.as_bytes())
    }

    /// Empty when the org is not there; then the key is refused anyway.
    fn key_prefix(&self, org: &str) -> &str {
        let entity = self.catalog.orgs.get(org).map(|org| &org.entity);
        let entity = entity.and_then(|name| self.catalog.entities.get(name));
        entity.map_or("", |entity| &entity.key_prefix)
    }
}

impl Step {
    /// Of which kind the object is.
    pub(crate) fn kind(&self) -> Kind {
        self.target().0
    }

    fn doomed(&self) -> Option<(Kind, String)> {
        match self {
            Self::Delete { kind, name, .. } => Some((*kind, name.clone())),
            Self::Create(_) | Self::Update(..) | Self::Put(_) | Self::Import(..) => None,
        }
    }

    pub(super) fn target(&self) -> (Kind, &str) {
        match self {
            Self::Create(parts)
            | Self::Update(parts, _)
            | Self::Put(parts)
            | Self::Import(parts, _) => (parts.spec.kind(), &parts.name),
            Self::Delete { kind, name, .. } => (*kind, name),
        }
    }
}

fn refuse_repeats(steps: &[Step]) -> Result<(), Refusal> {
    let mut seen = BTreeSet::new();
    match steps.iter().map(Step::target).find(|target| !seen.insert(*target)) {
        None => Ok(()),
        Some((kind, name)) => {
            Err(Refusal::field(kind, name, "name", "is in this request twice; keep one of them"))
        }
    }
}

fn check_etag(before: &Row, given: &str) -> Result<(), Refusal> {
    let current = before.rev.to_string();
    if given.is_empty() || given == current {
        return Ok(());
    }
    Err(Refusal::Stale {
        kind: before.spec.kind(),
        name: before.name.clone(),
        given: given.to_owned(),
        current,
    })
}
