//! Plan → an upstream's answer. The only loop that tries again; it commits to an upstream at its first event.

use crate::clock::now;
use crate::error::{ApiError, ErrorType};
use crate::metric;
use crate::pipeline::admission::Admission;
use crate::pipeline::attempt::{AttemptError, Opened, UpstreamAnswer, UpstreamStream, attempt};
use crate::pipeline::authenticate::caller;
use crate::pipeline::head::{head, stopping};
use crate::pipeline::route::{may_use, offer};
use crate::plane::Core;
use crate::respond::Client;
use crate::trace;
use crate::upstream::health::Rest;
use crate::upstream::refusal::Refusal;
use bytes::Bytes;
use domain::snapshot::Model;
use domain::usage::Outcome;
use http::{HeaderValue, StatusCode};
use proto::usage::v1 as usage;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// What breaks no client (`research/ecosystem.md` part 5): a comment and one newline.
const KEEP_ALIVE: &[u8] = b": ping\n";

/// An upstream has committed to answer.
pub(crate) enum Dispatched {
    Stream(UpstreamStream),
    Answer(UpstreamAnswer),
}

/// Why no upstream answers.
#[derive(Debug, Error)]
pub(crate) enum DispatchError {
    #[error("the last upstream: {}", .0.reason())]
    Upstreams(AttemptError),
    #[error("the client left before anything was sent")]
    ClientGone,
    #[error("the configuration no longer allows any of the upstreams")]
    Withdrawn,
    #[error("the process is ending, and no upstream had answered yet")]
    Stopping,
}

impl DispatchError {
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::ClientGone => Outcome::ClientGone,
            Self::Upstreams(_) | Self::Withdrawn | Self::Stopping => Outcome::UpstreamFailed,
        }
    }
}

impl From<&DispatchError> for ApiError {
    fn from(error: &DispatchError) -> Self {
        match error {
            DispatchError::Upstreams(last) => upstream_error(last),
            DispatchError::ClientGone => Self::ours(),
            DispatchError::Withdrawn => {
                let message =
                    "this API key or its model was withdrawn while the request was waiting";
                Self::new(StatusCode::FORBIDDEN, ErrorType::PermissionDenied, message)
            }
            DispatchError::Stopping => stopping(),
        }
    }
}

fn upstream_error(last: &AttemptError) -> ApiError {
    let unavailable = |message: &str| {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, ErrorType::ProviderOverloaded, message)
    };
    match last {
        AttemptError::Unreachable
        | AttemptError::Unresolved
        | AttemptError::Tls
        | AttemptError::Misconfigured => unavailable(
            "all upstreams of this model are down: try again later or choose another model",
        ),
        AttemptError::Overloaded { retry_after, .. } => {
            let message = "all upstreams of this model are overloaded: try again later";
            unavailable(message).after(retry_after.unwrap_or(Duration::from_secs(1)))
        }
        AttemptError::Failed { status } => {
            let message = "the upstream of this model answered with an error: try again or choose another model";
            ApiError::new(StatusCode::BAD_GATEWAY, ErrorType::ProviderUnavailable, message)
                .with("upstream_status", status.as_u16())
                .retry(false)
        }
        AttemptError::Malformed => {
            let message = "the upstream of this model gave no usable answer: try again or choose another model";
            ApiError::new(StatusCode::BAD_GATEWAY, ErrorType::ProviderUnavailable, message)
                .retry(false)
        }
        AttemptError::Silent => {
            let message = "the upstream of this model did not begin to answer in time";
            ApiError::new(StatusCode::GATEWAY_TIMEOUT, ErrorType::Timeout, message).retry(false)
        }
        AttemptError::Refused { status, refusal } => refused(*status, refusal),
    }
}

/// The upstream's verdict on the request, with so much of its own words as may be shown.
fn refused(status: StatusCode, refusal: &Refusal) -> ApiError {
    let bad = |kind, message: &str| {
        let message = match &refusal.message {
            Some(said) => format!("{message}. It says: {said}"),
            None => message.to_owned(),
        };
        ApiError::new(StatusCode::BAD_REQUEST, kind, message)
    };
    let error = match refusal.code.as_deref() {
        Some("context_length_exceeded") => bad(
            ErrorType::ContextLengthExceeded,
            "the messages are longer than the context of this model: shorten them or choose another model",
        ),
        Some("content_filter" | "content_policy_violation" | "DataInspectionFailed") => bad(
            ErrorType::ContentPolicyViolation,
            "the upstream's content filter refused this request: change the messages",
        ),
        _ if status == StatusCode::PAYLOAD_TOO_LARGE => ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            ErrorType::PayloadTooLarge,
            "the request is too large for the upstream of this model: send less",
        ),
        _ => bad(
            ErrorType::InvalidRequest,
            "the upstream of this model does not accept this request: check its parameters",
        )
        .with("upstream_status", status.as_u16()),
    };
    let told = [("upstream_code", &refusal.code), ("field", &refusal.param)];
    told.into_iter().fold(error, |error, (name, said)| match said {
        Some(said) => error.with(name, said.as_str()),
        None => error,
    })
}

/// Tries candidates until one commits.
pub(crate) async fn dispatch(
    core: &Core,
    admission: &mut Admission,
    client: &Client,
) -> Result<Dispatched, DispatchError> {
    if !admission.request.stream {
        return try_all(core, admission, client).await;
    }
    let keep_alive = core.plane.parts.settings.pace.keep_alive;
    let early = early_head(admission);
    let mut trying = std::pin::pin!(try_all(core, admission, client));
    loop {
        match tokio::time::timeout(keep_alive, trying.as_mut()).await {
            Ok(dispatched) => return dispatched,
            Err(_) => {
                client.begin(early.clone());
                // A client that is gone is noticed by the loop that tries.
                let _sent = client.send(Bytes::from_static(KEEP_ALIVE)).await;
            }
        }
    }
}

fn early_head(admission: &Admission) -> http::response::Parts {
    let standing = admission.limit().map(|limit| limit.standing()).unwrap_or_default();
    let events = HeaderValue::from_static("text/event-stream");
    head(StatusCode::OK, events, admission.request_id(), &standing)
}

async fn try_all(
    core: &Core,
    admission: &mut Admission,
    client: &Client,
) -> Result<Dispatched, DispatchError> {
    let mut last = DispatchError::Withdrawn;
    let attempts_max = core.plane.parts.settings.limits.attempts;
    let mut refused_as: Option<Arc<Model>> = None;
    for index in 0..admission.plan.candidates.len() {
        if client.is_gone() {
            return Err(DispatchError::ClientGone);
        }
        let Some(model) = admission.plan.candidates.get(index).map(|c| c.model.clone()) else {
            break;
        };
        // Who refuses the request speaks for all that serve the model, but for no other model.
        let is_refused = refused_as.as_ref().is_some_and(|refused| refused.name == model.name);
        if is_refused || !is_still_allowed(core, admission, index) {
            continue;
        }
        if admission.attempts.len() >= attempts_max {
            break;
        }
        admission.serving = index;
        match try_one(core, admission, index).await {
            Ok(dispatched) => return Ok(dispatched),
            Err(error) => {
                if !error.fails_over() {
                    refused_as = Some(model);
                }
                last = DispatchError::Upstreams(error);
            }
        }
    }
    Err(last)
}

/// Asked again before each attempt: key, upstream and jurisdiction may have changed since the request was routed.
fn is_still_allowed(core: &Core, admission: &Admission, index: usize) -> bool {
    let configuration = &core.plane.parts.configuration;
    if admission.caller.is_current(configuration) {
        return admission.caller.is_welcome(configuration, now());
    }
    let Ok(caller) = caller(configuration, &admission.caller.presented, now()) else {
        return false;
    };
    let Some(planned) = admission.plan.candidates.get(index) else {
        return false;
    };
    let snapshot = configuration.snapshot();
    snapshot.models.get(&planned.model.name).is_some_and(|model| {
        let route = model.routes.iter().find(|route| route.upstream == planned.upstream.name);
        let goes = route.is_some_and(|route| offer(&snapshot, &caller, route).is_some());
        goes && may_use(&caller, model)
    })
}

async fn try_one(
    core: &Core,
    admission: &mut Admission,
    index: usize,
) -> Result<Dispatched, AttemptError> {
    let Some(candidate) = admission.plan.candidates.get(index).cloned() else {
        return Err(AttemptError::Misconfigured);
    };
    admission.attempt_began = now();
    trace::attempt_began(admission, &candidate);
    let result = attempt(core, admission, &candidate).await;
    let duration_us = now().0.saturating_sub(admission.attempt_began.0);
    let (status, reason) = match &result {
        Ok(_) => (StatusCode::OK.as_u16(), None),
        Err(error) => (error.status(), Some(error.reason())),
    };
    admission.attempts.push(usage::Attempt {
        upstream: candidate.upstream.name.clone(),
        status: status.into(),
        error: reason.unwrap_or_default().to_owned(),
        duration_us,
    });
    metric::attempted(admission, reason, duration_us);
    if let Err(error) = &result {
        trace::attempt_failed(admission, error);
    }
    note_health(core, &candidate.upstream.name, result.as_ref().err());
    let opened = result?;
    admission.meter.was_processed = true;
    Ok(match opened {
        Opened::Stream(stream) => Dispatched::Stream(stream),
        Opened::Answer(answer) => Dispatched::Answer(answer),
    })
}

fn note_health(core: &Core, upstream: &str, error: Option<&AttemptError>) {
    let pace = &core.plane.parts.settings.pace;
    let asked = match error {
        None | Some(AttemptError::Refused { .. }) => {
            core.plane.health.succeeded(upstream);
            return;
        }
        Some(AttemptError::Overloaded { retry_after, .. }) => *retry_after,
        Some(_) => None,
    };
    let rest = Rest { first: pace.cooldown, longest: pace.cooldown_max, asked };
    core.plane.health.failed(upstream, rest);
}
