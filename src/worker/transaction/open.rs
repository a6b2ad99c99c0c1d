//! The open transaction of one shard: what was done since the last commit, and the outputs that follow from it.

use super::outbox::Outbox;
use crate::engine::shard::Shard;
use crate::worker::journal::{Frame, Operation, Operations};

/// Bytes of outputs after which a transaction must end.
const OUTPUT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Input records after which a transaction must end. After a crash at most as many records of a shard are suspects.
pub const INPUT_RECORDS_MAX: u64 = 65_536;

/// See the module.
pub struct OpenTransaction {
    operations: Operations,
    /// Input records applied.
    records: u64,
    outbox: Outbox,
    /// The group's offsets are behind the journal: they are sent with the next transaction even if nothing else is.
    offsets_behind: bool,
}

impl OpenTransaction {
    pub fn new(outbox: Outbox) -> Self {
        Self { operations: Operations::default(), records: 0, outbox, offsets_behind: false }
    }

    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    pub fn outbox_mut(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// Whether an operation was done since the last commit.
    pub fn has_operations(&self) -> bool {
        !self.operations.is_empty()
    }

    /// Whether there is anything to commit.
    pub fn has_work(&self) -> bool {
        self.has_operations() || self.offsets_behind
    }

    /// Whether the transaction must end before anything else is done.
    pub fn is_full(&self) -> bool {
        self.operations.is_full() || self.outbox.bytes() > OUTPUT_BYTES_MAX || self.records >= INPUT_RECORDS_MAX
    }

    pub fn mark_offsets_behind(&mut self) {
        self.offsets_behind = true;
    }

    /// Notes an operation that was applied, and how many input records it took.
    pub fn push(&mut self, operation: &Operation, records: u64) {
        self.operations.push(operation);
        self.records += records;
    }

    /// Encodes the outputs that are due at the end of the transaction.
    pub fn complete_outputs(&mut self, shard: Option<&Shard>) {
        if let Some(shard) = shard {
            self.outbox.encode_memberships(shard);
        }
    }

    /// The journal record of the transaction.
    pub fn journal_record(&self, frame: &Frame<'_>) -> Vec<u8> {
        self.operations.record(frame)
    }

    /// Drops the operations, for a state that does not follow from them.
    pub fn clear_operations(&mut self) {
        self.operations.clear();
    }

    /// Drops the outputs, which are published.
    pub fn clear_outputs(&mut self) {
        self.outbox.clear();
    }

    /// Begins the next transaction.
    pub fn clear(&mut self) {
        self.operations.clear();
        self.outbox.clear();
        self.records = 0;
        self.offsets_behind = false;
    }
}
