//! What is asked: the bytes of a chat completion.

use anyhow::{Context, bail};
use serde_json::json;

const SENTENCE: &str = "The quick brown fox jumps over the lazy dog. ";

/// What a request is made of.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `http://host:port/path`.
    pub url: String,
    /// Lines of its head.
    pub headers: Vec<String>,
    /// Which model.
    pub model: String,
    /// Bytes of the user's message.
    pub prompt_bytes: usize,
    /// How long the answer may be.
    pub max_tokens: u64,
    /// As a stream.
    pub streams: bool,
}

impl Asked {
    /// `host:port` and the whole request.
    ///
    /// # Errors
    /// When the URL is none.
    pub fn bytes(&self) -> anyhow::Result<(String, Vec<u8>)> {
        let rest = self.url.strip_prefix("http://");
        let rest = rest.with_context(|| format!("{} does not begin with http://", self.url))?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        if host.is_empty() {
            bail!("{} names no host", self.url);
        }
        let body = self.body();
        let mut head = format!(
            "POST /{path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nAccept: */*\r\n\
             User-Agent: loadgen/0.1\r\nContent-Length: {}\r\n",
            body.len()
        );
        for header in &self.headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        head.push_str(&body);
        Ok((host.to_owned(), head.into_bytes()))
    }

    fn body(&self) -> String {
        let prompt: String = SENTENCE.chars().cycle().take(self.prompt_bytes).collect();
        let mut body = json!({
            "model": self.model,
            "messages": [
                {"role": "system", "content": "You are a helpful assistant."},
                {"role": "user", "content": prompt},
            ],
            "temperature": 0.7,
            "max_tokens": self.max_tokens,
        });
        if self.streams
            && let Some(body) = body.as_object_mut()
        {
            body.insert("stream".to_owned(), json!(true));
            body.insert("stream_options".to_owned(), json!({"include_usage": true}));
        }
        body.to_string()
    }
}
