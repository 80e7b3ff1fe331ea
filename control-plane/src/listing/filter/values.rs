//! Fields of specs, found by their descriptors, and whether their values are the wanted ones.

use super::{SECRET_FIELDS, Term, Wanted, unknown};
use prost_reflect::{
    DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value,
};

/// What a term asks of a spec: that there is such a field, and that it can have such a value.
pub(super) fn check(spec: &MessageDescriptor, term: &Term) -> Result<(), String> {
    let field = find(spec, &term.field)?;
    let Wanted::Exactly(wanted) = &term.wanted else {
        return match field.kind() {
            Kind::String => Ok(()),
            _ => Err(format!(
                "{:?} holds no text, so it has no prefix: write the whole value",
                term.field
            )),
        };
    };
    let is_possible = match field.kind() {
        Kind::Bool => matches!(wanted.as_str(), "true" | "false"),
        Kind::Enum(values) => values.values().any(|value| is_called(&values, value.name(), wanted)),
        Kind::String => true,
        _ => wanted.parse::<i128>().is_ok(),
    };
    if is_possible {
        return Ok(());
    }
    Err(format!("{:?} cannot be {wanted:?}", term.field))
}

/// The scalar field at a path through messages and lists of them.
fn find(spec: &MessageDescriptor, path: &str) -> Result<FieldDescriptor, String> {
    let (head, rest) = split(path);
    let can_be_asked = |field: &FieldDescriptor| {
        !field.is_map() && !SECRET_FIELDS.contains(&field.name()) && !is_foreign(field)
    };
    let field = spec.get_field_by_name(head).filter(can_be_asked).ok_or_else(|| {
        let known: Vec<String> =
            spec.fields().filter(can_be_asked).map(|field| field.name().to_owned()).collect();
        unknown(path, std::iter::once("name").chain(known.iter().map(String::as_str)))
    })?;
    match (field.kind(), rest) {
        (Kind::Message(inner), Some(rest)) => find(&inner, rest),
        (Kind::Message(inner), None) => {
            let fields: Vec<String> =
                inner.fields().map(|inner| format!("{path}.{}", inner.name())).collect();
            Err(format!("{path:?} has fields of its own; name one of {}", fields.join(", ")))
        }
        (_, Some(_)) => Err(format!("{path:?}: {head:?} has no fields")),
        (_, None) => Ok(field),
    }
}

/// Times and the like, which compare in other ways than text.
fn is_foreign(field: &FieldDescriptor) -> bool {
    field.kind().as_message().is_some_and(|inner| inner.package_name().starts_with("google."))
}

/// Whether any of the values at a path is wanted: a list has several.
pub(super) fn any(
    message: &DynamicMessage,
    path: &str,
    wanted: &dyn Fn(Found<'_>) -> bool,
) -> bool {
    let (head, rest) = split(path);
    let Some(field) = message.descriptor().get_field_by_name(head) else { return false };
    let value = message.get_field(&field);
    let one = |value: &Value| match (value, rest) {
        (Value::Message(inner), Some(rest)) => any(inner, rest, wanted),
        (scalar, _) => wanted(Found { field: &field, value: scalar }),
    };
    match value.as_ref() {
        Value::List(items) => items.iter().any(one),
        single => one(single),
    }
}

/// A value, and the field that has it.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    field: &'a FieldDescriptor,
    value: &'a Value,
}

/// Whether it is the wanted one; numbers and names of enums in any form.
pub(super) fn fits(found: Found<'_>, wanted: &Wanted) -> bool {
    match (found.value, wanted) {
        (Value::String(text), wanted) => wanted.fits(text),
        (Value::EnumNumber(number), Wanted::Exactly(wanted)) => {
            let kind = found.field.kind();
            let values = kind.as_enum();
            values.is_some_and(|values| {
                let value = values.get_value(*number);
                value.is_some_and(|value| is_called(values, value.name(), wanted))
            })
        }
        (Value::Bool(is), Wanted::Exactly(wanted)) => is.to_string() == *wanted,
        (value, Wanted::Exactly(wanted)) => number(value).is_some_and(|n| wanted.parse() == Ok(n)),
        (_, Wanted::Beginning(_)) => false,
    }
}

fn number(value: &Value) -> Option<i128> {
    match value {
        Value::U32(n) => Some(i128::from(*n)),
        Value::U64(n) => Some(i128::from(*n)),
        Value::I32(n) => Some(i128::from(*n)),
        Value::I64(n) => Some(i128::from(*n)),
        _ => None,
    }
}

/// `CHARGE_NOTHING` may be written `nothing`, as in `apply` files.
fn is_called(values: &EnumDescriptor, name: &str, wanted: &str) -> bool {
    let prefix = format!("{}_", values.name().to_ascii_uppercase());
    name == wanted
        || name.strip_prefix(&prefix).is_some_and(|short| short.eq_ignore_ascii_case(wanted))
}

fn split(path: &str) -> (&str, Option<&str>) {
    path.split_once('.').map_or((path, None), |(head, rest)| (head, Some(rest)))
}
