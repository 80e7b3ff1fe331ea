//! Top-ups by operators: billing posts, the audit record and the kept answer go into the same transaction.

use super::Authority;
use super::call::Call;
use crate::audit::Entry;
use crate::errors::{AdminError, Failure, Refusal};
use crate::operator::Belongs;
use crate::rows;
use billing::{CreditError, CreditOrder, Credited};
use domain::config::Kind;
use domain::id::OrgUid;
use domain::money::Money;
use proto::admin::v1;
use sqlx::AnyConnection;
use std::sync::Arc;
use storage::Write;

impl Authority {
    /// Posts a top-up. An org that is deleted meanwhile, by another replica, gets none.
    pub(crate) async fn credit(
        self: &Arc<Self>,
        call: Call,
        request: v1::CreditOrgRequest,
    ) -> Result<v1::CreditOrgResponse, AdminError> {
        let this = Arc::clone(self);
        super::apart(async move {
            let done = this.run_credit(&call, request).await;
            this.told(&call, done).await
        })
        .await
    }

    async fn run_credit(
        &self,
        call: &Call,
        request: v1::CreditOrgRequest,
    ) -> Result<v1::CreditOrgResponse, AdminError> {
        let v1::CreditOrgRequest { org, amount, idempotency_key, .. } = request;
        self.refuse_when_stopping()?;
        let state = self.state.lock().await;
        if let Some(earlier) = self.answers.earlier(&self.db, call).await? {
            return Ok(earlier);
        }
        let uid = self.wallet_of(call, &org).await?;
        let amount = Money::parse(&amount).map_err(|wrong| argument("amount", wrong))?;
        let order = CreditOrder { org: uid, amount, idempotency_key };
        let credited = billing::credit(&self.db, order, crate::now())
            .await
            .map_err(|error| refused(&org, error))?;
        let (mut write, entries) = match credited {
            Credited::Repeated => (self.db.write().await?, Vec::new()),
            Credited::Posted(write) => (write, vec![posted(&org, amount)]),
        };
        match self.credited(&mut write, call, org, uid).await {
            Ok(balance) => {
                let repeated_call = entries.is_empty();
                let answer = v1::CreditOrgResponse { balance: Some(balance), repeated_call };
                self.conclude(write, call, &entries, &answer).await?;
                drop(state);
                Ok(answer)
            }
            Err(error) => {
                super::undo(write).await;
                Err(error)
            }
        }
    }

    /// What the wallet holds with it. Its row is locked by now, and a deletion of the org locks it too: either that sees
    /// the money, or this sees that the org is gone.
    async fn credited(
        &self,
        write: &mut Write,
        call: &Call,
        org: String,
        uid: OrgUid,
    ) -> Result<v1::Balance, AdminError> {
        self.expect_unchanged(write, &call.caller).await?;
        let found = rows::find(write, Kind::Org, &org).await?;
        if found.is_none_or(|row| row.uid != uid.0) {
            return Err(Refusal::NotFound { kind: Kind::Org, name: org }.into());
        }
        balance(write, org, uid).await
    }

    /// A wallet is filled from above, never by those whose it is.
    async fn wallet_of(&self, call: &Call, org: &str) -> Result<OrgUid, AdminError> {
        let mut read = self.db.read().await?;
        let found = rows::find(&mut read, Kind::Org, org).await?;
        read.finish().await?;
        let belongs = |row: &rows::Row| Belongs::of(&row.name, &row.spec, |_| None);
        let scope = &call.caller.operator.scope;
        let Some(row) = found.filter(|row| scope.reads(&belongs(row))) else {
            return Err(Refusal::NotFound { kind: Kind::Org, name: org.to_owned() }.into());
        };
        call.caller.expect_writes(&belongs(&row), || resource(org))?;
        Ok(OrgUid(row.uid))
    }
}

/// What a wallet holds, as the wire has it.
pub(crate) async fn balance(
    connection: &mut AnyConnection,
    org: String,
    uid: OrgUid,
) -> Result<v1::Balance, AdminError> {
    let Some(found) = billing::balance(connection, uid).await? else {
        let reason = "it has no wallet".to_owned();
        return Err(Refusal::Money { kind: Kind::Org, name: org, reason }.into());
    };
    Ok(v1::Balance {
        org,
        currency: found.currency.to_string(),
        posted_nano: found.posted.get(),
        held_nano: found.held.get(),
        free_nano: found.free.get(),
    })
}

fn posted(org: &str, amount: Money) -> Entry {
    Entry { resource: resource(org), detail: format!("+{amount}"), ..Entry::default() }
}

fn resource(org: &str) -> String {
    format!("{} {org}", Kind::Org)
}

fn refused(org: &str, error: CreditError) -> AdminError {
    match error {
        CreditError::Storage(error) => Failure::from(error).into(),
        CreditError::NotPositive | CreditError::Currency { .. } => argument("amount", error),
        CreditError::Key | CreditError::KeyReused(_) => argument("idempotency_key", error),
        CreditError::UnknownOrg | CreditError::OutOfRange => {
            Refusal::Money { kind: Kind::Org, name: org.to_owned(), reason: error.to_string() }
                .into()
        }
    }
}

fn argument(field: &'static str, wrong: impl std::fmt::Display) -> AdminError {
    Refusal::Argument { field, reason: wrong.to_string() }.into()
}
