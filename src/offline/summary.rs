//! The summary that commands print: counts of events, changes and customers, in a few lines.
//!
//! Replays, seeds, dry runs and the demo print the same summary.

use crate::engine::calendar::rfc3339_text;
use crate::engine::effects::{Cause, Counts};
use crate::engine::event::{Millis, Reason};
use crate::engine::profile::HeldValue;
use crate::engine::rule::{Rules, Target, TargetKind};
use crate::engine::shard::Shard;
use std::fmt;
use std::time::Duration;

pub struct Summary {
    /// What was done with the events, such as `replayed`.
    done: &'static str,
    counts: Counts,
    customers: usize,
    members: Vec<Members>,
    until: Option<Millis>,
    took: Duration,
}

/// The number of customers per value of a segmentation or audience.
#[derive(Clone, Debug, PartialEq)]
struct Members {
    name: String,
    /// In the order of the rules file; for an audience only `in`.
    values: Vec<(String, u64)>,
}

impl Summary {
    /// The summary of shards with the same rules; `until` is the time that they have reached.
    pub fn new(done: &'static str, counts: Counts, shards: &[&Shard], until: Option<Millis>, took: Duration) -> Self {
        let customers = shards.iter().map(|shard| shard.profiles().len()).sum();
        Self { done, counts, customers, members: members(shards), until, took }
    }
}

/// Counts the customers of every value over all shards.
fn members(shards: &[&Shard]) -> Vec<Members> {
    let Some(first) = shards.first() else { return Vec::new() };
    let rules: &Rules = first.rules();
    let mut counts: Vec<Vec<u64>> = rules.targets.iter().map(|target| vec![0; value_count(target)]).collect();
    let mut held = Vec::new();
    for shard in shards {
        for row in shard.profiles().rows() {
            shard.profiles().held(row, &mut held);
            for (counts, held) in counts.iter_mut().zip(&held).filter(|(_, held)| held.value != HeldValue::NULL) {
                counts[usize::from(held.value)] += 1;
            }
        }
    }
    let of_target = |(target, counts): (&Target, Vec<u64>)| {
        let named =
            counts.into_iter().enumerate().map(|(value, count)| (target.value_name(value as u16).to_owned(), count));
        Members { name: target.name.clone(), values: named.skip(usize::from(target.is_audience())).collect() }
    };
    rules.targets.iter().zip(counts).map(of_target).collect()
}

fn value_count(target: &Target) -> usize {
    match &target.kind {
        TargetKind::Segmentation { segments, .. } => segments.len(),
        _ => 2,
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        let seconds = self.took.as_secs_f64();
        let rate = (counts.records as f64 / seconds.max(0.001)) as u64;
        let (done, records, changes) = (self.done, grouped(counts.records), counts.changes.iter().sum());
        let (rate, changes) = (grouped(rate), grouped(changes));
        writeln!(f, "{done} {records} events in {seconds:.2} s ({rate} per second): {changes} changes")?;
        writeln!(f, "  accepted {}, {} of them late", grouped(counts.accepted), grouped(counts.late))?;
        let dropped = [
            ("duplicate", counts.duplicates),
            ("duplicate_order", counts.duplicate_orders),
            ("erased", counts.erased),
            ("opted_out", counts.opted_out),
        ];
        writeln!(f, "  dropped {}{}", grouped(counts.dropped()), listed(dropped))?;
        let rejected = Reason::ALL.iter().map(|(reason, name)| (*name, counts.rejected[*reason as usize]));
        writeln!(f, "  rejected {}{}", grouped(counts.rejected.iter().sum()), listed(rejected))?;
        let causes = Cause::ALL.iter().map(|(cause, name)| (*name, counts.changes[*cause as usize]));
        writeln!(f, "  changes {}{}", grouped(counts.changes.iter().sum()), listed(causes))?;
        let until = self.until.map(|until| String::from_utf8_lossy(&rfc3339_text(until)).into_owned());
        writeln!(f, "  customers {} at {}", grouped(self.customers as u64), until.as_deref().unwrap_or("no time"))?;
        for members in &self.members {
            let values: Vec<String> =
                members.values.iter().map(|(name, count)| format!("{name} {}", grouped(*count))).collect();
            writeln!(f, "    {}: {}", members.name, values.join(", "))?;
        }
        Ok(())
    }
}

/// The counts that are not 0, as `: a 1, b 2`.
fn listed<'a>(counts: impl IntoIterator<Item = (&'a str, u64)>) -> String {
    let some = counts.into_iter().filter(|(_, count)| *count > 0);
    let list: Vec<String> = some.map(|(name, count)| format!("{name} {}", grouped(count))).collect();
    if list.is_empty() { String::new() } else { format!(": {}", list.join(", ")) }
}

/// A number with a comma between groups of three digits.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345, "12,345"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn only_counts_above_zero_are_listed() {
        assert_eq!(listed([("a", 0), ("b", 2_000), ("c", 1)]), ": b 2,000, c 1");
        assert_eq!(listed([("a", 0)]), "");
    }
}
