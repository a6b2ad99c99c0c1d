//! A bound on the rate of changes that new rules cause.
//!
//! A sweep evaluates all customers in journalled slices, so the worker is free to choose when to do the next slice. A
//! customer with an event or a deadline is swept at once regardless (R6), and its changes count.

/// The changes that a shard may still publish now.
pub struct Throttle {
    /// `None`: no bound.
    per_millisecond: Option<f64>,
    allowance: f64,
    refilled: u64,
    counted: u64,
}

impl Throttle {
    /// A shard's share of a bound on changes per minute over all shards; 0 is no bound.
    pub fn new(per_minute: u64, shards: u32, now: u64) -> Self {
        let share = per_minute as f64 / f64::from(shards.max(1)) / 60_000.0;
        Self { per_millisecond: (per_minute > 0).then_some(share), allowance: 0.0, refilled: now, counted: 0 }
    }

    /// Whether a slice may be swept at this monotonic millisecond, after `changes` in all. Changes of a slice above the
    /// allowance delay the next slice; unused allowance is kept for a second.
    pub fn allows(&mut self, now: u64, changes: u64) -> bool {
        let Some(per_millisecond) = self.per_millisecond else { return true };
        let most = per_millisecond * 1_000.0;
        let refill = per_millisecond * now.saturating_sub(self.refilled) as f64;
        self.allowance = (self.allowance + refill).min(most) - changes.saturating_sub(self.counted) as f64;
        (self.refilled, self.counted) = (now, changes);
        self.allowance > 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_bound_everything_is_allowed() {
        assert!((0..100).all(|now| Throttle::new(0, 4, 0).allows(now, now * 1_000)));
    }

    #[test]
    fn slices_are_spread_so_that_the_bound_holds_over_minutes() {
        let mut throttle = Throttle::new(1_200, 4, 0);
        let mut changes = 0;
        for now in (0..600_000).step_by(10) {
            if throttle.allows(now, changes) {
                changes += 70;
            }
        }
        // 300 a minute is this shard's share, for ten minutes; the last slice may be a debt.
        assert!((2_930..=3_070).contains(&changes), "{changes}");
    }
}
