//! Limits repeated log lines to one per second and kind, with the number of lines that were left out.
//!
//! For what can happen once per record, request or attempt: lines that repeat endlessly hide all others.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(1);
/// Kinds that are limited separately; all further ones count as one kind.
const KINDS_MAX: usize = 256;
const OTHERS: &str = "others";

/// The log lines of the last second, by kind.
#[derive(Debug, Default)]
pub struct Repeats(Mutex<BTreeMap<String, LastLine>>);

#[derive(Clone, Copy, Debug)]
struct LastLine {
    at: Instant,
    /// Lines left out since.
    left_out: u64,
}

impl Repeats {
    pub const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// Calls `log`, unless it was called for this kind within the last second. It gets the number of lines that were
    /// left out since then, if any were.
    pub fn log(&self, kind: &str, log: impl FnOnce(Option<u64>)) {
        if let Some(left_out) = self.admit(Instant::now(), kind) {
            log((left_out > 0).then_some(left_out));
        }
    }

    /// The number of lines left out since the last one, if this one is to be logged.
    fn admit(&self, now: Instant, kind: &str) -> Option<u64> {
        let mut kinds = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let kind = if kinds.len() < KINDS_MAX || kinds.contains_key(kind) { kind } else { OTHERS };
        let Some(last) = kinds.get_mut(kind) else {
            kinds.insert(kind.to_owned(), LastLine { at: now, left_out: 0 });
            return Some(0);
        };
        if now.duration_since(last.at) < INTERVAL {
            last.left_out += 1;
            return None;
        }
        Some(std::mem::replace(last, LastLine { at: now, left_out: 0 }).left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_logged_once_a_second_with_the_number_left_out() {
        let (repeats, start) = (Repeats::new(), Instant::now());
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let admitted =
            [0, 1, 500, 999, 1_000, 1_500, 2_000, 9_000].map(|milliseconds| repeats.admit(at(milliseconds), "timeout"));
        assert_eq!(admitted, [Some(0), None, None, None, Some(3), None, Some(1), Some(0)]);
        assert_eq!(repeats.admit(at(9_001), "refused"), Some(0), "another kind");
    }

    #[test]
    fn the_number_of_kinds_is_bounded() {
        let (repeats, now) = (Repeats::new(), Instant::now());
        let admitted = (0..1_000).filter(|n| repeats.admit(now, &format!("kind {n}")).is_some()).count();
        assert_eq!(admitted, KINDS_MAX + 1);
    }
}
