//! Write-offs of missing usage events by operators: billing steps over them, and the audit record and the kept answer go into
//! the same transaction.

use super::Authority;
use super::call::Call;
use crate::audit::Entry;
use crate::errors::{AdminError, Failure, Refusal};
use billing::{GapName, UsageGap, WriteOff, WriteOffError};
use domain::id::Partition;
use proto::admin::v1;
use std::sync::Arc;
use storage::Write;

impl Authority {
    /// Gives up events that no spool has any more.
    pub(crate) async fn write_off(
        self: &Arc<Self>,
        call: Call,
        request: v1::WriteOffUsageRequest,
    ) -> Result<v1::UsageGap, AdminError> {
        let this = Arc::clone(self);
        super::apart(async move {
            let done = this.run_write_off(&call, request).await;
            this.told(&call, done).await
        })
        .await
    }

    async fn run_write_off(
        &self,
        call: &Call,
        request: v1::WriteOffUsageRequest,
    ) -> Result<v1::UsageGap, AdminError> {
        self.refuse_when_stopping()?;
        let state = self.state.lock().await;
        if let Some(earlier) = self.answers.earlier(&self.db, call).await? {
            return Ok(earlier);
        }
        let order = self.order(request)?;
        let mut write = self.db.write().await?;
        let given_up = match self.try_write_off(&mut write, call, &order).await {
            Ok(gap) if !call.validate_only => gap,
            other => {
                super::undo(write).await;
                return other.map(shown);
            }
        };
        let entry = Entry {
            resource: format!("UsageGap {}", name(&order.gap)),
            detail: format!("written off: {}", order.reason),
            ..Entry::default()
        };
        let answer = shown(given_up);
        self.conclude(write, call, &[entry], &answer).await?;
        drop(state);
        Ok(answer)
    }

    async fn try_write_off(
        &self,
        write: &mut Write,
        call: &Call,
        order: &WriteOff,
    ) -> Result<UsageGap, AdminError> {
        self.expect_unchanged(write, &call.caller).await?;
        let given_up = billing::write_off(write, order, crate::now()).await;
        given_up.map_err(|error| refused(&order.gap, error))
    }

    fn order(&self, request: v1::WriteOffUsageRequest) -> Result<WriteOff, Refusal> {
        let reason = self.reason(&request.reason)?;
        let gap = GapName {
            data_plane: request.data_plane,
            incarnation: request.incarnation,
            partition: Partition(request.partition),
            from_seq: request.from_seq,
            to_seq: request.to_seq,
        };
        Ok(WriteOff { gap, reason, age_min: self.limits().write_off_after })
    }

    /// Why somebody gives something up, for the audit chain.
    pub(super) fn reason(&self, said: &str) -> Result<String, Refusal> {
        let (reason, bytes) = (said.trim(), self.limits().reason_bytes_max);
        if reason.is_empty() || reason.contains(char::is_control) || reason.len() > bytes {
            let remedy = format!("say why, on one line of at most {bytes} bytes");
            return Err(Refusal::Argument { field: "reason", reason: remedy });
        }
        Ok(reason.to_owned())
    }
}

/// A gap, as the wire has it.
pub(crate) fn shown(gap: UsageGap) -> v1::UsageGap {
    let UsageGap { name, since, written_off } = gap;
    let (written_off_at, reason) = written_off
        .map(|given_up| (crate::rfc3339(given_up.at), given_up.reason))
        .unwrap_or_default();
    v1::UsageGap {
        data_plane: name.data_plane,
        incarnation: name.incarnation,
        partition: name.partition.0,
        from_seq: name.from_seq,
        to_seq: name.to_seq,
        since: crate::rfc3339(since),
        written_off_at,
        reason,
    }
}

/// As the audit chain and errors call it.
fn name(gap: &GapName) -> String {
    let GapName { data_plane, incarnation, partition, from_seq, to_seq } = gap;
    format!("{data_plane}:{incarnation}:{}:{from_seq}-{to_seq}", partition.0)
}

fn refused(gap: &GapName, error: WriteOffError) -> AdminError {
    match error {
        WriteOffError::Storage(error) => Failure::from(error).into(),
        WriteOffError::NotMissing | WriteOffError::WrittenOff | WriteOffError::Young { .. } => {
            Refusal::UsageGap { gap: name(gap), reason: error.to_string() }.into()
        }
    }
}
