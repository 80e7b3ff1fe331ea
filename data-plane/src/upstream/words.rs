//! What an upstream says, as far as it may be written down: ids of the form that ids have, ends that are known.
//!
//! An upstream can put anything into any field, a prompt for instance; what is recorded is kept for years.

/// Longest id of an answer that is recorded.
const ID_BYTES_MAX: usize = 128;

/// Why answers end, in OpenAI's words.
const FINISH_REASONS: [&str; 6] =
    ["stop", "length", "tool_calls", "content_filter", "function_call", "error"];

/// An answer's id, if it looks like one.
pub(crate) fn id(said: &str) -> Option<&str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    (said.len() <= ID_BYTES_MAX && said.bytes().all(is_plain)).then_some(said)
}

/// Why an answer ended; `other` is all that is recorded of a reason nobody knows.
pub(crate) fn finish_reason(said: &str) -> &'static str {
    FINISH_REASONS.into_iter().find(|known| *known == said).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::{finish_reason, id};

    #[test]
    fn ids_that_could_be_sentences_are_not_recorded() {
        for plain in ["chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT", "gen-1.2:3_4", "resp_68"] {
            assert_eq!(id(plain), Some(plain));
        }
        for odd in ["my secret prompt", "a\nb", "密码", "a/b", &"x".repeat(129)] {
            assert_eq!(id(odd), None, "{odd}");
        }
    }

    #[test]
    fn reasons_that_nobody_knows_are_all_alike() {
        assert_eq!(finish_reason("tool_calls"), "tool_calls");
        assert_eq!(finish_reason("the prompt was: my secret"), "other");
    }
}
