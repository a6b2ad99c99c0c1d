//! What there is to do for one shard, read from its journal, its outputs and the ends of its inputs.

use crate::kafka::{Batch, Failure, Log, Own, Reader, Topic};
use crate::store::SnapshotStore;
use crate::worker::journal::{JournalRecord, Operation};
use crate::worker::tail::{Ended, Tail, read_all, read_journal_record};
use crate::worker::work::Job;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::AtomicBool;

/// A shard that is to be made anew.
#[derive(Clone, Debug)]
pub struct ShardPlan {
    pub shard: u32,
    /// The last transaction there was; the next is that of the rebuild.
    pub transaction: u64,
    /// Number of the last output.
    pub outputs: u64,
    /// Digest of the seed that its journal begins with.
    pub seed: Option<u64>,
    /// It was made anew, and nothing has happened since.
    pub is_done: bool,
    pub inputs: Vec<InputPlan>,
    /// Records that killed the process: topic and offset.
    pub skipped: BTreeSet<(u16, i64)>,
}

/// What is read of one input partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputPlan {
    pub topic: String,
    /// Where the shard's first transaction began to read.
    pub wanted: i64,
    /// The oldest record there still is.
    pub oldest: i64,
    /// Where the journal ends.
    pub end: i64,
}

impl InputPlan {
    pub fn from(&self) -> i64 {
        self.wanted.max(self.oldest).min(self.end)
    }

    /// Offsets that were read once and are no longer there.
    pub fn lost(&self) -> i64 {
        self.from() - self.wanted.min(self.end)
    }
}

impl fmt::Display for ShardPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shard, transaction, .. } = self;
        if self.is_done {
            return write!(f, "shard {shard}: made anew at transaction {transaction} already; nothing to do");
        }
        let seed = if self.seed.is_some() { "its seed, then " } else { "" };
        write!(f, "shard {shard}: the journal ends with transaction {transaction}; the state is made from {seed}")?;
        for (place, input) in self.inputs.iter().enumerate() {
            let comma = if place > 0 { ", " } else { "" };
            let InputPlan { topic, end, .. } = input;
            write!(f, "{comma}{topic} offsets {} to {end}", input.from())?;
            if input.lost() > 0 {
                write!(f, " (from {} on it was read once: {} are no longer there)", input.wanted, input.lost())?;
            }
        }
        if !self.skipped.is_empty() {
            write!(f, "; {} records that killed the process are left out", self.skipped.len())?;
        }
        Ok(())
    }
}

/// What the whole journal of a shard tells.
#[derive(Default)]
struct Past {
    /// Where the first step of each topic began.
    first: Vec<Option<i64>>,
    skipped: BTreeSet<(u16, i64)>,
    seed: Option<u64>,
    is_done: bool,
}

pub fn look<L: Log>(
    log: &mut L,
    store: &mut dyn SnapshotStore,
    job: &Job,
    shard: u32,
    stop: &AtomicBool,
) -> Result<ShardPlan, Ended> {
    let tail = Tail::read(log, shard, stop)?;
    let past = Past::read(log, shard, job.inputs.len(), stop)?;
    let last = last_record(&tail, shard)?;
    let (transaction, outputs) = tail.newest(last.as_ref());
    if !tail.agrees() {
        tracing::warn!(
            shard,
            transaction,
            "the last transaction is torn or the journal has lost records: outputs of it may be missing, and numbers of \
             changes may come twice"
        );
    }
    let committed = log.committed(&[shard])?;
    let mut inputs = Vec::with_capacity(job.inputs.len());
    for (topic, name) in (0_u16..).zip(&job.inputs) {
        let reader = log.reader(Topic::Input(topic), shard, i64::MAX)?;
        let of_group = committed.iter().find(|known| known.topic == topic).map(|known| known.offset);
        let of_journal = last.as_ref().and_then(|last| last.positions.get(usize::from(topic)).copied());
        let end = of_journal.max(of_group).unwrap_or(0);
        if end > reader.end() {
            return Err(Failure::Stop(format!(
                "shard {shard}: {name} was read up to {end} and now ends at {}: it is not the topic of then",
                reader.end()
            ))
            .into());
        }
        let oldest = reader.first();
        let wanted = match past.first[usize::from(topic)] {
            Some(first) => first,
            None => log.first_offset(Topic::Input(topic), shard, job.start)?.min(end),
        };
        inputs.push(InputPlan { topic: name.clone(), wanted, oldest, end });
    }
    let is_done = past.is_done && has_snapshot(store, shard, transaction)?;
    let Past { skipped, seed, .. } = past;
    Ok(ShardPlan { shard, transaction, outputs, seed, is_done, inputs, skipped })
}

/// The journal's last record: of a torn transaction the copy of it in the outputs.
fn last_record(tail: &Tail, shard: u32) -> Result<Option<JournalRecord>, Failure> {
    // Outputs that nothing explains are no reason to stop here: the journal is not to be followed.
    match tail.orphan(shard).unwrap_or_default() {
        Some(copy) => read_journal_record(shard, -1, &copy).map(Some),
        None => Ok(tail.journal.clone()),
    }
}

impl Past {
    fn read<L: Log>(log: &mut L, shard: u32, topics: usize, stop: &AtomicBool) -> Result<Self, Ended> {
        let mut past = Self { first: vec![None; topics], ..Self::default() };
        read_all(log, (Topic::Own(Own::Journal), shard), 0, stop, |batch| {
            for place in 0..batch.len() {
                let record = batch.record(place);
                let read = read_journal_record(shard, record.offset, record.value.unwrap_or_default())?;
                past.take(&read.operations);
            }
            Ok(())
        })?;
        Ok(past)
    }

    fn take(&mut self, operations: &[Operation]) {
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

/// Whether the snapshot of a transaction is there and good.
fn has_snapshot(store: &mut dyn SnapshotStore, shard: u32, transaction: u64) -> Result<bool, Ended> {
    let loaded = store.load(shard, transaction, &|| false);
    let loaded = loaded.map_err(|failed| Failure::Stop(format!("shard {shard}: the store of snapshots: {failed}")))?;
    Ok(loaded.is_some_and(|loaded| loaded.head.position.transaction == transaction))
}
