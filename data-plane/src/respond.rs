//! A response whose producer outlives its client.
//!
//! The producer is one future: it may dispatch, relay and settle. It is polled by the client's own connection, without a
//! task or a channel between them; when the client goes away, what is left of it runs on as a task of its own, and can
//! see that nobody listens. So no disconnect can drop a request that holds money.

use axum::body::Body;
use bytes::Bytes;
use http::response::Parts;
use http::{Response, StatusCode};
use http_body::Frame;
use parking_lot::Mutex;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::runtime::Handle;

type Producer = Pin<Box<dyn Future<Output = ()> + Send>>;

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
                mailbox.producer = Some(context.waker().clone());
                return Poll::Pending;
            }
            mailbox.frame = bytes.take();
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Resolves once the client went away.
    pub(crate) async fn gone(&self) {
        poll_fn(|context| {
            let mut mailbox = self.0.lock();
            if mailbox.is_gone {
                return Poll::Ready(());
            }
            mailbox.producer = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// Runs a producer for one client until it gives a head; the body then drives the rest.
pub(crate) async fn respond<F>(produce: impl FnOnce(Client) -> F) -> Response<Body>
where
    F: Future<Output = ()> + Send + 'static,
{
    let mailbox = Arc::new(Mutex::new(Mailbox::default()));
    let producer: Producer = Box::pin(produce(Client(mailbox.clone())));
    Beginning(Some(Outlived { producer: Some(producer), mailbox })).await
}

/// The wait for the head.
struct Beginning(Option<Outlived>);

impl Future for Beginning {
    type Output = Response<Body>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(outlived) = self.0.as_mut() else {
            return Poll::Pending;
        };
        let finished = outlived.advance(context).is_ready();
        let head = outlived.mailbox.lock().head.take();
        match (head, finished) {
            (Some(head), _) => {
                let body = self.0.take().map_or_else(Body::empty, Body::new);
                Poll::Ready(Response::from_parts(head, body))
            }
            (None, true) => {
                tracing::error!("a producer ended without an answer");
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                Poll::Ready(response)
            }
            (None, false) => Poll::Pending,
        }
    }
}

/// The producer with its mailbox. Dropping it before its end lets the producer run on alone.
struct Outlived {
    producer: Option<Producer>,
    mailbox: Arc<Mutex<Mailbox>>,
}

impl Outlived {
    fn advance(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(producer) = self.producer.as_mut() else {
            return Poll::Ready(());
        };
        let polled = producer.as_mut().poll(context);
        if polled.is_ready() {
            self.producer = None;
        }
        polled
    }
}

impl http_body::Body for Outlived {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(bytes) = self.mailbox.lock().frame.take() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        let advanced = self.advance(context);
        match (self.mailbox.lock().frame.take(), advanced) {
            (Some(bytes), _) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            (None, Poll::Ready(())) => Poll::Ready(None),
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
