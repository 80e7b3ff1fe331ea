//! `GET …/models` and `GET …/models/{id}`. The list is only for looks: every model name is served.

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::reply::Reply;

const NAMES: [&str; 3] = ["sim-chat", "sim-reasoning", "sim-embed"];
/// 2026-01-01, as good as any.
const CREATED: u64 = 1_767_225_600;

/// The list of models.
pub(crate) fn list() -> Reply {
    let data: Vec<_> = NAMES.into_iter().map(model).collect();
    Reply::json(StatusCode::OK, json!({"object": "list", "data": data}).to_string())
}

/// One model, whatever its name; OpenAI's SDKs escape the slash in it.
pub(crate) fn one(name: &str) -> Reply {
    Reply::json(StatusCode::OK, model(&name.replace("%2F", "/")).to_string())
}

fn model(name: &str) -> Value {
    json!({"id": name, "object": "model", "created": CREATED, "owned_by": "simulator"})
}
