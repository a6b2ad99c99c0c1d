//! Waiting in tests: for a condition, with a bound. No other file of the tests may pause a thread.
//!
//! The condition is looked at again after a pause that grows, so that what comes soon is seen soon, and what takes long
//! does not take the processor from what it waits for.

// Each test program and bench uses a part of this.
#![allow(dead_code)]

use std::fmt::Display;
use std::thread::sleep;
use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// # Panics
/// If the condition does not hold within the bound.
pub fn wait_until(what: &str, bound: Duration, mut condition: impl FnMut() -> bool) {
    wait_for(what, bound, || condition().then_some(()));
}

/// Tries until there is a value.
///
/// # Panics
/// If there is none within the bound.
pub fn wait_for<T>(what: &str, bound: Duration, get: impl FnMut() -> Option<T>) -> T {
    within(bound, get).unwrap_or_else(|| panic!("not within {bound:?}: {what}"))
}

/// Tries until it succeeds.
///
/// # Panics
/// If it does not succeed within the bound, with the last error.
pub fn wait_for_ok<T, E: Display>(what: &str, bound: Duration, mut attempt: impl FnMut() -> Result<T, E>) -> T {
    let mut last = None;
    let got = within(bound, || attempt().map_err(|error| last = Some(error)).ok());
    got.unwrap_or_else(|| {
        let last = last.map(|error| error.to_string()).unwrap_or_default();
        panic!("not within {bound:?}: {what}; at last: {last}")
    })
}

/// Tries until there is a value or the bound has passed.
pub fn within<T>(bound: Duration, mut get: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + bound;
    let mut pause = FIRST_PAUSE;
    loop {
        if let Some(got) = get() {
            return Some(got);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        sleep(pause.min(left));
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Waits for a moment: for what paces a load, or delays as a slow network does.
pub fn wait_until_moment(moment: Instant) {
    sleep(moment.saturating_duration_since(Instant::now()));
}
