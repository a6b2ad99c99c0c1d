//! The ends of a shard's own partitions: the last transaction in its journal, and which of its outputs are there.
//!
//! Normally they agree. A transaction that ended in parts leaves outputs missing, or outputs without journal record
//! (their headers hold a copy of it); [`super::recovery`] puts both right. Partitions are read backwards, since only their
//! last transactions can be in doubt: whoever goes on after a crash has looked here first.

use super::journal::JournalRecord;
use super::outbox;
use crate::fault_injection;
use crate::kafka::{Batch, Failure, Log, Own, Reader, Topic};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

/// Offsets looked at first; each further look back goes eight times as far.
const FIRST_LOOK: i64 = 64;
const RECORDS_MAX: usize = 1_024;
/// Reads that give nothing, a tenth of a second each, before an open transaction of the shard's last owner is ended.
const HOLDER_WAITS: u32 = 5;
/// Reads that brought nothing, each after a tenth of a second, until that is told.
const WAITS_TOLD: u32 = 50;

/// Why work on a shard that is not live yet ends.
#[derive(Debug)]
pub enum Ended {
    Failed(Failure),
    /// The group has news, or the process is to stop.
    Interrupted,
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Whether something is more urgent than recovery.
pub fn check_interrupted<L: Log>(log: &L, stop: &AtomicBool) -> Result<(), Ended> {
    if log.has_group_event() || stop.load(Ordering::Relaxed) { Err(Ended::Interrupted) } else { Ok(()) }
}

/// Who wrote the shard's journal last. If that one died in the middle of a transaction, nothing behind it can be read
/// until it is ended: by its time-out, which may take twenty seconds, or by us.
#[derive(Default)]
struct Holder {
    transactional_id: Option<String>,
    /// Reads in a row that gave nothing.
    waits: u32,
    is_fenced: bool,
}

impl Holder {
    /// Nothing came: after a while the holder's transaction is ended if it is that. It has lost the shard. That nothing
    /// comes is no proof: a broker may be slow, and a healthy worker that is fenced must rebuild its other shards.
    fn wait<L: Log>(&mut self, log: &mut L, reader: &mut L::Reader) -> Result<(), Failure> {
        self.waits += 1;
        let Some(id) = self.transactional_id.as_ref().filter(|id| *id != log.transactional_id()) else { return Ok(()) };
        if self.is_fenced || !self.waits.is_multiple_of(HOLDER_WAITS) || !reader.is_held_up()? {
            return Ok(());
        }
        tracing::info!(owner = id, "a transaction of the shard's last owner is still open: it is ended");
        self.is_fenced = true;
        log.fence_other(id)?;
        fault_injection::crash_point("recovery/holder-fenced");
        Ok(())
    }
}

/// What stands at the ends.
pub struct Tail {
    pub journal: Option<JournalRecord>,
    outputs: [Outputs; outbox::Topic::ALL.len()],
}

/// The outputs of a shard's last transactions on one topic.
#[derive(Default)]
struct Outputs {
    /// Transactions and numbers of the outputs from the journal's last transaction on.
    numbers: BTreeSet<(u64, u64)>,
    /// Copies of journal records by transaction.
    copies: BTreeMap<u64, Vec<u8>>,
    /// Nothing of these transactions can have been removed by retention: something older is still there, or nothing ever
    /// was removed.
    is_whole: bool,
}

const TOPICS: [(outbox::Topic, Own); outbox::Topic::ALL.len()] = [
    (outbox::Topic::Changes, Own::Changes),
    (outbox::Topic::Membership, Own::Membership),
    (outbox::Topic::Rejected, Own::Rejected),
    (outbox::Topic::Census, Own::Census),
];

impl Tail {
    /// Reads the ends, waiting for transactions of others that are still open.
    pub fn read<L: Log>(log: &mut L, shard: u32, stop: &AtomicBool) -> Result<Self, Ended> {
        let mut holder = Holder::default();
        let journal = last_journal_record(log, shard, stop, &mut holder)?;
        let last = journal.as_ref().map_or(0, |record| record.transaction);
        let mut outputs = <[Outputs; outbox::Topic::ALL.len()]>::default();
        for (topic, own) in TOPICS {
            outputs[topic as usize] = read_outputs(log, own, shard, last, stop, &mut holder)?;
        }
        Ok(Self { journal, outputs })
    }

    /// Number of the journal's last transaction; 0 if there is none.
    pub fn last_transaction(&self) -> u64 {
        self.journal.as_ref().map_or(0, |record| record.transaction)
    }

    /// Numbers of the newest transaction and output that there are, by the journal's last record or by the outputs alone.
    pub fn newest(&self, last: Option<&JournalRecord>) -> (u64, u64) {
        let (transaction, output) = last.map_or((0, 0), |last| (last.transaction, last.outputs_before + last.outputs));
        self.found().fold((transaction, output), |newest, found| (newest.0.max(found.0), newest.1.max(found.1)))
    }

    /// Whether the outputs are those of the journal, as far as can be known without doing its last transaction again.
    pub fn agrees(&self) -> bool {
        let last = self.last_transaction();
        let expected = self.journal.as_ref().map_or(0, |record| record.outputs);
        let of_last = self.found().filter(|(transaction, _)| *transaction == last).count() as u64;
        let is_later = self.found().any(|(transaction, _)| transaction > last);
        let may_be_removed = self.outputs.iter().any(|outputs| !outputs.is_whole);
        !is_later && (of_last == expected || may_be_removed)
    }

    /// Transactions and numbers of all outputs that were found.
    fn found(&self) -> impl Iterator<Item = (u64, u64)> {
        self.outputs.iter().flat_map(|outputs| outputs.numbers.iter().copied())
    }

    /// Whether an output that should be there is missing, and not because it has expired.
    pub fn lacks(&self, topic: outbox::Topic, transaction: u64, number: u64) -> bool {
        let outputs = &self.outputs[topic as usize];
        outputs.is_whole && !outputs.numbers.contains(&(transaction, number))
    }

    /// The journal record of the transaction after the journal's last, if outputs of it are there.
    ///
    /// # Errors
    /// If there are outputs that nothing explains.
    pub fn orphan(&self, shard: u32) -> Result<Option<Vec<u8>>, Failure> {
        let last = self.last_transaction();
        let Some(latest) = self.found().map(|(transaction, _)| transaction).max().filter(|latest| *latest > last)
        else {
            return Ok(None);
        };
        let copy = self.outputs.iter().find_map(|outputs| outputs.copies.get(&(last + 1)));
        match copy.filter(|_| latest == last + 1) {
            Some(copy) => Ok(Some(copy.clone())),
            None => Err(Failure::Stop(format!(
                "shard {shard}: there are outputs of transaction {latest}, and the journal ends with transaction {last}. \
                 Records of the journal are lost; was the topic deleted or made anew? `shoal rebuild` makes the state anew"
            ))),
        }
    }
}

fn last_journal_record<L: Log>(
    log: &mut L,
    shard: u32,
    stop: &AtomicBool,
    holder: &mut Holder,
) -> Result<Option<JournalRecord>, Ended> {
    let mut last = None;
    look_back(
        log,
        Own::Journal,
        shard,
        stop,
        holder,
        |_, _| true,
        |batch, place, holder| {
            let (offset, bytes) = (batch.record(place).offset, batch.record(place).value.unwrap_or_default());
            holder.transactional_id = JournalRecord::read(bytes).ok().map(|record| record.transactional_id);
            last = Some((offset, bytes.to_vec()));
        },
    )?;
    let Some((offset, bytes)) = last else { return Ok(None) };
    Ok(Some(read_journal_record(shard, offset, &bytes)?))
}

/// A journal record, or why it cannot be followed.
pub fn read_journal_record(shard: u32, offset: i64, bytes: &[u8]) -> Result<JournalRecord, Failure> {
    JournalRecord::read(bytes)
        .map_err(|unreadable| Failure::Stop(format!("journal of shard {shard}, offset {offset}: {unreadable}")))
}

fn read_outputs<L: Log>(
    log: &mut L,
    own: Own,
    shard: u32,
    last: u64,
    stop: &AtomicBool,
    holder: &mut Holder,
) -> Result<Outputs, Ended> {
    let is_older = |batch: &L::Batch, place: usize| number_of(batch, place).is_some_and(|(found, _)| found < last);
    let mut outputs = Outputs::default();
    outputs.is_whole = look_back(log, own, shard, stop, holder, is_older, |batch, place, _| {
        let Some((transaction, number)) = number_of(batch, place).filter(|(found, _)| *found >= last) else { return };
        outputs.numbers.insert((transaction, number));
        if let Some(copy) = batch.header(place, "shoal_journal") {
            outputs.copies.entry(transaction).or_insert_with(|| copy.to_vec());
        }
    })?;
    Ok(outputs)
}

/// Transaction and number of an output, from its header `shoal_out` = shard/transaction/number.
fn number_of(batch: &impl Batch, place: usize) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(batch.header(place, "shoal_out")?).ok()?;
    let mut parts = text.split('/').skip(1).map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

/// Visits the last records of a partition in their order, beginning with one that is far enough back. Whether there is
/// such a one, or the partition still has its first record.
fn look_back<L: Log>(
    log: &mut L,
    own: Own,
    shard: u32,
    stop: &AtomicBool,
    holder: &mut Holder,
    is_far_enough: impl Fn(&L::Batch, usize) -> bool,
    mut visit: impl FnMut(&L::Batch, usize, &mut Holder),
) -> Result<bool, Ended> {
    let mut reader = log.reader(Topic::Own(own), shard, i64::MAX)?;
    let (first, end) = (reader.first(), reader.end());
    let mut batch = L::Batch::default();
    let mut width = FIRST_LOOK;
    loop {
        let from = end.saturating_sub(width).max(first);
        reader.seek(from)?;
        read_on(log, &mut reader, end, stop, holder, &mut batch)?;
        let reaches_back = !batch.is_empty() && is_far_enough(&batch, 0);
        if !reaches_back && from > first {
            width = width.saturating_mul(8);
            continue;
        }
        while !batch.is_empty() {
            (0..batch.len()).for_each(|place| visit(&batch, place, holder));
            read_on(log, &mut reader, end, stop, holder, &mut batch)?;
        }
        return Ok(reaches_back || first == 0);
    }
}

/// As [`read_some`]; a transaction of the shard's last owner that holds it up is ended.
fn read_on<L: Log>(
    log: &mut L,
    reader: &mut L::Reader,
    until: i64,
    stop: &AtomicBool,
    holder: &mut Holder,
    batch: &mut L::Batch,
) -> Result<(), Ended> {
    batch.clear();
    while batch.is_empty() && reader.position() < until {
        check_interrupted(log, stop)?;
        let before = reader.position();
        reader.read(until, RECORDS_MAX, batch)?;
        if !batch.is_empty() || reader.position() > before {
            holder.waits = 0;
            continue;
        }
        holder.wait(log, reader)?;
        tell_waits(holder.waits, reader.position(), until);
    }
    Ok(())
}

/// Visits a partition's records, batch by batch, from an offset or its oldest record to its end as it stands now; that end.
pub fn read_all<L: Log>(
    log: &mut L,
    (topic, partition): (Topic, u32),
    from: i64,
    stop: &AtomicBool,
    mut visit: impl FnMut(&L::Batch) -> Result<(), Failure>,
) -> Result<i64, Ended> {
    let mut reader = log.reader(topic, partition, from)?;
    let (first, end) = (reader.first(), reader.end());
    if first > from {
        reader.seek(first)?;
    }
    let mut batch = L::Batch::default();
    while reader.position() < end {
        read_some(log, &mut reader, end, stop, &mut batch)?;
        visit(&batch)?;
    }
    Ok(end)
}

/// Reads until there is a record or the end is reached.
pub fn read_some<L: Log>(
    log: &mut L,
    reader: &mut L::Reader,
    until: i64,
    stop: &AtomicBool,
    batch: &mut L::Batch,
) -> Result<(), Ended> {
    read_on(log, reader, until, stop, &mut Holder::default(), batch)
}

fn tell_waits(waits: u32, position: i64, until: i64) {
    if waits > 0 && waits.is_multiple_of(WAITS_TOLD) {
        tracing::info!(position, until, "nothing comes yet: is a transaction of an earlier owner still open?");
    }
}
