//! How far long work has come: a line on a terminal that is written over, and nothing where nobody watches.

use std::io::{IsTerminal, Write, stderr};

/// Shown on stderr, if that is a terminal; gone when dropped.
pub(crate) struct Progress {
    what: &'static str,
    on_terminal: bool,
    shown: Option<(usize, usize)>,
}

impl Progress {
    /// Of so many things of that name.
    pub(crate) fn of(what: &'static str) -> Self {
        Self { what, on_terminal: stderr().is_terminal(), shown: None }
    }

    /// Shows how many are done.
    pub(crate) fn show(&mut self, done: usize, of: usize) {
        if self.on_terminal && self.shown != Some((done, of)) {
            self.shown = Some((done, of));
            write!(stderr(), "\r{}: {done} of {of}", self.what).unwrap_or_default();
        }
    }
}

impl Drop for Progress {
    /// Clears the line, so that what follows does not stand behind it.
    fn drop(&mut self) {
        if self.shown.is_some() {
            write!(stderr(), "\r\x1b[K").unwrap_or_default();
        }
    }
}
