//! `POST …/completions`, the legacy endpoint: text only, one prompt or several.

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use crate::{
    answer::{Answer, Finish, Saying, reported},
    call::{Call, Plan},
    chat::{StreamOptions, TOKENS_DEFAULT, choices, wants_usage},
    count::count_tokens,
    error::ApiError,
    reply::Reply,
    stream::{Shape, Stream},
};

#[derive(Deserialize)]
struct Request {
    model: String,
    prompt: Value,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<u64>,
    n: Option<u64>,
    best_of: Option<u64>,
    echo: Option<bool>,
    x_simulator: Option<Box<RawValue>>,
}

/// Plans the answer to a prompt; of several prompts each gets `n` choices, as OpenAI does.
pub(crate) fn plan(call: &Call<'_>) -> Result<Plan, ApiError> {
    let request: Request = call.request()?;
    let prompts = prompts(&request.prompt);
    let shown = choices(request.n)?;
    let script = call.script(request.x_simulator.as_deref(), false)?;
    let stream = request.stream == Some(true);
    let mut answer = Answer {
        id: format!("cmpl-{}", call.id),
        created: call.created,
        model: request.model,
        choices: shown * prompts,
        made: shown.max(request.best_of.unwrap_or_default()) * prompts,
        echoes: if request.echo == Some(true) { texts(&request.prompt) } else { Vec::new() },
        reasoning: 0,
        saying: Saying::Words,
        said: script.tokens.unwrap_or(TOKENS_DEFAULT),
        finish: Finish::Stop,
    };
    answer.obey(&script, stream, request.max_tokens);
    Ok(call.plan(script, stream, |script| {
        let wanted = !stream || wants_usage(request.stream_options.as_ref());
        let usage = if wanted {
            reported(script, || answer.usage(input_tokens(&request.prompt)))
        } else {
            None
        };
        if stream {
            Reply::events(Stream::new(answer, Shape::Text, usage, script), script)
        } else {
            Reply::whole(body(&answer, usage.as_deref()), usage, script)
        }
    }))
}

/// The tokens of a bare input: a text, a list of tokens, or a list of either.
pub(crate) fn input_tokens(input: &Value) -> u64 {
    match input {
        Value::String(text) => count_tokens(text),
        Value::Number(_) => 1,
        Value::Array(inputs) => inputs.iter().map(input_tokens).sum(),
        _ => 0,
    }
}

/// The texts in an input, or lists of tokens that stand for texts.
pub(crate) fn inputs(input: &Value) -> Vec<&Value> {
    match input {
        Value::Array(inputs) if !inputs.iter().all(Value::is_number) => inputs.iter().collect(),
        one => vec![one],
    }
}

/// What an echo repeats; tokens are not turned back into text.
fn texts(prompt: &Value) -> Vec<String> {
    let text = |input: &Value| input.as_str().unwrap_or_default().to_owned();
    inputs(prompt).into_iter().map(text).collect()
}

fn prompts(prompt: &Value) -> u64 {
    (inputs(prompt).len() as u64).max(1)
}

fn body(answer: &Answer, usage: Option<&RawValue>) -> Vec<u8> {
    let finish = answer.finish.name();
    let whole = answer.whole();
    let choices = (0..answer.choices).map(|choice| {
        let text = format!("{}{whole}", answer.echo(choice));
        json!({"index": choice, "text": text, "logprobs": null, "finish_reason": finish})
    });
    answer.body("text_completion", choices, usage)
}
