//! The process's memory: mimalloc, which gives back what is free when it is next asked for some. Threads that rest ask for none.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Gives back what the calling thread has no use for. Takes longer the more it has.
pub(crate) fn give_back() {
    const FORCE: bool = true;
    #[expect(unsafe_code, reason = "the library has no safe name for it")]
    // SAFETY: no argument points anywhere; it may be called by any thread at any time and touches no memory that is in use.
    unsafe {
        libmimalloc_sys::mi_collect(FORCE);
    }
}
