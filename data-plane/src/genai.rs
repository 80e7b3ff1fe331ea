//! Names of OpenTelemetry's GenAI conventions, for metrics and spans alike, and nowhere else: they are still in
//! development, so a move to their next set is a change of this file.

use domain::operation::Operation;

/// Metrics, as Prometheus writes them: the classic set, which every backend charts today.
pub mod metric {
    /// Tokens by type.
    pub const TOKEN_USAGE: &str = "gen_ai_client_token_usage";
    /// One attempt on an upstream.
    pub const OPERATION_DURATION: &str = "gen_ai_client_operation_duration_seconds";
    /// From an attempt's start to its first chunk.
    pub const TIME_TO_FIRST_CHUNK: &str = "gen_ai_client_operation_time_to_first_chunk_seconds";
    /// Between two chunks of an upstream.
    pub const TIME_PER_OUTPUT_CHUNK: &str = "gen_ai_client_operation_time_per_output_chunk_seconds";
    /// One admitted request.
    pub const REQUEST_DURATION: &str = "gen_ai_server_request_duration_seconds";
    /// From admission to the first token.
    pub const TIME_TO_FIRST_TOKEN: &str = "gen_ai_server_time_to_first_token_seconds";
    /// Between two tokens, after the first.
    pub const TIME_PER_OUTPUT_TOKEN: &str = "gen_ai_server_time_per_output_token_seconds";
}

/// What is asked of a model.
pub(crate) const fn operation(operation: Operation) -> &'static str {
    match operation {
        Operation::Chat => "chat",
        Operation::Completions => "text_completion",
        Operation::Embeddings => "embeddings",
    }
}

/// Labels of these metrics.
pub(crate) mod label {
    pub(crate) const OPERATION: &str = "gen_ai_operation_name";
    pub(crate) const PROVIDER: &str = "gen_ai_provider_name";
    pub(crate) const MODEL: &str = "gen_ai_request_model";
    pub(crate) const TOKEN_TYPE: &str = "gen_ai_token_type";
    pub(crate) const ERROR: &str = "error_type";
}

/// Attributes of spans.
pub(crate) mod attribute {
    pub(crate) const OPERATION: &str = "gen_ai.operation.name";
    pub(crate) const PROVIDER: &str = "gen_ai.provider.name";
    pub(crate) const REQUEST_MODEL: &str = "gen_ai.request.model";
    /// What the client asked for, where an upstream calls it otherwise.
    pub(crate) const ORIGINAL_MODEL: &str = "gen_ai.original.model";
    pub(crate) const REQUEST_STREAM: &str = "gen_ai.request.stream";
    pub(crate) const REQUEST_MAX_TOKENS: &str = "gen_ai.request.max_tokens";
    pub(crate) const REQUEST_CHOICES: &str = "gen_ai.request.choice.count";
    pub(crate) const RESPONSE_ID: &str = "gen_ai.response.id";
    pub(crate) const FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
    pub(crate) const TIME_TO_FIRST_CHUNK: &str = "gen_ai.response.time_to_first_chunk";
    pub(crate) const INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
    pub(crate) const OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
    pub(crate) const CACHE_READ_TOKENS: &str = "gen_ai.usage.cache_read.input_tokens";
    pub(crate) const CACHE_WRITE_TOKENS: &str = "gen_ai.usage.cache_creation.input_tokens";
    pub(crate) const REASONING_TOKENS: &str = "gen_ai.usage.reasoning.output_tokens";
    pub(crate) const ERROR: &str = "error.type";
    pub(crate) const SERVER_ADDRESS: &str = "server.address";
    pub(crate) const SERVER_PORT: &str = "server.port";
    pub(crate) const METHOD: &str = "http.request.method";
    pub(crate) const ROUTE: &str = "http.route";
    pub(crate) const STATUS: &str = "http.response.status_code";
}

/// Powers of four, as the conventions give them.
const TOKENS: [f64; 14] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];
/// Doubling, as the conventions give them; good enough for any time that has no buckets of its own.
pub const SECONDS: [f64; 14] =
    [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
/// A first token is a matter of milliseconds or of many seconds.
const FIRST_TOKEN: [f64; 16] =
    [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
const PER_TOKEN: [f64; 12] = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0];

/// Bounds of each histogram's buckets.
pub const BUCKETS: [(&str, &[f64]); 7] = [
    (metric::TOKEN_USAGE, &TOKENS),
    (metric::OPERATION_DURATION, &SECONDS),
    (metric::TIME_TO_FIRST_CHUNK, &SECONDS),
    (metric::TIME_PER_OUTPUT_CHUNK, &SECONDS),
    (metric::REQUEST_DURATION, &SECONDS),
    (metric::TIME_TO_FIRST_TOKEN, &FIRST_TOKEN),
    (metric::TIME_PER_OUTPUT_TOKEN, &PER_TOKEN),
];
