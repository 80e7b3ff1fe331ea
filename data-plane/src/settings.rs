//! What can be set on a data plane, with its defaults. Where the values come from is the binary's business.

use crate::access::AccessLog;
use crate::trace::TraceSettings;
use domain::network::Networks;
use http::HeaderValue;
use std::net::SocketAddr;
use std::time::Duration;

/// Sizes and counts beyond which a request is refused.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most bytes of a request's body.
    pub body_bytes: usize,
    /// Most bytes of a request's head.
    pub head_bytes: usize,
    /// Deepest nesting of a request's JSON.
    pub json_depth: usize,
    /// Most bytes of the head of an upstream's answer.
    pub answer_head_bytes: usize,
    /// Most bytes of an answer that is not a stream.
    pub answer_bytes: usize,
    /// Most bytes of one event of a stream.
    pub event_bytes: usize,
    /// Most choices (`n`) one request may ask for.
    pub choices: u64,
    /// Most web searches that one request is held for, and charged.
    pub web_searches: u64,
    /// Most bytes of text that our own tokeniser counts of a prompt, or of a whole answer; a longer one is estimated.
    pub counted_bytes: u64,
    /// Most models that one request may name.
    pub models: usize,
    /// Longest `session_id`.
    pub session_id_bytes: usize,
    /// Most upstreams that one request is tried on.
    pub attempts: usize,
    /// Most bytes of `HTTP-Referer` or `X-Title` that are recorded.
    pub app_bytes: usize,
    /// Most connections of clients, per core.
    pub connections: usize,
    /// How many times its size a compressed body may unpack to.
    pub unpacked_ratio: usize,
    /// Most bytes of an id that is asked for.
    pub id_bytes: usize,
    /// Most idempotency keys that are remembered.
    pub idempotency_keys: usize,
    /// Most bytes of one.
    pub idempotency_key_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 32 << 20,
            head_bytes: 64 << 10,
            json_depth: 128,
            answer_head_bytes: 64 << 10,
            answer_bytes: 64 << 20,
            event_bytes: 32 << 20,
            choices: 128,
            web_searches: 10,
            counted_bytes: 4 << 20,
            models: 8,
            session_id_bytes: 256,
            attempts: 4,
            app_bytes: 128,
            connections: 32_768,
            unpacked_ratio: 100,
            id_bytes: 256,
            idempotency_keys: 100_000,
            idempotency_key_bytes: 255,
        }
    }
}

/// How long things may take.
#[derive(Clone, Debug)]
pub struct Pace {
    /// A client to send a request's head.
    pub head: Duration,
    /// A client to send any next part of its body.
    pub body: Duration,
    /// A client to send its whole body.
    pub body_whole: Duration,
    /// A client to take any next part of what is written to it.
    pub write: Duration,
    /// An idempotency key to stay used.
    pub idempotency_window: Duration,
    /// A connection to an upstream to stand: its name, the connection, and then TLS, each.
    pub connect: Duration,
    /// A connection to an upstream to stay open without a request.
    pub upstream_idle: Duration,
    /// An upstream to begin its answer.
    pub first_token: Duration,
    /// An upstream to go on with a stream.
    pub between_tokens: Duration,
    /// A stream in all.
    pub stream: Duration,
    /// An answer that is not a stream, in all.
    pub answer: Duration,
    /// How long a stream's headers wait for its first event; afterwards keep-alives flow at this interval.
    pub keep_alive: Duration,
    /// How long an upstream that failed is tried last; doubles with each failure in a row.
    pub cooldown: Duration,
    /// Longest cooldown, also when the upstream asks for more.
    pub cooldown_max: Duration,
    /// How long what is known of an upstream's speed is good.
    pub speed_age_max: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            body: Duration::from_secs(60),
            body_whole: Duration::from_secs(10 * 60),
            write: Duration::from_secs(60),
            idempotency_window: Duration::from_secs(24 * 3600),
            connect: Duration::from_secs(5),
            upstream_idle: Duration::from_secs(90),
            first_token: Duration::from_secs(30),
            between_tokens: Duration::from_secs(60),
            stream: Duration::from_secs(30 * 60),
            answer: Duration::from_secs(10 * 60),
            keep_alive: Duration::from_secs(10),
            cooldown: Duration::from_secs(2),
            cooldown_max: Duration::from_secs(300),
            speed_age_max: Duration::from_secs(30 * 60),
        }
    }
}

/// All of it.
#[derive(Clone, Debug)]
pub struct DataPlaneSettings {
    /// Where clients connect. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Proxies in front of us, whose word on who asks (`X-Forwarded-For`) is believed.
    pub trusted_proxies: Networks,
    /// Threads that serve clients, each with its own listener, runtime and upstream connections.
    pub cores: usize,
    /// Tokens of output that a stream holds ahead of what was delivered.
    pub output_window_tokens: u64,
    /// Which requests get a line in the log.
    pub access_log: AccessLog,
    /// How requests are traced, if they are.
    pub traces: Option<TraceSettings>,
    /// Sizes and counts.
    pub limits: Limits,
    /// Times.
    pub pace: Pace,
    /// Where upstreams may be beside public addresses.
    pub networks: Networks,
    /// Origins whose pages may call the API from a browser; `*` is any. Empty: none.
    pub cors_origins: Vec<HeaderValue>,
}
