//! Layers of configuration: defaults, a file, variables; and what to say about a key that nobody reads.

use super::Config;
use crate::suggest::closest;
use figment::error::{Error, Kind};
use figment::providers::Serialized;
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use serde_json::Value as Json;
use std::path::{Path, PathBuf};
use thiserror::Error as ThisError;

const VARIABLE_PREFIX: &str = "TURNPIKE__";

/// Configuration that cannot be used.
#[derive(Debug, ThisError)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no YAML, or has a key twice.
    #[error("{} is no YAML mapping: {reason}", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Why, with line and column.
        reason: String,
    },
    /// Nobody reads that key.
    #[error("{place}: unknown key `{key}`{hint}")]
    UnknownKey {
        /// File or variable.
        place: String,
        /// With its sections.
        key: String,
        /// What might have been meant.
        hint: String,
    },
    /// A value of the wrong form.
    #[error("{place}: `{key}`: {reason}")]
    BadValue {
        /// File or variable.
        place: String,
        /// With its sections.
        key: String,
        /// What was expected.
        reason: String,
    },
    /// Values that cannot work.
    #[error("configuration: `{key}` {claim}")]
    Nonsense {
        /// With its sections.
        key: String,
        /// What must hold.
        claim: String,
    },
}

/// Defaults, then the file, then the variables.
pub(super) fn layered(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    if let Some(path) = file {
        figment = figment.merge(file_layer(path)?);
    }
    let mut variables: Vec<(String, String)> = environment
        .into_iter()
        .filter(|(name, value)| name.starts_with(VARIABLE_PREFIX) && !value.is_empty())
        .collect();
    variables.sort();
    for (name, value) in variables {
        figment = figment.merge(variable_layer(name, &value));
    }
    figment.extract().map_err(explain)
}

/// One source of values, named as people know it.
struct Layer {
    name: String,
    values: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

fn file_layer(path: &Path) -> Result<Layer, ConfigError> {
    let syntax = |reason: String| ConfigError::Syntax { path: path.to_owned(), reason };
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    // Read as YAML's own value first, because that refuses a key that is there twice.
    let yaml: serde_yaml_ng::Value =
        serde_yaml_ng::from_str(&text).map_err(|error| syntax(error.to_string()))?;
    let mut json = serde_json::to_value(yaml).map_err(|error| syntax(error.to_string()))?;
    let defaults =
        serde_json::to_value(Config::default()).map_err(|error| syntax(error.to_string()))?;
    empty_sections_are_sections(&mut json, &defaults);
    match Value::serialize(json) {
        Ok(Value::Dict(_, values)) => Ok(Layer { name: path.display().to_string(), values }),
        Ok(_) => Err(syntax("it should consist of `section:` entries".to_owned())),
        Err(error) => Err(syntax(error.to_string())),
    }
}

/// A section whose keys are all commented out reads as null; it means "nothing set here".
fn empty_sections_are_sections(given: &mut Json, defaults: &Json) {
    let Json::Object(known) = defaults else { return };
    if given.is_null() {
        *given = Json::Object(serde_json::Map::new());
    }
    let Json::Object(given) = given else { return };
    for (key, value) in given {
        if let Some(default) = known.get(key) {
            empty_sections_are_sections(value, default);
        }
    }
}

fn variable_layer(name: String, text: &str) -> Layer {
    let path = name.strip_prefix(VARIABLE_PREFIX).unwrap_or_default().to_ascii_lowercase();
    let mut keys: Vec<&str> = path.split("__").collect();
    let last = keys.pop().unwrap_or_default();
    let leaf = text.parse().unwrap_or_else(|never: std::convert::Infallible| match never {});
    let mut values = Dict::from([(last.to_owned(), leaf)]);
    for key in keys.into_iter().rev() {
        values = Dict::from([(key.to_owned(), Value::from(values))]);
    }
    Layer { name, values }
}

fn explain(error: Error) -> ConfigError {
    let place =
        error.metadata.as_ref().map_or_else(|| "configuration".to_owned(), |m| m.name.to_string());
    let mut path = error.path.clone();
    match error.kind {
        Kind::UnknownField(name, known) => {
            if path.last() != Some(&name) {
                path.push(name.clone());
            }
            let section =
                path.split_last().map(|(_, section)| section.join(".")).unwrap_or_default();
            let hint = hint(&section, &name, known);
            ConfigError::UnknownKey { place, key: path.join("."), hint }
        }
        kind => ConfigError::BadValue { place, key: path.join("."), reason: kind.to_string() },
    }
}

fn hint(section: &str, name: &str, known: &[&str]) -> String {
    let dot = if section.is_empty() { "" } else { "." };
    match closest(name, known.iter().copied()) {
        Some(near) => format!("; did you mean `{section}{dot}{near}`?"),
        None => format!("; known here: {}", known.join(", ")),
    }
}
