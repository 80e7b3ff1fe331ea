//! `apply` documents (`kind`, `name`, `spec`, as YAML or JSON) and the admin messages that they stand for, both ways.
//!
//! Only the form is checked here: unknown fields, wrong types. Whether objects make sense is the control plane's word.

mod files;
mod shape;

pub(crate) use files::Source;

use files::collect;

use crate::failure::Failure;
use crate::output::message_json;
use domain::config::Kind;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, ReflectMessage};
use proto::admin::v1 as admin;
use serde_json::{Map, Value as Json};
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::OnceLock;

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadObject {
    /// The file's name.
    pub(crate) file: String,
    /// Which document of it, from 1.
    pub(crate) document: usize,
    /// The object, as far as it is known.
    pub(crate) object: String,
    /// Path of the field; empty when the document as a whole is meant.
    pub(crate) field: String,
    /// What is wrong with it.
    pub(crate) reason: String,
}

impl fmt::Display for BadObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, document {}", self.file, self.document)?;
        if !self.object.is_empty() {
            write!(f, " ({})", self.object)?;
        }
        if !self.field.is_empty() {
            write!(f, ", {}", self.field)?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// Reads everything that the arguments of `-f` name; there must be something.
pub(crate) fn read_all(arguments: &[PathBuf]) -> Result<Vec<admin::Object>, Failure> {
    let objects = read(&collect(arguments)?).map_err(|wrong| {
        let lines: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        Failure::failed(lines.join("\n"))
    })?;
    if objects.is_empty() {
        return Err(Failure::failed(
            "there is nothing in these files: no document has any content",
        ));
    }
    Ok(objects)
}

/// Reads all documents of all sources. Every wrong document is told, not just the first.
pub(crate) fn read(sources: &[Source]) -> Result<Vec<admin::Object>, Vec<BadObject>> {
    let mut objects = Vec::new();
    let mut wrong = Vec::new();
    let mut seen: HashMap<String, (String, usize)> = HashMap::new();
    for source in sources {
        for (document, parsed) in files::documents(source) {
            let place = Place { file: &source.name, document };
            match parsed
                .map_err(|reason| place.bad("", "", reason))
                .and_then(|json| object(&place, json))
            {
                Err(bad) => wrong.push(bad),
                Ok((title, object)) => match seen
                    .insert(title.clone(), (source.name.clone(), document))
                {
                    None => objects.push(object),
                    Some((file, first)) => {
                        let reason =
                            format!("it is already in {file}, document {first}; keep one of them");
                        wrong.push(place.bad(&title, "", reason));
                    }
                },
            }
        }
    }
    if wrong.is_empty() { Ok(objects) } else { Err(wrong) }
}

struct Place<'a> {
    file: &'a str,
    document: usize,
}

impl Place<'_> {
    fn bad(&self, object: &str, field: &str, reason: impl Into<String>) -> BadObject {
        BadObject {
            file: self.file.to_owned(),
            document: self.document,
            object: object.to_owned(),
            field: field.to_owned(),
            reason: reason.into(),
        }
    }
}

fn object(place: &Place<'_>, document: Json) -> Result<(String, admin::Object), BadObject> {
    let (kind, mut fields) = envelope(place, document)?;
    let name = fields.get("name").and_then(Json::as_str).unwrap_or_default();
    let title = format!("{kind} {name}");
    let descriptor = descriptor(kind).map_err(|failure| place.bad(&title, "", failure.message))?;
    shape::spell_out_enums(&descriptor, &mut fields);
    let message = shape::message(&descriptor, Json::Object(fields))
        .map_err(|wrong| place.bad(&title, &wrong.field, wrong.reason))?;
    let object = wrap(kind, &message).map_err(|reason| place.bad(&title, "", reason))?;
    Ok((title, object))
}

/// The kind, and the rest as the fields of its message.
fn envelope(place: &Place<'_>, document: Json) -> Result<(Kind, Map<String, Json>), BadObject> {
    let Json::Object(mut fields) = document else {
        return Err(place.bad("", "", "it is no mapping of `kind`, `name` and `spec`"));
    };
    let kind = match fields.shift_remove("kind") {
        Some(Json::String(text)) => Kind::parse(&text).ok_or(text),
        _ => return Err(place.bad("", "kind", "is missing; it is one of ".to_owned() + &kinds())),
    };
    let kind = kind.map_err(|text| {
        let near = crate::suggest::closest(&text, Kind::ALL.map(Kind::name));
        let hint = near.map_or_else(
            || format!("there are {}", kinds()),
            |near| format!("did you mean \"{near}\"?"),
        );
        place.bad("", "kind", format!("there is no kind \"{text}\"; {hint}"))
    })?;
    if let Some(other) = fields.keys().find(|key| !matches!(key.as_str(), "name" | "spec")) {
        return Err(place.bad(
            kind.name(),
            other,
            "unknown; a document has `kind`, `name` and `spec`",
        ));
    }
    for needed in ["name", "spec"] {
        if fields.get(needed).is_none_or(Json::is_null) {
            return Err(place.bad(kind.name(), needed, "is missing"));
        }
    }
    Ok((kind, fields))
}

fn kinds() -> String {
    Kind::ALL.map(Kind::name).join(", ")
}

/// The message as one of the arms of `Object`, by the arm's type.
pub(crate) fn wrap(kind: Kind, message: &DynamicMessage) -> Result<admin::Object, String> {
    let object = known("turnpike.admin.v1.Object").map_err(|failure| failure.message)?;
    let arm = object
        .fields()
        .find(|field| field.kind().as_message().is_some_and(|arm| *arm == message.descriptor()))
        .ok_or_else(|| format!("a {kind} cannot be applied"))?;
    let mut wrapped = DynamicMessage::new(object);
    wrapped.set_field(&arm, prost_reflect::Value::Message(message.clone()));
    wrapped.transcode_to().map_err(|error| error.to_string())
}

/// The document that `apply` would read to leave the object as it is.
pub(crate) fn document(kind: Kind, message: &DynamicMessage) -> Result<Json, Failure> {
    let mut fields = message_json(message)?;
    let mut document = Map::new();
    document.insert("kind".to_owned(), Json::from(kind.name()));
    for part in ["name", "spec"] {
        let value = fields.get_mut(part).map(Json::take).unwrap_or_default();
        document.insert(part.to_owned(), value);
    }
    Ok(Json::Object(document))
}

/// The kind of an object and its message, whatever arm it is.
pub(crate) fn opened(object: &admin::Object) -> Result<(Kind, DynamicMessage), Failure> {
    let mut wrapped = DynamicMessage::new(known("turnpike.admin.v1.Object")?);
    wrapped.transcode_from(object).map_err(|error| Failure::failed(error.to_string()))?;
    let arm = wrapped.fields().next().and_then(|(_, value)| value.as_message().cloned());
    let kind = arm.as_ref().and_then(|arm| Kind::parse(arm.descriptor().name()));
    kind.zip(arm).ok_or_else(|| Failure::failed("an object without a kind"))
}

/// The message of a kind.
pub(crate) fn descriptor(kind: Kind) -> Result<MessageDescriptor, Failure> {
    known(&format!("turnpike.admin.v1.{kind}"))
}

/// A typed answer as protobuf's JSON.
pub(crate) fn answer_json(name: &str, answer: &impl prost::Message) -> Result<Json, Failure> {
    let mut message = DynamicMessage::new(known(&format!("turnpike.admin.v1.{name}"))?);
    message.transcode_from(answer).map_err(|error| Failure::failed(error.to_string()))?;
    message_json(&message)
}

fn known(full_name: &str) -> Result<MessageDescriptor, Failure> {
    descriptors()?
        .get_message_by_name(full_name)
        .ok_or_else(|| Failure::failed(format!("this build does not know the message {full_name}")))
}

/// The compiled `.proto` files.
pub(crate) fn descriptors() -> Result<&'static DescriptorPool, Failure> {
    static POOL: OnceLock<Result<DescriptorPool, String>> = OnceLock::new();
    POOL.get_or_init(|| {
        DescriptorPool::decode(proto::DESCRIPTORS).map_err(|error| error.to_string())
    })
    .as_ref()
    .map_err(|error| Failure::failed(format!("this build's descriptors cannot be read: {error}")))
}

#[cfg(test)]
mod tests;
