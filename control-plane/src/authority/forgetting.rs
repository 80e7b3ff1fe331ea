//! The word of operators that a data plane can never dispatch again: taken with its audit record and the kept answer in one
//! transaction. What it held is given up by the desk.

use super::Authority;
use super::call::Call;
use crate::audit::Entry;
use crate::errors::{AdminError, Failure, Refusal};
use billing::{ForgetError, ForgetOrder, Forgotten};
use domain::money::Money;
use domain::name::check_data_plane;
use proto::admin::v1;
use std::sync::Arc;
use storage::Write;

impl Authority {
    /// Takes the word, or says how far it has come: said twice, it is taken once.
    pub(crate) async fn forget(
        self: &Arc<Self>,
        call: Call,
        request: v1::ForgetDataPlaneRequest,
    ) -> Result<v1::ForgetDataPlaneResponse, AdminError> {
        let this = Arc::clone(self);
        super::apart(async move {
            let done = this.run_forget(&call, request).await;
            this.told(&call, done).await
        })
        .await
    }

    async fn run_forget(
        &self,
        call: &Call,
        request: v1::ForgetDataPlaneRequest,
    ) -> Result<v1::ForgetDataPlaneResponse, AdminError> {
        self.refuse_when_stopping()?;
        let state = self.state.lock().await;
        if let Some(earlier) = self.answers.earlier(&self.db, call).await? {
            return Ok(earlier);
        }
        let order = self.forget_order(request)?;
        let mut write = self.db.write().await?;
        let (lives, is_new) = match self.try_forget(&mut write, call, &order).await {
            Ok(done) => done,
            Err(error) => {
                super::undo(write).await;
                return Err(error);
            }
        };
        let lives = lives.into_iter().map(|life| shown(&order.data_plane, life)).collect();
        let answer = v1::ForgetDataPlaneResponse { lives };
        if call.validate_only {
            super::undo(write).await;
            return Ok(answer);
        }
        let entry = Entry {
            resource: format!("DataPlane {}", name(&order)),
            detail: format!("to be forgotten: {}", order.reason),
            ..Entry::default()
        };
        let entries = if is_new { vec![entry] } else { Vec::new() };
        self.conclude(write, call, &entries, &answer).await?;
        drop(state);
        Ok(answer)
    }

    async fn try_forget(
        &self,
        write: &mut Write,
        call: &Call,
        order: &ForgetOrder,
    ) -> Result<(Vec<Forgotten>, bool), AdminError> {
        self.expect_unchanged(write, &call.caller).await?;
        let forgotten = billing::forget(write, order, &self.settings.patience).await;
        forgotten.map_err(|error| refused(order, error))
    }

    fn forget_order(&self, request: v1::ForgetDataPlaneRequest) -> Result<ForgetOrder, Refusal> {
        let reason = self.reason(&request.reason)?;
        check_data_plane(&request.data_plane)
            .map_err(|bad| Refusal::Argument { field: "data_plane", reason: bad.to_string() })?;
        let incarnation = (request.incarnation > 0).then_some(request.incarnation);
        Ok(ForgetOrder { data_plane: request.data_plane, incarnation, reason })
    }
}

/// As the audit chain and errors call it.
fn name(order: &ForgetOrder) -> String {
    match order.incarnation {
        Some(incarnation) => format!("{}:{incarnation}", order.data_plane),
        None => order.data_plane.clone(),
    }
}

fn shown(data_plane: &str, life: Forgotten) -> v1::DataPlaneLife {
    let amounts = |amounts: Vec<Money>| amounts.iter().map(ToString::to_string).collect();
    v1::DataPlaneLife {
        data_plane: data_plane.to_owned(),
        incarnation: life.incarnation,
        state: life.state.name().to_owned(),
        heard: crate::rfc3339(life.heard),
        held: amounts(life.held),
        given_up: amounts(life.given_up),
        missing_events: life.missing_events,
        kept_events: life.kept_events,
    }
}

fn refused(order: &ForgetOrder, error: ForgetError) -> AdminError {
    match error {
        ForgetError::Storage(error) => Failure::from(error).into(),
        ForgetError::Unknown | ForgetError::Alive { .. } => {
            Refusal::DataPlane { name: name(order), reason: error.to_string() }.into()
        }
    }
}
