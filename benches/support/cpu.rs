//! CPU time and resident memory of this process.

/// CPU time of all threads of this process so far, in nanoseconds.
#[allow(dead_code, reason = "each bench includes this file and uses what it needs")]
pub fn nanoseconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists on every platform with /proc; the pointer is to a live timespec.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    assert_eq!(status, 0, "the process's CPU clock can be read");
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Resident memory of this process in bytes.
#[allow(dead_code, reason = "each bench includes this file and uses what it needs")]
pub fn resident_bytes() -> u64 {
    resident_bytes_of("self")
}

/// Resident memory of a process in bytes.
#[allow(dead_code, reason = "each bench includes this file and uses what it needs")]
pub fn resident_bytes_of(process: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("Linux has /proc, and it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("the kernel reports VmRSS");
    let kibibytes: u64 = line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number of kB");
    kibibytes * 1_024
}
