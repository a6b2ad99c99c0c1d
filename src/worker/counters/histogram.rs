//! Histograms as plain numbers, cheap enough for every transaction; those of the Prometheus library are locked.

/// Counts of observations by upper bound, and their sum.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    bounds: &'static [f64],
    /// By bound, without those of smaller bounds; the last count is of observations above all bounds.
    counts: Vec<u64>,
    sum: f64,
}

/// Seconds from a record's arrival until it is processed, or from a deadline until it is detected.
pub const DELAYS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0, 86_400.0];
/// Seconds of a transaction or a snapshot.
pub const DURATIONS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// Outputs of a transaction.
pub const OUTPUTS: &[f64] = &[1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0];
/// Bytes of a transaction.
pub const BYTES: &[f64] = &[1e3, 1e4, 1e5, 1e6, 4e6, 16e6];
/// Seconds for which a segment was held: a minute to a year.
pub const DWELLS: &[f64] = &[
    60.0,
    3_600.0,
    21_600.0,
    86_400.0,
    259_200.0,
    604_800.0,
    1_209_600.0,
    2_592_000.0,
    5_184_000.0,
    7_776_000.0,
    15_552_000.0,
    31_536_000.0,
];

impl Histogram {
    pub fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0 }
    }

    pub fn observe(&mut self, value: f64) {
        let index = self.bounds.partition_point(|bound| *bound < value);
        self.counts[index] += 1;
        self.sum += value;
    }

    /// Observes milliseconds, in seconds; negative ones count as 0.
    pub fn observe_ms(&mut self, ms: i64) {
        self.observe(ms.max(0) as f64 / 1_000.0);
    }

    pub fn add(&mut self, other: &Self) {
        assert_eq!(self.bounds, other.bounds, "histograms of the same kind");
        self.counts.iter_mut().zip(&other.counts).for_each(|(sum, count)| *sum += count);
        self.sum += other.sum;
    }

    /// Number of observations.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// Each bound with the number of observations up to it.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        self.bounds.iter().zip(&self.counts).scan(0, |sum, (bound, count)| {
            *sum += count;
            Some((*bound, *sum))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observation_counts_for_every_bound_from_its_value_on() {
        let mut histogram = Histogram::new(OUTPUTS);
        [0.0, 1.0, 1.5, 200_000.0].into_iter().for_each(|value| histogram.observe(value));
        let buckets: Vec<_> = histogram.buckets().collect();
        assert_eq!(buckets[..2], [(1.0, 2), (10.0, 3)]);
        assert_eq!((buckets[5], histogram.count(), histogram.sum()), ((100_000.0, 3), 4, 200_002.5));
        histogram.add(&histogram.clone());
        assert_eq!(histogram.count(), 8);
    }
}
