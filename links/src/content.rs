//! The content link: prompts and completions of orgs that want them kept, from a data plane to whoever keeps them.
//!
//! Sealed before it leaves, and never waited for: what finds no room is dropped, and whoever offered it counts that.
//! What is kept, and for how long, is the store's business.

mod link;
mod door;

pub use door::{ContentDoor, ContentListener, Delivery, content_listener};
pub use link::{ContentLink, Dropped};

use crate::ReconnectSettings;
use crate::seal::{self, BadSeal};
use prost::Message;
use proto::content::v1::Content;
use std::time::Duration;

/// Limits of the data plane's end.
#[derive(Clone, Copy, Debug)]
pub struct ContentLinkSettings {
    /// Bytes that may wait to be sent.
    pub waiting_bytes: usize,
    /// Contents that may wait to be sent.
    pub waiting: usize,
    /// Contents of one message at most.
    pub batch: usize,
    /// How long the store may take for a message.
    pub answer_timeout: Duration,
    /// How it comes back.
    pub reconnect: ReconnectSettings,
}

impl Default for ContentLinkSettings {
    fn default() -> Self {
        Self {
            waiting_bytes: 64 << 20,
            waiting: 4096,
            batch: 16,
            answer_timeout: Duration::from_secs(10),
            reconnect: ReconnectSettings::default(),
        }
    }
}

/// What one request said and was told.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Which request.
    pub request_id: String,
    /// Whose.
    pub org_uid: i64,
    /// When it ended.
    pub ended_us: u64,
    /// What was said.
    pub content: Content,
}

/// Seals and opens contents. Made of the zone's seal key, but not that key: one that opens contents opens no credential.
#[derive(Clone)]
pub struct ContentKey([u8; 32]);

impl std::fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ContentKey(…)")
    }
}

/// A sealed content that cannot be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum UnreadableContent {
    /// It does not open.
    #[error(transparent)]
    Seal(#[from] BadSeal),
    /// What is inside is no content.
    #[error("what was sealed is no content: {0}")]
    Inside(#[from] prost::DecodeError),
}

impl ContentKey {
    /// The zone's.
    #[must_use]
    pub fn derive(seal_key: &[u8; 32]) -> Self {
        Self(seal::derive(seal_key, "turnpike content v1"))
    }

    /// Seals a content for its request.
    #[must_use]
    pub fn seal(&self, request_id: &str, content: &Content) -> Vec<u8> {
        seal::seal(&self.0, request_id, &content.encode_to_vec())
    }

    /// Opens what was sealed for a request.
    ///
    /// # Errors
    /// When it does not open, or is no content.
    pub fn open(&self, request_id: &str, sealed: &[u8]) -> Result<Content, UnreadableContent> {
        let plain = seal::unseal(&self.0, request_id, sealed)?;
        Ok(Content::decode(plain.as_slice())?)
    }
}
