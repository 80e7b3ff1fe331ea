//! The events of one stream, made one by one: a token each, then finish reason, usage and `[DONE]`,
//! with the faults that strike in between. Chat and legacy completions differ only in [`Shape`].

use std::{collections::VecDeque, time::Duration};

use serde_json::{Value, value::RawValue};

use crate::{
    answer::{Answer, Saying},
    error::ApiError,
    fault::Fault,
    reply::{Chunk, Move},
    script::Script,
    text,
};

/// Which endpoint's chunks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    Chat,
    Text,
}

/// A stream that has not ended yet.
#[derive(Debug)]
pub(crate) struct Stream {
    answer: Answer,
    shape: Shape,
    /// Every chunk's beginning, up to its choices.
    head: String,
    /// Token events so far; those of the choices take turns.
    position: u64,
    events: u64,
    delay: Option<Duration>,
    interruption: Option<(u64, Interruption)>,
    usage: Option<Box<RawValue>>,
    ends_with_done: bool,
    /// What follows the tokens, once it is made.
    closing: Option<VecDeque<Move>>,
}

/// What strikes between two events.
#[derive(Clone, Copy, Debug)]
enum Interruption {
    Cut,
    Stall,
    Malformed,
    Error,
}

impl Stream {
    pub(crate) fn new(
        answer: Answer,
        shape: Shape,
        usage: Option<Box<RawValue>>,
        script: &Script,
    ) -> Self {
        let object = match shape {
            Shape::Chat => "chat.completion.chunk",
            Shape::Text => "text_completion",
        };
        let head = format!(
            "data: {{\"id\":{},\"object\":\"{object}\",\"created\":{},\"model\":{},\"choices\":[",
            quoted(&answer.id),
            answer.created,
            quoted(&answer.model)
        );
        let events = answer.choices * events_per_choice(&answer);
        Self {
            interruption: interruption(script, events),
            delay: (script.fault == Some(Fault::SlowFirstToken)).then_some(script.delay),
            ends_with_done: script.fault != Some(Fault::NoDone),
            position: 0,
            closing: None,
            answer,
            shape,
            head,
            events,
            usage,
        }
    }

    pub(crate) fn next(&mut self) -> Option<Move> {
        if let Some(delay) = self.delay.take() {
            return Some(Move::Wait(delay));
        }
        if let Some((at, interruption)) = self.interruption
            && at == self.position
        {
            self.interruption = None;
            return Some(self.interrupt(interruption));
        }
        if self.position < self.events {
            let event = self.token_event();
            self.position += 1;
            return Some(Move::send(event));
        }
        if self.closing.is_none() {
            self.closing = Some(self.close());
        }
        self.closing.as_mut()?.pop_front()
    }

    fn interrupt(&mut self, interruption: Interruption) -> Move {
        match interruption {
            Interruption::Cut => Move::Cut,
            Interruption::Stall => Move::Stall,
            Interruption::Malformed => {
                self.position += 1;
                Move::send("data: {\"id\": broken\n\n")
            }
            Interruption::Error => {
                self.position = self.events;
                self.closing = Some(VecDeque::new());
                Move::send(format!("data: {}\n\n", ApiError::in_stream().body()))
            }
        }
    }

    fn token_event(&self) -> String {
        let choice = self.position % self.answer.choices;
        let index = self.position / self.answer.choices;
        let said = match self.shape {
            Shape::Chat => format!("\"delta\":{}", self.delta(choice, index)),
            Shape::Text => {
                let echo = if index == 0 { self.answer.echo(choice) } else { "" };
                let text = format!("{echo}{}", self.answer.piece(index));
                format!("\"text\":{},\"logprobs\":null", quoted(&text))
            }
        };
        self.choice(choice, &said, "null")
    }

    /// The delta at an index of a choice; the first of them carries the role.
    fn delta(&self, choice: u64, index: u64) -> String {
        let role = if index == 0 { "\"role\":\"assistant\"," } else { "" };
        let Some(index) = index.checked_sub(self.answer.reasoning) else {
            let word = quoted(text::word(index));
            return format!("{{{role}\"reasoning_content\":{word}}}");
        };
        let Saying::Tool { name, .. } = &self.answer.saying else {
            return format!("{{{role}\"content\":{}}}", quoted(self.answer.piece(index)));
        };
        match index.checked_sub(1) {
            None => format!(
                "{{{role}\"content\":null,\"tool_calls\":[{{\"index\":0,\"id\":{},\
                 \"type\":\"function\",\"function\":{{\"name\":{},\"arguments\":\"\"}}}}]}}",
                quoted(&self.answer.call_id(choice)),
                quoted(name)
            ),
            Some(index) => format!(
                "{{\"tool_calls\":[{{\"index\":0,\"function\":{{\"arguments\":{}}}}}]}}",
                quoted(self.answer.piece(index))
            ),
        }
    }

    fn choice(&self, choice: u64, said: &str, finish: &str) -> String {
        let head = &self.head;
        format!("{head}{{\"index\":{choice},{said},\"finish_reason\":{finish}}}]}}\n\n")
    }

    fn close(&mut self) -> VecDeque<Move> {
        let finish = quoted(self.answer.finish.name());
        let said = match self.shape {
            Shape::Chat => "\"delta\":{}",
            Shape::Text => "\"text\":\"\",\"logprobs\":null",
        };
        let mut closing: VecDeque<_> = (0..self.answer.choices)
            .map(|choice| Move::send(self.choice(choice, said, &finish)))
            .collect();
        if let Some(usage) = self.usage.take() {
            let bytes = format!("{}],\"usage\":{}}}\n\n", self.head, usage.get()).into();
            closing.push_back(Move::Send(Chunk { bytes, usage: Some(usage) }));
        }
        if self.ends_with_done {
            closing.push_back(Move::send("data: [DONE]\n\n"));
        }
        closing
    }
}

/// A tool call opens with an event that carries no token; an answer of no token has one event too.
fn events_per_choice(answer: &Answer) -> u64 {
    let opening = u64::from(matches!(answer.saying, Saying::Tool { .. }));
    (answer.reasoning + opening + answer.said).max(1)
}

/// Where the fault strikes: always before the finish reason, so that no broken stream looks whole.
fn interruption(script: &Script, events: u64) -> Option<(u64, Interruption)> {
    let at = script.fault_at();
    match script.fault? {
        Fault::Cut => Some((at.min(events), Interruption::Cut)),
        Fault::Stall => Some((at.min(events), Interruption::Stall)),
        Fault::ErrorFirst => Some((0, Interruption::Error)),
        Fault::ErrorMid => Some((at.min(events), Interruption::Error)),
        Fault::MalformedChunk => Some((at.min(events - 1), Interruption::Malformed)),
        _ => None,
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
