//! The log of attempts: one entry when a request's head arrives and one when the attempt ends. Each
//! has a number `n`, without gaps, and is in the file before the next is numbered. What an entry
//! holds is in `log::entry`.

mod entry;

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use hyper::{HeaderMap, StatusCode, http::request::Parts};
use parking_lot::Mutex;
use tokio::{sync::watch, time::timeout};

pub(crate) use entry::{Ended, Entry};
use entry::{Ending, Event, Head, pairs};

use crate::{fault::Fault, reply, reply::Chunk};

/// Memory for the entries that `GET /_log` can show; the oldest go first. The file keeps all.
const KEPT_BYTES_MAX: usize = 128 << 20;

/// Bytes of one answer that are kept; of a longer one the log has the beginning and the lengths.
const RESPONSE_BYTES_MAX: usize = 32 << 20;

/// How long a reader waits for answers that are on their way into the socket.
const SETTLING_MAX: Duration = Duration::from_secs(1);

/// All attempts since the start.
#[derive(Debug)]
pub(crate) struct Log {
    kept: Mutex<Kept>,
    progress: watch::Sender<Progress>,
    attempts: AtomicU64,
    /// Set at shutdown: from then on it is not the client who leaves.
    closing: AtomicBool,
}

#[derive(Debug)]
struct Kept {
    last: u64,
    bytes: usize,
    entries: VecDeque<Entry>,
    file: Option<File>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    last: u64,
    /// Attempts whose last chunk is handed out and whose end is not logged yet.
    settling: usize,
}

impl Log {
    /// Opens the file for appending, if there is one.
    pub(crate) fn open(path: Option<&Path>) -> io::Result<Self> {
        let open = |path| OpenOptions::new().create(true).append(true).open(path);
        let file = path.map(open).transpose()?;
        let kept = Kept { last: 0, bytes: 0, entries: VecDeque::new(), file };
        Ok(Self {
            kept: Mutex::new(kept),
            progress: watch::Sender::default(),
            attempts: AtomicU64::new(0),
            closing: AtomicBool::new(false),
        })
    }

    /// Logs that an attempt begins.
    pub(crate) fn begin(self: &Arc<Self>, parts: &Parts) -> Attempt {
        let number = self.attempts.fetch_add(1, Ordering::Relaxed) + 1;
        let head = Arc::new(Head::new(number, parts));
        self.append(Event::Begin(Arc::clone(&head)));
        let ending = Ending::new(head);
        Attempt { log: Arc::clone(self), ending: Some(ending), is_settling: false }
    }

    /// The entries after a number, in order. Waits up to `patience` until there is one.
    pub(crate) async fn after(&self, n: u64, patience: Duration) -> Vec<Entry> {
        let mut progress = self.progress.subscribe();
        // Whoever has seen the end of an answer finds it here, though its task may lag behind.
        timeout(SETTLING_MAX, progress.wait_for(|progress| progress.settling == 0)).await.ok();
        timeout(patience, progress.wait_for(|progress| progress.last > n)).await.ok();
        let kept = self.kept.lock();
        let first = kept.entries.partition_point(|entry| entry.n <= n);
        kept.entries.range(first..).cloned().collect()
    }

    /// Attempts that are dropped from now on ended by shutdown.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    fn append(&self, event: Event) {
        let mut kept = self.kept.lock();
        kept.last += 1;
        let (n, weight) = (kept.last, event.weight());
        let entry = Entry { n, event };
        if let Some(file) = &mut kept.file {
            let mut line = reply::bytes(&entry);
            line.push(b'\n');
            if let Err(error) = file.write_all(&line) {
                tracing::error!(%error, n, "an entry is missing from the simulator's log file");
            }
        }
        kept.bytes += weight;
        kept.entries.push_back(entry);
        while kept.bytes > KEPT_BYTES_MAX
            && let Some(oldest) = kept.entries.pop_front()
        {
            kept.bytes -= oldest.event.weight();
        }
        // Under the lock, so that progress never goes back.
        self.progress.send_modify(|progress| progress.last = n);
    }
}

/// One attempt that has not ended. Dropped without [`Attempt::end`], it is logged as one whose
/// client has gone.
#[derive(Debug)]
pub(crate) struct Attempt {
    log: Arc<Log>,
    /// Taken when it is logged.
    ending: Option<Ending>,
    is_settling: bool,
}

impl Attempt {
    /// The attempt's number, from 1.
    pub(crate) fn number(&self) -> u64 {
        self.ending.as_ref().map_or(0, |ending| ending.head.attempt)
    }

    /// The request's body has been read.
    pub(crate) fn received(&mut self, body: Bytes) {
        self.change(|ending| ending.request_body = body);
    }

    /// The fault that is played.
    pub(crate) fn plays(&mut self, fault: Option<Fault>) {
        self.change(|ending| ending.fault = fault);
    }

    /// The head of the answer is decided.
    pub(crate) fn answers(&mut self, status: StatusCode, headers: &HeaderMap) {
        self.change(|ending| {
            ending.status = Some(status.as_u16());
            ending.response_headers = pairs(headers);
        });
    }

    /// A chunk of the body is in the socket.
    pub(crate) fn sent(&mut self, chunk: Chunk) {
        self.change(|ending| {
            ending.chunk_lengths.push(chunk.bytes.len());
            if ending.response_body.len() + chunk.bytes.len() <= RESPONSE_BYTES_MAX {
                ending.response_body.extend_from_slice(&chunk.bytes);
            }
            if chunk.usage.is_some() {
                ending.usage = chunk.usage;
            }
        });
    }

    /// Chunks in the socket so far.
    pub(crate) fn chunks(&self) -> u64 {
        self.ending.as_ref().map_or(0, |ending| ending.chunk_lengths.len() as u64)
    }

    /// The last chunk has been handed out: readers of the log wait for the end.
    pub(crate) fn settles(&mut self) {
        self.is_settling = true;
        self.log.progress.send_modify(|progress| progress.settling += 1);
    }

    /// Logs how the attempt ended.
    pub(crate) fn end(mut self, ended: Ended) {
        self.write(ended);
    }

    fn change(&mut self, change: impl FnOnce(&mut Ending)) {
        if let Some(ending) = &mut self.ending {
            change(ending);
        }
    }

    fn write(&mut self, ended: Ended) {
        let Some(mut ending) = self.ending.take() else { return };
        ending.end(ended);
        self.log.append(Event::End(Arc::new(ending)));
        if self.is_settling {
            self.log.progress.send_modify(|progress| progress.settling -= 1);
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let closing = self.log.closing.load(Ordering::Relaxed);
        self.write(if closing { Ended::Shutdown } else { Ended::ClientGone });
    }
}

/// Microseconds since 1970.
pub(crate) fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
