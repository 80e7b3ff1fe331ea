//! Cutting a text where its count does not change: what counting needs of memory then does not grow with the text.
//!
//! The pattern of `o200k` never joins a letter with what stands before the space, comma or full stop that follows it; that goes with
//! the next word instead. So a text may be cut there.

/// The text, in pieces of so many bytes at most. What has no place to be cut at for as long is cut anywhere between two characters:
/// that counts one or two tokens more.
pub(super) fn pieces(text: &str, bytes_max: usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (piece, after) = rest.split_at(end_of_piece(rest, bytes_max));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

fn end_of_piece(text: &str, bytes_max: usize) -> usize {
    if text.len() <= bytes_max {
        return text.len();
    }
    let most = text.floor_char_boundary(bytes_max);
    let head = text.get(..most).unwrap_or_default();
    let seam =
        head.rmatch_indices(is_seam).map(|(at, _)| at).find(|at| is_between_words(text, *at));
    seam.unwrap_or(most)
}

fn is_seam(char: char) -> bool {
    matches!(char, ' ' | ',' | '.' | '，' | '。' | '、')
}

fn is_between_words(text: &str, at: usize) -> bool {
    let before = text.get(..at).and_then(|before| before.chars().next_back());
    let after = text.get(at..).and_then(|after| after.chars().nth(1));
    before.is_some_and(char::is_alphabetic) && after.is_some_and(char::is_alphabetic)
}

#[cfg(test)]
mod tests {
    use super::pieces;
    use crate::tokenizer::tokens;
    use proptest::prelude::*;
    use tiktoken_rs::o200k_base_singleton;

    fn count(text: &str) -> u64 {
        tokens(o200k_base_singleton().encode_ordinary(text).len())
    }

    fn word() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z]{1,9}",
            "[A-Z][a-z]{0,5}",
            "[a-zA-Z]{1,6}",
            "[ąęłóżźćńé]{1,4}",
            "[你好世界的人]{1,4}",
            "[абвгд]{1,5}"
        ]
    }

    fn between() -> impl Strategy<Value = &'static str> {
        prop_oneof![
            6 => prop_oneof![Just(" "), Just(","), Just("."), Just("，"), Just("。"), Just("、")],
            1 => prop_oneof![Just("  "), Just("'s "), Just("\n"), Just(".\n\n"), Just(" 12345 "), Just("!?/ "), Just("🚀"), Just("e\u{301}")],
        ]
    }

    proptest! {
        #[test]
        fn a_text_counts_the_same_in_pieces(parts in proptest::collection::vec((word(), between()), 1..200)) {
            let text: String = parts.iter().flat_map(|(word, between)| [word, *between]).collect();
            let cut: Vec<&str> = pieces(&text, 200).collect();
            prop_assert_eq!(cut.concat(), text.clone());
            prop_assert!(cut.iter().all(|piece| piece.len() <= 200));
            prop_assert_eq!(cut.into_iter().map(count).sum::<u64>(), count(&text));
        }

        #[test]
        fn whatever_a_text_is_nothing_of_it_is_lost(text in ".{0,300}", bytes_max in 4..50_usize) {
            let cut: Vec<&str> = pieces(&text, bytes_max).collect();
            prop_assert_eq!(cut.concat(), text.clone());
            prop_assert!(cut.iter().all(|piece| !piece.is_empty() && piece.len() <= bytes_max));
        }
    }
}
