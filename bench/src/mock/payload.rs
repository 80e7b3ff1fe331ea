//! The bytes of answers, and the body that plays a stream on its schedule.

use super::shape::Shape;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

const HEAD: &str = r#""id":"chatcmpl-mock0123456789abcdefghijklmn","created":1760000000,"model":"gpt-4o-mini-2024-07-18","system_fingerprint":"fp_mock""#;
const PROMPT_TOKENS: usize = 12;
const BYTES_PER_TOKEN: usize = 4;

fn filler(bytes: usize) -> String {
    "lorem ipsum dolor sit amet ".chars().cycle().take(bytes).collect()
}

fn usage(completion: usize) -> String {
    let total = PROMPT_TOKENS + completion;
    format!(
        r#"{{"prompt_tokens":{PROMPT_TOKENS},"completion_tokens":{completion},"total_tokens":{total},"prompt_tokens_details":{{"cached_tokens":0,"audio_tokens":0}},"completion_tokens_details":{{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}}"#
    )
}

/// An answer that is no stream.
pub(super) fn answer(shape: &Shape) -> Bytes {
    let text = filler(shape.size);
    let usage = usage(shape.size / BYTES_PER_TOKEN);
    Bytes::from(format!(
        r#"{{{HEAD},"object":"chat.completion","service_tier":"default","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}","refusal":null,"annotations":[]}},"logprobs":null,"finish_reason":"stop"}}],"usage":{usage}}}"#
    ))
}

/// The events of a stream.
pub(super) struct Script {
    first: Bytes,
    chunk: Bytes,
    stop: Bytes,
    usage: Bytes,
    done: Bytes,
}

impl Script {
    pub(super) fn new(shape: &Shape) -> Self {
        let event = |delta: &str, finish: &str| {
            Bytes::from(format!(
                "data: {{{HEAD},\"object\":\"chat.completion.chunk\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{finish}}}]}}\n\n"
            ))
        };
        let text = filler(shape.token);
        Self {
            first: event(r#"{"role":"assistant","content":"","refusal":null}"#, "null"),
            chunk: event(&format!(r#"{{"content":"{text}"}}"#), "null"),
            stop: event("{}", "\"stop\""),
            usage: Bytes::from(format!(
                "data: {{{HEAD},\"object\":\"chat.completion.chunk\",\"choices\":[],\"usage\":{}}}\n\n",
                usage(shape.chunks)
            )),
            done: Bytes::from_static(b"data: [DONE]\n\n"),
        }
    }
}

/// The body of an answer.
pub(super) enum Payload {
    Whole(Option<Bytes>),
    Stream(Box<Stream>),
}

pub(super) struct Stream {
    script: Rc<Script>,
    chunks: usize,
    delay: Duration,
    has_usage: bool,
    next: Next,
    timer: Option<Pin<Box<Sleep>>>,
}

#[derive(Clone, Copy)]
enum Next {
    First,
    Chunk(usize),
    Stop,
    Usage,
    Done,
    End,
}

impl Payload {
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self::Whole(Some(bytes))
    }

    pub(super) fn stream(script: Rc<Script>, shape: &Shape, has_usage: bool) -> Self {
        Self::Stream(Box::new(Stream {
            script,
            chunks: shape.chunks,
            delay: Duration::from_millis(shape.delay_ms),
            has_usage,
            next: Next::First,
            timer: None,
        }))
    }
}

impl Stream {
    /// Chunks are on a fixed schedule from the first event, so that a slow reader does not stretch the stream.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Next::Chunk(_) = self.next else { return Poll::Ready(()) };
        match &mut self.timer {
            Some(timer) => timer.as_mut().poll(cx),
            None => Poll::Ready(()),
        }
    }

    fn schedule(&mut self) {
        let Next::Chunk(_) = self.next else { return };
        if self.delay.is_zero() {
            return;
        }
        match &mut self.timer {
            Some(timer) => {
                let at = timer.deadline() + self.delay;
                timer.as_mut().reset(at);
            }
            None => self.timer = Some(Box::pin(sleep_until(Instant::now() + self.delay))),
        }
    }

    fn event(&mut self) -> Option<Bytes> {
        let script = &self.script;
        let (event, next) = match self.next {
            Next::First if self.chunks == 0 => (&script.first, Next::Stop),
            Next::First => (&script.first, Next::Chunk(1)),
            Next::Chunk(number) if number < self.chunks => (&script.chunk, Next::Chunk(number + 1)),
            Next::Chunk(_) => (&script.chunk, Next::Stop),
            Next::Stop if self.has_usage => (&script.stop, Next::Usage),
            Next::Stop => (&script.stop, Next::Done),
            Next::Usage => (&script.usage, Next::Done),
            Next::Done => (&script.done, Next::End),
            Next::End => return None,
        };
        self.next = next;
        Some(event.clone())
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = match &mut *self {
            Self::Whole(bytes) => bytes.take(),
            Self::Stream(stream) => {
                if stream.wait(cx).is_pending() {
                    return Poll::Pending;
                }
                let event = stream.event();
                stream.schedule();
                event
            }
        };
        Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                let length = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            Self::Stream(_) => SizeHint::default(),
        }
    }
}
