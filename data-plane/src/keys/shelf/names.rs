//! The names of folded keys, one after the other. None is longer than a few hundred bytes: whoever configures them sees to it.

/// Bytes of a block. A name stands in one of them.
const BLOCK: usize = 16 << 10;

#[derive(Default)]
pub(super) struct Names {
    blocks: Vec<String>,
    /// Of names that are gone.
    unused: usize,
}

/// Where a name stands.
#[derive(Clone, Copy, Default)]
pub(super) struct Name {
    /// The block's number times its bytes, and where in it.
    pub(super) at: u32,
    pub(super) length: u16,
}

impl Names {
    pub(super) fn add(&mut self, name: &str) -> Name {
        if self.blocks.last().is_none_or(|last| last.len() + name.len() > BLOCK) {
            let room = if self.blocks.is_empty() { 0 } else { BLOCK };
            self.blocks.push(String::with_capacity(room));
        }
        let full = self.blocks.len().saturating_sub(1) * BLOCK;
        let Some(last) = self.blocks.last_mut() else { return Name::default() };
        let at = u32::try_from(full + last.len()).unwrap_or_default();
        last.push_str(name);
        Name { at, length: u16::try_from(name.len()).unwrap_or_default() }
    }

    pub(super) fn get(&self, name: Name) -> &str {
        let at = usize::try_from(name.at).unwrap_or(usize::MAX);
        let (block, at) = (self.blocks.get(at / BLOCK), at % BLOCK);
        let name = block.and_then(|block| block.get(at..at + usize::from(name.length)));
        name.unwrap_or_default()
    }

    pub(super) fn forget(&mut self, name: Name) {
        self.unused = self.unused.saturating_add(usize::from(name.length));
    }

    /// Half of it is names that are gone.
    pub(super) fn is_untidy(&self) -> bool {
        self.unused > self.blocks.len() * BLOCK / 2
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, Name, Names};

    #[test]
    fn a_name_stands_where_it_was_put_however_long_it_is() {
        let mut names = Names::default();
        let lengths = (0..2_000).map(|number| number % 300).chain([BLOCK - 1, BLOCK, BLOCK + 9, 1]);
        let put: Vec<(String, Name)> = lengths
            .map(|length| "n".repeat(length))
            .map(|name| (name.clone(), names.add(&name)))
            .collect();
        assert!(put.iter().all(|(text, name)| names.get(*name) == text));
        assert_eq!(names.get(Name { at: u32::MAX, length: 3 }), "");
    }

    #[test]
    fn it_is_untidy_once_half_of_it_is_gone() {
        let mut names = Names::default();
        let put: Vec<Name> = (0..BLOCK / 8).map(|_| names.add("12345678")).collect();
        let (last, first) = put.split_last().unwrap();
        first.iter().take(BLOCK / 16).for_each(|name| names.forget(*name));
        assert!(!names.is_untidy());
        names.forget(*last);
        assert!(names.is_untidy());
    }
}
