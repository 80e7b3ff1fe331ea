//! Makes one deterministic value that satisfies a simple JSON schema: the arguments of tool calls
//! and the answers in JSON mode. It validates nothing and knows no patterns or formats.

use serde_json::{Map, Value, json};

/// Deeper than any schema a test sends; ends the ones that refer to themselves.
const DEPTH_MAX: usize = 16;

/// A value for the schema, with the required properties of objects only.
pub(crate) fn sample(schema: &Value) -> Value {
    Sampler { root: schema }.value(schema, 0)
}

struct Sampler<'a> {
    root: &'a Value,
}

impl<'a> Sampler<'a> {
    fn value(&self, schema: &'a Value, depth: usize) -> Value {
        if depth > DEPTH_MAX {
            return Value::Null;
        }
        if let Some(fixed) = fixed(schema) {
            return fixed.clone();
        }
        if let Some(target) = self.deferred(schema) {
            return self.value(target, depth + 1);
        }
        match kind(schema) {
            "string" => Value::from(string(schema)),
            "integer" => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
            "number" => schema.get("minimum").cloned().unwrap_or_else(|| json!(1.5)),
            "boolean" => Value::Bool(true),
            "array" => self.array(schema, depth),
            "object" => self.object(schema, depth),
            _ => Value::Null,
        }
    }

    /// The schema that this one leaves the matter to.
    fn deferred(&self, schema: &'a Value) -> Option<&'a Value> {
        if let Some(reference) = schema["$ref"].as_str() {
            return self.root.pointer(reference.strip_prefix('#')?);
        }
        ["anyOf", "oneOf", "allOf"].iter().find_map(|field| schema[field].get(0))
    }

    fn object(&self, schema: &'a Value, depth: usize) -> Value {
        let required = schema["required"].as_array().into_iter().flatten();
        let fields = required.filter_map(Value::as_str).map(|name| {
            let property = &schema["properties"][name];
            (name.to_owned(), self.value(property, depth + 1))
        });
        Value::Object(fields.collect::<Map<_, _>>())
    }

    fn array(&self, schema: &'a Value, depth: usize) -> Value {
        let length = schema["minItems"].as_u64().unwrap_or(1).clamp(1, 64);
        (0..length).map(|_| self.value(&schema["items"], depth + 1)).collect()
    }
}

fn fixed(schema: &Value) -> Option<&Value> {
    schema.get("const").or_else(|| schema.get("enum")?.get(0))
}

/// The first type it may have; a schema that names none is told by what it describes.
fn kind(schema: &Value) -> &str {
    let named = schema["type"].as_str().or_else(|| schema["type"].get(0)?.as_str());
    named.unwrap_or(if schema.get("properties").is_some() { "object" } else { "string" })
}

fn string(schema: &Value) -> String {
    let least = schema["minLength"].as_u64().and_then(|length| usize::try_from(length).ok());
    let word = "sample";
    word.repeat(least.unwrap_or(1).min(4_096).div_ceil(word.len()).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_satisfies_its_schema() {
        let table = [
            (json!({"type": "string"}), json!("sample")),
            (json!({"type": "string", "minLength": 7}), json!("samplesample")),
            (json!({"type": ["integer", "null"]}), json!(1)),
            (json!({"type": "number", "minimum": 3}), json!(3)),
            (json!({"enum": ["red", "blue"]}), json!("red")),
            (json!({"type": "array", "items": {"type": "boolean"}}), json!([true])),
            (
                json!({"type": "object", "required": ["b"], "properties": {
                    "a": {"type": "string"}, "b": {"anyOf": [{"const": 7}, {"type": "null"}]}}}),
                json!({"b": 7}),
            ),
            (json!({"$ref": "#/$defs/road", "$defs": {"road": {"type": "boolean"}}}), json!(true)),
            (json!({"$ref": "#"}), Value::Null),
        ];
        for (schema, expected) in table {
            assert_eq!(sample(&schema), expected, "{schema}");
        }
    }
}
