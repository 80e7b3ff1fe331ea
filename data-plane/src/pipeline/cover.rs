//! Whether the money held covers the next event of a stream; if not, more is held, or the words are counted exactly, or
//! the stream must stop. This is where P3 is decided.

use crate::error::ApiError;
use crate::pipeline::admission::Admission;
use crate::pipeline::admit::unpaid;
use crate::purse::HoldRefused;
use crate::tokenizer;
use domain::money::Nano;

/// Windows by which a long stream is topped up at once, at most.
const WINDOWS_AHEAD_MAX: u64 = 8;

/// How far the money of one stream goes.
pub(crate) struct Cover {
    /// Most input tokens it can be billed for, as known by now.
    input: u64,
    /// Tokens known exactly to be among the first `exact_bytes` of the answer.
    exact_tokens: u64,
    exact_bytes: u64,
    windows: u64,
    /// Why there is no more money, once that was said.
    refused: Option<HoldRefused>,
}

impl Cover {
    /// Nothing is counted yet.
    pub(crate) fn new(admission: &Admission) -> Self {
        let input = admission.plan.input_tokens_max;
        Self { input, exact_tokens: 0, exact_bytes: 0, windows: 1, refused: None }
    }

    /// Makes sure that everything heard so far is covered.
    ///
    /// # Errors
    /// What the client is told when it cannot be: what was heard last must not be delivered.
    pub(crate) async fn secure(&mut self, admission: &mut Admission) -> Result<(), ApiError> {
        if !admission.plan.is_windowed {
            return Ok(());
        }
        let most = self.most(admission);
        if self.covers(admission, most.saturating_add(self.margin(admission))) {
            return Ok(());
        }
        if self.top_up_at_hand(admission) || self.covers(admission, most) {
            return Ok(());
        }
        self.secure_slowly(admission).await.map_err(unpaid)
    }

    async fn secure_slowly(&mut self, admission: &mut Admission) -> Result<(), HoldRefused> {
        if self.refused.is_none() {
            match self.top_up(admission).await {
                Ok(()) => return Ok(()),
                Err(refused) => self.refused = Some(refused),
            }
        }
        self.count_exactly(admission).await;
        if self.covers(admission, self.most(admission)) {
            return Ok(());
        }
        // The last few tokens' worth may still be there, now that it is known how few are needed.
        self.top_up(admission).await
    }

    /// No more tokens than this were heard: those counted, and no more than one for each byte since.
    fn most(&self, admission: &Admission) -> u64 {
        let since = admission.meter.transcript.bytes().saturating_sub(self.exact_bytes);
        self.exact_tokens.saturating_add(since)
    }

    fn covers(&self, admission: &mut Admission, output_tokens: u64) -> bool {
        let cost = admission.plan.prices.cost(self.input, output_tokens);
        let held = held(admission);
        cost.is_some_and(|cost| cost <= held)
    }

    /// Half a window ahead is when the next one is fetched.
    fn margin(&self, admission: &Admission) -> u64 {
        if self.refused.is_some() {
            return 0;
        }
        admission.plane.parts.settings.output_window_tokens / 2
    }

    /// Holds windows ahead if the money lies at hand, so that a warm stream never waits.
    fn top_up_at_hand(&mut self, admission: &mut Admission) -> bool {
        let window = admission.plane.parts.settings.output_window_tokens;
        let ahead = self.most(admission).saturating_add(window.saturating_mul(self.windows));
        let Some(step) = self.missing(admission, ahead) else {
            return false;
        };
        let is_held = admission.hold().is_some_and(|hold| hold.try_top_up(step));
        if is_held {
            self.windows = self.windows.saturating_mul(2).min(WINDOWS_AHEAD_MAX);
            admission.note_progress();
        }
        is_held
    }

    /// Asks for just what lets the last event pass: a whole window may be more than is left.
    async fn top_up(&mut self, admission: &mut Admission) -> Result<(), HoldRefused> {
        let least = self
            .missing(admission, self.most(admission))
            .ok_or(HoldRefused::InsufficientBalance)?;
        let hold = admission.hold().ok_or(HoldRefused::InsufficientBalance)?;
        hold.top_up(least).await?;
        admission.note_progress();
        Ok(())
    }

    fn missing(&self, admission: &mut Admission, output_tokens: u64) -> Option<Nano> {
        let needed = admission.plan.prices.cost(self.input, output_tokens)?;
        Some(needed.saturating_minus(held(admission)).or_zero())
    }

    /// Only now, when money is short, is it worth the tokeniser's time.
    async fn count_exactly(&mut self, admission: &mut Admission) {
        let size = admission.chat.size;
        let is_all_text = size.images == 0 && size.audios == 0 && !size.open_ended;
        if admission.meter.input_counted.is_none() && is_all_text {
            let counted = tokenizer::count_prompt(admission.chat.body.clone()).await;
            self.input = counted.min(self.input);
            admission.meter.input_counted = Some(self.input);
        }
        self.exact_tokens = admission.meter.transcript.count().await.total();
        self.exact_bytes = admission.meter.transcript.bytes();
    }
}

fn held(admission: &mut Admission) -> Nano {
    admission.hold().map_or(Nano::ZERO, |hold| hold.amount())
}
