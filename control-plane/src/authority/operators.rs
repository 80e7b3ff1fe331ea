//! Changes of operators: nobody grants what he lacks, nobody changes an operator above him, and the owner of the token
//! file, who is no row, cannot be removed.

use super::Authority;
use super::call::{Answer, Call};
use crate::audit::Entry;
use crate::errors::{AdminError, OperatorRefusal, Refusal};
use crate::key_secret;
use crate::operator::{Operator, ROOT, Role, Scope};
use crate::rows;
use crate::settings::Secret;
use crate::state::State;
use domain::config::Kind;
use domain::time::Timestamp;
use std::sync::Arc;
use storage::Write;

/// What the tokens of operators begin with.
const TOKEN_PREFIX: &str = "op-";

/// What can be changed of an operator. None: as it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct OperatorChange {
    pub(crate) role: Option<Role>,
    pub(crate) expires: Option<Option<Timestamp>>,
    pub(crate) disabled: Option<bool>,
    /// What the caller believes that its scope is; it cannot be changed.
    pub(crate) scope: Option<Scope>,
}

/// One thing to do to one operator.
pub(crate) enum OperatorStep {
    /// It must be new.
    Create { name: String, role: Role, scope: Scope, expires: Option<Timestamp>, disabled: bool },
    /// It must be there.
    Update { name: String, etag: String, change: OperatorChange },
    /// It must be there.
    Delete { name: String, etag: String },
}

/// What became of an operator.
pub(crate) struct OperatorFate {
    /// As it is now, or as it last was.
    pub(crate) operator: Operator,
    /// Of a new one, to be shown once.
    pub(crate) token: Option<Secret>,
    entry: Option<Entry>,
}

impl Authority {
    /// Changes one operator. What it may not do is recorded, too.
    pub(crate) async fn change_operator<A: Answer>(
        self: &Arc<Self>,
        call: Call,
        step: OperatorStep,
        answer: fn(OperatorFate) -> A,
    ) -> Result<A, AdminError> {
        let this = Arc::clone(self);
        super::apart(async move {
            let done = this.run_operator(&call, step, answer).await;
            this.told(&call, done).await
        })
        .await
    }

    async fn run_operator<A: Answer>(
        &self,
        call: &Call,
        step: OperatorStep,
        answer: fn(OperatorFate) -> A,
    ) -> Result<A, AdminError> {
        self.refuse_when_stopping()?;
        // The entity or org of its scope must not be deleted meanwhile.
        let state = self.state.lock().await;
        if let Some(earlier) = self.answers.earlier(&self.db, call).await? {
            return Ok(earlier);
        }
        let mut write = self.db.write().await?;
        match self.try_operator(&state, &mut write, call, step).await {
            Ok(mut fate) if !call.validate_only => {
                let entries: Vec<Entry> = fate.entry.take().into_iter().collect();
                let answered = answer(fate);
                self.conclude(write, call, &entries, &answered).await?;
                Ok(answered)
            }
            Ok(fate) => {
                super::undo(write).await;
                Ok(answer(OperatorFate { token: None, ..fate }))
            }
            Err(error) => {
                super::undo(write).await;
                Err(error)
            }
        }
    }

    async fn try_operator(
        &self,
        state: &State,
        write: &mut Write,
        call: &Call,
        step: OperatorStep,
    ) -> Result<OperatorFate, AdminError> {
        let uid = rows::take_uid(write).await?;
        self.expect_unchanged(write, &call.caller).await?;
        let entity_of = |org: &str| state.catalog.orgs.get(org).map(|org| org.entity.clone());
        let mut desk = Desk { write, call, entity_of: &entity_of };
        match step {
            OperatorStep::Create { name, role, scope, expires, disabled } => {
                let created = crate::now();
                let new = Operator { name, uid, rev: 1, role, scope, expires, disabled, created };
                desk.create(new, &self.settings.pepper).await
            }
            OperatorStep::Update { name, etag, change } => desk.update(&name, &etag, change).await,
            OperatorStep::Delete { name, etag } => desk.delete(&name, &etag).await,
        }
    }
}

/// The rules, against the rows of the transaction.
struct Desk<'a> {
    write: &'a mut Write,
    call: &'a Call,
    entity_of: &'a (dyn Fn(&str) -> Option<String> + Sync),
}

impl Desk<'_> {
    async fn create(
        &mut self,
        new: Operator,
        pepper: &domain::key::Pepper,
    ) -> Result<OperatorFate, AdminError> {
        check_name(&new.name)?;
        self.expect_grantable(&new)?;
        self.expect_scope(&new.scope).await?;
        if new.expires.is_some_and(|at| at <= crate::now()) {
            let reason = "is over already: name a time to come, or leave it out";
            return Err(argument("operator.spec.expire_time", reason));
        }
        if rows::find_operator(self.write, &new.name).await?.is_some() {
            return Err(OperatorRefusal::Exists { name: new.name }.into());
        }
        let (token, digest) = key_secret::make(TOKEN_PREFIX, pepper)?;
        rows::insert_operator(self.write, &new, digest).await?;
        let detail = format!("{} of {}", new.role, new.scope);
        let entry = Entry { etag_after: new.etag(), detail, ..entry(&new.name) };
        Ok(OperatorFate { operator: new, token: Some(token), entry: Some(entry) })
    }

    async fn update(
        &mut self,
        name: &str,
        etag: &str,
        change: OperatorChange,
    ) -> Result<OperatorFate, AdminError> {
        let before = self.find(name, etag).await?;
        if change.scope.is_some_and(|scope| scope != before.scope) {
            let reason = "the scope of an operator cannot be changed: create another one";
            return Err(argument("operator.spec", reason));
        }
        let mut after = Operator {
            role: change.role.unwrap_or(before.role),
            expires: change.expires.unwrap_or(before.expires),
            disabled: change.disabled.unwrap_or(before.disabled),
            ..before.clone()
        };
        self.expect_grantable(&after)?;
        if after == before {
            return Ok(OperatorFate { operator: before, token: None, entry: None });
        }
        after.rev = before.rev.saturating_add(1);
        rows::update_operator(self.write, &after).await?;
        let entry = Entry {
            etag_before: before.etag(),
            etag_after: after.etag(),
            detail: changed(&before, &after),
            ..entry(name)
        };
        Ok(OperatorFate { operator: after, token: None, entry: Some(entry) })
    }

    async fn delete(&mut self, name: &str, etag: &str) -> Result<OperatorFate, AdminError> {
        let before = self.find(name, etag).await?;
        rows::delete_operator(self.write, before.uid).await?;
        let entry = Entry { etag_before: before.etag(), ..entry(name) };
        Ok(OperatorFate { operator: before, token: None, entry: Some(entry) })
    }

    /// One that the caller may change; others of his scope may only be looked at, foreign ones are not there.
    async fn find(&mut self, name: &str, etag: &str) -> Result<Operator, AdminError> {
        if name == ROOT {
            return Err(OperatorRefusal::Root.into());
        }
        let caller = &self.call.caller.operator;
        let found = rows::find_operator(self.write, name).await?;
        let found = found.filter(|found| caller.scope.holds(&found.scope.belongs(self.entity_of)));
        let Some(found) = found else {
            return Err(OperatorRefusal::NotFound { name: name.to_owned() }.into());
        };
        if !caller.role.covers(found.role) {
            return Err(self.denied(name, &format!("{name:?} is {}, which is above", found.role)));
        }
        let current = found.etag();
        if !etag.is_empty() && etag != current {
            let (name, given) = (name.to_owned(), etag.to_owned());
            return Err(OperatorRefusal::Stale { name, given, current }.into());
        }
        Ok(found)
    }

    /// Role, scope and time must be the caller's own to give.
    fn expect_grantable(&self, operator: &Operator) -> Result<(), AdminError> {
        let caller = &self.call.caller.operator;
        if !caller.role.covers(operator.role) {
            let reason = format!("the role {} is not this one's to give", operator.role);
            return Err(self.denied(&operator.name, &reason));
        }
        if !caller.scope.holds(&operator.scope.belongs(self.entity_of)) {
            let reason = format!("{} is not this one's to give", operator.scope);
            return Err(self.denied(&operator.name, &reason));
        }
        let outlives = |end: Timestamp| operator.expires.is_none_or(|at| at > end);
        match caller.expires {
            Some(end) if outlives(end) => {
                Err(self.denied(&operator.name, "it would outlive the one who grants it"))
            }
            _ => Ok(()),
        }
    }

    async fn expect_scope(&mut self, scope: &Scope) -> Result<(), AdminError> {
        let (kind, name, field) = match scope {
            Scope::Everything => return Ok(()),
            Scope::Entity(entity) => (Kind::Entity, entity, "operator.spec.entity"),
            Scope::Org(org) => (Kind::Org, org, "operator.spec.org"),
        };
        match rows::find(self.write, kind, name).await? {
            Some(_) => Ok(()),
            None => Err(argument(field, &format!("there is no {kind} {name:?}"))),
        }
    }

    fn denied(&self, name: &str, reason: &str) -> AdminError {
        self.call.caller.denied(resource(name), reason)
    }
}

fn check_name(name: &str) -> Result<(), AdminError> {
    if name == ROOT {
        return Err(OperatorRefusal::Root.into());
    }
    domain::name::check(name).map_err(|wrong| argument("operator.name", &wrong.to_string()))
}

fn changed(before: &Operator, after: &Operator) -> String {
    let fields = [
        ("role", before.role != after.role),
        ("expire_time", before.expires != after.expires),
        ("disabled", before.disabled != after.disabled),
    ];
    let changed: Vec<&str> =
        fields.into_iter().filter(|(_, is)| *is).map(|(name, _)| name).collect();
    changed.join(", ")
}

fn entry(name: &str) -> Entry {
    Entry { resource: resource(name), ..Entry::default() }
}

fn resource(name: &str) -> String {
    format!("Operator {name}")
}

fn argument(field: &'static str, reason: &str) -> AdminError {
    Refusal::Argument { field, reason: reason.to_owned() }.into()
}
