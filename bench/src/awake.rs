//! A thread that does not rest while its sockets are quiet.

/// Never lets the runtime of this thread wait for the kernel, for as long as it is wanted; others on the same processor get their
/// turn.
///
/// In a closed loop what loads a slow gateway has time to rest, and each write of the gateway pays for waking it, on a virtual
/// machine several microseconds; a fast one pays nothing. So a slower one would seem slower still than it is.
pub async fn awake(is_wanted: impl Fn() -> bool) {
    while is_wanted() {
        std::thread::yield_now();
        tokio::task::yield_now().await;
    }
}
