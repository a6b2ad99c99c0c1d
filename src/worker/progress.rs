//! What is told of work that takes long: which, how much of it is done, and how long the rest will take.

use super::board::Advance;

/// Between two tellings.
const INTERVAL_MS: u64 = 2_000;

/// Counted work on one shard.
pub struct Progress {
    shard: u32,
    work: &'static str,
    from: u64,
    to: u64,
    /// Monotonic milliseconds of the beginning and of the last telling.
    began: Option<u64>,
    told: u64,
}

impl Progress {
    /// Work that counts from one number to another.
    pub fn new(shard: u32, work: &'static str, from: u64, to: u64) -> Self {
        Self { shard, work, from, to, began: None, told: 0 }
    }

    /// It has come to `reached`, at `now` in monotonic milliseconds. Given is what is told, if anything is.
    pub fn tell(&mut self, now: u64, reached: u64) -> Option<Advance> {
        let began = *self.began.get_or_insert_with(|| {
            self.told = now;
            now
        });
        if now < self.told + INTERVAL_MS {
            return None;
        }
        self.told = now;
        let (done, all) = (reached - self.from, self.to - self.from);
        let (percent, seconds_left) = share(done, all, now - began);
        tracing::info!(shard = self.shard, percent, seconds_left, "{}", self.work);
        Some(Advance { work: self.work, done, all, seconds_left: Some(seconds_left) })
    }
}

/// Per cent done, and seconds until all is.
fn share(done: u64, all: u64, took_ms: u64) -> (u64, u64) {
    let (done, all) = (done.max(1), all.max(1));
    (done * 100 / all, took_ms * all.saturating_sub(done) / done / 1_000)
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn the_rest_takes_as_long_as_the_beginning() {
        assert_eq!(share(25, 100, 3_000), (25, 9));
        assert_eq!(share(0, 0, 10), (100, 0));
    }
}
