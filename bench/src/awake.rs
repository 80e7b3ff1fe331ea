//! A thread that does not rest while its sockets are quiet.

/// Never ends, and never lets the runtime of this thread wait for the kernel; others on the same processor get their turn.
///
/// A gateway that is slower than what loads it would otherwise pay for waking it up with every write, on a virtual machine
/// several microseconds, and a faster one would not: the slower would seem slower still than it is.
pub async fn awake() {
    loop {
        std::thread::yield_now();
        tokio::task::yield_now().await;
    }
}
