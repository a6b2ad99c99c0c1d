//! One of the rejected records of each reason, for the warnings in the log.

use crate::engine::event::Reason;

/// A rejected record of which a warning may tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedExample {
    pub reason: Reason,
    /// Index of the input topic.
    pub topic: u16,
    pub partition: u32,
    pub offset: i64,
    pub message: String,
}
