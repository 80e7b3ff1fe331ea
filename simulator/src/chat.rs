//! `POST …/chat/completions`: what is answered to which request. The chunks of streams are made in
//! `stream`, the faults that replace the answer in `call`.

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use crate::{
    answer::{Answer, Finish, Saying, reported},
    call::{Call, Plan},
    count::prompt_tokens,
    error::ApiError,
    fault::Fault,
    reply::Reply,
    schema,
    script::Script,
    stream::{Shape, Stream},
    text,
};

/// Text tokens when the script says nothing.
pub(crate) const TOKENS_DEFAULT: u64 = 16;
const REASONING_TOKENS_DEFAULT: u64 = 4;
/// OpenAI's own bound on `n`.
pub(crate) const CHOICES_MAX: u64 = 128;

#[derive(Deserialize)]
struct Request {
    model: String,
    messages: Vec<Value>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    n: Option<u64>,
    tools: Option<Vec<Value>>,
    tool_choice: Option<Value>,
    response_format: Option<Value>,
    x_simulator: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
pub(crate) struct StreamOptions {
    pub(crate) include_usage: Option<bool>,
}

/// Plans the answer to a chat.
pub(crate) fn plan(call: &Call<'_>) -> Result<Plan, ApiError> {
    let request: Request = call.request()?;
    if request.messages.is_empty() {
        return Err(ApiError::invalid("'messages' must not be empty.").param("messages"));
    }
    let tokens_max = tokens_max([
        ("max_tokens", request.max_tokens),
        ("max_completion_tokens", request.max_completion_tokens),
    ])?;
    let choices = choices(request.n)?;
    let prefill = request.messages.last().is_some_and(|last| last["role"] == "assistant");
    let script = call.script(request.x_simulator.as_deref(), prefill)?;
    let stream = request.stream == Some(true);

    let (saying, said, finish) = saying(&request, &script)?;
    let mut answer = Answer {
        id: format!("chatcmpl-{}", call.id),
        created: call.created,
        reasoning: reasoning(&request.model, &script),
        choices,
        made: choices,
        echoes: Vec::new(),
        saying,
        said,
        finish,
        model: request.model,
    };
    answer.obey(&script, stream, tokens_max);
    Ok(call.plan(script, stream, |script| {
        let wanted = !stream || wants_usage(request.stream_options.as_ref());
        let usage = if wanted {
            reported(script, || answer.usage(prompt_tokens(&request.messages)))
        } else {
            None
        };
        if stream {
            Reply::events(Stream::new(answer, Shape::Chat, usage, script), script)
        } else {
            Reply::whole(body(&answer, usage.as_deref()), usage, script)
        }
    }))
}

/// The smaller of the bounds that were given; 0 is refused, as OpenAI does.
pub(crate) fn tokens_max<const N: usize>(
    bounds: [(&'static str, Option<u64>); N],
) -> Result<Option<u64>, ApiError> {
    for (field, bound) in bounds {
        if bound == Some(0) {
            let message = format!("Invalid '{field}': integer below minimum value.");
            return Err(ApiError::invalid(message).param(field).code("integer_below_min_value"));
        }
    }
    Ok(bounds.into_iter().filter_map(|(_, bound)| bound).min())
}

/// The number of choices.
pub(crate) fn choices(n: Option<u64>) -> Result<u64, ApiError> {
    match n.unwrap_or(1) {
        choices @ 1..=CHOICES_MAX => Ok(choices),
        _ => Err(ApiError::invalid("Invalid 'n': from 1 to 128.").param("n")),
    }
}

/// Streams report usage only to those who ask.
pub(crate) fn wants_usage(options: Option<&StreamOptions>) -> bool {
    options.is_some_and(|options| options.include_usage == Some(true))
}

fn reasoning(model: &str, script: &Script) -> u64 {
    let default = if model.contains("reasoning") { REASONING_TOKENS_DEFAULT } else { 0 };
    script.reasoning_tokens.unwrap_or(default)
}

/// What is said, in how many pieces, and how it finishes if nothing cuts it.
fn saying(request: &Request, script: &Script) -> Result<(Saying, u64, Finish), ApiError> {
    if script.tokens.is_none()
        && script.fault != Some(Fault::Empty)
        && let Some(function) = function(request)?
    {
        let name = function["name"].as_str().unwrap_or_default().to_owned();
        let arguments = function.get("parameters").map_or_else(|| json!({}), schema::sample);
        let arguments = text::split(&arguments.to_string());
        let said = arguments.len() as u64;
        return Ok((Saying::Tool { name, arguments }, said, Finish::ToolCalls));
    }
    if let Some(value) = request.response_format.as_ref().and_then(formatted) {
        let pieces = text::split(&value.to_string());
        let said = pieces.len() as u64;
        return Ok((Saying::Json(pieces), said, Finish::Stop));
    }
    Ok((Saying::Words, script.tokens.unwrap_or(TOKENS_DEFAULT), Finish::Stop))
}

/// The function to call, if any: the one that is named; else the first, if a call is required, or
/// if the user speaks of a tool and has not just been given a tool's result.
fn function(request: &Request) -> Result<Option<&Value>, ApiError> {
    let functions = request.tools.iter().flatten().map(|tool| &tool["function"]);
    let mut functions = functions.filter(|function| function["name"].is_string());
    let wanted = match &request.tool_choice {
        Some(Value::String(choice)) if choice == "none" => false,
        Some(Value::String(choice)) if choice == "required" => true,
        Some(Value::Object(choice)) => {
            let name = choice.get("function").map(|function| &function["name"]);
            let found = functions.find(|function| Some(&function["name"]) == name);
            let unknown = || ApiError::invalid("Tool choice not found in 'tools' parameter.");
            return found.map(Some).ok_or_else(|| unknown().param("tool_choice"));
        }
        _ => speaks_of_a_tool(&request.messages),
    };
    Ok(functions.next().filter(|_| wanted))
}

fn speaks_of_a_tool(messages: &[Value]) -> bool {
    let answered = messages.last().is_some_and(|last| last["role"] == "tool");
    let last = messages.iter().rev().find(|message| message["role"] == "user");
    let spoken = last.is_some_and(|message| match &message["content"] {
        Value::String(text) => text.contains("tool"),
        Value::Array(parts) => {
            parts.iter().filter_map(|part| part["text"].as_str()).any(|text| text.contains("tool"))
        }
        _ => false,
    });
    spoken && !answered
}

fn formatted(format: &Value) -> Option<Value> {
    match format["type"].as_str()? {
        "json_object" => Some(json!({"answer": text(TOKENS_DEFAULT)})),
        "json_schema" => Some(schema::sample(&format["json_schema"]["schema"])),
        _ => None,
    }
}

fn body(answer: &Answer, usage: Option<&RawValue>) -> Vec<u8> {
    let whole = answer.whole();
    let reasoning = (answer.reasoning > 0).then(|| text(answer.reasoning));
    let choices = (0..answer.choices).map(|choice| {
        let mut message = json!({"role": "assistant", "content": whole, "refusal": null});
        if let Some(reasoning) = &reasoning {
            message["reasoning_content"] = json!(reasoning);
        }
        if let Saying::Tool { name, .. } = &answer.saying {
            message["content"] = Value::Null;
            message["tool_calls"] = json!([{
                "id": answer.call_id(choice),
                "type": "function",
                "function": {"name": name, "arguments": whole},
            }]);
        }
        let finish = answer.finish.name();
        json!({"index": choice, "message": message, "logprobs": null, "finish_reason": finish})
    });
    answer.body("chat.completion", choices, usage)
}
