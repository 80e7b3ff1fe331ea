//! What people and programs are told: progress on stderr, data on stdout.

use std::io::{self, Write};

/// A line for people. One who no longer listens is no reason to stop.
pub fn note(line: &str) {
    drop(writeln!(io::stderr(), "{line}"));
}

/// Data.
///
/// # Errors
/// When stdout is closed.
pub fn print(text: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}
