//! Words that would be said again and again are said once a second, with how many like them were left out.
//!
//! For what can happen once per record, request or attempt: a log that repeats itself hides what else it says.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(1);
/// Kinds that are told apart; all further ones count as one.
const KINDS_MAX: usize = 256;
const OTHERS: &str = "others";

/// What was said lately, by kind.
#[derive(Debug, Default)]
pub struct Repeats(Mutex<BTreeMap<String, Said>>);

#[derive(Clone, Copy, Debug)]
struct Said {
    at: Instant,
    left_out: u64,
}

impl Repeats {
    pub const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// Says words of this kind, unless they were said within the second; `say` gets how many were left out since, if any were.
    pub fn say(&self, kind: &str, say: impl FnOnce(Option<u64>)) {
        if let Some(left_out) = self.admit(Instant::now(), kind) {
            say((left_out > 0).then_some(left_out));
        }
    }

    /// Whether it is to be said, and how many were left out.
    fn admit(&self, now: Instant, kind: &str) -> Option<u64> {
        let mut kinds = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let kind = if kinds.len() < KINDS_MAX || kinds.contains_key(kind) { kind } else { OTHERS };
        let Some(said) = kinds.get_mut(kind) else {
            kinds.insert(kind.to_owned(), Said { at: now, left_out: 0 });
            return Some(0);
        };
        if now.duration_since(said.at) < INTERVAL {
            said.left_out += 1;
            return None;
        }
        Some(std::mem::replace(said, Said { at: now, left_out: 0 }).left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_said_once_a_second_with_the_number_left_out() {
        let (repeats, start) = (Repeats::new(), Instant::now());
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let told: Vec<_> = [0, 1, 500, 999, 1_000, 1_500, 2_000, 9_000]
            .map(|milliseconds| repeats.admit(at(milliseconds), "away"))
            .into_iter()
            .collect();
        assert_eq!(told, [Some(0), None, None, None, Some(3), None, Some(1), Some(0)]);
        assert_eq!(repeats.admit(at(9_001), "refused"), Some(0), "another kind");
    }

    #[test]
    fn kinds_have_a_bound() {
        let (repeats, now) = (Repeats::new(), Instant::now());
        let admitted = (0..1_000).filter(|n| repeats.admit(now, &format!("kind {n}")).is_some()).count();
        assert_eq!(admitted, KINDS_MAX + 1);
    }
}
