//! One request as the endpoints see it, and what they decide to do about it. The faults that come
//! before any answer are decided here, so that every endpoint has them.

use hyper::{HeaderMap, header::AUTHORIZATION};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::{
    attempts::Attempts,
    error::ApiError,
    fault::{Echo, Fault},
    reply::Reply,
    script::Script,
};

/// One request, read whole.
pub(crate) struct Call<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    pub(crate) attempts: &'a Attempts,
    /// Unique among all runs of the simulator; the endpoints put their own prefix before it.
    pub(crate) id: String,
    /// Seconds since 1970.
    pub(crate) created: u64,
}

/// What becomes of a call.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) script: Script,
    pub(crate) act: Act,
}

/// The three ways to treat a request.
#[derive(Debug)]
pub(crate) enum Act {
    Answer(Reply),
    Silence,
    Reset,
}

impl Call<'_> {
    /// Reads the body as an endpoint's request.
    pub(crate) fn request<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        serde_json::from_slice(self.body).map_err(|error| {
            ApiError::invalid(format!("We could not parse the JSON body of your request: {error}."))
        })
    }

    /// Reads the script and takes away a fault that does not strike this attempt.
    pub(crate) fn script(
        &self,
        raw: Option<&RawValue>,
        ends_with_assistant: bool,
    ) -> Result<Script, ApiError> {
        let mut script = raw.map(Script::parse).transpose()?.unwrap_or_default();
        if let Some(failing) = script.attempt
            && (script.fault.is_some() || script.raw.is_some())
            && self.attempts.count(self.headers, self.body) > failing
        {
            (script.fault, script.raw) = (None, None);
        }
        if script.fault == Some(Fault::PrefillRefused) && !ends_with_assistant {
            script.fault = None;
        }
        Ok(script)
    }

    /// Puts the script's fault in the answer's place, where it belongs there.
    pub(crate) fn plan(
        &self,
        script: Script,
        stream: bool,
        answer: impl FnOnce(&Script) -> Reply,
    ) -> Plan {
        if let Some(raw) = &script.raw {
            let reply = raw.reply();
            return Plan { script, act: Act::Answer(reply) };
        }
        let echo = Echo { credential: self.credential(), retry_after: script.retry_after };
        let error = script.fault.filter(|_| !script.filters_stream(stream));
        let act = match (script.fault, error.and_then(|fault| fault.error(&echo))) {
            (_, Some(error)) => Act::Answer(error.reply()),
            (Some(Fault::Silence), _) => Act::Silence,
            (Some(Fault::Reset), _) => Act::Reset,
            (Some(Fault::Html), _) => Act::Answer(Reply::html()),
            (Some(Fault::Redirect), _) => Act::Answer(Reply::redirect()),
            _ => Act::Answer(answer(&script)),
        };
        Plan { script, act }
    }

    fn credential(&self) -> &str {
        let value = self.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        value.map_or("", |value| value.strip_prefix("Bearer ").unwrap_or(value))
    }
}

impl From<ApiError> for Plan {
    fn from(error: ApiError) -> Self {
        Self { script: Script::default(), act: Act::Answer(error.reply()) }
    }
}
