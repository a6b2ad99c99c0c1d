//! Random choices as the generators of streams need them: indices, inclusive bounds, percentages.

use shoal::random;

pub struct Random(random::Random);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(random::Random(seed))
    }

    /// 0 to `n - 1`.
    pub fn below(&mut self, n: usize) -> usize {
        self.0.below(n as u64) as usize
    }

    /// `low` to `high`, both included.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        self.0.between(low, high + 1)
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.0.chance(percent as u64)
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        self.0.pick(from)
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        self.0.shuffle(items);
    }
}
