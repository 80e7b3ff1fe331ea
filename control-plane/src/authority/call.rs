//! A call that changes something: who makes it, and whether it was answered before. The answer is kept in the transaction
//! of the change, sealed because it may hold a secret that is shown once, and given again to whoever repeats the call.

use crate::errors::{AdminError, Failure, Refusal};
use crate::operator::Caller;
use crate::rows::{self, AnswerRow};
use crate::settings::ControlPlaneSettings;
use domain::time::Timestamp;
use links::seal::{seal, unseal};
use prost::Message;
use storage::{Database, Write};

/// What the key of request hashes is derived for.
const REQUESTS: &str = "turnpike admin requests v1";

/// Anything that a change can be answered with.
pub(crate) trait Answer: Message + Default + 'static {}

impl<T: Message + Default + 'static> Answer for T {}

/// A call that changes something.
#[derive(Clone)]
pub(crate) struct Call {
    /// Who makes it.
    pub(crate) caller: Caller,
    /// Tells a repeated call; empty: it is not one.
    pub(crate) request_id: String,
    /// Whether all is tried and nothing done.
    pub(crate) validate_only: bool,
    /// Keyed hash of method and request.
    request: String,
}

impl Call {
    /// A trial is never remembered.
    pub(crate) fn is_remembered(&self) -> bool {
        !self.request_id.is_empty() && !self.validate_only
    }
}

/// Tells repeated calls, and answers them.
pub(crate) struct Answers {
    request_key: [u8; 32],
    seal_key: [u8; 32],
    window_us: u64,
    id_length_max: usize,
}

impl Answers {
    pub(crate) fn new(settings: &ControlPlaneSettings) -> Self {
        let window_us = settings.limits.request_id_window.as_micros();
        Self {
            request_key: blake3::derive_key(REQUESTS, &settings.pepper.0),
            seal_key: settings.seal_key,
            window_us: u64::try_from(window_us).unwrap_or(u64::MAX),
            id_length_max: settings.limits.request_id_length_max,
        }
    }

    /// The call that a request is.
    pub(crate) fn call(
        &self,
        caller: Caller,
        request_id: &str,
        validate_only: bool,
        request: &impl Message,
    ) -> Result<Call, Refusal> {
        let is_plain = request_id.bytes().all(|byte| byte.is_ascii_graphic());
        if request_id.len() > self.id_length_max || !is_plain {
            let reason = format!(
                "must be at most {} visible ASCII characters, for instance a UUID",
                self.id_length_max
            );
            return Err(Refusal::Argument { field: "request_id", reason });
        }
        let mut hasher = blake3::Hasher::new_keyed(&self.request_key);
        if !request_id.is_empty() {
            hasher.update(caller.method.as_bytes()).update(&[0]).update(&request.encode_to_vec());
        }
        let request = hasher.finalize().to_hex().to_string();
        Ok(Call { caller, request_id: request_id.to_owned(), validate_only, request })
    }

    /// What the call was answered before, if it is a repeated one.
    pub(crate) async fn earlier<A: Answer>(
        &self,
        db: &Database,
        call: &Call,
    ) -> Result<Option<A>, AdminError> {
        if !call.is_remembered() {
            return Ok(None);
        }
        let operator = call.caller.operator.uid;
        let mut read = db.read().await?;
        let found = rows::find_answer(&mut read, operator, &call.request_id).await?;
        read.finish().await?;
        let Some(row) = found.filter(|row| row.at > self.forgotten(crate::now())) else {
            return Ok(None);
        };
        if row.request != call.request {
            return Err(Refusal::RequestIdReused { id: call.request_id.clone() }.into());
        }
        let unreadable = |reason: String| Failure::Unreadable {
            table: "admin_answer",
            row: call.request_id.clone(),
            reason,
        };
        let plain = unseal(&self.seal_key, &sealed_for(call), &row.answer)
            .map_err(|wrong| unreadable(wrong.to_string()))?;
        let answer = A::decode(plain.as_slice()).map_err(|wrong| unreadable(wrong.to_string()))?;
        Ok(Some(answer))
    }

    /// Keeps the answer for as long as calls may be repeated. Of what is kept already it touches its own row alone: were it
    /// to forget others too, two replicas would wait for each other.
    pub(crate) async fn keep(
        &self,
        write: &mut Write,
        call: &Call,
        answer: &impl Answer,
    ) -> Result<(), Failure> {
        if !call.is_remembered() {
            return Ok(());
        }
        let at = crate::now();
        let operator = call.caller.operator.uid;
        rows::forget_answer(write, operator, &call.request_id, self.forgotten(at)).await?;
        let row = AnswerRow {
            request: call.request.clone(),
            answer: seal(&self.seal_key, &sealed_for(call), &answer.encode_to_vec()),
            at,
        };
        rows::insert_answer(write, operator, &call.request_id, &row).await
    }

    /// Forgets all answers whose time is over.
    pub(crate) async fn sweep(&self, db: &Database) -> Result<u64, Failure> {
        let mut write = db.write().await?;
        let forgotten = rows::forget_answers(&mut write, self.forgotten(crate::now())).await?;
        if forgotten == 0 {
            write.rollback().await?;
        } else {
            write.commit().await?;
        }
        Ok(forgotten)
    }

    fn forgotten(&self, now: Timestamp) -> Timestamp {
        Timestamp(now.0.saturating_sub(self.window_us))
    }
}

/// So that an answer that is moved to another row does not open there.
fn sealed_for(call: &Call) -> String {
    format!("answer {} {}", call.caller.operator.uid, call.request_id)
}
