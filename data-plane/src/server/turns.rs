//! How soon a core gets the processor once it has something to do while another thread of the machine is using it.
//!
//! Usually the other one ends its turn first, or the clock ends it, which takes milliseconds: long for a stream. A thread whose
//! own turns are shorter is let in at once, and gets no more of the processor by it (decision 22).

use libc::{SCHED_OTHER, SYS_sched_getattr, SYS_sched_setattr, c_int, c_long, c_uint, sched_attr};
use std::io;

/// How long a core's turns are, in nanoseconds: the shortest that Linux knows. From its version 6.12 on, `sched_runtime` of
/// `sched_setattr(2)` says so for threads of the usual policy; before, it says nothing.
const TURN_NS: u64 = 100_000;
const THIS_THREAD: c_int = 0;
const NO_FLAGS: c_uint = 0;
/// `SCHED_ATTR_SIZE_VER0`, which every Linux knows.
const SIZE: u32 = 48;
const _: () = assert!(size_of::<sched_attr>() == 48);

/// Asks for short turns of the thread that calls it.
///
/// # Errors
/// What the system says: a sandbox may refuse the calls.
pub(super) fn take_short_turns() -> io::Result<()> {
    let attributes = attributes()?;
    // An operator may have given it another policy, which knows no such turns.
    if i32::try_from(attributes.sched_policy) != Ok(SCHED_OTHER) {
        return Ok(());
    }
    set_attributes(&sched_attr { sched_runtime: TURN_NS, ..attributes })
}

fn attributes() -> io::Result<sched_attr> {
    let mut attributes = sched_attr {
        size: SIZE,
        sched_policy: 0,
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: 0,
        sched_deadline: 0,
        sched_period: 0,
    };
    #[expect(unsafe_code, reason = "no library offers this call")]
    // SAFETY: the system writes at most `SIZE` bytes to `attributes`, which is as long, lives here, and may hold any numbers.
    let done = unsafe {
        libc::syscall(SYS_sched_getattr, THIS_THREAD, &raw mut attributes, SIZE, NO_FLAGS)
    };
    answer(done).map(|()| attributes)
}

fn set_attributes(attributes: &sched_attr) -> io::Result<()> {
    #[expect(unsafe_code, reason = "no library offers this call")]
    // SAFETY: the system only reads `attributes`, which says its own length and outlives the call.
    let done =
        unsafe { libc::syscall(SYS_sched_setattr, THIS_THREAD, &raw const *attributes, NO_FLAGS) };
    answer(done)
}

fn answer(done: c_long) -> io::Result<()> {
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::{TURN_NS, attributes, take_short_turns};

    #[test]
    fn nothing_but_the_turns_of_the_thread_is_changed() {
        let before = attributes().unwrap();
        take_short_turns().unwrap();
        let after = attributes().unwrap();
        assert_eq!(after.sched_policy, before.sched_policy);
        assert_eq!(after.sched_nice, before.sched_nice);
        // A system that knows turns tells them; one that does not says nothing both times.
        let is_known = before.sched_runtime > 0;
        assert_eq!(after.sched_runtime, if is_known { TURN_NS } else { 0 });
    }
}
