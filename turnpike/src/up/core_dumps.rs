//! No core dumps: the memory of a process that serves holds prompts, keys and opened credentials, and a dump would write
//! them all to a disk, or hand them to whatever collects crashes.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Forbids them for the rest of this process's life. It also keeps other programs of the same user from tracing it.
pub(super) fn forbid() {
    // The limit alone does not hold where the system pipes dumps into a program, the flag alone not everywhere else.
    let forbidden = set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .and_then(|()| setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }));
    if let Err(error) = forbidden {
        tracing::warn!(%error, "core dumps could not be forbidden: one would hold prompts and keys");
    }
}
