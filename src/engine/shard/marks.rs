//! Marks of erasure and opt-out, which stay after the customer is gone (R7).
//!
//! A mark names its customer by the hash of the id only.

use crate::engine::event::{Millis, REMEMBERED};
use hashbrown::HashMap;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::{BuildHasherDefault, Hasher};

/// How an event of a marked customer is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// There is no mark, or it does not concern the event.
    Accept,
    /// The event is not later than the erasure, or earlier than the opt-in.
    DropErased,
    /// The customer is opted out.
    DropOptedOut,
}

/// The list of unstored hashes may exceed twice the number of marks by this much before its repeats are removed.
const UNSTORED_SLACK: usize = 1_024;

/// The mark of one customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Events at or before this are dropped.
    pub dropped_until: Millis,
    /// The mark ends when the watermark is more than [`REMEMBERED`] past this moment.
    pub counted_from: Millis,
    /// The time of the opt-out while it holds.
    pub opted_out_at: Option<Millis>,
}

impl Mark {
    /// A mark that is too old to concern any event.
    const GONE: Self = Self { dropped_until: 0, counted_from: 0, opted_out_at: None };
}

/// A mark with the 64-bit hash of its customer's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredMark {
    pub hash: u64,
    pub mark: Mark,
}

/// Marks of one shard by the 64-bit hash of the customer's id.
#[derive(Default)]
pub struct Marks {
    marks: HashMap<u64, Mark, BuildHasherDefault<AlreadyHashed>>,
    /// The marks that end, by (counted from, hash).
    expiring: BinaryHeap<Reverse<(Millis, u64)>>,
    /// Hashes of marks set since the last capture began, and of those in a capture that is not stored yet.
    unstored: Vec<u64>,
    captured: Vec<u64>,
}

impl Marks {
    /// How an event of `time` is treated at this watermark.
    pub fn treatment(&self, hash: u64, time: Millis, watermark: Millis) -> Treatment {
        match self.marks.get(&hash) {
            None => Treatment::Accept,
            Some(mark) if mark.opted_out_at.is_some() => Treatment::DropOptedOut,
            Some(mark) if watermark > mark.counted_from + REMEMBERED => Treatment::Accept,
            Some(mark) if time <= mark.dropped_until => Treatment::DropErased,
            Some(_) => Treatment::Accept,
        }
    }

    /// Marks a customer as erased as of `effective_at`.
    pub fn erase(&mut self, hash: u64, effective_at: Millis) {
        self.set(hash, Mark { dropped_until: effective_at, counted_from: effective_at, opted_out_at: None });
    }

    /// Marks a customer as opted out by an event of `time`, as of `effective_at`.
    pub fn opt_out(&mut self, hash: u64, time: Millis, effective_at: Millis) {
        self.set(hash, Mark { dropped_until: effective_at, counted_from: effective_at, opted_out_at: Some(time) });
    }

    /// Lifts an opt-out by an opt-in of `time`, if it is later than the opt-out's own time.
    pub fn opt_in(&mut self, hash: u64, time: Millis) -> bool {
        let Some(mark) = self.marks.get(&hash).copied() else { return false };
        if mark.opted_out_at.is_none_or(|opted_out_at| time <= opted_out_at) {
            return false;
        }
        self.set(
            hash,
            Mark {
                dropped_until: mark.dropped_until.max(time - 1),
                counted_from: mark.counted_from.max(time),
                opted_out_at: None,
            },
        );
        true
    }

    /// Removes marks that no longer concern any event.
    pub fn expire(&mut self, watermark: Millis) {
        while let Some(&Reverse((counted_from, hash))) = self.expiring.peek()
            && watermark > counted_from + REMEMBERED
        {
            self.expiring.pop();
            if let Some(mark) = self.marks.get(&hash)
                && mark.opted_out_at.is_none()
                && mark.counted_from == counted_from
            {
                self.marks.remove(&hash);
            }
        }
    }

    /// Begins a capture of the marks that are not in a stored one. A mark that has ended since then is captured as
    /// ended, so that it replaces the stored one.
    pub fn capture(&mut self) -> Vec<StoredMark> {
        self.captured = std::mem::take(&mut self.unstored);
        self.captured.sort_unstable();
        self.captured.dedup();
        let mark = |hash: &u64| self.marks.get(hash).copied().unwrap_or(Mark::GONE);
        self.captured.iter().map(|hash| StoredMark { hash: *hash, mark: mark(hash) }).collect()
    }

    /// Treats all stored marks as lost: the next capture holds all marks.
    pub fn forget_stored(&mut self) {
        self.unstored.extend(self.marks.keys());
    }

    /// Ends the capture.
    pub fn end_capture(&mut self, is_stored: bool) {
        let captured = std::mem::take(&mut self.captured);
        if !is_stored {
            self.unstored.extend(captured);
        }
    }

    /// Restores a stored mark.
    pub fn restore(&mut self, stored: StoredMark) {
        self.set(stored.hash, stored.mark);
        self.unstored.clear();
    }

    /// A hash of all marks that can still concern an event at this watermark.
    pub fn fingerprint(&self, watermark: Millis) -> u64 {
        let holds = |mark: &Mark| mark.opted_out_at.is_some() || watermark <= mark.counted_from + REMEMBERED;
        let hash = |(hash, mark): (&u64, &Mark)| {
            let opted_out = mark.opted_out_at.map_or(0, |at| at as u64 | 1 << 63);
            [mark.dropped_until as u64, mark.counted_from as u64, opted_out]
                .iter()
                .fold(*hash, |sum, word| (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15))
        };
        self.marks.iter().filter(|(_, mark)| holds(mark)).map(hash).fold(0, u64::wrapping_add)
    }

    fn set(&mut self, hash: u64, mark: Mark) {
        self.unstored.push(hash);
        if self.unstored.len() > 2 * self.marks.len() + UNSTORED_SLACK {
            self.unstored.sort_unstable();
            self.unstored.dedup();
        }
        self.marks.insert(hash, mark);
        if mark.opted_out_at.is_none() {
            self.expiring.push(Reverse((mark.counted_from, hash)));
        }
    }
}

/// Keys are hashes already.
#[derive(Default)]
struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only u64 keys are hashed")
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::event::DAY;

    #[test]
    fn an_erasure_drops_what_is_not_later_for_400_days() {
        let mut marks = Marks::default();
        marks.erase(7, 1_000);
        assert_eq!(marks.treatment(7, 1_000, 1_000), Treatment::DropErased);
        assert_eq!(marks.treatment(7, 1_001, 1_000), Treatment::Accept);
        assert_eq!(marks.treatment(8, 1_000, 1_000), Treatment::Accept);
        assert_eq!(marks.treatment(7, 1_000, 1_000 + 400 * DAY), Treatment::DropErased);
        assert_eq!(marks.treatment(7, 1_000, 1_001 + 400 * DAY), Treatment::Accept);
        marks.expire(1_000 + 400 * DAY);
        assert_eq!(marks.marks.len(), 1);
        marks.expire(1_001 + 400 * DAY);
        assert!(marks.marks.is_empty());
    }

    #[test]
    fn an_opt_out_holds_until_a_later_opt_in() {
        let mut marks = Marks::default();
        marks.opt_out(7, 500, 1_000);
        marks.expire(i64::MAX / 2);
        assert_eq!(marks.treatment(7, 5_000, i64::MAX / 2), Treatment::DropOptedOut);
        assert!(!marks.opt_in(7, 500));
        assert!(marks.opt_in(7, 2_000));
        assert_eq!(marks.treatment(7, 1_999, 0), Treatment::DropErased);
        assert_eq!(marks.treatment(7, 2_000, 0), Treatment::Accept);
        marks.opt_out(7, 3_000, 3_000);
        marks.erase(9, 10);
        assert!(marks.opt_in(7, 3_001));
        assert_eq!(marks.treatment(7, 3_000, 0), Treatment::DropErased);
        assert_eq!(marks.treatment(7, 3_001, 0), Treatment::Accept);
    }

    #[test]
    fn a_mark_that_ended_after_it_was_stored_does_not_come_back() {
        let mut marks = Marks::default();
        marks.opt_out(7, 500, 1_000);
        let mut stored = marks.capture();
        marks.end_capture(true);
        assert!(marks.opt_in(7, 2_000));
        let late = 2_001 + 400 * DAY;
        marks.expire(late);
        stored.extend(marks.capture());
        let mut restored = Marks::default();
        stored.into_iter().for_each(|mark| restored.restore(mark));
        restored.expire(late);
        assert_eq!(restored.treatment(7, 600, late), Treatment::Accept);
        assert_eq!(restored.fingerprint(late), marks.fingerprint(late));
    }

    #[test]
    fn an_opt_in_before_the_end_of_a_late_opt_out_keeps_its_end() {
        let mut marks = Marks::default();
        marks.opt_out(7, 500, 1_000);
        assert!(marks.opt_in(7, 600));
        assert_eq!(marks.treatment(7, 1_000, 0), Treatment::DropErased);
        assert_eq!(marks.treatment(7, 1_001, 0), Treatment::Accept);
    }
}
