//! Random numbers from a seed: SplitMix64 (Steele, Lea, Flood 2014). The same seed gives the same shop everywhere.

pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to before 1.
    pub fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
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
