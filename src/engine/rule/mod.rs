//! Rules: segmentations and audiences, their conditions compiled once, evaluated, explained and run forward.
//!
//! [`read`] makes [`Rules`] of a file: `file` reads what is written, `check` makes typed comparisons and conditions of
//! its SQL, `compile` puts them together. For a customer the truths of comparisons are read (`reading`). When
//! a value may differ from before the event, [`Rules::decide`] gives the values that follow, [`Rules::for_each_reason`]
//! why they changed, [`Rules::forecast`] what comes next, and [`Rules::next_deadline`] when time alone can change one.

mod file;

mod check;

mod compile;

mod compiled;

mod decide;

pub mod reading;

mod deadline;

mod explain;

mod review;

pub mod alert;

pub mod columns;

#[cfg(test)]
mod tests;

/// The tables and keys at the top of a rules file.
pub const SECTIONS: [&str; 14] = [
    "include",
    "revision",
    "time",
    "currency",
    "ids",
    "attributes",
    "properties",
    "events",
    "count",
    "dedup",
    "segmentation",
    "audience",
    "alert",
    "limits",
];

pub use crate::engine::feature::Value;
pub use alert::Alert;
pub use check::RetiredTarget;
pub use compiled::direction::Direction;
pub use compiled::target::{Audience, IN, OUT, Segment, Target, TargetKind};
pub use compiled::truth::{Truth, Truths};
pub use compiled::values::Decision;
pub use explain::forecast::ForecastScratch;
pub use explain::reasons::TargetChange;
pub use file::{read, read_features, read_following, review_file};
pub use reading::{AddedEvents, Reading};

use crate::engine::event::{Event, EventType};
use crate::engine::event_settings::EventSettings;
use compiled::comparison::Comparison;
use compiled::own_counts::OwnCounts;
use compiled::scalar::Scalar;

/// A checked and compiled rules.toml.
#[derive(Debug)]
pub struct Rules {
    /// The first 16 hex digits of the SHA-256 of the file.
    pub version: String,
    /// Which file is meant, if processes have different ones: the highest (R6).
    pub revision: u64,
    /// The file as it was read.
    pub bytes: Vec<u8>,
    pub event_settings: EventSettings,
    own_counts: OwnCounts,
    /// Segmentations and audiences in byte order of their names; the values held by a customer follow this order.
    pub targets: Vec<Target>,
    /// Those that are no longer evaluated (R13), in byte order of their names.
    pub retired: Vec<RetiredTarget>,
    /// Alerts in byte order of their names.
    pub alerts: Vec<Alert>,
    /// Features published with each change, by name.
    include: Vec<(String, Scalar)>,
    /// All distinct comparisons of the file, by text.
    comparisons: Vec<Comparison>,
    /// Indexes of the comparisons on segment() and audience() alone.
    on_targets: Vec<u16>,
    /// Indexes of the comparisons on features of the customer alone.
    on_customers: Vec<u16>,
    /// Indexes of the comparisons on features for which segment() is an argument.
    on_both: Vec<u16>,
    /// By event type: the comparisons whose truth it can change.
    affected: Vec<Vec<u16>>,
    /// By event type: those of them whose truth before an event cannot be told from the customer after it.
    lost: Vec<Vec<u16>>,
    /// By event type: the targets that have one of its affected comparisons.
    touched: Vec<Touched>,
    /// Indexes of the targets, each after those it refers to.
    order: Vec<u16>,
    /// By target: what its forecast evaluates.
    closures: Vec<Closure>,
}

/// The targets that events of one type touch.
#[derive(Debug)]
struct Touched {
    targets: Vec<u16>,
    /// In order of dependence: these, and those that refer to them, directly or through others.
    with_dependents: Vec<u16>,
}

/// Some targets with their comparisons.
#[derive(Debug)]
struct Closure {
    /// In order of dependence.
    targets: Vec<u16>,
    /// Their comparisons except those on targets.
    comparisons: Vec<u16>,
    /// Their comparisons on both customers and targets.
    on_both: Vec<u16>,
}

impl Rules {
    /// The counts of one's own that count an event (B8), one bit each, by their indexes in customers' state.
    #[inline]
    pub fn own_counts_of(&self, event: &Event<'_>) -> u32 {
        self.own_counts.of(event)
    }

    /// A buffer for the truths of all comparisons.
    #[cfg(test)]
    fn truths(&self) -> Truths {
        Truths::new(self.comparisons.len())
    }

    /// Indexes of the comparisons whose truth an event of this type can change, except those on segment() and
    /// audience().
    pub fn affected_comparisons(&self, event_type: EventType) -> &[u16] {
        &self.affected[event_type.index()]
    }

    /// Indexes of all comparisons except those on segment() and audience().
    pub fn customer_comparisons(&self) -> &[u16] {
        &self.on_customers
    }

    /// Indexes of the comparisons on features for which segment() is an argument: an event of any type can change them,
    /// and their truth is read with the values that the customer holds.
    pub fn comparisons_on_both(&self) -> &[u16] {
        &self.on_both
    }

    /// The text of a comparison.
    pub fn text(&self, comparison: u16) -> &str {
        &self.comparisons[usize::from(comparison)].text
    }
}
