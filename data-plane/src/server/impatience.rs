//! A client's socket that fails once it has taken nothing for too long while something is to be written, and gives what it has in
//! small parts. What becomes of the request behind it is what becomes of any whose client left.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, Take};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// How long it may take nothing while the process is ending.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// Bytes that are read at once, at most. One less than what hyper's buffer has room for once it has grown: it grows again only when
/// a read fills it, and is kept beside the whole body of the request.
const READ_BYTES_MAX: u64 = (16 << 10) - 1;

/// A socket and how long it may refuse to take anything. What waits for it is not even asked meanwhile whether it wants to
/// go on, so it is here that the end of the process is noticed.
pub(super) struct Impatient<S> {
    socket: Take<S>,
    patience: Duration,
    ending: CancellationToken,
    /// Since when it takes nothing; `None` while it does, which costs no timer.
    stuck_since: Option<Instant>,
    /// Made when it is stuck for the first time.
    alarm: Option<Pin<Box<Sleep>>>,
    /// Made with the alarm.
    ended: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl<S: AsyncRead> Impatient<S> {
    pub(super) fn new(socket: S, patience: Duration, ending: CancellationToken) -> Self {
        let socket = socket.take(READ_BYTES_MAX);
        Self { socket, patience, ending, stuck_since: None, alarm: None, ended: None }
    }
}

impl<S> Impatient<S> {
    fn judge(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stuck_since = None;
            return written;
        }
        let stuck_since = *self.stuck_since.get_or_insert_with(Instant::now);
        let ended =
            self.ended.get_or_insert_with(|| Box::pin(self.ending.clone().cancelled_owned()));
        let is_ending = self.ending.is_cancelled() || ended.as_mut().poll(context).is_ready();
        let patience = if is_ending { LAST_PATIENCE.min(self.patience) } else { self.patience };
        let deadline = stuck_since + patience;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        // It may be set for a time when the socket was stuck before.
        if alarm.deadline() != deadline {
            alarm.as_mut().reset(deadline);
        }
        if alarm.as_mut().poll(context).is_ready() {
            tracing::debug!(?patience, "a client takes nothing of its answer");
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(self.socket.get_mut()).poll_write(context, bytes);
        self.judge(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(self.socket.get_mut()).poll_write_vectored(context, pieces);
        self.judge(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.get_ref().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.socket.get_mut()).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.socket.get_mut()).poll_shutdown(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.socket.set_limit(READ_BYTES_MAX);
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

#[cfg(test)]
mod tests;
