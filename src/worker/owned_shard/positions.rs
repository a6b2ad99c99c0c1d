//! Where a shard stands in the topics that it reads, and in its own journal.

use crate::kafka::InputOffset;

/// Next offsets, and where the rules come from.
pub struct Positions {
    /// Next offset of each input topic.
    inputs: Vec<i64>,
    /// Next offset of the control topic.
    control_next: i64,
    /// Offsets in the control topic of the rules in force and of those before; `None` if a seed or a rebuild brought
    /// them.
    rules_at: Option<i64>,
    old_rules_at: Option<i64>,
}

impl Positions {
    pub fn new(topics: usize) -> Self {
        Self { inputs: vec![0; topics], control_next: 0, rules_at: None, old_rules_at: None }
    }

    pub fn inputs(&self) -> &[i64] {
        &self.inputs
    }

    pub fn set_input(&mut self, topic: u16, position: i64) {
        self.inputs[usize::from(topic)] = position;
    }

    pub fn set_inputs(&mut self, inputs: Vec<i64>) {
        self.inputs = inputs;
    }

    pub fn input_offsets(&self, partition: u32) -> impl Iterator<Item = InputOffset> {
        let positions = self.inputs.iter().enumerate();
        positions.map(move |(topic, &offset)| InputOffset { topic: topic as u16, partition, offset })
    }

    pub fn control_next(&self) -> i64 {
        self.control_next
    }

    pub fn rules_at(&self) -> Option<i64> {
        self.rules_at
    }

    pub fn old_rules_at(&self) -> Option<i64> {
        self.old_rules_at
    }

    /// The rules at this offset of the control topic are in force; the offset of those before.
    pub fn enter_rules(&mut self, offset: i64) -> Option<i64> {
        self.control_next = offset + 1;
        self.rules_at.replace(offset)
    }

    pub fn set_old_rules_at(&mut self, offset: Option<i64>) {
        self.old_rules_at = offset;
    }

    /// The control topic is read on from `control_next`, with these rules in force.
    pub fn set_control(&mut self, control_next: i64, rules_at: Option<i64>, old_rules_at: Option<i64>) {
        (self.control_next, self.rules_at, self.old_rules_at) = (control_next, rules_at, old_rules_at);
    }
}

/// The last committed transaction.
#[derive(Default)]
pub struct Committed {
    pub transaction: u64,
    /// Number of its last output.
    pub outputs: u64,
    /// A transaction, and the offset right after its journal record.
    journal: (u64, i64),
}

impl Committed {
    /// The state after a transaction, whose journal record is right before `journal_from`.
    pub fn at(transaction: u64, outputs: u64, journal_from: i64) -> Self {
        Self { transaction, outputs, journal: (transaction, journal_from) }
    }

    /// A transaction with this number of outputs was committed.
    pub fn advance(&mut self, outputs: u64) {
        self.transaction += 1;
        self.outputs += outputs;
    }

    /// An offset in the journal at or before that of the next record: each record takes an offset, and its commit
    /// marker another one.
    pub fn journal_from(&self) -> i64 {
        let (transaction, offset) = self.journal;
        offset + 2 * (self.transaction - transaction) as i64
    }

    pub fn set_journal_offset(&mut self, offset: i64) {
        self.journal = (self.transaction, offset + 1);
    }
}
