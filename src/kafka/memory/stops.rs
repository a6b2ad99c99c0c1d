//! Where a worker can be stopped: on its way into, and out of, everything it asks of its log.

/// What the worker is about to do when it stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// It looks for news.
    Poll,
    /// It takes records.
    Take,
    /// It opens or reads a partition: recovery.
    Read,
    /// It asks for the group's offsets.
    Committed,
    /// It makes a new producer.
    Fence,
    /// It begins a transaction, or adds partitions to it.
    Begin,
    Produce,
    Offsets,
    /// Everything is written, the offsets too.
    End,
    /// The transaction has ended, and the worker does not know yet.
    Ended,
    /// It has let go of revoked shards and is about to say so.
    Release,
    /// It waits for something new, and goes on as soon as there is.
    Idle,
    /// It waits for an answer.
    Waiting,
}

/// Whoever lets workers run, and time pass.
pub trait Stops: Clone {
    /// Stands still at a point. A worker that waits would go on by itself at `until`, in the cluster's wall clock; false
    /// if nobody lets time pass, so that waiting is in vain.
    fn stop(&self, at: Point, until: i64) -> bool;
}

/// Nobody ever stops the worker, and nothing comes by waiting.
#[derive(Clone, Copy, Debug, Default)]
pub struct Never;

impl Stops for Never {
    fn stop(&self, _at: Point, _until: i64) -> bool {
        false
    }
}
