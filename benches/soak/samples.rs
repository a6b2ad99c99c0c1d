//! What was seen, ten seconds at a time: memory, latency, snapshots.

use std::time::Duration;

/// One stretch of time.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Its end, in seconds since the load is steady.
    pub at: f64,
    /// Resident memory of all processes, the most in it.
    pub resident_bytes: u64,
    /// Milliseconds from an event to its change being readable, in order; of time's changes from `effective_at` +
    /// `grace`.
    pub by_event: Vec<f64>,
    pub by_time: Vec<f64>,
    /// Of the newest snapshots: customers, bytes of all files they stand on.
    pub customers: u64,
    pub snapshot_bytes: u64,
}

/// Something that was done to a process.
pub struct Restart {
    pub at: f64,
    pub message: String,
}

impl Sample {
    pub fn sort(&mut self) {
        self.by_event.sort_unstable_by(f64::total_cmp);
        self.by_time.sort_unstable_by(f64::total_cmp);
    }
}

/// The value below which this share lies.
pub fn percentile(sorted: &[f64], share: f64) -> f64 {
    let index = (sorted.len().saturating_sub(1) as f64 * share).round() as usize;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

/// How much more memory the last third of the time took at most than the middle third: 1 is as much.
pub fn growth(samples: &[Sample]) -> f64 {
    let most = |part: &[Sample]| part.iter().map(|sample| sample.resident_bytes).max().unwrap_or_default() as f64;
    let third = samples.len() / 3;
    most(&samples[2 * third..]) / most(&samples[third..2 * third]).max(1.0)
}

pub fn print_header(every: Duration) {
    println!(
        "every {:.0} s: seconds, resident MB, changes, by event p50 p99 longest ms, by time p50 p99 longest ms, customers, snapshot MB",
        every.as_secs_f64()
    );
}

pub fn print(sample: &Sample) {
    let Sample { at, resident_bytes, by_event, by_time, customers, snapshot_bytes } = sample;
    let figures = |sorted: &[f64]| [0.5, 0.99, 1.0].map(|share| format!("{:7.0}", percentile(sorted, share))).join(" ");
    println!(
        "{at:6.0} {:7.0} {:8} {} {} {customers:9} {:7.0}",
        *resident_bytes as f64 / 1e6,
        by_event.len() + by_time.len(),
        figures(by_event),
        figures(by_time),
        *snapshot_bytes as f64 / 1e6
    );
}
