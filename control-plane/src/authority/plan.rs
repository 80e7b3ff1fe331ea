//! From what callers ask to what becomes of each object: looks the object up, checks existence and etag, merges masks,
//! makes secrets. Whether the result fits together is `judge`'s business.

use super::reach::Reach;
use super::step::{Fate, Step};
use crate::authority::accounts;
use crate::errors::{AdminError, Failure, Refusal};
use crate::key_secret::{self, Foreign};
use crate::mask::{self, Masks};
use crate::operator::{Caller, Scope};
use crate::resource::{Parts, Spec};
use crate::rows::{self, Minted, Row};
use crate::settings::ControlPlaneSettings;
use domain::catalog::Catalog;
use domain::config::Kind;
use domain::key::{KeyDigest, PreviousDigest};
use domain::time::Timestamp;
use links::seal::{seal, unseal};
use std::collections::BTreeSet;
use std::time::Duration;
use storage::Write;

/// Names of keys or operators that are told when they keep something from being deleted.
const NAMES_TOLD: u32 = 5;

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
            (Step::Import(parts, foreign), before) => self.import(parts, foreign, before).await,
            (Step::Put(parts), None) => {
                reach.expect_new(&parts)?;
                self.put_new(parts)
            }
            (Step::Put(parts), Some(before)) => self.replace(before, parts, &[]),
            (Step::Update(parts, mask), Some(before)) => self.replace(before, parts, &mask),
            (Step::Rotate { etag, overlap, .. }, Some(before)) => {
                self.rotate(before, &etag, overlap)
            }
            (Step::Delete { etag, .. }, Some(before)) => self.delete(before, &etag).await,
            (Step::Create(parts), Some(_)) => {
                Err(Refusal::AlreadyExists { kind, name: parts.name }.into())
            }
            (
                Step::Update(Parts { name, .. }, _)
                | Step::Rotate { name, .. }
                | Step::Delete { name, .. },
                None,
            ) => Err(Refusal::NotFound { kind, name }.into()),
        }?;
        reach.expect_own(fate.row())?;
        Ok(fate)
    }

    /// An import can be repeated, but changes nothing that is there.
    async fn import(
        &mut self,
        parts: Parts,
        foreign: Option<Foreign>,
        before: Option<Row>,
    ) -> Result<Fate, AdminError> {
        let digests = foreign.map(|foreign| foreign.digests(&self.settings.pepper));
        let refused = |field, reason: &str| Refusal::field(Kind::Key, &parts.name, field, reason);
        if let Some(before) = before {
            let differs = |digest: &KeyDigest| before.secret != digest.0;
            if digests.is_some_and(|digests| digests.iter().all(differs)) {
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
        let Some(digests) = digests else { return self.create(parts) };
        for digest in &digests {
            if rows::is_taken(self.connection, *digest).await? {
                return Err(refused("secret", "it is the secret of another key already").into());
            }
        }
        match self.create(parts)? {
            Fate::Created { after, .. } => {
                let digest = digests.first().map(|digest| digest.0.to_vec()).unwrap_or_default();
                let after = Row { secret: digest, ..after };
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
            previous: None,
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
        Ok(Fate::Updated { before: Box::new(before), after, secret: None })
    }

    /// At most one secret of before is good beside the present one: a rotation that was repeated because its answer was
    /// lost must not end the one that clients use.
    fn rotate(&self, before: Row, etag: &str, overlap: Duration) -> Result<Fate, AdminError> {
        check_etag(&before, etag)?;
        let running = before.previous.filter(|previous| previous.until > self.now);
        if let Some(PreviousDigest { until, .. }) = running.filter(|_| !overlap.is_zero()) {
            return Err(Refusal::StillRotating { name: before.name, until }.into());
        }
        let org = if let Spec::Key(key) = &before.spec { key.org.as_str() } else { "" };
        let (secret, digest) = key_secret::make(self.key_prefix(org), &self.settings.pepper)?;
        let mut after = before.clone();
        after.previous = if overlap.is_zero() {
            None
        } else {
            Some(PreviousDigest { digest: stored_digest(&before)?, until: self.now.after(overlap) })
        };
        after.secret = digest.0.to_vec();
        after.rev = self.minted.revision.rev;
        after.updated = self.now;
        Ok(Fate::Updated { before: Box::new(before), after, secret: Some(secret) })
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

fn stored_digest(row: &Row) -> Result<KeyDigest, Failure> {
    row.secret.as_slice().try_into().map(KeyDigest).map_err(|_| Failure::Unreadable {
        table: "config_object",
        row: format!("{} {}", row.spec.kind(), row.name),
        reason: "the stored digest is not 16 bytes".to_owned(),
    })
}
