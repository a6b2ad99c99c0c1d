//! Rules: segmentations and audiences, their conditions compiled once, evaluated, explained and run forward.
//!
//! [`read`] makes [`Rules`] of a file: `file` reads what is written, `check` makes typed comparisons and conditions of
//! its SQL, `compile` puts them together. For a customer the truths of comparisons are read ([`Rules::read_truths`]).
//! When one differs from before the event, [`Rules::decide`] gives the values that follow, [`Rules::for_each_reason`]
//! why they changed, [`Rules::forecast`] what comes next, and [`Rules::next_deadline`] when time alone can change one.

mod file;

mod check;

mod compile;

mod compiled;

mod decide;

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

use crate::engine::event::{Event, EventType, Millis};
use crate::engine::event_settings::EventSettings;
use crate::engine::profile::Customer;
use compiled::comparison::Comparison;
use compiled::own_counts::OwnCounts;
use compiled::scalar::{Facts, Scalar};
use compiled::values::TargetValues;

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
    /// By event type: the targets that have one of those comparisons, and the other comparisons of these targets except
    /// those on targets.
    touched: Vec<Closure>,
    /// Indexes of the targets, each after those it refers to.
    order: Vec<u16>,
    /// By target: what its forecast evaluates.
    closures: Vec<Closure>,
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
    /// The counts of one's own that count an event (B8), one bit each, by their indexes in customers' state. `truths`
    /// is memory that is reused.
    #[inline]
    pub fn own_counts_of(&self, event: &Event<'_>, truths: &mut Truths) -> u32 {
        self.own_counts.of(event, truths)
    }

    /// A buffer for the truths of all comparisons.
    pub fn truths(&self) -> Truths {
        Truths::new(self.comparisons.len())
    }

    /// Indexes of the comparisons whose truth an event of this type can change, except those on segment() and
    /// audience().
    pub fn affected_comparisons(&self, event_type: EventType) -> &[u16] {
        &self.affected[event_type.index()]
    }

    /// Indexes of the other comparisons of the targets that an event of this type touches, except those on segment()
    /// and audience(): together with the affected ones they decide the values of these targets.
    pub fn unaffected_comparisons(&self, event_type: EventType) -> &[u16] {
        &self.touched[event_type.index()].comparisons
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

    /// Reads the truths of the given comparisons at `now` into `truths`.
    #[inline(never)]
    pub fn read_truths(&self, comparisons: &[u16], customer: &Customer<'_>, now: Millis, truths: &mut Truths) {
        truths.resize(self.comparisons.len());
        for index in comparisons {
            let comparison = &self.comparisons[usize::from(*index)];
            truths.set(*index, self.truth(comparison, customer, now));
        }
    }

    #[inline]
    fn truth(&self, comparison: &Comparison, customer: &Customer<'_>, now: Millis) -> Truth {
        match comparison.on_targets {
            false => comparison.truth(customer, now),
            true => comparison.predicate.truth(self.facts(customer, now)),
        }
    }

    /// Reads the truths before an event in order of the comparisons that its type can change into `before`. Those that
    /// stay the same whatever the event has are copied into `after`; the others are listed in `open`.
    #[inline(never)]
    pub fn read_truths_before_event(
        &self,
        event_type: EventType,
        customer: &Customer<'_>,
        now: Millis,
        before: &mut Truths,
        after: &mut Truths,
        open: &mut Vec<u16>,
    ) {
        before.resize(self.comparisons.len());
        after.resize(self.comparisons.len());
        for index in self.affected_comparisons(event_type) {
            let comparison = &self.comparisons[usize::from(*index)];
            let (truth, may_change) = match &comparison.range {
                Some(range) if !comparison.on_targets => range.truth_before_event(customer, now),
                _ => (self.truth(comparison, customer, now), true),
            };
            before.set(*index, truth);
            if may_change {
                open.push(*index);
            } else {
                after.set(*index, truth);
            }
        }
    }

    /// What a comparison on both customers and targets reads: the targets' values are those that the customer holds.
    fn facts<'a, 'b>(&'a self, customer: &'b Customer<'a>, now: Millis) -> Facts<'a, 'b> {
        Facts { customer, now, values: TargetValues::Stored(&self.targets), event: None }
    }

    /// Whether the given comparisons have the same truths in both.
    pub fn same_truths(&self, comparisons: &[u16], a: &Truths, b: &Truths) -> bool {
        comparisons.iter().all(|index| a.get(*index) == b.get(*index))
    }

    /// The first instant after `now` at which one of the comparisons may change its truth if nothing else happens:
    /// never too late, possibly too early, `NEVER` if there is none. `truths` are those of `now`.
    #[cfg(test)]
    fn next_flip(&self, comparisons: &[u16], customer: &Customer<'_>, now: Millis, truths: &Truths) -> Millis {
        let flips = comparisons.iter().map(|index| {
            let comparison = &self.comparisons[usize::from(*index)];
            comparison.next_flip(customer, now, truths.get(*index))
        });
        flips.min().unwrap_or(crate::engine::event::NEVER)
    }
}
