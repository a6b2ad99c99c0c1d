//! The progress of long work on one shard: logged and reported every two seconds, with an estimate of the time left.

use crate::worker::observe::status::WorkProgress;

/// Between two reports.
const INTERVAL_MS: u64 = 2_000;

/// Counted work on one shard.
pub struct Progress {
    shard: u32,
    work: &'static str,
    from: u64,
    to: u64,
    /// Monotonic milliseconds of the beginning and of the last report.
    began: Option<u64>,
    reported: u64,
}

impl Progress {
    /// Work that counts from one number to another.
    pub fn new(shard: u32, work: &'static str, from: u64, to: u64) -> Self {
        Self { shard, work, from, to, began: None, reported: 0 }
    }

    /// The work has reached `reached` at `now`, in monotonic milliseconds. Returns a report if one is due, and logs it.
    pub fn advance(&mut self, now: u64, reached: u64) -> Option<WorkProgress> {
        let began = *self.began.get_or_insert_with(|| {
            self.reported = now;
            now
        });
        if now < self.reported + INTERVAL_MS {
            return None;
        }
        self.reported = now;
        let (done, all) = (reached - self.from, self.to - self.from);
        let (percent, seconds_left) = estimate(done, all, now - began);
        tracing::info!(shard = self.shard, percent, seconds_left, "{}", self.work);
        Some(WorkProgress { work: self.work, done, all, seconds_left: Some(seconds_left) })
    }
}

/// Per cent done, and seconds until all is done.
fn estimate(done: u64, all: u64, took_ms: u64) -> (u64, u64) {
    let (done, all) = (done.max(1), all.max(1));
    (done * 100 / all, took_ms * all.saturating_sub(done) / done / 1_000)
}

#[cfg(test)]
mod tests {
    use super::estimate;

    #[test]
    fn the_rest_takes_as_long_as_the_beginning() {
        assert_eq!(estimate(25, 100, 3_000), (25, 9));
        assert_eq!(estimate(0, 0, 10), (100, 0));
    }
}
