//! What is counted: disjoint token classes and counted items, each quantity with its provenance.
//!
//! Which field of which upstream means what is the dialects' business; that the sum is right is checked here.

use std::fmt;

/// How many classes there are.
pub const CLASSES: usize = 12;

/// A disjoint class of tokens, or a counted item. Sums of the input classes give the upstream's input total, and so for
/// output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenClass {
    /// Input that no cache served.
    Input,
    /// Input read from the upstream's cache.
    CacheRead,
    /// Input written to a cache kept five minutes.
    CacheWrite5m,
    /// Input written to a cache kept one hour.
    CacheWrite1h,
    /// Images in the input.
    ImageIn,
    /// Audio in the input.
    AudioIn,
    /// Text of the answer, tool calls included.
    Output,
    /// Thinking, shown or not.
    Reasoning,
    /// Audio in the answer.
    AudioOut,
    /// Images in the answer.
    ImageOut,
    /// The request itself.
    Request,
    /// A web search done by the upstream.
    WebSearch,
}

impl TokenClass {
    /// All, in the order of their index.
    pub const ALL: [Self; CLASSES] = [
        Self::Input,
        Self::CacheRead,
        Self::CacheWrite5m,
        Self::CacheWrite1h,
        Self::ImageIn,
        Self::AudioIn,
        Self::Output,
        Self::Reasoning,
        Self::AudioOut,
        Self::ImageOut,
        Self::Request,
        Self::WebSearch,
    ];
    /// Classes whose sum is the upstream's input total.
    pub const INPUT: [Self; 6] = [
        Self::Input,
        Self::CacheRead,
        Self::CacheWrite5m,
        Self::CacheWrite1h,
        Self::ImageIn,
        Self::AudioIn,
    ];
    /// Classes whose sum is the upstream's output total.
    pub const OUTPUT: [Self; 4] = [Self::Output, Self::Reasoning, Self::AudioOut, Self::ImageOut];

    /// Its place in arrays of `CLASSES`.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Its name in configuration, events and explanations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::CacheRead => "cache_read",
            Self::CacheWrite5m => "cache_write_5m",
            Self::CacheWrite1h => "cache_write_1h",
            Self::ImageIn => "image_in",
            Self::AudioIn => "audio_in",
            Self::Output => "output",
            Self::Reasoning => "reasoning",
            Self::AudioOut => "audio_out",
            Self::ImageOut => "image_out",
            Self::Request => "request",
            Self::WebSearch => "web_search",
        }
    }

    /// The class of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }

    /// The class whose price stands in when this one was never priced but an upstream reports it all the same.
    #[must_use]
    pub const fn parent(self) -> Self {
        match self {
            Self::Input
            | Self::CacheRead
            | Self::CacheWrite5m
            | Self::CacheWrite1h
            | Self::ImageIn
            | Self::AudioIn => Self::Input,
            Self::Output | Self::Reasoning | Self::AudioOut | Self::ImageOut => Self::Output,
            Self::Request => Self::Request,
            Self::WebSearch => Self::WebSearch,
        }
    }
}

impl fmt::Display for TokenClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a quantity came to be known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provenance {
    /// By the upstream.
    #[default]
    Reported,
    /// By our tokeniser, over what was sent or delivered.
    Counted,
    /// Bounded from bytes, where no tokeniser applies.
    Estimated,
}

impl Provenance {
    /// Its name in events and explanations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::Counted => "counted",
            Self::Estimated => "estimated",
        }
    }
}

/// Quantities by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quantities([u64; CLASSES]);

impl Quantities {
    /// Nothing of anything.
    pub const NONE: Self = Self([0; CLASSES]);

    /// How many of a class.
    #[must_use]
    pub fn get(&self, class: TokenClass) -> u64 {
        self.0.get(class.index()).copied().unwrap_or(0)
    }

    /// Sets a class.
    pub fn set(&mut self, class: TokenClass, quantity: u64) {
        if let Some(slot) = self.0.get_mut(class.index()) {
            *slot = quantity;
        }
    }

    /// The same with a class set.
    #[must_use]
    pub fn with(mut self, class: TokenClass, quantity: u64) -> Self {
        self.set(class, quantity);
        self
    }

    /// All input tokens; what context thresholds look at.
    #[must_use]
    pub fn input_total(&self) -> u64 {
        TokenClass::INPUT.into_iter().fold(0, |sum, class| sum.saturating_add(self.get(class)))
    }

    /// All output tokens.
    #[must_use]
    pub fn output_total(&self) -> u64 {
        TokenClass::OUTPUT.into_iter().fold(0, |sum, class| sum.saturating_add(self.get(class)))
    }

    /// Classes that have any, in order.
    pub fn nonzero(&self) -> impl Iterator<Item = (TokenClass, u64)> + '_ {
        TokenClass::ALL.into_iter().map(|class| (class, self.get(class))).filter(|(_, n)| *n > 0)
    }
}

/// Quantities with where each side of them came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metered {
    /// How much of what.
    pub quantities: Quantities,
    /// Of the input classes and counted items.
    pub input: Provenance,
    /// Of the output classes.
    pub output: Provenance,
}

impl Metered {
    /// How a class's quantity is known.
    #[must_use]
    pub const fn provenance(&self, class: TokenClass) -> Provenance {
        match class.parent() {
            TokenClass::Output => self.output,
            _ => self.input,
        }
    }
}
