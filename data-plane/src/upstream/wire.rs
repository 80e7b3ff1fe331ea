//! One connection to an upstream, and HTTP/1.1 on it: a request goes out in one write, its answer is read by the task that
//! waits for it. Nothing is kept in memory for a connection that has nothing to say (decision 19 says why this is ours).
//!
//! Which connection is used, and what is sent, is `client`'s business.

mod framing;
mod head;

pub(crate) use framing::BadFraming;
pub(crate) use head::Head;

use crate::body::splice::Spliced;
use bytes::{Bytes, BytesMut};
use framing::Framing;
use head::{BadHead, Parsed};
use http::StatusCode;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;
/// Pieces that are written at once.
const SLICES: usize = 16;

thread_local! {
    /// Where a core reads into. What came is copied out before anything else is read.
    static ARRIVAL: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
}

/// A connection, plain or encrypted.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for S {}

/// Why an exchange gave no answer.
#[derive(Debug, Error)]
pub(crate) enum ExchangeError {
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    #[error("the connection was closed before an answer")]
    Closed,
    #[error("the answer is no HTTP/1.1 that can be read")]
    Malformed,
}

impl From<BadHead> for ExchangeError {
    fn from(_: BadHead) -> Self {
        Self::Malformed
    }
}

/// Why a body has no further part.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the answer broke off")]
pub(crate) struct BrokenOff;

/// A connection that is free, or busy with one exchange.
pub(crate) struct Wire<S> {
    stream: S,
    /// Bytes of an answer's head, at most.
    head_bytes_max: usize,
}

/// The body of an answer, with the connection that it comes from.
pub(crate) struct Incoming<S> {
    wire: Wire<S>,
    framing: Framing,
    /// What came together with the head.
    ahead: Bytes,
    stays_open: bool,
    has_failed: bool,
}

impl<S: Stream> Wire<S> {
    pub(crate) fn new(stream: S, head_bytes_max: usize) -> Self {
        Self { stream, head_bytes_max }
    }

    /// Whether the other end holds a free connection open, as far as is known here. What it says unasked is no good.
    pub(crate) fn is_open(&mut self) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        self.poll_read(&mut nobody, |_| ()).is_pending()
    }

    /// Sends a request and waits for the head of its answer. What was written is gone from `request`, so that the caller
    /// knows whether anything was.
    pub(crate) async fn exchange(
        mut self,
        request: &mut Spliced,
    ) -> Result<(Head, Incoming<S>), ExchangeError> {
        let mut collected = BytesMut::new();
        let mut is_writable = true;
        let parsed = poll_fn(|context| {
            if is_writable {
                match self.poll_send(context, request) {
                    // It may have said why before it closed.
                    Poll::Ready(Err(_)) if !request.is_untouched() => is_writable = false,
                    Poll::Ready(sent) => {
                        sent?;
                        is_writable = false;
                    }
                    Poll::Pending => {}
                }
            }
            self.poll_head(context, &mut collected)
        });
        let Parsed { head, mut framing, stays_open, length } = parsed.await?;
        // An answer before the end of its request leaves a connection that is out of step.
        let stays_open = stays_open && request.is_sent();
        let after = collected.get(length..).unwrap_or_default();
        let mut ahead = BytesMut::with_capacity(after.len());
        let taken = framing.decode(after, &mut ahead).map_err(|_| ExchangeError::Malformed)?;
        let stays_open = stays_open && taken == after.len();
        let ahead = ahead.freeze();
        Ok((head, Incoming { wire: self, framing, ahead, stays_open, has_failed: false }))
    }

    fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        request: &mut Spliced,
    ) -> Poll<io::Result<()>> {
        while !request.is_sent() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let filled = request.slices(&mut slices);
            let slices = slices.get(..filled).unwrap_or_default();
            let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, slices))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            request.advance(written);
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// The head of the answer; heads that only announce one are read over.
    fn poll_head(
        &mut self,
        context: &mut Context<'_>,
        collected: &mut BytesMut,
    ) -> Poll<Result<Parsed, ExchangeError>> {
        loop {
            let read = self.poll_read(context, |bytes| collected.extend_from_slice(bytes));
            if ready!(read)?.is_none() {
                return Poll::Ready(Err(ExchangeError::Closed));
            }
            while let Some(parsed) = head::parse(collected)? {
                match parsed.head.status {
                    StatusCode::SWITCHING_PROTOCOLS => {
                        return Poll::Ready(Err(ExchangeError::Malformed));
                    }
                    status if status.is_informational() => {
                        drop(collected.split_to(parsed.length));
                    }
                    _ => return Poll::Ready(Ok(parsed)),
                }
            }
            if collected.len() > self.head_bytes_max {
                return Poll::Ready(Err(ExchangeError::Malformed));
            }
        }
    }

    /// Reads what is there. `None`: the other end has closed.
    fn poll_read<R>(
        &mut self,
        context: &mut Context<'_>,
        take: impl FnOnce(&[u8]) -> R,
    ) -> Poll<io::Result<Option<R>>> {
        ARRIVAL.with_borrow_mut(|arrival| {
            let mut arrival = ReadBuf::new(arrival);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut arrival))?;
            let bytes = arrival.filled();
            Poll::Ready(Ok((!bytes.is_empty()).then(|| take(bytes))))
        })
    }
}

impl<S: Stream> Incoming<S> {
    /// Bytes that are still to come, as far as that is known.
    pub(crate) fn expected(&self) -> usize {
        usize::try_from(self.framing.expected())
            .unwrap_or(usize::MAX)
            .saturating_add(self.ahead.len())
    }

    /// The next part of the body, whatever of it has come; `None` after its end.
    pub(crate) fn poll_part(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        if !self.ahead.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.ahead))));
        }
        if self.has_failed {
            return Poll::Ready(None);
        }
        let part = ready!(self.poll_new_part(context));
        self.has_failed = part.as_ref().is_some_and(Result::is_err);
        Poll::Ready(part)
    }

    fn poll_new_part(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        let Self { wire, framing, stays_open, .. } = self;
        while !framing.is_done() {
            let read = wire.poll_read(context, |bytes| {
                let mut body = BytesMut::with_capacity(bytes.len());
                let taken = framing.decode(bytes, &mut body)?;
                // Bytes that nobody asked for follow.
                *stays_open &= taken == bytes.len();
                Ok::<_, BadFraming>(body.freeze())
            });
            match ready!(read) {
                Ok(None) if framing.may_close() => {
                    *framing = Framing::Length(0);
                }
                Ok(Some(Ok(part))) if part.is_empty() => {}
                Ok(Some(Ok(part))) => return Poll::Ready(Some(Ok(part))),
                Ok(None | Some(Err(BadFraming))) | Err(_) => {
                    return Poll::Ready(Some(Err(BrokenOff)));
                }
            }
        }
        Poll::Ready(None)
    }

    /// Whether all of it was read.
    pub(crate) fn is_over(&self) -> bool {
        self.framing.is_done() && self.ahead.is_empty()
    }

    /// The connection, if the answer was read to its end and another request may follow on it.
    pub(crate) fn into_free(self) -> Option<Wire<S>> {
        (self.is_over() && self.stays_open).then_some(self.wire)
    }
}

#[cfg(test)]
mod tests;
