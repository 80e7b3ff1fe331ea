//! OpenRouter's `provider` object, as far as it can be honoured; what cannot be is refused by name, because a filter that
//! is silently ignored is a broken promise. Wishes that never exclude anything may be unknown to us without harm.

use crate::body::envelope::Field;
use crate::body::fields::Fields;
use crate::error::ApiError;
use domain::money::{Nano, parse_decimal};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// Where a client wants its request to go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Preferences {
    /// These first, in this order.
    pub(crate) order: Vec<String>,
    /// Only these; empty: any.
    pub(crate) only: Vec<String>,
    /// None of these.
    pub(crate) ignore: Vec<String>,
    /// Nothing but what is named or best.
    pub(crate) refuses_fallbacks: bool,
    /// Parameters that the upstream must honour.
    pub(crate) required: Vec<String>,
    /// Nowhere where data is kept for the upstream's own purposes.
    pub(crate) denies_collection: bool,
    /// Nowhere where data is kept at all.
    pub(crate) zero_data_retention: bool,
    pub(crate) sort: Option<Sort>,
    pub(crate) max_price: MaxPrice,
}

/// What the best upstream is best in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sort {
    Price,
    Throughput,
    Latency,
}

/// Most that may be asked, in the org's currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MaxPrice {
    /// Per million tokens.
    pub(crate) prompt: Option<Nano>,
    /// Per million tokens.
    pub(crate) completion: Option<Nano>,
    /// Per million tokens of images.
    pub(crate) image: Option<Nano>,
    /// Per million tokens of audio.
    pub(crate) audio: Option<Nano>,
    /// Per request.
    pub(crate) request: Option<Nano>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Provider<'a> {
    #[serde(default)]
    order: Option<Vec<String>>,
    #[serde(default)]
    only: Option<Vec<String>>,
    #[serde(default)]
    ignore: Option<Vec<String>>,
    #[serde(default)]
    allow_fallbacks: Option<bool>,
    #[serde(default)]
    require_parameters: Option<bool>,
    #[serde(default)]
    data_collection: Option<Collection>,
    #[serde(default)]
    zdr: Option<bool>,
    #[serde(default)]
    sort: Option<SortWish>,
    #[serde(borrow, default)]
    max_price: Option<Prices<'a>>,
    #[serde(default, rename = "preferred_min_throughput")]
    _throughput: IgnoredAny,
    #[serde(default, rename = "preferred_max_latency")]
    _latency: IgnoredAny,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Collection {
    Allow,
    Deny,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "`sort` must be price, throughput or latency")]
enum SortWish {
    Plain(Sort),
    Full { by: Option<Sort> },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Prices<'a> {
    #[serde(borrow, default)]
    prompt: Option<&'a RawValue>,
    #[serde(borrow, default)]
    completion: Option<&'a RawValue>,
    #[serde(borrow, default)]
    image: Option<&'a RawValue>,
    #[serde(borrow, default)]
    audio: Option<&'a RawValue>,
    #[serde(borrow, default)]
    request: Option<&'a RawValue>,
}

impl Preferences {
    /// Reads them; all at their defaults where nothing is said.
    pub(crate) fn read(fields: Fields<'_>) -> Result<Self, ApiError> {
        let Some(raw) = fields.value(Field::Provider) else {
            return Ok(Self::default());
        };
        let refuse = |wrong: serde_json::Error| {
            let message = format!("`provider` cannot be honoured as it is: {wrong}");
            ApiError::invalid("provider", message)
        };
        let said: Provider<'_> = serde_json::from_str(raw).map_err(refuse)?;
        let requires = said.require_parameters == Some(true);
        Ok(Self {
            order: said.order.unwrap_or_default(),
            only: said.only.unwrap_or_default(),
            ignore: said.ignore.unwrap_or_default(),
            refuses_fallbacks: said.allow_fallbacks == Some(false),
            required: if requires { parameters(fields.text) } else { Vec::new() },
            denies_collection: said.data_collection == Some(Collection::Deny),
            zero_data_retention: said.zdr == Some(true),
            sort: said.sort.and_then(|wish| match wish {
                SortWish::Plain(by) => Some(by),
                SortWish::Full { by } => by,
            }),
            max_price: said.max_price.map(MaxPrice::read).transpose()?.unwrap_or_default(),
        })
    }
}

impl MaxPrice {
    fn read(said: Prices<'_>) -> Result<Self, ApiError> {
        Ok(Self {
            prompt: price("prompt", said.prompt)?,
            completion: price("completion", said.completion)?,
            image: price("image", said.image)?,
            audio: price("audio", said.audio)?,
            request: price("request", said.request)?,
        })
    }
}

/// A decimal as a number or as text.
fn price(name: &str, raw: Option<&RawValue>) -> Result<Option<Nano>, ApiError> {
    let Some(raw) = raw else {
        return Ok(None);
    };
    let nano = parse_decimal(raw.get().trim_matches('"'), 9).ok();
    let nano = nano.and_then(|nano| i64::try_from(nano).ok()).and_then(|nano| Nano::new(nano).ok());
    match nano {
        Some(nano) => Ok(Some(nano)),
        None => {
            let message = format!(
                "`provider.max_price.{name}` must be a decimal of at most 9 places, for instance 2.5"
            );
            Err(ApiError::invalid("provider", message))
        }
    }
}

/// Top-level fields that are not the request itself, but how it is to be answered.
fn parameters(text: &str) -> Vec<String> {
    const NO_PARAMETERS: [&str; 14] = [
        "model",
        "models",
        "messages",
        "prompt",
        "suffix",
        "input",
        "stream",
        "stream_options",
        "usage",
        "route",
        "provider",
        "session_id",
        "user",
        "metadata",
    ];
    let Ok(Given(mut names)) = serde_json::from_str::<Given>(text) else {
        return Vec::new();
    };
    names.retain(|name| !NO_PARAMETERS.contains(&name.as_str()));
    names
}

/// Names of the members that are not null.
struct Given(Vec<String>);

/// Reads an object without keeping its values.
struct GivenReader;

impl<'de> Visitor<'de> for GivenReader {
    type Value = Given;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Given, A::Error> {
        let mut names = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
            if value.get() != "null" {
                names.push(name);
            }
        }
        Ok(Given(names))
    }
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_map(GivenReader)
    }
}
