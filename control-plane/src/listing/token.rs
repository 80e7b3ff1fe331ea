//! Page tokens: where a list goes on, and which list that is. Callers cannot read them, and one that is not whole, of
//! another list, or of a configuration that is gone is told from a good one.

use crate::errors::TokenFault;
use crate::rows::Place;
use domain::name::is_printable;

/// First byte: tokens of another layout are refused, not misread.
const LAYOUT: u8 = 1;
const DIGEST_LENGTH: usize = 8;
const CHECK_LENGTH: usize = 4;

/// Where a page ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// By what it is sorted; 0 for lists by name.
    pub(crate) sort: i64,
    /// The last name.
    pub(crate) name: String,
}

impl From<Place> for Cursor {
    fn from(Place { sort, name }: Place) -> Self {
        Self { sort, name }
    }
}

impl From<Cursor> for Place {
    fn from(Cursor { sort, name }: Cursor) -> Self {
        Self { sort, name }
    }
}

/// Makes and reads the tokens of one list.
pub(crate) struct Tokens {
    generation: u64,
    list: [u8; DIGEST_LENGTH],
}

impl Tokens {
    /// For a list that is known by these texts.
    pub(crate) fn of(generation: u64, list: &[&str]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for text in list {
            hasher.update(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        Self { generation, list: short(&hasher.finalize()) }
    }

    /// The token of the page after a place.
    pub(crate) fn write(&self, after: Cursor) -> String {
        let mut bytes = vec![LAYOUT];
        bytes.extend(self.generation.to_le_bytes());
        bytes.extend(self.list);
        bytes.extend(after.sort.to_le_bytes());
        bytes.extend(after.name.into_bytes());
        bytes.extend(check_of(&bytes));
        hex::encode(bytes)
    }

    /// The place in a token; none in an empty one.
    pub(crate) fn read(&self, token: &str) -> Result<Option<Cursor>, TokenFault> {
        if token.is_empty() {
            return Ok(None);
        }
        let bytes = hex::decode(token).map_err(|_| TokenFault::Garbled)?;
        let (body, check) = bytes.split_last_chunk().ok_or(TokenFault::Garbled)?;
        if *check != check_of(body) {
            return Err(TokenFault::Garbled);
        }
        let Token { generation, list, cursor } = parse(body).ok_or(TokenFault::Garbled)?;
        if generation != self.generation {
            return Err(TokenFault::Stale { token: generation, current: self.generation });
        }
        if list != self.list {
            return Err(TokenFault::Foreign);
        }
        Ok(Some(cursor))
    }
}

struct Token {
    generation: u64,
    list: [u8; DIGEST_LENGTH],
    cursor: Cursor,
}

fn parse(body: &[u8]) -> Option<Token> {
    let body = body.strip_prefix(&[LAYOUT])?;
    let (generation, body) = body.split_first_chunk()?;
    let (list, body) = body.split_first_chunk()?;
    let (sort, name) = body.split_first_chunk()?;
    let name = String::from_utf8(name.to_vec()).ok().filter(|name| is_printable(name))?;
    Some(Token {
        generation: u64::from_le_bytes(*generation),
        list: *list,
        cursor: Cursor { sort: i64::from_le_bytes(*sort), name },
    })
}

fn check_of(body: &[u8]) -> [u8; CHECK_LENGTH] {
    short(&blake3::hash(body))
}

fn short<const LENGTH: usize>(hash: &blake3::Hash) -> [u8; LENGTH] {
    let mut short = [0; LENGTH];
    short.iter_mut().zip(hash.as_bytes()).for_each(|(to, from)| *to = *from);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_and_every_other_one_is_told_from_it() {
        let tokens = Tokens::of(3, &["Plan", "name = a*", ""]);
        let cursor = Cursor { sort: -5, name: "acme/ci".to_owned() };
        let token = tokens.write(cursor.clone());
        assert_eq!(tokens.read(&token), Ok(Some(cursor)));
        assert_eq!(tokens.read(""), Ok(None));
        let others =
            [["Plan", "name = b*", ""], ["Org", "name = a*", ""], ["Plan", "name = a", "*"]];
        for other in others {
            assert_eq!(Tokens::of(3, &other).read(&token), Err(TokenFault::Foreign), "{other:?}");
        }
        let later = Tokens::of(4, &["Plan", "name = a*", ""]);
        assert_eq!(later.read(&token), Err(TokenFault::Stale { token: 3, current: 4 }));
    }

    #[test]
    fn every_cut_and_every_flipped_digit_is_noticed() {
        let tokens = Tokens::of(1, &["Key"]);
        let token = tokens.write(Cursor { sort: 7, name: "acme/ci".to_owned() });
        for length in 1..token.len() {
            let (cut, _) = token.split_at(length);
            assert_eq!(tokens.read(cut), Err(TokenFault::Garbled), "{length}");
        }
        for at in 0..token.len() {
            let other = if token.as_bytes()[at] == b'0' { "1" } else { "0" };
            let mut bent = token.clone();
            bent.replace_range(at..=at, other);
            assert_eq!(tokens.read(&bent), Err(TokenFault::Garbled), "{at}");
        }
    }
}
