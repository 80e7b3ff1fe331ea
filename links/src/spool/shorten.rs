//! Makes an event fit the room that was kept for it, at the cost of what explains it, never of its money.

use prost::Message;
use proto::usage::v1::{Attempt, UsageEvent};

/// Longest text that an upstream may have put into an event.
const TEXT_BYTES: usize = 64;

/// Shortens `event` until it is not longer than `limit` bytes, and returns whether it is.
pub(super) fn shorten(event: &mut UsageEvent, limit: usize) -> bool {
    let steps: [fn(&mut UsageEvent); 3] = [drop_app, keep_outer_attempts, clip_texts];
    for step in steps {
        if event.encoded_len() <= limit {
            return true;
        }
        step(event);
    }
    event.encoded_len() <= limit
}

fn drop_app(event: &mut UsageEvent) {
    event.app.clear();
}

fn keep_outer_attempts(event: &mut UsageEvent) {
    outer_attempts(&mut event.attempts);
}

/// Keeps the first and the last.
pub(super) fn outer_attempts(attempts: &mut Vec<Attempt>) {
    if let Some(last) = attempts.len().checked_sub(1).filter(|last| *last > 0) {
        attempts.swap(1, last);
        attempts.truncate(2);
    }
}

fn clip_texts(event: &mut UsageEvent) {
    clip(&mut event.upstream_id);
    clip(&mut event.finish_reason);
    for attempt in &mut event.attempts {
        clip(&mut attempt.error);
    }
}

fn clip(text: &mut String) {
    text.truncate(text.floor_char_boundary(TEXT_BYTES));
}
