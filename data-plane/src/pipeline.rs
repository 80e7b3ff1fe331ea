//! The life of one request, one stage per file, in this order:
//!
//! `authenticate → route → admit → dispatch → relay → settle`
//!
//! Each stage takes the proof made by the one before (`Caller`, `RoutePlan`, `Admission`, …), so that a stage cannot be
//! skipped or reordered without a compile error.
//!
//! Invariant: every `Admission` is settled exactly once, with exactly one usage event, even if the client leaves.

pub(crate) mod authenticate;
pub(crate) mod route;
pub(crate) mod admit;
pub(crate) mod admission;
pub(crate) mod dispatch;
pub(crate) mod attempt;
pub(crate) mod relay;
pub(crate) mod cover;
pub(crate) mod settle;
pub(crate) mod head;

use crate::body;
use crate::body::request::ClientRequest;
use crate::body::rest;
use crate::client_address::Peer;
use crate::clock::now;
use crate::error::ApiError;
use crate::idempotency;
use crate::metric;
use crate::pipeline::admit::AdmitOrder;
use crate::pipeline::authenticate::authenticate;
use crate::pipeline::dispatch::{DispatchError, Dispatched, dispatch};
use crate::pipeline::route::route;
use crate::plane::Core;
use crate::respond::{Client, respond};
use crate::settings::DataPlaneSettings;
use crate::trace::RequestTrace;
use axum::body::Body;
use bytes::Bytes;
use domain::operation::Operation;
use futures::future::Either;
use http::{HeaderMap, Request, Response};
use opentelemetry::context::FutureExt;
use std::sync::Arc;

/// What a request is called, by us and in traces.
struct Ids {
    request_id: String,
    trace_id: String,
}

/// Serves one request of an operation.
pub(crate) async fn serve(
    core: Arc<Core>,
    operation: Operation,
    peer: Arc<Peer>,
    request: Request<Body>,
) -> Response<Body> {
    let request_id = mint_request_id();
    let trace = core.plane.trace(request.headers(), &request_id, operation.endpoint());
    let ids = Ids { request_id: request_id.clone(), trace_id: trace.id() };
    let response = match prepare(&core, ids, operation, &peer, request).await {
        Ok(order) => {
            let here = trace.context();
            let life = |client| {
                let life = live(core, order, trace, client);
                match here {
                    None => Either::Left(life),
                    Some(here) => Either::Right(life.with_context(here)),
                }
            };
            let answered = respond(life).await;
            answered.unwrap_or_else(|| ApiError::ours().response(&request_id))
        }
        Err(refusal) => {
            core.plane.refused(&refusal, trace, &request_id);
            refusal.response(&request_id)
        }
    };
    metric::answered(response.status().as_u16());
    response
}

/// All that needs no undoing.
async fn prepare(
    core: &Core,
    ids: Ids,
    operation: Operation,
    peer: &Peer,
    request: Request<Body>,
) -> Result<Box<AdmitOrder>, ApiError> {
    let parts = &core.plane.parts;
    let limits = &parts.settings.limits;
    let (head, body) = request.into_parts();
    // Before the body, so that strangers cannot make us read one; after it, as the key may have been revoked meanwhile.
    let caller = authenticate(parts, &head.headers, now())?;
    let body = read(core, &head.headers, body).await?;
    let mut request = ClientRequest::parse(operation, body, limits)?;
    if request.session_id.is_empty() {
        request.session_id = head::session(&head.headers, limits.session_id_bytes);
    }
    let caller = caller.renewed(&parts.configuration, now())?;
    let snapshot = parts.configuration.snapshot();
    let plan = route(&snapshot, &caller, &request, &core.plane)?;
    let app = head::app(&head.headers, limits.app_bytes);
    let client = peer.digest(core, &head.headers);
    let Ids { request_id, trace_id } = ids;
    let claim = idempotency::claim(core, &caller, &head.headers, &request_id)?;
    Ok(Box::new(AdmitOrder { request_id, trace_id, caller, plan, request, app, client, claim }))
}

/// A body is waited for only as long as its request may still be admitted.
async fn read(core: &Core, headers: &HeaderMap, mut body: Body) -> Result<Bytes, ApiError> {
    let DataPlaneSettings { limits, pace, .. } = &core.plane.parts.settings;
    let refusing = &core.plane.stopping.refusing;
    if let Some(read) = refusing.unless_come(body::read(headers, &mut body, limits, pace)).await {
        return read;
    }
    rest::discard(headers, body, limits.body_bytes);
    Err(head::stopping())
}

/// From admission to settlement. Outlives its client.
async fn live(core: Arc<Core>, order: Box<AdmitOrder>, trace: RequestTrace, client: Client) {
    let is_only_attempt = order.claim.is_some();
    let request_id = order.request_id.clone();
    let mut admission = match admit::admit(&core.plane, order).await {
        Ok(admission) => admission,
        Err(refusal) => {
            let refusal = ApiError::from(refusal);
            core.plane.refused(&refusal, trace, &request_id);
            return head::refuse(&client, refusal, &request_id).await;
        }
    };
    admission.trace = trace;
    // What trying takes of memory is free again while the answer is relayed, which may take long.
    let dispatched = Box::pin(dispatch(&core, &mut admission, &client));
    let dispatched = core.plane.stopping.ending.unless_come(dispatched).await;
    match dispatched.unwrap_or(Err(DispatchError::Stopping)) {
        Ok(Dispatched::Stream(stream)) => relay::stream(&core, admission, stream, &client).await,
        Ok(Dispatched::Answer(answer)) => relay::answer(admission, answer, &client).await,
        Err(failure) => {
            let refusal = ApiError::from(&failure);
            // The key is used: all that a repeat could get is told that.
            let refusal = if is_only_attempt { refusal.retry(false) } else { refusal };
            settle::settle(admission, failure.outcome(), refusal.status()).await;
            head::refuse(&client, refusal, &request_id).await;
        }
    }
}

/// Ordered by time, unique without asking anyone.
pub(crate) fn mint_request_id() -> String {
    let mut digits = [0; 32];
    ["req-", uuid::Uuid::now_v7().simple().encode_lower(&mut digits)].concat()
}
