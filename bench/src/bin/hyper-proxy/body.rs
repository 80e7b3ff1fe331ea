//! The answer's body on its way through: frames that are ready together go on as one, usage is found, the hold settled.

use crate::upstream::Sender;
use crate::{Proxy, UsageEvent};
use bench::work::{KeyNumber, Tokens};
use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

const JOINED_MAX: usize = 32 << 10;
const JOINED_FIRST: usize = 8 << 10;

type Polled = Poll<Option<Result<Frame<Bytes>, hyper::Error>>>;

/// What a request holds, and what is known of its use.
pub(crate) struct Meter {
    key: KeyNumber,
    held: i64,
    model: Box<str>,
    used: Tokens,
}

impl Meter {
    pub(crate) fn new(key: KeyNumber, held: i64, model: &str) -> Self {
        Self { key, held, model: model.into(), used: Tokens::default() }
    }
}

/// What the client gets.
pub(crate) enum Forwarded {
    Whole(Option<Bytes>),
    Answer(Box<Answer>),
}

pub(crate) struct Answer {
    body: Incoming,
    proxy: Rc<Proxy>,
    /// `None` once it is back among the others.
    sender: Option<Sender>,
    meter: Option<Meter>,
}

impl Forwarded {
    pub(crate) fn new(
        body: Incoming,
        proxy: Rc<Proxy>,
        sender: Sender,
        meter: Option<Meter>,
    ) -> Self {
        Self::Answer(Box::new(Answer { body, proxy, sender: Some(sender), meter }))
    }
}

impl Answer {
    fn poll(&mut self, cx: &mut Context<'_>) -> Polled {
        let polled = if self.is_driven_here() { self.poll_joined(cx) } else { self.poll_one(cx) };
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.meter(frame);
                if self.body.is_end_stream() {
                    self.finish();
                }
            }
            Poll::Ready(_) => self.finish(),
            Poll::Pending => {}
        }
        polled
    }

    fn is_driven_here(&self) -> bool {
        self.sender.as_ref().is_some_and(Sender::is_driven_here)
    }

    fn poll_one(&mut self, cx: &mut Context<'_>) -> Polled {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    /// All that is ready, up to a size. An end that comes with data is seen again at the next poll.
    fn poll_joined(&mut self, cx: &mut Context<'_>) -> Polled {
        let mut joined = Joined::default();
        loop {
            let mut polled = self.poll_one(cx);
            if let (Poll::Pending, Some(sender)) = (&polled, &mut self.sender) {
                sender.drive(cx);
                polled = self.poll_one(cx);
            }
            match polled {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        joined.add(data);
                    }
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                other => return joined.take().map_or(other, ready),
            }
            if (self.body.is_end_stream() || joined.length() >= JOINED_MAX)
                && let Some(data) = joined.take()
            {
                return ready(data);
            }
        }
    }

    fn meter(&mut self, frame: &Frame<Bytes>) {
        if let (Some(meter), Some(data)) = (&mut self.meter, frame.data_ref())
            && let Some(used) = Tokens::find(data)
        {
            meter.used = used;
        }
    }

    fn finish(&mut self) {
        let Some(sender) = self.sender.take() else { return };
        if let Some(meter) = self.meter.take() {
            self.proxy.wallets.settle(meter.key, meter.held, &meter.used);
            let event = UsageEvent { tokens: meter.used.count(), model: meter.model };
            drop(self.proxy.events.send(event));
        }
        self.proxy.upstream.give_back(sender);
    }
}

fn ready(data: Bytes) -> Polled {
    Poll::Ready(Some(Ok(Frame::data(data))))
}

/// Frames that are ready together. One alone is not copied.
#[derive(Default)]
struct Joined {
    one: Option<Bytes>,
    many: Option<BytesMut>,
}

impl Joined {
    fn length(&self) -> usize {
        self.many.as_ref().map_or(0, BytesMut::len)
    }

    fn add(&mut self, data: Bytes) {
        match (&mut self.many, self.one.take()) {
            (Some(many), _) => many.extend_from_slice(&data),
            (None, None) => self.one = Some(data),
            (None, Some(first)) => {
                let mut many = BytesMut::with_capacity(JOINED_FIRST);
                many.extend_from_slice(&first);
                many.extend_from_slice(&data);
                self.many = Some(many);
            }
        }
    }

    fn take(&mut self) -> Option<Bytes> {
        self.many.take().map(BytesMut::freeze).or_else(|| self.one.take())
    }
}

impl Body for Forwarded {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Answer(answer) => answer.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Answer(answer) => answer.sender.is_none() && answer.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                let length = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            Self::Answer(answer) => answer.body.size_hint(),
        }
    }
}
