//! Random choices of the demo: probabilities and waiting times. The same seed gives the same shop on every machine.

use crate::random::Random;

pub struct Dice(Random);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(Random(seed))
    }

    /// A number from 0 to below 1.
    pub fn share(&mut self) -> f64 {
        self.0.share()
    }

    /// True with this probability.
    pub fn happens(&mut self, probability: f64) -> bool {
        self.share() < probability
    }

    /// An integer from `low` to below `high`.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + (self.share() * (high - low) as f64) as i64
    }

    /// A waiting time with this mean, uniform from 0 to twice the mean.
    pub fn wait(&mut self, mean: i64) -> i64 {
        self.between(0, 2 * mean)
    }

    pub fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.between(0, of.len() as i64) as usize]
    }
}
