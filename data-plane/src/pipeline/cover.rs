//! Whether the money held covers the next event of a stream; if not, more is held, or the words are counted exactly, or
//! the stream must stop. This is where P3 is decided.

use crate::error::ApiError;
use crate::pipeline::admission::Admission;
use crate::pipeline::admit::unpaid;
use crate::pipeline::authenticate::AuthenticateError;
use crate::pipeline::settle;
use crate::purse::HoldRefused;
use domain::money::Nano;
use domain::tokens::{Quantities, TokenClass};

/// Windows by which a long stream is topped up at once, at most.
const WINDOWS_AHEAD_MAX: u64 = 8;

/// How far the money of one stream goes.
pub(crate) struct Cover {
    /// What was counted last, once money was short.
    counted: Option<Counted>,
    windows: u64,
    /// How much of the answer was heard when it was last written down; only where nothing is topped up.
    noted_bytes: u64,
    /// Why there is no more money, once that was said.
    refused: Option<HoldRefused>,
}

/// An exact count of a stream so far.
struct Counted {
    /// What it would be charged if it ended here.
    cost: Nano,
    /// How much of the answer that was.
    bytes: u64,
}

impl Cover {
    /// Nothing is counted yet.
    pub(crate) fn new() -> Self {
        Self { counted: None, windows: 1, noted_bytes: 0, refused: None }
    }

    /// Whether everything heard so far is covered by what is held or lies at hand. If not, it must be fetched.
    ///
    /// # Errors
    /// What the client is told when it cannot be: what was heard last must not be delivered.
    pub(crate) fn is_at_hand(&mut self, admission: &mut Admission) -> Result<bool, ApiError> {
        if !admission.plan.is_windowed {
            self.note_now_and_then(admission);
            return Ok(true);
        }
        let margin = self.margin(admission);
        if self.missing(admission, margin) == Some(Nano::ZERO) {
            return Ok(true);
        }
        if self.top_up_at_hand(admission) || self.is_covered(admission) {
            return Ok(true);
        }
        if admission.is_withdrawn() {
            return Err(AuthenticateError::Disabled.into());
        }
        Ok(false)
    }

    /// Has more held, so that everything heard so far is covered.
    ///
    /// # Errors
    /// As above.
    pub(crate) async fn fetch(&mut self, admission: &mut Admission) -> Result<(), ApiError> {
        self.secure_slowly(admission).await.map_err(unpaid)
    }

    /// A stream that holds all it may cost from the start is written down as often as others are topped up.
    fn note_now_and_then(&mut self, admission: &mut Admission) {
        let window = admission.plane.parts.settings.output_window_tokens;
        let heard = admission.meter.transcript.bytes();
        if heard.saturating_sub(self.noted_bytes) >= window.saturating_mul(WINDOWS_AHEAD_MAX) {
            self.noted_bytes = heard;
            admission.note_progress();
        }
    }

    async fn secure_slowly(&mut self, admission: &mut Admission) -> Result<(), HoldRefused> {
        if self.refused.is_none() {
            match self.top_up(admission).await {
                Ok(()) => return Ok(()),
                Err(refused) => self.refused = Some(refused),
            }
        }
        self.count(admission).await;
        if self.is_covered(admission) {
            return Ok(());
        }
        // The last few tokens' worth may still be there, now that it is known how few are needed.
        self.top_up(admission).await
    }

    fn is_covered(&self, admission: &mut Admission) -> bool {
        self.missing(admission, 0) == Some(Nano::ZERO)
    }

    /// What is not held yet of what everything heard so far can cost, and `ahead` more tokens; `None` when no wallet could
    /// hold it. No token is shorter than a byte, so what was not counted is no more tokens than bytes.
    fn missing(&self, admission: &mut Admission, ahead: u64) -> Option<Nano> {
        let (plan, heard) = (&admission.plan, admission.meter.transcript.bytes());
        let needed = match &self.counted {
            None => plan.prices.cost(plan.input_tokens_max, heard.saturating_add(ahead))?,
            Some(counted) => {
                let since = heard.saturating_sub(counted.bytes).saturating_add(ahead);
                counted.cost.plus(plan.prices.output_cost(since)?).ok()?
            }
        };
        let held = admission.hold().map_or(Nano::ZERO, |hold| hold.amount());
        Some(needed.saturating_minus(held).or_zero())
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
        let Some(step) = self.missing(admission, window.saturating_mul(self.windows)) else {
            return false;
        };
        if admission.is_withdrawn() {
            return false;
        }
        let is_held = admission.hold().is_some_and(|hold| hold.try_top_up(step));
        if is_held {
            self.windows = self.windows.saturating_mul(2).min(WINDOWS_AHEAD_MAX);
            admission.note_progress();
        }
        is_held
    }

    /// Asks for just what lets the last event pass: a whole window may be more than is left.
    async fn top_up(&mut self, admission: &mut Admission) -> Result<(), HoldRefused> {
        let least = self.missing(admission, 0).ok_or(HoldRefused::InsufficientBalance)?;
        let hold = admission.hold().ok_or(HoldRefused::InsufficientBalance)?;
        hold.top_up(least).await?;
        admission.note_progress();
        Ok(())
    }

    /// Only now, when money is short, is it worth the tokeniser's time. What is counted is priced as it will be charged.
    async fn count(&mut self, admission: &mut Admission) {
        let size = admission.request.ask.size;
        let is_all_text = size.images == 0 && size.audios == 0 && !size.open_ended;
        if admission.meter.input_counted.is_none() && is_all_text {
            settle::count_input(admission).await;
        }
        let input = admission.meter.input_counted.unwrap_or(admission.plan.input_tokens_max);
        let spoken = admission.meter.transcript.count().await;
        let rates = admission.rates(input);
        let quantities = Quantities::NONE
            .with(TokenClass::Input, input)
            .with(TokenClass::Output, spoken.answer)
            .with(TokenClass::Reasoning, spoken.reasoning)
            .with(TokenClass::Request, u64::from(rates.get(TokenClass::Request).is_some()));
        let cost = settle::price(&rates, &quantities);
        self.counted = Some(Counted { cost, bytes: admission.meter.transcript.bytes() });
    }
}
