//! What operators configure, read and checked one object at a time. Whether objects fit together is `catalog`'s
//! business; what data planes get of them is `compile`'s.

mod kind;

pub use kind::Kind;

use crate::id::{KeyUid, OrgUid};
use crate::jurisdiction::{Allowed, Jurisdiction};
use crate::key::{KeyDigest, PreviousDigest};
use crate::money::{Currency, Nano};
use crate::name::Glob;
use crate::operation::Operation;
use crate::price::RateCard;
use crate::time::Timestamp;
use std::fmt;

/// A legal entity that sells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity {
    /// Unique.
    pub name: String,
    /// For people.
    pub display_name: String,
    /// Where it is.
    pub jurisdiction: Jurisdiction,
    /// Of its wallets and sell prices.
    pub currency: Currency,
    /// What its keys start with.
    pub key_prefix: String,
    /// Where its customers' requests may go.
    pub allowed: Allowed,
    /// Whether an answer without any output is charged.
    pub charge_empty_answers: bool,
    /// Whether an answer that its upstream broke off is charged.
    pub charge_cut_answers: bool,
}

/// Limits of each key of an org. `None` is unlimited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Unique.
    pub name: String,
    /// Requests per UTC minute.
    pub requests_per_minute: Option<u64>,
    /// Tokens per UTC minute.
    pub tokens_per_minute: Option<u64>,
    /// Requests running at once, per data plane.
    pub concurrency: Option<u64>,
}

/// Wire format of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// OpenAI's chat completions and what imitates them.
    OpenAi,
}

impl Dialect {
    /// All.
    pub const ALL: [Self; 1] = [Self::OpenAi];

    /// As configured.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
        }
    }

    /// The dialect of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == text)
    }
}

/// One endpoint that we call.
#[derive(Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Unique.
    pub name: String,
    /// Who runs it.
    pub vendor: String,
    /// What it speaks.
    pub dialect: Dialect,
    /// Where paths such as `chat/completions` are appended.
    pub base_url: String,
    /// Encrypted under the cell's key; empty: none is sent.
    pub sealed_credential: Vec<u8>,
    /// Where it is.
    pub jurisdiction: Jurisdiction,
    /// Closing the connection stops its meter.
    pub stops_on_abort: bool,
    /// Keeps nothing of a request for purposes of its own.
    pub collects_no_data: bool,
    /// Keeps nothing of a request at all.
    pub zero_data_retention: bool,
    /// What its vendor says in public.
    pub vendor_pages: VendorPages,
}

/// Addresses of what a vendor says in public; each may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VendorPages {
    /// What it does with data.
    pub privacy_policy: String,
    /// Its terms.
    pub terms_of_service: String,
    /// Whether it works at the moment.
    pub status: String,
}

impl VendorPages {
    /// Longest address.
    pub const LENGTH_MAX: usize = 1_024;

    /// Each, under the name of its field.
    #[must_use]
    pub fn fields(&self) -> [(&'static str, &str); 3] {
        [
            ("privacy_policy_url", &self.privacy_policy),
            ("terms_of_service_url", &self.terms_of_service),
            ("status_page_url", &self.status),
        ]
    }

    /// With what another upstream of the same vendor says of those that are empty here.
    pub fn complete(&mut self, other: &Self) {
        let pairs = [
            (&mut self.privacy_policy, &other.privacy_policy),
            (&mut self.terms_of_service, &other.terms_of_service),
            (&mut self.status, &other.status),
        ];
        for (own, others) in pairs {
            if own.is_empty() {
                own.clone_from(others);
            }
        }
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What goes into or comes out of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Modality {
    /// Text.
    Text,
    /// Images.
    Image,
    /// Audio.
    Audio,
    /// Documents.
    File,
    /// Vectors (out only).
    Embeddings,
}

impl Modality {
    /// All.
    pub const ALL: [Self; 5] = [Self::Text, Self::Image, Self::Audio, Self::File, Self::Embeddings];

    /// As configured.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Image => "image",
            Self::Audio => "audio",
            Self::File => "file",
            Self::Embeddings => "embeddings",
        }
    }

    /// The modality of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|modality| modality.name() == text)
    }
}

/// What clients name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// `author/slug`, unique.
    pub name: String,
    /// For people.
    pub display_name: String,
    /// For people, at more length; may be empty.
    pub description: String,
    /// Where it comes from, for markup.
    pub origin: String,
    /// Most tokens of input and output together.
    pub context_length: u64,
    /// Most tokens of output.
    pub max_output_tokens: u64,
    /// What it reads.
    pub input_modalities: Vec<Modality>,
    /// What it writes.
    pub output_modalities: Vec<Modality>,
    /// Most tokens one image part can cost.
    pub image_tokens_max: u64,
    /// Most tokens one audio part can cost.
    pub audio_tokens_max: u64,
    /// Reasons without showing it, so its stream cannot be metered as it goes.
    pub hidden_reasoning: bool,
    /// Other names under which clients find it.
    pub aliases: Vec<String>,
    /// What it may be asked; empty: all that its outputs allow.
    pub operations: Vec<Operation>,
    /// Request parameters that all its routes honour.
    pub supported_parameters: Vec<String>,
    /// Where it is served.
    pub routes: Vec<Route>,
}

/// Model → upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Name of the upstream.
    pub upstream: String,
    /// The upstream's name of the model.
    pub model: String,
    /// Lower first.
    pub priority: u32,
    /// Share among equals, at least 1.
    pub weight: u32,
    /// Request parameters that it honours; empty: those of the model.
    pub supported_parameters: Vec<String>,
}

/// What upstreams charge us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceBook {
    /// Unique.
    pub name: String,
    /// Of its prices.
    pub currency: Currency,
    /// Which upstreams; empty: any.
    pub upstreams: Vec<String>,
    /// By model and date.
    pub entries: Vec<PriceEntry>,
}

/// Cost of the models that a glob names, from a date on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceEntry {
    /// Which models.
    pub model: Glob,
    /// First moment of effect.
    pub valid_from: Timestamp,
    /// The prices.
    pub card: RateCard,
}

/// How much is added to a cost. `None` is any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkupRule {
    /// Unique.
    pub name: String,
    /// Highest wins.
    pub priority: i32,
    /// Which seller.
    pub entity: Option<String>,
    /// Which buyers.
    pub audience: Option<String>,
    /// Which models, by origin.
    pub origin: Option<String>,
    /// Which models, by name.
    pub model: Option<Glob>,
    /// Which org alone.
    pub org: Option<String>,
    /// Parts per million; may be zero.
    pub markup_ppm: i64,
}

/// How many units of `quote` one unit of `base` costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FxRate {
    /// Unique.
    pub name: String,
    /// From.
    pub base: Currency,
    /// To.
    pub quote: Currency,
    /// Times 10^10.
    pub rate_e10: i64,
    /// Who says so.
    pub source: String,
}

/// A customer of one entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Org {
    /// Never reused.
    pub uid: OrgUid,
    /// Unique.
    pub name: String,
    /// For people.
    pub display_name: String,
    /// Who sells to it.
    pub entity: String,
    /// Its limits.
    pub plan: String,
    /// Who it is, for markup.
    pub audience: String,
    /// Where its requests may go, within what the entity allows.
    pub allowed: Allowed,
    /// How far below zero its wallet may go.
    pub credit_limit: Nano,
    /// May not do anything.
    pub disabled: bool,
    /// Wants its prompts and completions kept, for as long as the operator keeps such.
    pub store_content: bool,
}

/// An API key; never its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Never reused.
    pub uid: KeyUid,
    /// `org/name`, unique.
    pub name: String,
    /// Whose it is.
    pub org: String,
    /// What is looked up.
    pub digest: KeyDigest,
    /// What is looked up, too, for a while after its secret was changed.
    pub previous: Option<PreviousDigest>,
    /// Which models; empty: all.
    pub models: Vec<Glob>,
    /// Most it may ever spend, in the currency of the org's entity.
    pub budget: Option<Nano>,
    /// When it stops.
    pub expires: Option<Timestamp>,
    /// May not do anything.
    pub disabled: bool,
    /// Where its requests may go, within what the org allows.
    pub allowed: Allowed,
}
