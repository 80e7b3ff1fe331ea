//! JSON into a message by its descriptor, and which field is to blame when that fails.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value as Json};

/// The field that does not fit.
pub(super) struct BadField {
    pub(super) field: String,
    pub(super) reason: String,
}

/// Reads JSON as a message; unknown fields are refused.
pub(super) fn message(
    descriptor: &MessageDescriptor,
    json: Json,
) -> Result<DynamicMessage, BadField> {
    DynamicMessage::deserialize(descriptor.clone(), &json).map_err(|error| {
        blame(descriptor, &json, "")
            .unwrap_or_else(|| BadField { field: String::new(), reason: error.to_string() })
    })
}

/// Finds the field to blame by reading each one alone.
fn blame(descriptor: &MessageDescriptor, json: &Json, path: &str) -> Option<BadField> {
    let Json::Object(fields) = json else {
        let reason = format!("should be a mapping, but is {}", form(json));
        return Some(BadField { field: path.to_owned(), reason });
    };
    fields.iter().find_map(|(name, value)| {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let Some(field) = field_named(descriptor, name) else {
            return Some(BadField { field: path, reason: unknown(descriptor, name) });
        };
        blame_inside(&field, value, &path).or_else(|| {
            let alone = Json::Object(Map::from_iter([(name.clone(), value.clone())]));
            let error = DynamicMessage::deserialize(descriptor.clone(), &alone).err()?;
            Some(BadField { reason: reason(&field, value, &error.to_string()), field: path })
        })
    })
}

fn blame_inside(field: &FieldDescriptor, value: &Json, path: &str) -> Option<BadField> {
    let inner = field.kind();
    let inner = inner.as_message().filter(|inner| is_ours(inner))?;
    match value {
        _ if field.is_map() || value.is_null() => None,
        Json::Array(items) if field.is_list() => items
            .iter()
            .enumerate()
            .find_map(|(index, item)| blame(inner, item, &format!("{path}[{index}]"))),
        _ if field.is_list() => None,
        single => blame(inner, single, path),
    }
}

/// Protobuf's JSON form also knows `contextLength` for `context_length`.
fn field_named(descriptor: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    descriptor.get_field_by_name(name).or_else(|| descriptor.get_field_by_json_name(name))
}

/// Timestamps and the like have a JSON form of their own, which is not a mapping.
fn is_ours(descriptor: &MessageDescriptor) -> bool {
    !descriptor.full_name().starts_with("google.protobuf.")
}

fn unknown(descriptor: &MessageDescriptor, name: &str) -> String {
    let known: Vec<String> = descriptor.fields().map(|field| field.name().to_owned()).collect();
    match crate::suggest::closest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("unknown field; did you mean \"{near}\"?"),
        None => format!("unknown field; there are {}", known.join(", ")),
    }
}

fn reason(field: &FieldDescriptor, value: &Json, error: &str) -> String {
    if let Some(values) = field.kind().as_enum() {
        let short: Vec<String> = values
            .values()
            .filter(|value| value.number() != 0)
            .map(|value| short_form(field, value.name()))
            .collect();
        return format!("{} is not one of {}", form(value), short.join(", "));
    }
    if field.is_list() && !value.is_array() {
        return format!("should be a list, but is {}", form(value));
    }
    if field.is_map() && !value.is_object() {
        return format!("should be a mapping, but is {}", form(value));
    }
    let holds_text = matches!(field.kind(), Kind::String) || field.is_map();
    let hint = if holds_text { "; write it in quotes, as text" } else { "" };
    format!("{error}{hint}")
}

fn form(json: &Json) -> String {
    match json {
        Json::Array(_) => "a list".to_owned(),
        Json::Object(_) => "a mapping".to_owned(),
        Json::Null => "empty".to_owned(),
        scalar @ (Json::Bool(_) | Json::Number(_) | Json::String(_)) => scalar.to_string(),
    }
}

/// Lets `nothing` stand for `CHARGE_NOTHING`, wherever an enum is meant.
pub(super) fn spell_out_enums(descriptor: &MessageDescriptor, fields: &mut Map<String, Json>) {
    for (name, value) in fields {
        let Some(field) = field_named(descriptor, name) else { continue };
        let kind = field.kind();
        match value {
            Json::String(text) => {
                if let Some(full) = kind.as_enum().and_then(|values| {
                    values.values().find(|value| short_form(&field, value.name()) == *text)
                }) {
                    *text = full.name().to_owned();
                }
            }
            Json::Object(inner) if !field.is_map() => {
                if let Some(descriptor) = kind.as_message() {
                    spell_out_enums(descriptor, inner);
                }
            }
            Json::Array(items) => {
                for item in items.iter_mut().filter_map(Json::as_object_mut) {
                    if let Some(descriptor) = kind.as_message() {
                        spell_out_enums(descriptor, item);
                    }
                }
            }
            Json::Object(_) | Json::Null | Json::Bool(_) | Json::Number(_) => {}
        }
    }
}

/// `CHARGE_NOTHING` of the enum `Charge` is `nothing`.
fn short_form(field: &FieldDescriptor, full: &str) -> String {
    let prefix =
        field.kind().as_enum().map(|values| format!("{}_", values.name().to_ascii_uppercase()));
    let short = prefix.as_deref().and_then(|prefix| full.strip_prefix(prefix)).unwrap_or(full);
    short.to_ascii_lowercase()
}
