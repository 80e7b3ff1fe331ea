//! JSON passed over without being read: where its values begin and end, and that it is JSON at all.
//!
//! As strict as `serde_json`, which is asked what is wrong with what is refused here, and reads what has to be read. Ours
//! because a prompt is long, and the ready-made readers look at each of its bytes several times.

use crate::body::text::Text;
use memchr::memchr2;

/// Why a text cannot be passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Malformed,
    TooDeep,
}

/// A place in a JSON text. What was opened must be gone through to its end before anything after it.
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
    /// What closes each object and list that was opened, innermost last.
    closers: Vec<u8>,
    depth_max: usize,
    /// Just behind an opening bracket.
    is_first: bool,
    /// Passed over before: it is JSON, and not too deep.
    is_known: bool,
}

impl<'a> Cursor<'a> {
    /// At the beginning of a text.
    pub(crate) fn new(text: &'a str, depth_max: usize) -> Self {
        Self { text, at: 0, closers: Vec::new(), depth_max, is_first: false, is_known: false }
    }

    /// At the beginning of a text that was passed over before.
    pub(crate) fn of_known(text: &'a str) -> Self {
        Self { is_known: true, ..Self::new(text, usize::MAX) }
    }

    /// How many bytes lie behind.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Steps into an object, if one is next.
    pub(crate) fn enter_object(&mut self) -> Result<bool, Fault> {
        self.enter(b'{', b'}')
    }

    /// Steps into a list, if one is next.
    pub(crate) fn enter_list(&mut self) -> Result<bool, Fault> {
        self.enter(b'[', b']')
    }

    fn enter(&mut self, opener: u8, closer: u8) -> Result<bool, Fault> {
        if self.peek() != Some(opener) {
            return Ok(false);
        }
        self.at += 1;
        self.open(closer).map(|()| true)
    }

    /// The name of the next member; `None` steps out of the object. Its value must be taken then.
    pub(crate) fn name(&mut self) -> Result<Option<Text<'a>>, Fault> {
        if !self.has_next()? {
            return Ok(None);
        }
        let name = self.raw_name()?;
        if !name.contains('\\') {
            let bare = name.trim_matches('"');
            return Ok(Some(Text(bare.into())));
        }
        serde_json::from_str(name).map(Some).map_err(|_| Fault::Malformed)
    }

    /// Whether the list that was entered goes on; if not, it is stepped out of.
    pub(crate) fn has_element(&mut self) -> Result<bool, Fault> {
        self.has_next()
    }

    /// Takes the next value as it is written.
    pub(crate) fn value(&mut self) -> Result<&'a str, Fault> {
        self.skip_space();
        let start = self.at;
        self.pass()?;
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    /// Takes the next value, an object, and these members of it, if they are there and not null. `None` if it is no object,
    /// or names one of them twice.
    pub(crate) fn members<const N: usize>(
        &mut self,
        names: [&str; N],
    ) -> Result<Option<[Option<&'a str>; N]>, Fault> {
        if !self.enter_object()? {
            return self.pass().map(|()| None);
        }
        let (mut found, mut is_clear) = ([None; N], true);
        while let Some(name) = self.name()? {
            let value = self.value()?;
            let slot = names.iter().position(|wanted| *wanted == &*name);
            if let Some(slot) = slot.and_then(|slot| found.get_mut(slot)) {
                is_clear &= slot.replace(value).is_none();
            }
        }
        Ok(is_clear.then(|| found.map(|value| value.filter(|value| *value != "null"))))
    }

    /// Nothing but space may be left.
    pub(crate) fn end(&mut self) -> Result<(), Fault> {
        if self.peek().is_none() && self.closers.is_empty() {
            Ok(())
        } else {
            Err(Fault::Malformed)
        }
    }

    /// Passes over one value, however deep.
    fn pass(&mut self) -> Result<(), Fault> {
        let outside = self.closers.len();
        loop {
            match self.peek().ok_or(Fault::Malformed)? {
                b'{' => self.enter_object().map(drop)?,
                b'[' => self.enter_list().map(drop)?,
                b'"' => self.string()?,
                b'-' | b'0'..=b'9' => self.number()?,
                b't' => self.word("true")?,
                b'f' => self.word("false")?,
                b'n' => self.word("null")?,
                _ => return Err(Fault::Malformed),
            }
            while self.closers.len() > outside && !self.has_next()? {}
            if self.closers.len() == outside {
                return Ok(());
            }
            if self.closers.last() == Some(&b'}') {
                self.raw_name()?;
            }
        }
    }

    fn open(&mut self, closer: u8) -> Result<(), Fault> {
        self.closers.push(closer);
        self.is_first = true;
        if self.closers.len() > self.depth_max { Err(Fault::TooDeep) } else { Ok(()) }
    }

    /// Whether there is more in what was opened last; otherwise it is closed.
    fn has_next(&mut self) -> Result<bool, Fault> {
        let next = self.peek().ok_or(Fault::Malformed)?;
        let is_first = std::mem::take(&mut self.is_first);
        if Some(&next) == self.closers.last() {
            self.at += 1;
            self.closers.pop();
            return Ok(false);
        }
        if !is_first {
            self.byte(b',')?;
        }
        Ok(true)
    }

    /// A name with its quotes, and the colon after it.
    fn raw_name(&mut self) -> Result<&'a str, Fault> {
        self.skip_space();
        let start = self.at;
        self.string()?;
        let name = self.text.get(start..self.at).unwrap_or_default();
        self.skip_space();
        self.byte(b':')?;
        Ok(name)
    }

    fn string(&mut self) -> Result<(), Fault> {
        self.byte(b'"')?;
        loop {
            let rest = self.rest();
            let plain = memchr2(b'"', b'\\', rest).ok_or(Fault::Malformed)?;
            if !self.is_known && has_control(rest.get(..plain).unwrap_or_default()) {
                return Err(Fault::Malformed);
            }
            self.at += plain + 1;
            if rest.get(plain) == Some(&b'"') {
                return Ok(());
            }
            self.escape()?;
        }
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Result<(), Fault> {
        let length = match self.rest() {
            [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => 1,
            [b'u', code @ ..]
                if code.iter().take(4).filter(|c| c.is_ascii_hexdigit()).count() == 4 =>
            {
                5
            }
            _ => return Err(Fault::Malformed),
        };
        self.at += length;
        Ok(())
    }

    fn number(&mut self) -> Result<(), Fault> {
        if self.rest().first() == Some(&b'-') {
            self.at += 1;
        }
        if self.rest().first() == Some(&b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.rest().first() == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let [b'e' | b'E', after @ ..] = self.rest() {
            self.at += if matches!(after.first(), Some(b'+' | b'-')) { 2 } else { 1 };
            self.digits()?;
        }
        Ok(())
    }

    /// At least one.
    fn digits(&mut self) -> Result<(), Fault> {
        let count = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { Err(Fault::Malformed) } else { Ok(()) }
    }

    fn word(&mut self, word: &str) -> Result<(), Fault> {
        let is_it = self.rest().starts_with(word.as_bytes());
        self.at += word.len();
        if is_it { Ok(()) } else { Err(Fault::Malformed) }
    }

    fn byte(&mut self, byte: u8) -> Result<(), Fault> {
        let is_it = self.rest().first() == Some(&byte);
        self.at += 1;
        if is_it { Ok(()) } else { Err(Fault::Malformed) }
    }

    /// The next byte that is no space.
    fn peek(&mut self) -> Option<u8> {
        self.skip_space();
        self.rest().first().copied()
    }

    fn skip_space(&mut self) {
        let is_space = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        self.at += self.rest().iter().take_while(is_space).count();
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }
}

/// Whether there are control characters, which no JSON string may hold bare.
fn has_control(bytes: &[u8]) -> bool {
    // Without a way out in the middle it is done many bytes at a time.
    bytes.iter().fold(false, |found, byte| found | (*byte < b' '))
}

#[cfg(test)]
mod tests;
