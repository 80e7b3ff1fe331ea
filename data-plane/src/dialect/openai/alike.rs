//! The chunks of one stream differ in little but their words. What was read of one holds for the next if that is the same,
//! byte for byte, but for the inside of one string: then only the words are read.

use crate::dialect::openai::read::{self, UsagePlace};
use crate::dialect::{Facts, Malformed, Voice};
use crate::transcript::Transcript;
use bytes::Bytes;
use std::ops::Range;

/// What a chunk tells.
pub(crate) struct Chunk {
    pub(crate) facts: Facts,
    /// Where its `usage` stands, if that was asked for.
    pub(crate) usage: Option<UsagePlace>,
}

/// Reads the chunks of one stream.
pub(crate) struct ChunkReader {
    /// Whether the place of `usage` matters.
    finds_usage: bool,
    pattern: Option<Pattern>,
}

/// A chunk that said words of one choice, and nothing else.
struct Pattern {
    text: Bytes,
    choice: u64,
    words: Range<usize>,
    usage: Option<UsagePlace>,
}

impl ChunkReader {
    pub(crate) fn new(finds_usage: bool) -> Self {
        Self { finds_usage, pattern: None }
    }

    /// Reads the next chunk, and lets the transcript hear its words.
    pub(crate) fn read(
        &mut self,
        data: &Bytes,
        transcript: &mut Transcript,
    ) -> Result<Chunk, Malformed> {
        if let Some((pattern, words)) =
            self.pattern.as_ref().and_then(|it| Some((it, it.words(data)?)))
        {
            transcript.hear(pattern.choice, Voice::Answer, words);
            let usage = pattern.usage.as_ref().map(|place| pattern.moved(place, words.len()));
            return Ok(Chunk { facts: Facts::default(), usage });
        }
        let text = std::str::from_utf8(data).map_err(|_| Malformed)?;
        let (facts, only_words) = read::read_noting_words(text, transcript)?;
        let may_have_usage = self.finds_usage && text.contains("\"usage\"");
        let usage = if may_have_usage { read::find_usage(text) } else { None };
        let pattern =
            |(choice, words)| Pattern { text: data.clone(), choice, words, usage: usage.clone() };
        self.pattern = only_words.map(pattern);
        Ok(Chunk { facts, usage })
    }
}

impl Pattern {
    /// The words of a chunk that is the same but for them. Where an escape stands among them, they would have to be read.
    fn words<'a>(&self, data: &'a [u8]) -> Option<&'a str> {
        let rest = data.strip_prefix(self.text.get(..self.words.start)?)?;
        let words = rest.strip_suffix(self.text.get(self.words.end..)?)?;
        let is_plain = |byte: &u8| !matches!(byte, 0..0x20 | b'"' | b'\\');
        words.iter().all(is_plain).then(|| std::str::from_utf8(words).ok()).flatten()
    }

    /// A place in the pattern, as it is in a chunk with so many bytes of words.
    fn moved(&self, place: &UsagePlace, words: usize) -> UsagePlace {
        let shift = |at: usize| {
            if at < self.words.end { at } else { at - self.words.len() + words }
        };
        let moved = |range: &Range<usize>| shift(range.start)..shift(range.end);
        UsagePlace { member: moved(&place.member), value: moved(&place.value) }
    }
}

#[cfg(test)]
mod tests {
    use super::ChunkReader;
    use crate::dialect::openai::read::{find_usage, read};
    use crate::transcript::Transcript;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn chunk(words: &str, tail: &str) -> String {
        format!(
            r#"{{"id":"c","choices":[{{"index":1,"delta":{{"content":{words}}}{tail}}}],"usage":null}}"#
        )
    }

    /// Each chunk as this reader reads it, and as it reads when it stands alone.
    fn same(chunks: &[String]) {
        let mut reader = ChunkReader::new(true);
        let (mut together, mut alone) = (Transcript::default(), Transcript::default());
        let mut id = None;
        for text in chunks {
            let expected = read(text, &mut alone);
            let found = reader.read(&Bytes::from(text.clone()), &mut together);
            assert_eq!(found.is_ok(), expected.is_ok(), "{text}");
            let (Ok(found), Ok(mut expected)) = (found, expected) else { continue };
            // An id that is the same as before is not told again.
            id = id.or(found.facts.id.clone());
            assert!(expected.id.is_none() || id == expected.id, "{text}");
            expected.id.clone_from(&found.facts.id);
            assert_eq!(found.facts, expected, "{text}");
            assert_eq!(found.usage, find_usage(text), "{text}");
            assert_eq!(together.bytes(), alone.bytes(), "{text}");
        }
        assert_eq!(together.guess(), alone.guess());
    }

    #[test]
    fn chunks_that_differ_in_their_words_alone_read_as_they_would_one_by_one() {
        let words =
            ["\"a\"", "\" bc\"", "\"\"", "\"日本\"", "\"usage\"", "\"x\\\"y\"", "\"\\n\"", "\"d\""];
        same(&words.map(|words| chunk(words, "")));
    }

    #[test]
    fn what_differs_elsewhere_is_read_whole() {
        let tails = ["", r#","finish_reason":"stop""#, r#","x":1"#, ""];
        same(&tails.map(|tail| chunk("\"a\"", tail)));
        same(&[chunk("\"a\"", ""), chunk("\"a\"},\"b\":{\"c\":\"d\"", ""), chunk("\"\u{1}\"", "")]);
        same(&[chunk("\"a\"", ""), r#"{"error":{"message":"x"}}"#.to_owned(), chunk("\"b\"", "")]);
    }

    proptest! {
        #[test]
        fn any_stream_of_chunks_reads_as_its_chunks_do(
            parts in proptest::collection::vec(("[a-z\"\\\\\u{1}é,:{}]{0,6}", prop::sample::select(vec!["", ",\"x\":1"])), 1..12)
        ) {
            let chunks: Vec<String> =
                parts.iter().map(|(words, tail)| chunk(&format!("\"{words}\""), tail)).collect();
            same(&chunks);
        }
    }
}
