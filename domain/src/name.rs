//! What names and ids may look like, and the globs that match names.

use thiserror::Error;

/// Longest name of anything.
pub const NAME_LENGTH_MAX: usize = 128;

/// Longest text that only people read, such as a display name.
pub const DISPLAY_NAME_LENGTH_MAX: usize = 256;

/// Longest text that explains something to people.
pub const DESCRIPTION_LENGTH_MAX: usize = 4_096;

/// Longest name of a data plane: that of a DNS label.
pub const DATA_PLANE_LENGTH_MAX: usize = 63;

/// Longest id of a request.
pub const REQUEST_ID_LENGTH_MAX: usize = 128;

/// A display name that no page has room for.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("must have at most {DISPLAY_NAME_LENGTH_MAX} bytes")]
pub struct LongDisplayName;

/// An explanation that nobody would read to its end.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("must have at most {DESCRIPTION_LENGTH_MAX} bytes")]
pub struct LongDescription;

/// A name that nobody could refer to safely.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "\"{0}\" is not a name: use 1 to 128 of a-z, 0-9, '.', '_', '-' and '/', beginning and ending with a letter or digit"
)]
pub struct BadName(pub String);

/// A name that no data plane can have: it is a key of rows, and part of certificates and of addresses.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the name of a data plane has 1 to {DATA_PLANE_LENGTH_MAX} of a-z, 0-9 and '-'")]
pub struct BadDataPlane;

/// A pattern that no name can match.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "\"{0}\" is not a pattern: use 1 to 128 of a-z, 0-9, '.', '_', '-', '/', and '*' for any run of characters"
)]
pub struct BadGlob(pub String);

/// Checks a display name: anything goes, but not at any length, because every data plane keeps it.
///
/// # Errors
/// When it is too long.
pub const fn check_display(name: &str) -> Result<(), LongDisplayName> {
    if name.len() <= DISPLAY_NAME_LENGTH_MAX { Ok(()) } else { Err(LongDisplayName) }
}

/// Checks an explanation: as display names, it goes to every data plane.
///
/// # Errors
/// When it is too long.
pub const fn check_description(text: &str) -> Result<(), LongDescription> {
    if text.len() <= DESCRIPTION_LENGTH_MAX { Ok(()) } else { Err(LongDescription) }
}

/// Checks a name.
///
/// # Errors
/// When it is empty, too long, or has other characters.
pub fn check(name: &str) -> Result<(), BadName> {
    let bytes = name.as_bytes();
    let plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let inner = |b: &u8| plain(b) || matches!(b, b'.' | b'_' | b'-' | b'/');
    let ends_plain = bytes.first().is_some_and(plain) && bytes.last().is_some_and(plain);
    if ends_plain
        && bytes.len() <= NAME_LENGTH_MAX
        && bytes.iter().all(inner)
        && !name.contains("//")
    {
        Ok(())
    } else {
        Err(BadName(name.to_owned()))
    }
}

/// Checks the name of a data plane.
///
/// # Errors
/// When it is empty, too long, or has other characters.
pub fn check_data_plane(name: &str) -> Result<(), BadDataPlane> {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let fits = (1..=DATA_PLANE_LENGTH_MAX).contains(&name.len());
    if fits && name.bytes().all(is_plain) { Ok(()) } else { Err(BadDataPlane) }
}

/// Whether a text has no control character. One that has is no name and no id of anything: not every database keeps it,
/// and people do not see it.
#[must_use]
pub fn is_printable(text: &str) -> bool {
    !text.contains(char::is_control)
}

/// A pattern in which `*` stands for any run of characters; all else is literal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Glob(pub String);

impl Glob {
    /// Whether the whole of `text` fits.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = parts.next().and_then(|head| text.strip_prefix(head)) else {
            return false;
        };
        let middle: Vec<&str> = parts.collect();
        let Some((tail, inner)) = middle.split_last() else {
            return rest.is_empty();
        };
        for part in inner {
            let Some((_, after)) = rest.split_once(part) else {
                return false;
            };
            rest = after;
        }
        rest.ends_with(tail)
    }

    /// How narrow it is, for comparing: more literal characters are narrower, and of equally many, one that leaves
    /// nothing open.
    #[must_use]
    pub fn specificity(&self) -> usize {
        let literal = self.0.bytes().filter(|b| *b != b'*').count();
        literal.saturating_mul(2).saturating_add(usize::from(!self.is_open()))
    }

    /// Whether it leaves anything open; if not, it matches just one name.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.contains('*')
    }

    /// Checks that it could match a name.
    ///
    /// # Errors
    /// When it is empty, too long, or has characters that no name has.
    pub fn check(&self) -> Result<(), BadGlob> {
        let name_or_star = |b: u8| {
            b.is_ascii_lowercase()
                || b.is_ascii_digit()
                || matches!(b, b'.' | b'_' | b'-' | b'/' | b'*')
        };
        let fits = !self.0.is_empty() && self.0.len() <= NAME_LENGTH_MAX;
        if fits && self.0.bytes().all(name_or_star) { Ok(()) } else { Err(BadGlob(self.0.clone())) }
    }
}
