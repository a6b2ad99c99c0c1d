//! The running hash by which a recovery proves that it reached the same state: over every input with its verdict, and
//! over every output except for the time of its detection.

use crate::engine::effects::report::{Flow, InForce, Report};
use crate::engine::effects::{Change, Effects};
use crate::engine::event::{Millis, Reason};
use xxhash_rust::xxh3::xxh3_64;

/// How an input was treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accepted,
    Late,
    Duplicate,
    DuplicateOrder,
    Erased,
    OptedOut,
    Tick,
    Rules,
    Adopted,
    Census,
    Rejected(Reason),
}

impl Verdict {
    fn code(self) -> u64 {
        match self {
            Self::Accepted => 1,
            Self::Late => 2,
            Self::Duplicate => 3,
            Self::DuplicateOrder => 4,
            Self::Erased => 5,
            Self::OptedOut => 6,
            Self::Tick => 7,
            Self::Rules => 8,
            Self::Adopted => 9,
            Self::Census => 10,
            Self::Rejected(reason) => 64 + reason as u64,
        }
    }
}

#[derive(Default)]
pub struct Digest(u64);

impl From<u64> for Digest {
    fn from(value: u64) -> Self {
        Self(value)
    }
}

impl Digest {
    pub fn value(&self) -> u64 {
        self.0
    }

    /// Folds in an input: its offset or moment, its verdict, and the customer's clock and deadline after it.
    pub fn input(&mut self, offset: i64, verdict: Verdict, clock: Millis, deadline: Millis) {
        self.fold(offset as u64 ^ verdict.code().rotate_right(8));
        self.fold(clock as u64 ^ (deadline as u64).rotate_left(32));
    }

    /// Folds in a change.
    pub fn change(&mut self, change: &Change, effects: &Effects) {
        let text = |span: Option<_>| span.map_or(0, |span| xxh3_64(effects.text(span).as_bytes()));
        self.fold(text(Some(change.customer_id)));
        self.fold(text(Some(change.segmentation)));
        self.fold(text(change.from).rotate_left(1) ^ text(change.to));
        self.fold(change.life as u64);
        let cause = u64::from(change.cause.code()) | u64::from(change.is_fill) << 7;
        self.fold(u64::from(change.sequence) << 8 | cause);
        self.fold(change.effective_at as u64);
        self.fold(change.next.map_or(0, |next| next.at as u64 ^ text(Some(next.to))));
    }

    /// Folds in a report.
    pub fn report(&mut self, report: &Report) {
        self.fold(xxh3_64(report.rules_version.as_bytes()));
        self.fold(report.lost);
        self.alerts(&report.alerts);
        for minute in &report.minutes {
            self.fold(minute.number as u64);
            self.flows(&minute.flows);
        }
        if let Some(hour) = &report.hour {
            self.fold(hour.number as u64);
            self.alerts(&hour.alerts);
            self.flows(&hour.flows);
        }
    }

    fn alerts(&mut self, alerts: &[InForce]) {
        for alert in alerts {
            self.fold(xxh3_64(alert.name.as_bytes()));
            self.fold(alert.definition);
        }
    }

    fn flows(&mut self, flows: &[Flow]) {
        for flow in flows {
            let from = flow.key.from.as_ref().map_or(0, |from| xxh3_64(from.as_bytes()));
            self.fold(xxh3_64(flow.key.segmentation.as_bytes()));
            self.fold(from.rotate_left(1) ^ xxh3_64(flow.key.to.as_bytes()));
            flow.causes.into_iter().for_each(|count| self.fold(count));
            flow.customers.iter().for_each(|id| self.fold(xxh3_64(id.as_bytes())));
        }
    }

    /// One multiplication per word: this runs twice per event.
    fn fold(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
        self.0 = (product as u64) ^ (product >> 64) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_and_the_order_of_inputs_count() {
        let digest = |inputs: &[(i64, Verdict, Millis, Millis)]| {
            let mut digest = Digest::default();
            for &(offset, verdict, clock, deadline) in inputs {
                digest.input(offset, verdict, clock, deadline);
            }
            digest.value()
        };
        let base = digest(&[(1, Verdict::Accepted, 10, 20), (2, Verdict::Late, 10, 20)]);
        assert_ne!(base, digest(&[(2, Verdict::Late, 10, 20), (1, Verdict::Accepted, 10, 20)]));
        assert_ne!(base, digest(&[(1, Verdict::Accepted, 10, 20), (2, Verdict::Late, 10, 21)]));
        assert_ne!(base, digest(&[(1, Verdict::Accepted, 10, 20), (2, Verdict::Accepted, 10, 20)]));
        assert_ne!(base, digest(&[(1, Verdict::Accepted, 11, 20), (2, Verdict::Late, 10, 20)]));
    }
}
