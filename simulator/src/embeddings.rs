//! `POST …/embeddings`: vectors that depend on the input's text alone.

use std::hash::{DefaultHasher, Hash, Hasher};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};

use crate::{
    answer::{Usage, reported},
    call::{Call, Plan},
    completions::{input_tokens, inputs},
    error::ApiError,
    reply::{self, Reply},
};

const DIMENSIONS_DEFAULT: usize = 256;
const DIMENSIONS_MAX: usize = 4_096;

#[derive(Deserialize)]
struct Request {
    model: String,
    input: Value,
    dimensions: Option<usize>,
    encoding_format: Option<String>,
    x_simulator: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct Body<'a> {
    object: &'a str,
    data: Vec<Value>,
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<&'a RawValue>,
}

/// Plans the answer to a request for embeddings.
pub(crate) fn plan(call: &Call<'_>) -> Result<Plan, ApiError> {
    let request: Request = call.request()?;
    let script = call.script(request.x_simulator.as_deref(), false)?;
    let dimensions = request.dimensions.unwrap_or(DIMENSIONS_DEFAULT);
    if !(1..=DIMENSIONS_MAX).contains(&dimensions) {
        let message = format!("Invalid 'dimensions': from 1 to {DIMENSIONS_MAX}.");
        return Err(ApiError::invalid(message).param("dimensions"));
    }
    let in_base64 = request.encoding_format.as_deref() == Some("base64");
    Ok(call.plan(script, false, |script| {
        let data = inputs(&request.input).into_iter().enumerate().map(|(index, input)| {
            let vector = vector(input, dimensions);
            let embedding = if in_base64 { encoded(&vector) } else { json!(vector) };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        });
        let count = || Usage { prompt: input_tokens(&request.input), generated: None };
        let usage = reported(script, count);
        let (data, model) = (data.collect(), request.model.as_str());
        let body = Body { object: "list", data, model, usage: usage.as_deref() };
        Reply::whole(reply::bytes(&body), usage, script)
    }))
}

/// Numbers from -1 to 1 with 15 bits each, so that JSON and base64 hold the same ones exactly.
fn vector(input: &Value, dimensions: usize) -> Vec<f32> {
    let text = input.to_string();
    let number = |position| {
        let mut hasher = DefaultHasher::new();
        (&text, position).hash(&mut hasher);
        let [first, second, ..] = hasher.finish().to_le_bytes();
        f32::from(i16::from_le_bytes([first, second])) / 32_768.0
    };
    (0..dimensions).map(number).collect()
}

/// The form that OpenAI's Python SDK asks for: little-endian floats of 32 bits.
fn encoded(vector: &[f32]) -> Value {
    let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
    Value::from(STANDARD.encode(bytes))
}
