//! `shoal rebuild`: a shard that was rebuilt from its inputs adopts the values that consumers know.

use super::OwnedShard;
use super::positions::Committed;
use crate::engine::event::Millis;
use crate::engine::rule::Rules;
use crate::engine::shard::Published;
use crate::worker::journal::Operation;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The journal that a rebuilt shard continues.
pub struct RebuildBase {
    /// Numbers of its last transaction and output.
    pub transaction: u64,
    pub outputs: u64,
    /// Offset of the rules in force in the control topic; the shard applies them next.
    pub rules_at: i64,
    /// Offset at or before that of the next journal record.
    pub journal_end: i64,
}

impl OwnedShard {
    /// Adopts the published values of all customers, under rules that have the names of these values. Afterwards the
    /// shard is in the state after the rebuild's own transaction, which is yet to be published.
    pub fn adopt(
        &mut self,
        names: &Arc<Rules>,
        published: BTreeMap<Box<str>, Published>,
        base: &RebuildBase,
        moment: Millis,
    ) {
        let shard = self.shard.as_mut().expect("it was made under the rules in force");
        shard.adopt(names, published, moment);
        let digest = shard.digest();
        self.committed = Committed::at(base.transaction + 1, base.outputs, base.journal_end);
        self.positions.set_control(base.rules_at, None, None);
        self.open.clear_operations();
        self.open.push(&Operation::Rebuild(digest), 0);
    }

    /// The snapshot of the rebuild's transaction is stored: the transaction itself is published next.
    pub fn step_back_before_rebuild(&mut self) {
        self.committed.transaction -= 1;
    }
}
