//! The rules of the simulated shop: their deadlines are a few seconds after the events that set them.
//!
//! There are two sets of rules, so that a world can replace the first by the second.

use shoal::engine::rule::Rules;
use shoal::worker::control;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// After this many milliseconds without events nothing changes by time for ten minutes.
pub const LONGEST_DEADLINE_MS: i64 = 9_000;

const FIRST: &str = r#"
include = ["revenue", "orders"]
[segmentation.lifecycle]
segments = [
  { name = "prospect", when = "orders = 0" },
  { name = "fresh", when = "recency_days <= 0.00002" },
  { name = "active", when = "recency_days <= 0.0001" },
  { name = "dormant" },
]
[segmentation.value]
segments = [
  { name = "high", when = "revenue >= 60" },
  { name = "low" },
]
min_dwell = "3s"
[audience.abandoner]
when = "cart_open AND cart_idle_minutes >= 0.04"
[audience.looking]
when = "views_1h >= 3"
"#;

const SECOND: &str = r#"
include = ["revenue", "orders"]
[segmentation.lifecycle]
segments = [
  { name = "prospect", when = "orders = 0" },
  { name = "active", when = "recency_days <= 0.00005" },
  { name = "asleep" },
]
[segmentation.value]
segments = [
  { name = "high", when = "revenue >= 90" },
  { name = "low" },
]
min_dwell = "2s"
[audience.looking]
when = "views_1h >= 2"
[audience.big_cart]
when = "cart_open AND cart_value >= 50"
"#;

/// Rules with this clock and grace, the first ones or those that replace them.
pub fn rules(is_live: bool, grace_ms: i64, is_second: bool) -> Arc<Rules> {
    type Cache = BTreeMap<(bool, i64, bool), Arc<Rules>>;
    static CACHE: OnceLock<Cache> = OnceLock::new();
    let cache = CACHE.get_or_init(|| {
        let mut cache = Cache::new();
        for is_live in [false, true] {
            for grace_ms in [4_000, 8_000] {
                for is_second in [false, true] {
                    let clock = if is_live { "wall" } else { "events" };
                    let time = format!("[time]\nclock = \"{clock}\"\ngrace = \"{grace_ms}ms\"\n");
                    let (head, rest) = if is_second { SECOND } else { FIRST }.split_at(33);
                    let text = format!("{head}{time}{rest}{}", super::alerts::RULES);
                    let read = control::read_rules(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"));
                    cache.insert((is_live, grace_ms, is_second), read);
                }
            }
        }
        cache
    });
    cache[&(is_live, grace_ms, is_second)].clone()
}
