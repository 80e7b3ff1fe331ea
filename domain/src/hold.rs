//! How much a request must hold before it may go out: an upper bound of what it can cost until the next top-up.

use crate::config::Modality;
use crate::money::{Nano, divide_half_away};
use crate::price::{PER_MILLION, Rates};
use crate::tokens::TokenClass;

/// Tokens of output that a short wallet must at least afford before the bound falls below a quarter of what is free.
pub const OUTPUT_TOKENS_COMFORTABLE: u64 = 256;

/// What the request's own text says about how large it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestSize {
    /// Prompts that each have a context of their own.
    pub prompts: u64,
    /// Bytes of the body that are not the content of media parts: no token is shorter than a byte.
    pub text_bytes: u64,
    /// Tokens that came as numbers.
    pub tokens: u64,
    /// Parts that are images.
    pub images: u64,
    /// Parts that are audio.
    pub audios: u64,
    /// Most web searches that the upstream may make for it.
    pub searches: u64,
    /// Has something whose size the body does not tell: files by URL, server tools, stored state.
    pub open_ended: bool,
}

impl Default for RequestSize {
    /// One empty prompt.
    fn default() -> Self {
        Self {
            prompts: 1,
            text_bytes: 0,
            tokens: 0,
            images: 0,
            audios: 0,
            searches: 0,
            open_ended: false,
        }
    }
}

/// What the catalog says about how large a request to the model can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelBounds {
    /// Most tokens altogether.
    pub context_length: u64,
    /// Most tokens of one image.
    pub image_tokens_max: u64,
    /// Most tokens of one audio part.
    pub audio_tokens_max: u64,
}

/// The most input tokens that a request can be billed for.
#[must_use]
pub fn input_tokens_max(size: RequestSize, bounds: ModelBounds) -> u64 {
    let contexts = bounds.context_length.saturating_mul(size.prompts);
    if size.open_ended {
        return contexts;
    }
    let images = size.images.saturating_mul(bounds.image_tokens_max);
    let audios = size.audios.saturating_mul(bounds.audio_tokens_max);
    let texts = size.text_bytes.saturating_add(size.tokens);
    texts.saturating_add(images).saturating_add(audios).min(contexts)
}

/// Whether an upstream may bill a request for a class at all: no image is billed where none is sent or made.
#[must_use]
pub fn may_apply(class: TokenClass, size: RequestSize, outputs: &[Modality]) -> bool {
    match class {
        TokenClass::ImageIn => size.open_ended || size.images > 0,
        TokenClass::AudioIn => size.open_ended || size.audios > 0,
        TokenClass::ImageOut => outputs.contains(&Modality::Image),
        TokenClass::AudioOut => outputs.contains(&Modality::Audio),
        TokenClass::Input
        | TokenClass::CacheRead
        | TokenClass::CacheWrite5m
        | TokenClass::CacheWrite1h
        | TokenClass::Output
        | TokenClass::Reasoning
        | TokenClass::Request => true,
        TokenClass::WebSearch => size.searches > 0,
    }
}

/// Dearest prices of a token, whatever class it turns out to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenPrices {
    input: Nano,
    output: Nano,
    /// The request itself, with all the searches that it may make.
    request: Nano,
}

impl TokenPrices {
    /// The dearest of each side.
    #[must_use]
    pub fn of(rates: &Rates) -> Self {
        let dearest = |classes: &[TokenClass]| {
            classes.iter().filter_map(|class| rates.get(*class)).max().unwrap_or(Nano::ZERO)
        };
        Self {
            input: dearest(&TokenClass::INPUT),
            output: dearest(&TokenClass::OUTPUT),
            request: rates.get(TokenClass::Request).unwrap_or(Nano::ZERO),
        }
    }

    /// With so many web searches in the price of the request.
    #[must_use]
    pub fn with_searches(self, rates: &Rates, searches: u64) -> Self {
        let one = rates.get(TokenClass::WebSearch).unwrap_or(Nano::ZERO);
        let all = Nano::saturating(i128::from(one.get()).saturating_mul(i128::from(searches)));
        Self { request: self.request.saturating_plus(all), ..self }
    }

    /// The dearer of both, side by side.
    #[must_use]
    pub fn or_dearer(self, other: Self) -> Self {
        Self {
            input: self.input.max(other.input),
            output: self.output.max(other.output),
            request: self.request.max(other.request),
        }
    }

    /// The cost of so many tokens, rounded up. `None`: more than any wallet can hold.
    #[must_use]
    pub fn cost(&self, input_tokens: u64, output_tokens: u64) -> Option<Nano> {
        let side =
            |price: Nano, tokens: u64| i128::from(price.get()).checked_mul(i128::from(tokens));
        let exact = side(self.input, input_tokens)?
            .checked_add(side(self.output, output_tokens)?)?
            .checked_add(i128::from(self.request.get()))?;
        let rounded = exact.checked_add(PER_MILLION.checked_sub(1)?)?.checked_div(PER_MILLION)?;
        Nano::new(i64::try_from(rounded).ok()?).ok()
    }

    /// The cost of so many tokens of output alone, rounded up.
    #[must_use]
    pub fn output_cost(&self, output_tokens: u64) -> Option<Nano> {
        Self { request: Nano::ZERO, ..*self }.cost(0, output_tokens)
    }

    /// How many output tokens `money` pays for beside that much input; `None` when it does not even pay for one.
    #[must_use]
    pub fn affordable_output(&self, input_tokens: u64, money: Nano) -> Option<u64> {
        let fixed = self.cost(input_tokens, 0)?;
        let left = money.minus(fixed).ok()?;
        if left < Nano::ZERO {
            return None;
        }
        if self.output == Nano::ZERO {
            return Some(u64::MAX);
        }
        let tokens = i128::from(left.get())
            .checked_mul(PER_MILLION)?
            .checked_div(i128::from(self.output.get()))?;
        Some(u64::try_from(tokens).unwrap_or(u64::MAX)).filter(|tokens| *tokens > 0)
    }

    /// What a short wallet may put into one request: a quarter of what is free while that still covers the input and a
    /// comfortable answer (or all the answer that was asked for), else everything.
    #[must_use]
    pub fn affordable_money(&self, input_tokens: u64, output_tokens: u64, free: Nano) -> Nano {
        let quarter =
            divide_half_away(i128::from(free.get()), 4).map_or(Nano::ZERO, Nano::saturating);
        let answer = output_tokens.min(OUTPUT_TOKENS_COMFORTABLE);
        match self.cost(input_tokens, answer) {
            Some(comfortable) if comfortable <= quarter => quarter,
            _ => free,
        }
    }
}
