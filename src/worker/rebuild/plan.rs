//! What a rebuild has to do for one shard, from its journal, its outputs and the ends of its inputs.

use crate::kafka::{Batch, Failure, Log, Own, Reader, Topic};
use crate::store::SnapshotStore;
use crate::worker::config::WorkerConfig;
use crate::worker::journal::{JournalRecord, Operation};
use crate::worker::reading::{Aborted, read_all};
use crate::worker::recovery::tail::{Tail, read_journal_record};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::AtomicBool;

/// The rebuild of one shard.
#[derive(Clone, Debug)]
pub struct ShardPlan {
    pub shard: u32,
    /// The last transaction; the next one is the rebuild's.
    pub transaction: u64,
    /// Number of the last output.
    pub outputs: u64,
    /// Digest of the seed that the shard began from.
    pub seed: Option<u64>,
    /// The shard is rebuilt already, and nothing has happened since.
    pub is_done: bool,
    pub inputs: Vec<InputPlan>,
    /// Topics and offsets of records that killed the process.
    pub skipped: BTreeSet<(u16, i64)>,
}

/// The range of an input partition that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputPlan {
    pub topic: String,
    /// Offset at which the shard's first transaction began to read.
    pub wanted: i64,
    /// Offset of the oldest record that is still there.
    pub oldest: i64,
    /// The shard's next offset at the journal's end.
    pub end: i64,
}

impl InputPlan {
    /// Offset from which records are read.
    pub fn from(&self) -> i64 {
        self.wanted.max(self.oldest).min(self.end)
    }

    /// Number of offsets that were read before and are no longer there.
    pub fn lost(&self) -> i64 {
        self.from() - self.wanted.min(self.end)
    }
}

impl fmt::Display for ShardPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shard, transaction, .. } = self;
        if self.is_done {
            return write!(f, "shard {shard}: already rebuilt at transaction {transaction}; nothing to do");
        }
        let seed = if self.seed.is_some() { "its seed, then " } else { "" };
        write!(f, "shard {shard}: the journal ends with transaction {transaction}; the state is made from {seed}")?;
        for (index, input) in self.inputs.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            let InputPlan { topic, end, .. } = input;
            write!(f, "{comma}{topic} offsets {} to {end}", input.from())?;
            if input.lost() > 0 {
                write!(f, " (it was read from {} on before: {} are no longer there)", input.wanted, input.lost())?;
            }
        }
        if !self.skipped.is_empty() {
            write!(f, "; {} records that killed the process are skipped", self.skipped.len())?;
        }
        Ok(())
    }
}

/// What the whole journal of a shard contains.
#[derive(Default)]
struct JournalHistory {
    /// Offset at which the first step of each topic began.
    first: Vec<Option<i64>>,
    skipped: BTreeSet<(u16, i64)>,
    seed: Option<u64>,
    is_done: bool,
}

/// Plans the rebuild of one shard.
pub fn plan<L: Log>(
    log: &mut L,
    store: &mut dyn SnapshotStore,
    config: &WorkerConfig,
    shard: u32,
    stop: &AtomicBool,
) -> Result<ShardPlan, Aborted> {
    let tail = Tail::read(log, shard, stop)?;
    let history = JournalHistory::read(log, shard, config.inputs.len(), stop)?;
    let last = last_record(&tail, shard)?;
    let (transaction, outputs) = tail.newest(last.as_ref());
    if !tail.agrees() {
        tracing::warn!(
            shard,
            transaction,
            "the last transaction is torn, or the journal has lost records: some outputs may be missing, and some sequence \
             numbers of changes may be used twice"
        );
    }
    let committed = log.committed(&[shard])?;
    let mut inputs = Vec::with_capacity(config.inputs.len());
    for (topic, name) in (0_u16..).zip(&config.inputs) {
        let reader = log.reader(Topic::Input(topic), shard, i64::MAX)?;
        let of_group = committed.iter().find(|known| known.topic == topic).map(|known| known.offset);
        let of_journal = last.as_ref().and_then(|last| last.positions.get(usize::from(topic)).copied());
        let end = of_journal.max(of_group).unwrap_or(0);
        if end > reader.end() {
            return Err(Failure::Stop(format!(
                "shard {shard}: {name} was read up to offset {end} and now ends at {}: it was recreated, or has lost records",
                reader.end()
            ))
            .into());
        }
        let oldest = reader.first();
        let wanted = match history.first[usize::from(topic)] {
            Some(first) => first,
            None => log.first_offset(Topic::Input(topic), shard, config.start)?.min(end),
        };
        inputs.push(InputPlan { topic: name.clone(), wanted, oldest, end });
    }
    let is_done = history.is_done && has_snapshot(store, shard, transaction)?;
    let JournalHistory { skipped, seed, .. } = history;
    Ok(ShardPlan { shard, transaction, outputs, seed, is_done, inputs, skipped })
}

/// The journal's last record; of a torn transaction, the copy of it in the outputs.
fn last_record(tail: &Tail, shard: u32) -> Result<Option<JournalRecord>, Failure> {
    // Outputs without a journal record are no reason to stop here: the journal is not replayed.
    match tail.orphan(shard).unwrap_or_default() {
        Some(copy) => read_journal_record(shard, -1, &copy).map(Some),
        None => Ok(tail.journal.clone()),
    }
}

impl JournalHistory {
    fn read<L: Log>(log: &mut L, shard: u32, topics: usize, stop: &AtomicBool) -> Result<Self, Aborted> {
        let mut history = Self { first: vec![None; topics], ..Self::default() };
        read_all(log, (Topic::Own(Own::Journal), shard), 0, stop, |batch| {
            for index in 0..batch.len() {
                let record = batch.record(index);
                let read = read_journal_record(shard, record.offset, record.value.unwrap_or_default())?;
                history.add(&read.operations);
            }
            Ok(())
        })?;
        Ok(history)
    }

    fn add(&mut self, operations: &[Operation]) {
        self.is_done = matches!(operations, [Operation::Rebuild(_)]);
        for operation in operations {
            match operation {
                Operation::Step { parts, .. } => {
                    for part in parts {
                        if let Some(first @ None) = self.first.get_mut(usize::from(part.topic)) {
                            *first = Some(part.from);
                        }
                    }
                }
                Operation::Skip { topic, offset } => drop(self.skipped.insert((*topic, *offset))),
                Operation::Seed(digest) => self.seed = Some(*digest),
                _ => {}
            }
        }
    }
}

/// Whether there is a good snapshot of a transaction.
fn has_snapshot(store: &mut dyn SnapshotStore, shard: u32, transaction: u64) -> Result<bool, Aborted> {
    let loaded = store.load(shard, transaction, &|| false);
    let loaded =
        loaded.map_err(|failed| Failure::Stop(format!("shard {shard}: the snapshot store failed: {failed}")))?;
    Ok(loaded.is_some_and(|loaded| loaded.head.position.transaction == transaction))
}
