//! Where a worker on the log in memory can be paused: before and after every request to its log.

/// What the worker is about to do when it is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// It polls the group.
    Poll,
    /// It reads live records.
    Fetch,
    /// It opens or reads a partition again: recovery.
    Read,
    /// It requests the group's offsets.
    Committed,
    /// It makes a new producer.
    Fence,
    /// It begins a transaction, or adds partitions to it.
    Begin,
    Produce,
    Offsets,
    /// Everything is written, the offsets too.
    End,
    /// The transaction has ended, and the worker has not got the answer yet.
    Ended,
    /// It is about to release revoked shards.
    Release,
    /// It waits for new records or group events, and continues when there are some.
    Idle,
    /// It waits for an answer.
    Waiting,
}

/// Runs workers and lets time pass.
pub trait Scheduler: Clone {
    /// Pauses the worker at a point. A worker that waits continues by itself at `until`, in the cluster's wall clock.
    /// Returns false if time does not pass, so that waiting is useless.
    fn pause(&self, at: Point, until: i64) -> bool;
}

/// Never pauses a worker, and time does not pass while it waits.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoScheduler;

impl Scheduler for NoScheduler {
    fn pause(&self, _at: Point, _until: i64) -> bool {
        false
    }
}
