//! Why the spool refuses.

use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why an operation on the spool failed.
#[derive(Debug, Error)]
pub enum SpoolError {
    /// There is no room for one more request and its end. Passes by itself when there is.
    #[error(
        "the spool is full: free space on its disk, raise capacity_bytes, or let billing catch up"
    )]
    Full,
    /// After a failed sync nothing is admitted until a new file has been synced. Passes by itself.
    #[error("the spool's disk failed to sync; requests are refused until it does again")]
    Failing,
    /// No request is admitted any more; those that are open may go on.
    #[error("the spool takes no new requests: its data plane is stopping")]
    Stopping,
    /// The operating system refused.
    #[error("cannot {action} {}: check the disk and the permissions", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process uses the directory.
    #[error("the spool {} is in use by {holder}: stop it, or use another directory", directory.display())]
    Locked {
        /// Which directory.
        directory: PathBuf,
        /// Who holds it.
        holder: String,
    },
    /// The files cannot be this data plane's: another one's, or those of a newer version.
    #[error("the spool file {} {reason}", path.display())]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// A record is longer than the room that is kept for it, even when shortened.
    #[error("a usage record of {bytes} bytes does not fit event_bytes_max = {limit}: raise it")]
    TooLarge {
        /// Its length.
        bytes: u64,
        /// The setting.
        limit: u64,
    },
    /// The settings contradict themselves.
    #[error("spool settings: {reason}")]
    Settings {
        /// Which, and how to mend them.
        reason: &'static str,
    },
    /// The spool was closed.
    #[error("the spool is closed")]
    Closed,
}
