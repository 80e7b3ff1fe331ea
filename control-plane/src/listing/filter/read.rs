//! From text to terms.

use super::{Term, Wanted};

/// What may be written, for whoever wrote something else.
const GRAMMAR: &str =
    "write `field = value` terms joined by AND; a value that ends in * is a prefix";

/// Reads the terms, or says what is wrong.
pub(super) fn terms(text: &str) -> Result<Vec<Term>, String> {
    let words = words(text)?;
    let mut terms = Vec::new();
    let mut rest = words.as_slice();
    while !rest.is_empty() {
        let (term, after) = match rest {
            [Word::Bare(field), Word::Equals, value, after @ ..] => (term(field, value)?, after),
            _ => return Err(format!("{} is no term: {GRAMMAR}", told(rest))),
        };
        terms.push(term);
        rest = match after {
            [Word::Bare(and), more @ ..] if and == "AND" && !more.is_empty() => more,
            [] => after,
            _ => return Err(format!("{} instead of AND and a term: {GRAMMAR}", told(after))),
        };
    }
    Ok(terms)
}

fn term(field: &str, value: &Word) -> Result<Term, String> {
    let text = match value {
        Word::Bare(text) | Word::Quoted(text) => text,
        Word::Equals | Word::Other(_) => {
            return Err(format!("{} is no value: {GRAMMAR}", told(std::slice::from_ref(value))));
        }
    };
    let field = field.strip_prefix("spec.").unwrap_or(field).to_owned();
    let wanted = match text.split_once('*') {
        None => Wanted::Exactly(text.clone()),
        Some((prefix, "")) if !prefix.is_empty() => Wanted::Beginning(prefix.to_owned()),
        Some(_) => {
            return Err(format!("{text:?}: a * can only stand at the end, after a beginning"));
        }
    };
    Ok(Term { field, wanted })
}

#[derive(Debug)]
enum Word {
    Bare(String),
    Quoted(String),
    Equals,
    /// What other filter languages know.
    Other(char),
}

fn told(words: &[Word]) -> String {
    match words.first() {
        Some(Word::Bare(text) | Word::Quoted(text)) => format!("{text:?}"),
        Some(Word::Equals) => "\"=\"".to_owned(),
        Some(Word::Other(sign)) => format!("\"{sign}\""),
        None => "the end".to_owned(),
    }
}

fn words(text: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            blank if blank.is_whitespace() => {}
            '=' => words.push(Word::Equals),
            '"' => words.push(Word::Quoted(quoted(&mut letters)?)),
            sign if !is_bare(sign) => words.push(Word::Other(sign)),
            first => {
                let mut word = String::from(first);
                while let Some(next) = letters.next_if(|next| is_bare(*next)) {
                    word.push(next);
                }
                words.push(Word::Bare(word));
            }
        }
    }
    Ok(words)
}

fn is_bare(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '.' | '_' | '-' | '/' | '*' | '@' | '+')
}

fn quoted(letters: &mut impl Iterator<Item = char>) -> Result<String, String> {
    let unended = || "a quoted value does not end: close it with \"".to_owned();
    let mut text = String::new();
    loop {
        match letters.next().ok_or_else(unended)? {
            '"' => return Ok(text),
            '\\' => text.push(letters.next().ok_or_else(unended)?),
            letter => text.push(letter),
        }
    }
}
