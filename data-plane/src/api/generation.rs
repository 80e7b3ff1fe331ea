//! One request as `GET generation` tells it: OpenRouter's fields, from the usage event that was billed.

use super::amount::Amount;
use super::rfc3339;
use domain::time::Timestamp;
use domain::tokens::{Quantities, TokenClass};
use proto::convert::usage::metered;
use proto::usage::v1::{Attempt, Operation, Outcome, UsageEvent};
use serde::Serialize;

/// Its fields; times in milliseconds, amounts in the currency of the account.
#[derive(Serialize)]
pub(super) struct Generation {
    id: String,
    upstream_id: Option<String>,
    request_id: String,
    model: String,
    provider_name: Option<String>,
    api_type: &'static str,
    session_id: Option<String>,
    app_id: Option<String>,
    http_referer: Option<String>,
    created_at: String,
    streamed: bool,
    cancelled: bool,
    is_byok: bool,
    finish_reason: Option<String>,
    latency: Option<u64>,
    generation_time: u64,
    tokens_prompt: u64,
    tokens_completion: u64,
    native_tokens_prompt: u64,
    native_tokens_completion: u64,
    native_tokens_reasoning: u64,
    native_tokens_cached: u64,
    native_tokens_completion_images: u64,
    num_search_results: u64,
    total_cost: Amount,
    usage: Amount,
    currency: String,
    provider_responses: Vec<ProviderResponse>,
}

/// One try at one upstream.
#[derive(Serialize)]
struct ProviderResponse {
    /// Absent when there was no answer.
    status: Option<u32>,
    latency: u64,
}

impl From<Attempt> for ProviderResponse {
    fn from(attempt: Attempt) -> Self {
        let status = (attempt.status > 0).then_some(attempt.status);
        Self { status, latency: attempt.duration_us / 1000 }
    }
}

/// Tells of a request.
pub(super) fn describe(event: UsageEvent) -> Generation {
    // Lines that billing could not read were never billed, so that they are not asked for here.
    let used = metered(&event.lines).map(|metered| metered.quantities).unwrap_or(Quantities::NONE);
    let (input, output) = (used.input_total(), used.output_total());
    let api_type = api_type(event.operation());
    let app = present(event.app);
    Generation {
        id: present(event.upstream_id.clone()).unwrap_or_else(|| event.request_id.clone()),
        upstream_id: present(event.upstream_id),
        request_id: event.request_id,
        model: event.model,
        provider_name: present(event.vendor),
        http_referer: app.clone().filter(|app| app.starts_with("http")),
        app_id: app,
        created_at: rfc3339(Timestamp(event.admitted_us)),
        api_type,
        session_id: present(event.session_id),
        streamed: event.streamed,
        cancelled: event.outcome == i32::from(Outcome::ClientGone),
        is_byok: false,
        finish_reason: present(event.finish_reason),
        latency: (event.first_token_us > 0).then_some(event.first_token_us / 1000),
        generation_time: event.ended_us.saturating_sub(event.admitted_us) / 1000,
        tokens_prompt: input,
        tokens_completion: output,
        native_tokens_prompt: input,
        native_tokens_completion: output,
        native_tokens_reasoning: used.get(TokenClass::Reasoning),
        native_tokens_cached: used.get(TokenClass::CacheRead),
        native_tokens_completion_images: used.get(TokenClass::ImageOut),
        num_search_results: used.get(TokenClass::WebSearch),
        total_cost: Amount::of(event.charge_nano),
        usage: Amount::of(event.charge_nano),
        currency: event.currency,
        provider_responses: event.attempts.into_iter().map(Into::into).collect(),
    }
}

/// OpenRouter has one word for chats and bare prompts.
fn api_type(operation: Operation) -> &'static str {
    match operation {
        Operation::Unspecified | Operation::Chat | Operation::Completions => "completions",
        Operation::Embeddings => "embeddings",
    }
}

fn present(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
