//! What the model says to one request, apart from how the wire words it: pieces of one token each,
//! cut to the caller's bound, and the usage that goes with them.

use serde::Serialize;
use serde_json::{Value, json, value::RawValue};

use crate::{
    count::count_tokens,
    fault::Fault,
    reply,
    script::{Script, UsageOrder},
    text,
};

/// One request's answer; every choice says the same.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) id: String,
    /// Seconds since 1970.
    pub(crate) created: u64,
    pub(crate) model: String,
    pub(crate) choices: u64,
    /// Choices that were made, of which the best are shown.
    pub(crate) made: u64,
    /// What each choice repeats before it says anything; choices take turns. Empty: nothing.
    pub(crate) echoes: Vec<String>,
    /// Tokens of reasoning before the saying.
    pub(crate) reasoning: u64,
    pub(crate) saying: Saying,
    /// How many pieces of the saying are said before the bound.
    pub(crate) said: u64,
    pub(crate) finish: Finish,
}

/// What is said after the reasoning.
#[derive(Debug)]
pub(crate) enum Saying {
    Words,
    Json(Vec<String>),
    Tool { name: String, arguments: Vec<String> },
}

/// Why a choice ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    Stop,
    Length,
    ToolCalls,
    ContentFilter,
}

/// The counted usage of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) prompt: u64,
    /// What was generated; embeddings generate nothing and do not speak of it.
    pub(crate) generated: Option<Generated>,
}

/// The output tokens of one request, over all choices.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Generated {
    /// Reasoning included, as OpenAI counts it.
    completion: u64,
    reasoning: u64,
}

impl Finish {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
        }
    }
}

impl Answer {
    /// Keeps the first `budget` tokens of each choice; says `finish` if that cut anything.
    pub(crate) fn limit(&mut self, budget: u64, finish: Finish) {
        if self.reasoning + self.said > budget {
            self.reasoning = self.reasoning.min(budget);
            self.said = budget - self.reasoning;
            self.finish = finish;
        }
    }

    /// What [`Script`] and the caller's own bound leave of the answer.
    pub(crate) fn obey(&mut self, script: &Script, stream: bool, tokens_max: Option<u64>) {
        if let Some(budget) = tokens_max {
            self.limit(budget, Finish::Length);
        }
        if script.filters_stream(stream) {
            self.limit(script.fault_at(), Finish::ContentFilter);
            self.finish = Finish::ContentFilter;
        }
        if script.fault == Some(Fault::Empty) {
            (self.reasoning, self.said) = (0, 0);
            (self.saying, self.finish) = (Saying::Words, Finish::Stop);
        }
    }

    /// The piece at a position; nothing beyond what is said.
    pub(crate) fn piece(&self, position: u64) -> &str {
        if position >= self.said {
            return "";
        }
        match &self.saying {
            Saying::Words => text::word(position),
            Saying::Json(pieces) | Saying::Tool { arguments: pieces, .. } => {
                let index = usize::try_from(position).ok();
                index.and_then(|index| pieces.get(index)).map_or("", String::as_str)
            }
        }
    }

    /// What a choice repeats of its prompt.
    pub(crate) fn echo(&self, choice: u64) -> &str {
        let each = (self.choices / self.echoes.len().max(1) as u64).max(1);
        let index = usize::try_from(choice / each).ok();
        index.and_then(|index| self.echoes.get(index)).map_or("", String::as_str)
    }

    /// Everything that is said, in one piece.
    pub(crate) fn whole(&self) -> String {
        (0..self.said).map(|position| self.piece(position)).collect()
    }

    /// The id of a choice's tool call.
    pub(crate) fn call_id(&self, choice: u64) -> String {
        format!("call_{}_{choice}", self.id)
    }

    pub(crate) fn usage(&self, prompt: u64) -> Usage {
        let name = match &self.saying {
            Saying::Tool { name, .. } => count_tokens(name),
            Saying::Words | Saying::Json(_) => 0,
        };
        let generated = Generated {
            completion: self.made * (self.reasoning + self.said + name),
            reasoning: self.made * self.reasoning,
        };
        Usage { prompt, generated: Some(generated) }
    }

    /// The body of an answer that is no stream, around choices in the endpoint's own form.
    pub(crate) fn body(
        &self,
        object: &str,
        choices: impl Iterator<Item = Value>,
        usage: Option<&RawValue>,
    ) -> Vec<u8> {
        #[derive(Serialize)]
        struct Body<'a> {
            id: &'a str,
            object: &'a str,
            created: u64,
            model: &'a str,
            choices: Vec<Value>,
            #[serde(skip_serializing_if = "Option::is_none")]
            usage: Option<&'a RawValue>,
        }
        let choices = choices.collect();
        let Self { id, model, created, .. } = self;
        reply::bytes(&Body { id, object, created: *created, model, choices, usage })
    }
}

impl Usage {
    /// Every count times `factor`, which is 1 unless the provider lies.
    fn body(self, factor: u64) -> Value {
        let prompt = self.prompt * factor;
        let Some(Generated { completion, reasoning }) = self.generated else {
            return json!({"prompt_tokens": prompt, "total_tokens": prompt});
        };
        json!({
            "prompt_tokens": prompt,
            "completion_tokens": completion * factor,
            "total_tokens": prompt + completion * factor,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": reasoning * factor},
        })
    }
}

/// The usage that a script reports; counts only when it must, because counting is what costs.
pub(crate) fn reported(script: &Script, count: impl FnOnce() -> Usage) -> Option<Box<RawValue>> {
    let usage = match (&script.usage, script.fault) {
        (UsageOrder::Omitted, _) | (_, Some(Fault::NoUsage)) => return None,
        (UsageOrder::Verbatim(told), _) => return Some(told.clone()),
        (UsageOrder::Counted, Some(Fault::LyingUsage)) => count().body(10),
        (UsageOrder::Counted, _) => count().body(1),
    };
    RawValue::from_string(usage.to_string()).ok()
}
