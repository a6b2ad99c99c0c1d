//! How long records waited, second by second, and whether a snapshot was in the making meanwhile.

use std::time::{Duration, Instant};

/// What one second brought.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    longest: Duration,
    applied: u64,
    /// What was in the making at any time of it.
    making: Making,
}

/// What was in the making.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Making {
    #[default]
    Nothing,
    /// Snapshots of what changed since the ones before.
    Changes,
    /// The first ones, of all customers.
    Everything,
}

pub struct Waits {
    begin: Instant,
    seconds: Vec<Second>,
    making: Making,
}

impl Waits {
    pub fn new() -> Self {
        Self { begin: Instant::now(), seconds: Vec::new(), making: Making::Nothing }
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        (self.begin, self.seconds) = (Instant::now(), Vec::new());
    }

    /// So many records were applied, of which the first arrived at this moment.
    pub fn note(&mut self, first: Instant, applied: usize) {
        let now = Instant::now();
        let second = self.second(now);
        second.longest = second.longest.max(now - first);
        second.applied += applied as u64;
    }

    /// What is in the making from now on.
    pub fn set_making(&mut self, making: Making) {
        // The second that it ends in is one of its own, too.
        self.second(Instant::now());
        self.making = making;
        self.second(Instant::now());
    }

    fn second(&mut self, now: Instant) -> &mut Second {
        let number = (now - self.begin).as_secs() as usize;
        if self.seconds.len() <= number {
            self.seconds.resize(number + 1, Second { making: self.making, ..Second::default() });
        }
        let second = &mut self.seconds[number];
        second.making = second.making.max(self.making);
        second
    }

    /// Records applied per second, over the seconds that are over.
    pub fn rate(&self) -> f64 {
        let over = &self.seconds[..self.seconds.len().saturating_sub(1)];
        over.iter().map(|second| second.applied).sum::<u64>() as f64 / over.len().max(1) as f64
    }

    /// The longest wait of each second that is over in which this was in the making, shortest first.
    pub fn longest(&self, making: Making) -> Vec<Duration> {
        let over = &self.seconds[..self.seconds.len().saturating_sub(1)];
        let mut longest: Vec<Duration> =
            over.iter().filter(|second| second.making == making).map(|second| second.longest).collect();
        longest.sort_unstable();
        longest
    }
}
