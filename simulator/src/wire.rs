//! The socket under hyper: tells when what was handed out has left the process, and closes with a
//! reset when a fault asks for it. It knows nothing of HTTP.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::player::Farewell;

/// What the connection's socket and the answer on it know of each other.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How often everything buffered so far has been written to the socket.
    flushes: u64,
    waiting: Option<Waker>,
    farewell: Option<Farewell>,
    resets: bool,
}

impl Wire {
    /// The number to give to [`Wire::flushed`] or [`Wire::has_flushed`] after handing out bytes.
    pub(crate) fn mark(&self) -> u64 {
        self.state.lock().flushes
    }

    /// Whether everything that was handed out at the mark is in the socket.
    pub(crate) fn has_flushed(&self, mark: u64) -> bool {
        self.state.lock().flushes > mark
    }

    /// Waits for [`Wire::has_flushed`]. For the connection's own task only: there is one waiter.
    pub(crate) async fn flushed(&self, mark: u64) {
        std::future::poll_fn(|context| {
            let mut state = self.state.lock();
            if state.flushes > mark {
                return Poll::Ready(());
            }
            state.waiting = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Keeps the end of an answer until its last bytes are in the socket, because hyper drops a
    /// body of known length before it writes the rest.
    pub(crate) fn leave(&self, farewell: Farewell) {
        self.state.lock().farewell = Some(farewell);
    }

    /// Lets the connection end with a reset (TCP RST) when it closes.
    pub(crate) fn reset_on_close(&self) {
        self.state.lock().resets = true;
    }

    fn note_flush(&self) {
        let (waiting, farewell) = {
            let mut state = self.state.lock();
            state.flushes += 1;
            (state.waiting.take(), state.farewell.take())
        };
        if let Some(farewell) = farewell {
            farewell.landed();
        }
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }
}

/// The socket as hyper sees it.
#[derive(Debug)]
pub(crate) struct Tap {
    stream: TcpStream,
    wire: Arc<Wire>,
}

impl Tap {
    pub(crate) fn new(stream: TcpStream, wire: Arc<Wire>) -> Self {
        Self { stream, wire }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let (resets, farewell) = {
            let mut state = self.wire.state.lock();
            (state.resets, state.farewell.take())
        };
        // An answer that never left: it records itself as such.
        drop(farewell);
        if resets && let Err(error) = self.stream.set_zero_linger() {
            tracing::warn!(%error, "the connection closes without the reset it was told");
        }
    }
}

impl AsyncRead for Tap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Tap {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes only when its own buffer is empty, so that this is the moment to note.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.wire.note_flush();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
