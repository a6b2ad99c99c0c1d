//! What customers did in absolute intervals and is no longer remembered singly.
//!
//! While orders and hours are stored, an interval is computed from them. Only what leaves the memory is added up here,
//! for the intervals that the rules use: most customers have nothing, so this is a table beside the rows.

use super::row::RowNumber;
use crate::engine::event::{EventType, Millis};
use crate::engine::event_settings::Interval;
use std::collections::BTreeMap;

/// What is no longer remembered singly of one interval of one customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoldedInterval {
    pub interval: Interval,
    /// Orders that counted, or events.
    pub count: i64,
    /// Net amounts of these orders in minor units.
    pub net: i64,
}

/// The folded intervals of all customers that have any, each customer's in order of the intervals.
#[derive(Default)]
pub struct FoldedIntervals(BTreeMap<RowNumber, Vec<FoldedInterval>>);

impl FoldedIntervals {
    #[inline]
    pub fn of(&self, row: RowNumber) -> &[FoldedInterval] {
        if self.0.is_empty() { &[] } else { self.0.get(&row).map_or(&[], Vec::as_slice) }
    }

    /// Count and net amount of an interval.
    pub fn sum(&self, row: RowNumber, interval: &Interval) -> (i64, i64) {
        let found = self.of(row).iter().find(|folded| folded.interval == *interval);
        found.map_or((0, 0), |folded| (folded.count, folded.net))
    }

    /// Sets all that a customer has.
    pub fn set(&mut self, row: RowNumber, folded: &[FoldedInterval]) {
        if !folded.is_empty() {
            self.0.insert(row, folded.to_vec());
        }
    }

    pub fn remove(&mut self, row: RowNumber) {
        self.0.remove(&row);
    }

    /// Removes the intervals that are not listed.
    pub fn retain(&mut self, row: RowNumber, intervals: &[Interval]) {
        let Some(known) = self.0.get_mut(&row) else { return };
        known.retain(|folded| intervals.contains(&folded.interval));
        if known.is_empty() {
            self.0.remove(&row);
        }
    }

    /// Removes the intervals of those counts of one's own that have a bit in `dropped`.
    pub fn drop_own(&mut self, row: RowNumber, dropped: u32) {
        let Some(known) = self.0.get_mut(&row) else { return };
        let is_dropped = |index: u8| dropped & 1 << index != 0;
        known.retain(|folded| !folded.interval.counted.own_count_index().is_some_and(is_dropped));
        if known.is_empty() {
            self.0.remove(&row);
        }
    }

    /// Bytes of memory in use, about.
    pub fn bytes(&self) -> usize {
        let of_row =
            |folded: &Vec<FoldedInterval>| size_of::<(RowNumber, Vec<FoldedInterval>)>() + size_of_val(&folded[..]);
        self.0.values().map(of_row).sum()
    }
}

/// Takes what leaves the memory of one customer.
pub struct Folding<'p> {
    pub row: RowNumber,
    /// The intervals in force.
    pub intervals: &'p [Interval],
    pub folded: &'p mut FoldedIntervals,
}

impl Folding<'_> {
    /// Adds an order, or events of one type and hour, to the intervals that contain its time.
    pub fn add(&mut self, counted: EventType, time: Millis, count: i64, net: i64) {
        for interval in self.intervals.iter().filter(|of| of.counted == counted && of.contains(time)) {
            let known = self.folded.0.entry(self.row).or_default();
            match known.binary_search_by_key(interval, |folded| folded.interval) {
                Ok(index) => {
                    known[index].count += count;
                    known[index].net += net;
                }
                Err(index) => known.insert(index, FoldedInterval { interval: *interval, count, net }),
            }
        }
    }
}
