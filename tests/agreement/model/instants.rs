//! When a comparison flips if nothing happens (F3), found by trial.
//!
//! Between two instants at which something may leave a window, both sides of a comparison are constant or change
//! steadily; so their order can change at most twice there (less, equal, greater), and bisection finds where.

use super::evaluate::View;
use super::expression::{Comparison, Scalar};
use super::rules::Target;
use super::value::DAY;
use std::collections::BTreeSet;

/// All instants in `(from, until]` at which the truth differs from that of one millisecond before.
pub fn flips(comparison: &Comparison, view: View, from: i64, until: i64) -> Vec<i64> {
    let mut stops = jumps(comparison, view, from, until);
    stops.insert(until);
    let mut candidates = BTreeSet::new();
    let mut start = from;
    for stop in stops {
        for partner in comparison.partners() {
            candidates.extend(crossings(&comparison.left, partner, view, start, stop - 1));
        }
        candidates.insert(stop);
        start = stop;
    }
    let truth = |now: i64| view.at(now).comparison(comparison);
    candidates.into_iter().filter(|now| truth(*now) != truth(now - 1)).collect()
}

/// The flips of all comparisons of a target's conditions.
pub fn flips_of_target(target: &Target, view: View, from: i64, until: i64) -> BTreeSet<i64> {
    let comparisons = target.conditions().into_iter().flat_map(|(_, condition)| condition.comparisons());
    comparisons.flat_map(|comparison| flips(comparison, view, from, until)).collect()
}

/// Instants at which a feature of the comparison may jump: around an event's time plus a length of the feature.
fn jumps(comparison: &Comparison, view: View, from: i64, until: i64) -> BTreeSet<i64> {
    let leaves: Vec<&Scalar> = comparison.scalars().into_iter().flat_map(Scalar::leaves).collect();
    let lengths: BTreeSet<i64> = leaves
        .iter()
        .filter_map(|leaf| match leaf {
            Scalar::Feature(feature) => feature.jumps_after(),
            _ => None,
        })
        .collect();
    let mut found = BTreeSet::new();
    if leaves.iter().any(|leaf| matches!(leaf, Scalar::Feature(feature) if feature.jumps_at_midnight())) {
        let offset = view.facts.utc_offset;
        let days = (from + offset).div_euclid(DAY) + 1..=(until + offset).div_euclid(DAY);
        found.extend(days.map(|day| day * DAY - offset));
    }
    for accepted in &view.facts.events {
        for length in &lengths {
            let around = accepted.event.time + length;
            found.extend((around - 1..=around + 2).filter(|instant| *instant > from && *instant <= until));
        }
    }
    found
}

/// The instants in `(from, until]` at which the order of two scalars changes, if it changes in one direction only.
fn crossings(left: &Scalar, right: &Scalar, view: View, from: i64, until: i64) -> Vec<i64> {
    let order = |now: i64| view.at(now).order(left, right);
    let mut found = Vec::new();
    let mut start = from;
    while start < until && order(start) != order(until) {
        let (mut same, mut other) = (start, until);
        while other - same > 1 {
            let middle = same + (other - same) / 2;
            if order(middle) == order(start) { same = middle } else { other = middle }
        }
        found.push(other);
        start = other;
    }
    found
}
