//! Counters as plain numbers: shards fill them, a worker adds them up, `metrics` reads them.

pub mod histogram;
pub mod rejected;
pub mod tally;
