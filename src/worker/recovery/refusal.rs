//! The refusal of a journal that cannot be replayed, which names the transaction; it stands apart because every step of
//! the replay may refuse.

use crate::kafka::Failure;
use crate::worker::journal::JournalRecord;
use crate::worker::reading::Aborted;

/// A journal that cannot be replayed: where, and why.
pub fn refuse(record: &JournalRecord, message: &str) -> Aborted {
    Failure::Stop(format!("shard {}, transaction {}: {message}", record.shard, record.transaction)).into()
}
