//! An alert: changes of one segmentation or audience that are counted, and the bound above which the alert fires.
//!
//! An alert selects changes: from a value, to a value, or in a direction. The engine counts them by minute in
//! `shard::census`; the worker decides minute by minute whether the count within the window is above the bound.

use super::compiled::direction::Direction;
use super::compiled::target::Target;
use crate::engine::event::{DAY, HOUR, MINUTE, Millis};
use xxhash_rust::xxh3::xxh3_64;

/// Alerts of one file at most.
pub const ALERTS_MAX: usize = 32;
/// Customers named by one alert at most.
pub const CUSTOMER_IDS_MAX: i64 = 10;
/// The highest bound.
pub const ABOVE_MAX: i64 = 1_000_000_000;
/// The shortest and the longest window.
pub const WINDOW_MIN: Millis = MINUTE;
pub const WINDOW_MAX: Millis = DAY;
/// The longest time for which the count must be above the bound before the alert fires.
pub const FOR_MAX: Millis = 6 * HOUR;

/// Causes that alerts can count, in their order in [`Alert::causes`]: what customers did, and what they did not do in
/// time.
pub const CAUSES: [&str; 3] = ["event", "time", "late"];

/// A checked alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    pub name: String,
    /// Index of its segmentation or audience in [`super::Rules::targets`].
    pub target: u16,
    pub from: Option<u16>,
    pub to: Option<u16>,
    pub direction: Option<Direction>,
    /// The bound: the alert fires when more changes than this are counted in the window.
    pub above: u64,
    pub window_minutes: u32,
    /// For how many minutes in a row the count must be above the bound.
    pub for_minutes: u32,
    /// Which of [`CAUSES`] count.
    pub causes: [bool; CAUSES.len()],
    /// Customers named at most.
    pub customer_ids: usize,
    /// A hash of what is counted and of when the alert fires. An alert with another hash is another alert.
    pub definition: u64,
}

impl Alert {
    /// Whether a change of its target between these values counts; [`crate::engine::profile::HeldValue::NULL`] is no
    /// segment.
    pub fn selects(&self, target: &Target, from: u16, to: u16) -> bool {
        let is_wanted = |wanted: Option<u16>, value: u16| wanted.is_none_or(|wanted| wanted == value);
        is_wanted(self.from, from)
            && is_wanted(self.to, to)
            && self.direction.is_none_or(|direction| direction == target.direction(from, to))
    }

    /// The hash for [`Alert::definition`], of names instead of indexes: segments may get other indexes while the alert
    /// stays the same. `values` and `ladder` are those of its target.
    pub fn definition_hash(&self, target: &str, values: &[String], ladder: &[u16]) -> u64 {
        let named = |value: Option<u16>| value.map_or("", |value| values[usize::from(value)].as_str());
        let ladder: Vec<&str> = ladder.iter().map(|value| named(Some(*value))).collect();
        let ladder = self.direction.map(|direction| (direction, ladder));
        let definition = format!(
            "{:?} {:?} {:?} {:?} {ladder:?} {} {} {} {:?}",
            self.name,
            target,
            named(self.from),
            named(self.to),
            self.above,
            self.window_minutes,
            self.for_minutes,
            self.causes
        );
        xxh3_64(definition.as_bytes())
    }
}
