//! Counting tokens, for upstreams that report no usage and for streams whose money has run out: `o200k`, OpenAI's formula
//! for chats, on threads of its own.
//!
//! Nothing here is in the path of a request that goes well, so nothing is loaded (some 50 MB) before it is first needed.

mod pieces;
mod prompt;

use bytes::Bytes;
use domain::operation::Operation;
use pieces::pieces;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock, OnceLock};
use std::thread;
use tiktoken_rs::{CoreBPE, o200k_base_singleton};
use tokio::sync::{mpsc, oneshot};

/// Text is counted in pieces this long: a piece that is one word takes some forty times its own memory.
const PIECE_BYTES: usize = 4 * 1024;

/// How much the tokeniser may use of the machine.
#[derive(Clone, Copy, Debug)]
pub struct TokenizerSettings {
    /// Threads that count.
    pub threads: usize,
    /// Texts that may wait; beyond them the callers do.
    pub waiting: usize,
}

impl Default for TokenizerSettings {
    fn default() -> Self {
        Self { threads: 1, waiting: 256 }
    }
}

/// Counts tokens of `o200k`.
pub struct Tokenizer {
    vocabulary: LazyLock<&'static CoreBPE>,
    jobs: mpsc::Sender<Job>,
}

struct Job {
    subject: Subject,
    answer: oneshot::Sender<Counted>,
}

/// What came of a job.
struct Counted {
    tokens: u64,
    /// The text, whose room its owner may use again.
    text: String,
}

enum Subject {
    Text(String),
    Prompt(Operation, Bytes),
}

static SHARED: OnceLock<Tokenizer> = OnceLock::new();

/// The process's tokeniser.
pub fn shared() -> &'static Tokenizer {
    SHARED.get_or_init(|| Tokenizer::start(TokenizerSettings::default()))
}

/// Counts text on the tokeniser's threads.
pub async fn count_text_off_thread(text: String) -> u64 {
    count_and_return(text).await.0
}

/// The same, and gives the text back, so that who counts block after block needs room for one.
pub async fn count_and_return(text: String) -> (u64, String) {
    let guess = guess(text.len());
    let counted = shared().count(Subject::Text(text)).await;
    counted.map_or((guess, String::new()), |counted| (counted.tokens, counted.text))
}

/// Counts the prompt of a request, given as its JSON body, on the tokeniser's threads.
pub async fn count_prompt(operation: Operation, body: Bytes) -> u64 {
    let guess = guess(body.len());
    let counted = shared().count(Subject::Prompt(operation, body)).await;
    counted.map_or(guess, |counted| counted.tokens)
}

/// What a text of that length has about, for when counting it fails altogether.
fn guess(bytes: usize) -> u64 {
    tokens(bytes.div_ceil(4))
}

fn tokens(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

impl Tokenizer {
    /// Starts its threads; they end with it.
    #[must_use]
    pub fn start(settings: TokenizerSettings) -> Self {
        let (jobs, waiting) = mpsc::channel(settings.waiting.max(1));
        let waiting = Arc::new(parking_lot::Mutex::new(waiting));
        for number in 0..settings.threads.max(1) {
            let waiting = waiting.clone();
            let work = move || work(&waiting);
            let started = thread::Builder::new().name(format!("tokenizer-{number}")).spawn(work);
            if let Err(error) = started {
                tracing::error!(%error, "no thread for the tokeniser: what it should count is guessed");
            }
        }
        Self { vocabulary: LazyLock::new(o200k_base_singleton), jobs }
    }

    /// The tokens of a text, special tokens being text like any other. Counts on the calling thread.
    #[must_use]
    pub fn count_text(&self, text: &str) -> u64 {
        count(&self.vocabulary, text)
    }

    async fn count(&self, subject: Subject) -> Option<Counted> {
        let (answer, counted) = oneshot::channel();
        self.jobs.send(Job { subject, answer }).await.ok()?;
        counted.await.ok()
    }
}

fn work(waiting: &parking_lot::Mutex<mpsc::Receiver<Job>>) {
    loop {
        // Only one thread at a time waits here; the others wait for the lock, which is the same to them.
        let Some(job) = waiting.lock().blocking_recv() else {
            return;
        };
        let Job { subject, answer } = job;
        let count = |text: &str| count(o200k_base_singleton(), text);
        let counted = catch_unwind(AssertUnwindSafe(move || match subject {
            Subject::Text(text) => Counted { tokens: count(&text), text },
            Subject::Prompt(operation, body) => {
                let tokens = prompt::count(operation, &body, count);
                Counted { tokens, text: String::new() }
            }
        }));
        match counted {
            // The caller may have gone away.
            Ok(counted) => drop(answer.send(counted)),
            Err(_) => tracing::error!("counting tokens failed: the count is guessed"),
        }
    }
}

fn count(vocabulary: &CoreBPE, text: &str) -> u64 {
    let counted = pieces(text, PIECE_BYTES).map(|piece| {
        let counted = vocabulary.count(piece, &HashSet::new());
        counted.map_or(guess(piece.len()), tokens)
    });
    counted.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests;
