//! A snapshot store that passes everything on to another one, except for the parts that its bug leaves out.
//!
//! The heads of snapshots are changed to match where the store would otherwise refuse the snapshot as damaged.

use super::Bug;
use shoal::engine::shard::Part;
use shoal::store::{LoadError, LoadedSnapshot, Piece, ShardPosition, SnapshotOutcome, SnapshotStore};
use std::time::Duration;

pub struct BuggyStore<V> {
    inner: V,
    bug: Option<Bug>,
    /// Customers of the shard whose snapshot is being made: a part with fewer belongs to a snapshot of changes.
    customers: usize,
}

impl<V: SnapshotStore> BuggyStore<V> {
    pub fn new(inner: V, bug: Option<Bug>) -> Self {
        Self { inner, bug, customers: 0 }
    }
}

impl<V: SnapshotStore> SnapshotStore for BuggyStore<V> {
    fn offer(&mut self, shard: u32, mut piece: Piece) -> Result<(), Piece> {
        if let Piece::Begin(head) = &mut piece {
            self.customers = head.state.customers;
            if self.bug == Some(Bug::IdsMissing) {
                head.state.ids.hours.clear();
            }
        }
        let is_left_out = match (self.bug, &piece) {
            (Some(Bug::IdsMissing), Piece::Part(Part::Ids(_))) => true,
            (Some(Bug::MarksMissing), Piece::Part(Part::Marks(_))) => true,
            (Some(Bug::CustomersMissing), Piece::Part(Part::Customers(customers))) => customers.len() < self.customers,
            _ => false,
        };
        if is_left_out { Ok(()) } else { self.inner.offer(shard, piece) }
    }

    fn next_outcome(&mut self) -> Option<SnapshotOutcome> {
        self.inner.next_outcome()
    }

    fn wait(&mut self, at_most: Duration) {
        self.inner.wait(at_most);
    }

    fn load(
        &mut self,
        shard: u32,
        at_most: u64,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Option<LoadedSnapshot>, LoadError> {
        self.inner.load(shard, at_most, interrupted)
    }

    fn position_before(&mut self, shard: u32, transaction: u64) -> Result<Option<ShardPosition>, String> {
        self.inner.position_before(shard, transaction)
    }

    fn write_note(&mut self, shard: u32, name: &str, bytes: Option<&[u8]>) -> Result<(), String> {
        self.inner.write_note(shard, name, bytes)
    }

    fn read_note(&mut self, shard: u32, name: &str) -> Result<Option<Vec<u8>>, String> {
        self.inner.read_note(shard, name)
    }
}
