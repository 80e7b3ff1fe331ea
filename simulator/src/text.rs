//! The text the simulator says: the same words in the same order, each exactly one token of o200k,
//! and what other texts are cut into. How many tokens a prompt has is `count`'s business.

use tiktoken_rs::o200k_base_singleton;

/// Each with its leading space is one o200k token, and no two merge; a test holds both.
const WORDS: [&str; 48] = [
    " The", " road", " runs", " north", " past", " the", " old", " gate", " and", " every",
    " rider", " who", " comes", " this", " way", " pays", " a", " small", " price", " before",
    " the", " next", " town", " can", " open", " its", " doors", " while", " the", " keeper",
    " counts", " each", " coin", " twice", " and", " writes", " it", " down", " in", " a", " long",
    " book", " that", " no", " one", " else", " may", " read",
];

/// The text of so many tokens: the concatenated content chunks of a stream with
/// `x_simulator.tokens = tokens`, and the content of an answer that is no stream.
pub fn text(tokens: u64) -> String {
    (0..tokens).map(word).collect()
}

/// The token at a position, counted from 0; the first has no leading space.
pub(crate) fn word(position: u64) -> &'static str {
    if position == 0 {
        return "The";
    }
    let length = WORDS.len() as u64;
    usize::try_from(position % length).map_or("", |index| WORDS[index])
}

/// Cuts any text into its tokens. Tokens that divide a character are joined, because a chunk of
/// JSON cannot hold half of one.
pub(crate) fn split(text: &str) -> Vec<String> {
    let tokeniser = o200k_base_singleton();
    let mut pieces = Vec::new();
    let mut bytes = Vec::new();
    for token in tokeniser.encode_ordinary(text) {
        bytes.extend(tokeniser.decode_bytes(&[token]).unwrap_or_default());
        if let Ok(piece) = str::from_utf8(&bytes) {
            pieces.push(piece.to_owned());
            bytes.clear();
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_one_token_and_the_text_retokenises_to_as_many() {
        let tokeniser = o200k_base_singleton();
        for position in 0..=WORDS.len() as u64 {
            let word = word(position);
            assert_eq!(tokeniser.encode_ordinary(word).len(), 1, "{word:?}");
        }
        for tokens in [0, 1, 2, 16, 47, 48, 49, 1_000] {
            let encoded = tokeniser.encode_ordinary(&text(tokens));
            assert_eq!(encoded.len() as u64, tokens);
            let words: Vec<_> = encoded
                .iter()
                .map(|token| String::from_utf8(tokeniser.decode_bytes(&[*token]).unwrap()).unwrap())
                .collect();
            assert_eq!(words, (0..tokens).map(word).collect::<Vec<_>>(), "chunk by chunk");
        }
    }

    #[test]
    fn split_loses_nothing_and_never_divides_a_character() {
        for text in ["", "{\"road\":1}", "naïve 道路 🛣️🏴󠁧󠁢󠁥󠁮󠁧󠁿"] {
            assert_eq!(split(text).concat(), text);
        }
    }
}
