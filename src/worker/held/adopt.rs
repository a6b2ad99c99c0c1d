//! A held shard made anew: it takes over what was published, and stands after a transaction of its own.

use super::HeldShard;
use crate::engine::event::Millis;
use crate::engine::rule::Rules;
use crate::store::LoadedSnapshot;
use crate::worker::control::read_rules;
use crate::worker::journal::Operation;
use crate::worker::membership::AllPublished;
use std::sync::Arc;

/// Where a shard stands that is made anew.
pub struct Standing {
    /// The last transaction and output that there were.
    pub transaction: u64,
    pub outputs: u64,
    /// Where the rules in force stand in the control topic: they are taken next.
    pub rules_at: i64,
    /// Where the record of the next transaction will stand in the journal, or later.
    pub journal_end: i64,
}

impl HeldShard {
    /// Takes the state of a seed, to read on from it as if it were nobody's.
    pub fn restore_seed(&mut self, seed: LoadedSnapshot) -> Result<(), String> {
        let bytes = seed.head.position.rules.clone().ok_or("the seed has no rules")?;
        let rules = read_rules(&bytes).map_err(|words| format!("the rules of the seed: {words}"))?;
        self.restore(seed, rules, None);
        Ok(())
    }

    /// Holds what was published, under rules that have its names, and stands after the transaction of the rebuild, which
    /// is yet to be written.
    pub fn adopt(&mut self, names: &Arc<Rules>, published: AllPublished, standing: &Standing, moment: Millis) {
        let shard = self.shard.as_mut().expect("it was made under the rules in force");
        shard.adopt(names, published, moment);
        let digest = shard.digest();
        self.transaction = standing.transaction + 1;
        self.outputs = standing.outputs;
        self.control_next = standing.rules_at;
        (self.rules_at, self.old_rules_at) = (None, None);
        self.journal_known = (self.transaction, standing.journal_end);
        self.operations.clear();
        self.operations.push(&Operation::Rebuild(digest));
    }

    /// The transaction of the rebuild is stored, and is written next.
    pub fn stand_before_rebuild(&mut self) {
        self.transaction -= 1;
    }
}
