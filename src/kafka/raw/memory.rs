//! Gives memory back to the system that the client has freed: the C library keeps it, spread over the client's threads.

/// Returns what is free to the system, if the C library can do that. Takes milliseconds, more with gigabytes.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the call takes no pointer, and may be made at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
