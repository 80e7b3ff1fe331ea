//! A response whose producer outlives its client.
//!
//! The producer is one future: it may dispatch, relay and settle. It is polled by the client's own connection, without a
//! task or a channel between them; when the client goes away, what is left of it runs on as a task of its own, and can
//! see that nobody listens. So no disconnect can drop a request that holds money.

use axum::body::Body;
use bytes::Bytes;
use http::Response;
use http::response::Parts;
use http_body::Frame;
use parking_lot::Mutex;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use thiserror::Error;
use tokio::runtime::Handle;

type Producer = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The producer panicked after it had given a head: an end that no client takes for a good one.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the answer broke off on our side")]
pub(crate) struct Panicked;

/// Nobody listens any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

#[derive(Default)]
struct Mailbox {
    head: Option<Parts>,
    has_begun: bool,
    frame: Option<Bytes>,
    is_gone: bool,
    producer: Option<Waker>,
}

impl Mailbox {
    fn wake_later(&mut self, waker: &Waker) {
        if !self.producer.as_ref().is_some_and(|known| known.will_wake(waker)) {
            self.producer = Some(waker.clone());
        }
    }
}

/// The producer's view of its client.
#[derive(Clone)]
pub(crate) struct Client(Arc<Mutex<Mailbox>>);

impl Client {
    /// Gives the response's head. Only the first one counts.
    pub(crate) fn begin(&self, head: Parts) {
        let mut mailbox = self.0.lock();
        if !mailbox.has_begun {
            mailbox.has_begun = true;
            mailbox.head = Some(head);
        }
    }

    /// Whether a head was given, so that an error can only be said in the body.
    pub(crate) fn has_begun(&self) -> bool {
        self.0.lock().has_begun
    }

    /// Whether the client went away.
    pub(crate) fn is_gone(&self) -> bool {
        self.0.lock().is_gone
    }

    /// Hands bytes to the connection; waits while it has not taken the last ones, which is all the buffering there is.
    pub(crate) async fn send(&self, bytes: Bytes) -> Result<(), Gone> {
        let mut bytes = Some(bytes);
        poll_fn(|context| {
            let mut mailbox = self.0.lock();
            if mailbox.is_gone {
                return Poll::Ready(Err(Gone));
            }
            if mailbox.frame.is_some() {
                mailbox.wake_later(context.waker());
                return Poll::Pending;
            }
            mailbox.frame = bytes.take();
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Ready once the client went away.
    pub(crate) fn poll_gone(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut mailbox = self.0.lock();
        if mailbox.is_gone {
            return Poll::Ready(());
        }
        mailbox.wake_later(context.waker());
        Poll::Pending
    }
}

/// Runs a producer for one client until it gives a head; the body then drives the rest. `None` if it never gives one,
/// which is a defect. A panic ends the one request, not its neighbours on the core.
pub(crate) async fn respond<F>(produce: impl FnOnce(Client) -> F) -> Option<Response<Body>>
where
    F: Future<Output = ()> + Send + 'static,
{
    let mailbox = Arc::new(Mutex::new(Mailbox::default()));
    let producer: Producer = Box::pin(produce(Client(mailbox.clone())));
    Beginning(Some(Outlived { producer: Some(producer), ended: Ok(()), mailbox })).await
}

/// The wait for the head.
struct Beginning(Option<Outlived>);

impl Future for Beginning {
    type Output = Option<Response<Body>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(outlived) = self.0.as_mut() else {
            return Poll::Pending;
        };
        let advanced = outlived.advance(context);
        let head = outlived.mailbox.lock().head.take();
        match (head, advanced) {
            (_, Poll::Ready(Err(Panicked))) => Poll::Ready(None),
            (Some(head), _) => {
                let body = self.0.take().map_or_else(Body::empty, Body::new);
                Poll::Ready(Some(Response::from_parts(head, body)))
            }
            (None, Poll::Ready(Ok(()))) => {
                tracing::error!("a producer ended without an answer");
                Poll::Ready(None)
            }
            (None, Poll::Pending) => Poll::Pending,
        }
    }
}

/// The producer with its mailbox. Dropping it before its end lets the producer run on alone.
struct Outlived {
    producer: Option<Producer>,
    /// How the producer ended, once it has.
    ended: Result<(), Panicked>,
    mailbox: Arc<Mutex<Mailbox>>,
}

impl Outlived {
    fn advance(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Panicked>> {
        let Some(producer) = self.producer.as_mut() else {
            return Poll::Ready(self.ended);
        };
        // What the producer held was dropped as it unwound, its admission settled with it; it is not polled again.
        let polled = catch_unwind(AssertUnwindSafe(|| producer.as_mut().poll(context)));
        match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(())) => {}
            Err(_) => {
                tracing::error!("a request panicked; its client sees an error");
                self.ended = Err(Panicked);
            }
        }
        self.producer = None;
        Poll::Ready(self.ended)
    }
}

impl http_body::Body for Outlived {
    type Data = Bytes;
    type Error = Panicked;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Panicked>>> {
        if let Some(bytes) = self.mailbox.lock().frame.take() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        let advanced = self.advance(context);
        match (self.mailbox.lock().frame.take(), advanced) {
            (Some(bytes), _) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            (None, Poll::Ready(Ok(()))) => Poll::Ready(None),
            (None, Poll::Ready(Err(panicked))) => Poll::Ready(Some(Err(panicked))),
            (None, Poll::Pending) => Poll::Pending,
        }
    }
}

impl Drop for Outlived {
    fn drop(&mut self) {
        let Some(producer) = self.producer.take() else {
            return;
        };
        let waker = {
            let mut mailbox = self.mailbox.lock();
            mailbox.is_gone = true;
            mailbox.producer.take()
        };
        // Without a runtime the process is ending; the spool closes the request at the next start.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(producer);
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests;
