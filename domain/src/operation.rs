//! What clients may ask of a model, one variant per endpoint.

use crate::config::Modality;

/// An endpoint that leads to upstreams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Messages in, a message out.
    Chat,
    /// A bare prompt in, its continuation out.
    Completions,
    /// Texts in, vectors out.
    Embeddings,
}

/// What an endpoint that writes text takes beside the text itself, after OpenAI's reference of its API.
const WRITING: [&str; 18] = [
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "stop",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "response_format",
    "structured_outputs",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "reasoning_effort",
    "n",
];

impl Operation {
    /// All.
    pub const ALL: [Self; 3] = [Self::Chat, Self::Completions, Self::Embeddings];

    /// As configured, and in events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
        }
    }

    /// Its path below a base URL.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Chat => "/chat/completions",
            Self::Completions => "/completions",
            Self::Embeddings => "/embeddings",
        }
    }

    /// Where clients find it.
    #[must_use]
    pub const fn endpoint(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Embeddings => "/v1/embeddings",
        }
    }

    /// Request parameters that a model is taken to honour when nothing is configured. Unknown ones pass as well.
    #[must_use]
    pub const fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Chat | Self::Completions => &WRITING,
            Self::Embeddings => &["dimensions", "encoding_format"],
        }
    }

    /// The operation of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.name() == text)
    }

    /// What a model that writes this can do at all.
    #[must_use]
    pub fn of_outputs(outputs: &[Modality]) -> &'static [Self] {
        if outputs.contains(&Modality::Embeddings) {
            &[Self::Embeddings]
        } else {
            &[Self::Chat, Self::Completions]
        }
    }
}
