//! The body field `x_simulator`: what one request tells the simulator to do. An unknown field or a
//! wrong type is an error that names the field, so that a test never runs a script it did not mean.

use std::{collections::BTreeMap, time::Duration};

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::{error::ApiError, fault::Fault, raw::Raw};

/// Far above the longest stream any test needs; keeps a typing error from filling the memory.
const TOKENS_MAX: u64 = 10_000_000;

/// What one request asks for; everything unsaid is at its default.
#[derive(Debug)]
pub(crate) struct Script {
    /// Tokens of text per choice.
    pub(crate) tokens: Option<u64>,
    /// Tokens of reasoning per choice, before the text.
    pub(crate) reasoning_tokens: Option<u64>,
    /// The time between two chunks.
    pub(crate) pace: Duration,
    pub(crate) usage: UsageOrder,
    pub(crate) fault: Option<Fault>,
    /// Chunks before the fault.
    pub(crate) at: Option<u64>,
    /// Seconds for the `Retry-After` header.
    pub(crate) retry_after: Option<u64>,
    /// Only the first so many attempts meet the fault.
    pub(crate) attempt: Option<u64>,
    /// How long [`Fault::SlowFirstToken`] waits.
    pub(crate) delay: Duration,
    /// The lock-step name; see `step`.
    pub(crate) step: Option<String>,
    /// Takes the place of the answer, whatever else is asked for.
    pub(crate) raw: Option<Raw>,
}

/// Which usage the answer reports.
#[derive(Debug)]
pub(crate) enum UsageOrder {
    Counted,
    Omitted,
    /// Sent to the byte as it was told.
    Verbatim(Box<RawValue>),
}

/// A field of `x_simulator` that cannot be obeyed.
#[derive(Debug, Error)]
#[error("Invalid '{field}': {reason}.")]
pub(crate) struct ScriptError {
    field: String,
    reason: String,
}

impl From<ScriptError> for ApiError {
    fn from(error: ScriptError) -> Self {
        Self::invalid(error.to_string()).param(error.field)
    }
}

impl Default for Script {
    fn default() -> Self {
        Self {
            tokens: None,
            reasoning_tokens: None,
            pace: Duration::ZERO,
            usage: UsageOrder::Counted,
            fault: None,
            at: None,
            retry_after: None,
            attempt: None,
            delay: Duration::from_secs(60),
            step: None,
            raw: None,
        }
    }
}

impl Script {
    /// Reads the field's raw JSON.
    pub(crate) fn parse(raw: &RawValue) -> Result<Self, ScriptError> {
        let fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(raw.get())
            .map_err(|error| ScriptError::new("x_simulator", error.to_string()))?;
        let mut script = Self::default();
        for (field, value) in &fields {
            // `null` says nothing, as elsewhere on this wire.
            if value.get() != "null" {
                script
                    .set(field, value)
                    .map_err(|reason| ScriptError::new(format!("x_simulator.{field}"), reason))?;
            }
        }
        Ok(script)
    }

    /// Chunks before the fault; a fault in mid-stream that was given no place comes after the first.
    pub(crate) fn fault_at(&self) -> u64 {
        self.at.unwrap_or(1)
    }

    /// Whether the client gets all that was meant for it, by the letter of the protocol.
    pub(crate) fn leaves_answer_whole(&self) -> bool {
        self.fault.is_none_or(Fault::leaves_answer_whole)
            && self.raw.as_ref().is_none_or(Raw::is_whole)
    }

    /// Whether the answer is a stream which the content filter ends early.
    pub(crate) fn filters_stream(&self, stream: bool) -> bool {
        self.fault == Some(Fault::ContentFilter) && stream && self.at.is_some_and(|at| at > 0)
    }

    fn set(&mut self, field: &str, value: &RawValue) -> Result<(), String> {
        match field {
            "tokens" => self.tokens = Some(token_count(value)?),
            "reasoning_tokens" => self.reasoning_tokens = Some(token_count(value)?),
            "pace_ms" => self.pace = Duration::from_millis(read(value)?),
            "delay_ms" => self.delay = Duration::from_millis(read(value)?),
            "usage" => self.usage = UsageOrder::parse(value)?,
            "fault" => self.fault = Some(read(value)?),
            "at" => self.at = Some(read(value)?),
            "retry_after" => self.retry_after = Some(read(value)?),
            "attempt" => self.attempt = Some(read(value)?),
            "step" => self.step = Some(read(value)?),
            "raw" => self.raw = Some(Raw::parse(value.get())?),
            _ => return Err("unknown field".to_owned()),
        }
        Ok(())
    }
}

impl UsageOrder {
    fn parse(value: &RawValue) -> Result<Self, String> {
        match value.get() {
            "\"none\"" => Ok(Self::Omitted),
            text if text.starts_with('{') => Ok(Self::Verbatim(value.to_owned())),
            _ => Err("expected an object or \"none\"".to_owned()),
        }
    }
}

impl ScriptError {
    fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }
}

fn token_count(value: &RawValue) -> Result<u64, String> {
    let tokens = read(value)?;
    if tokens > TOKENS_MAX { Err(format!("at most {TOKENS_MAX}")) } else { Ok(tokens) }
}

fn read<T: DeserializeOwned>(value: &RawValue) -> Result<T, String> {
    serde_json::from_str(value.get()).map_err(|error| error.to_string())
}
