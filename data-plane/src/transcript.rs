//! What an answer said, kept only so that it can be counted when its upstream does not count it for us.
//!
//! Never logged, never stored. A very long answer is counted block by block, so that it costs bounded memory.

use crate::dialect::Voice;
use crate::tokenizer;

/// Most bytes kept per voice before a block of them is counted and forgotten.
const KEPT_BYTES_MAX: usize = 96 << 10;

#[derive(Debug)]
struct Speech {
    choice: u64,
    voice: Voice,
    kept: String,
    /// Tokens of what is kept no longer.
    forgotten: u64,
}

/// Tokens by voice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spoken {
    pub(crate) answer: u64,
    pub(crate) reasoning: u64,
}

/// The words of all choices of one answer.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    speeches: Vec<Speech>,
    bytes: u64,
    reasoning_bytes: u64,
    pieces: u64,
    /// What the current event added: which speech, and where it began there.
    latest: Vec<(usize, usize)>,
    before: Tally,
}

/// Sums as they were before the current event.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    bytes: u64,
    reasoning_bytes: u64,
    pieces: u64,
}

impl Transcript {
    /// A new event begins: what it says can be taken back until the next one.
    pub(crate) fn begin_event(&mut self) {
        self.latest.clear();
        self.before =
            Tally { bytes: self.bytes, reasoning_bytes: self.reasoning_bytes, pieces: self.pieces };
    }

    /// Takes the current event back: it is not delivered.
    pub(crate) fn forget_event(&mut self) {
        for (index, length) in self.latest.drain(..).rev() {
            if let Some(speech) = self.speeches.get_mut(index) {
                speech.kept.truncate(length);
            }
        }
        self.bytes = self.before.bytes;
        self.reasoning_bytes = self.before.reasoning_bytes;
        self.pieces = self.before.pieces;
    }

    /// Adds words.
    pub(crate) fn hear(&mut self, choice: u64, voice: Voice, words: &str) {
        if words.is_empty() {
            return;
        }
        let bytes = u64::try_from(words.len()).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(bytes);
        self.pieces = self.pieces.saturating_add(1);
        if voice == Voice::Reasoning {
            self.reasoning_bytes = self.reasoning_bytes.saturating_add(bytes);
        }
        let index = self.speech(choice, voice);
        if let Some(speech) = self.speeches.get_mut(index) {
            self.latest.push((index, speech.kept.len()));
            speech.kept.push_str(words);
        }
    }

    /// The place of a speech, made if it is new.
    fn speech(&mut self, choice: u64, voice: Voice) -> usize {
        let known = self.speeches.iter().position(|s| s.choice == choice && s.voice == voice);
        known.unwrap_or_else(|| {
            self.speeches.push(Speech { choice, voice, kept: String::new(), forgotten: 0 });
            self.speeches.len() - 1
        })
    }

    /// Adds output that has no words: no more tokens than bytes.
    pub(crate) fn hear_opaque(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Bytes heard; no answer has more tokens than bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Pieces of words heard, which is about one for each chunk.
    pub(crate) fn pieces(&self) -> u64 {
        self.pieces
    }

    /// A plain guess, for when nobody can count: four bytes a token, and no fewer tokens than pieces.
    pub(crate) fn guess(&self) -> Spoken {
        let total = self.bytes.div_ceil(4).max(self.pieces).min(self.bytes);
        let reasoning = self.reasoning_bytes.div_ceil(4).min(total);
        Spoken { answer: total.saturating_sub(reasoning), reasoning }
    }

    /// Bytes of words that are still to be counted.
    pub(crate) fn kept_bytes(&self) -> u64 {
        let kept = self.speeches.iter().map(|speech| speech.kept.len());
        u64::try_from(kept.fold(0, usize::saturating_add)).unwrap_or(u64::MAX)
    }

    /// Whether a block should be counted and forgotten now.
    pub(crate) fn is_long(&self) -> bool {
        self.speeches.iter().any(|speech| speech.kept.len() > KEPT_BYTES_MAX)
    }

    /// Counts and forgets what is kept of the longest speech. Not while its last event may still be taken back.
    pub(crate) async fn forget(&mut self) {
        self.latest.clear();
        if let Some(speech) = self.speeches.iter_mut().max_by_key(|speech| speech.kept.len()) {
            let block = std::mem::take(&mut speech.kept);
            let (tokens, room) = tokenizer::count_and_return(block).await;
            speech.forgotten = speech.forgotten.saturating_add(tokens);
            speech.kept = room;
            speech.kept.clear();
        }
    }

    /// Counts everything with the tokeniser, off this thread.
    pub(crate) async fn count(&self) -> Spoken {
        let mut spoken = Spoken::default();
        for speech in &self.speeches {
            let tokens = tokenizer::count_text_off_thread(speech.kept.clone()).await;
            let tokens = tokens.saturating_add(speech.forgotten);
            match speech.voice {
                Voice::Answer => spoken.answer = spoken.answer.saturating_add(tokens),
                Voice::Reasoning => spoken.reasoning = spoken.reasoning.saturating_add(tokens),
            }
        }
        spoken
    }
}
