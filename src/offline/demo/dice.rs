//! The demo's chances: probabilities and waiting times, from a seed. The same seed gives the same shop everywhere.

use crate::random::Random;

pub struct Dice(Random);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(Random(seed))
    }

    /// From 0 to before 1.
    pub fn share(&mut self) -> f64 {
        self.0.share()
    }

    /// Whether something of this probability happens.
    pub fn happens(&mut self, probability: f64) -> bool {
        self.share() < probability
    }

    /// From `low` to before `high`.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + (self.share() * (high - low) as f64) as i64
    }

    /// A waiting time of this mean: evenly from 0 to twice as long.
    pub fn wait(&mut self, mean: i64) -> i64 {
        self.between(0, 2 * mean)
    }

    pub fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.between(0, of.len() as i64) as usize]
    }
}
