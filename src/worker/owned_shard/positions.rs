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
pub struct Committed {
    pub transaction: u64,
    /// Number of its last output.
    pub outputs: u64,
    /// A transaction, and what [`Self::journal_from`] counts from: the offset right after its journal record.
    journal: (u64, i64),
}

impl Default for Committed {
    fn default() -> Self {
        Self::at(0, 0, 0)
    }
}

impl Committed {
    /// The state after a transaction; the next journal record is at `journal_from` or later.
    pub fn at(transaction: u64, outputs: u64, journal_from: i64) -> Self {
        // Where no record is before the first, no marker is before the second.
        let from = if journal_from == 0 { -1 } else { journal_from };
        Self { transaction, outputs, journal: (transaction, from) }
    }

    /// A transaction with this number of outputs was committed.
    pub fn advance(&mut self, outputs: u64) {
        self.transaction += 1;
        self.outputs += outputs;
    }

    /// An offset in the journal at or before that of the next record. Each record takes an offset, and its commit
    /// marker another one. The marker of a worker's last transaction may come after the record of its next one, which
    /// another producer writes; the marker before that does not.
    pub fn journal_from(&self) -> i64 {
        let (transaction, offset) = self.journal;
        (offset + 2 * (self.transaction - transaction) as i64).max(0)
    }

    pub fn set_journal_offset(&mut self, offset: i64) {
        self.journal = (self.transaction, offset + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// The journal of a shard, as two producers write it in turn: offsets of records, and of markers that come late.
    #[derive(Default)]
    struct Journal {
        end: i64,
        /// Of each producer, whether its last transaction has a marker here that is not written yet.
        owes_marker: [bool; 2],
    }

    impl Journal {
        /// The next transaction of the worker, by the producer whose turn it is; the offset of its record, if the shard
        /// takes part in it.
        fn transaction(&mut self, producer: usize, takes_part: bool, random: &mut Random) -> Option<i64> {
            // A producer's next transaction is refused until the markers of its last one are written.
            self.write_marker(producer);
            let record = self.end;
            if takes_part {
                self.end += 1;
                self.owes_marker[producer] = true;
            }
            for producer in [producer, 1 - producer] {
                if random.one_in(2) {
                    self.write_marker(producer);
                }
            }
            takes_part.then_some(record)
        }

        fn write_marker(&mut self, producer: usize) {
            if std::mem::take(&mut self.owes_marker[producer]) {
                self.end += 1;
            }
        }
    }

    #[test]
    fn the_next_journal_record_is_never_before_where_reading_begins() {
        let mut random = Random::of_test();
        for _ in 0..1_000 {
            let (mut journal, mut committed) = (Journal::default(), Committed::default());
            let mut last = None;
            for number in 0..40 {
                let from = committed.journal_from();
                if let Some(offset) = journal.transaction(number % 2, random.chance(70), &mut random) {
                    assert!(from <= offset, "reading begins at {from}, the next record is at {offset}");
                    committed.advance(0);
                    last = Some(offset);
                }
                match (random.below(20), last) {
                    // A snapshot is restored, by a recovery that reads no record after it.
                    (0, _) => committed = Committed::at(committed.transaction, 0, committed.journal_from()),
                    // A recovery reads the last record, after all markers are written.
                    (1, Some(offset)) => {
                        (0..2).for_each(|producer| journal.write_marker(producer));
                        committed.set_journal_offset(offset);
                    }
                    _ => {}
                }
            }
        }
    }
}
