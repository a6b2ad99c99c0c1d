//! The ends of a shard's own partitions: the last transaction in its journal, and which of its outputs are there.
//!
//! Normally they agree. A torn transaction leaves outputs missing, or outputs without a journal record (their headers
//! hold a copy of it); [`super::repair`] repairs both. The partitions are read backwards, because only their last
//! transactions can be torn: every owner that went on after a crash has checked the ends before.

use crate::kafka::{Batch, Failure, Log, Own, Reader, Topic};
use crate::worker::journal::JournalRecord;
use crate::worker::reading::{Aborted, LastOwner, read_past_owner};
use crate::worker::transaction::outbox;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;

/// Offsets read first; each further attempt goes back eight times as far.
const FIRST_WIDTH: i64 = 64;

/// The ends of a shard's own partitions.
pub struct Tail {
    /// The journal's last record.
    pub journal: Option<JournalRecord>,
    outputs: [LastOutputs; outbox::Topic::ALL.len()],
}

/// The outputs of a shard's last transactions on one topic.
#[derive(Default)]
struct LastOutputs {
    /// Transactions and numbers of the outputs from the journal's last transaction on.
    numbers: BTreeSet<(u64, u64)>,
    /// Copies of journal records, by transaction.
    copies: BTreeMap<u64, Vec<u8>>,
    /// No output of these transactions has expired: an older one is still there, or none was ever removed.
    is_whole: bool,
}

const TOPICS: [(outbox::Topic, Own); outbox::Topic::ALL.len()] = [
    (outbox::Topic::Changes, Own::Changes),
    (outbox::Topic::Membership, Own::Membership),
    (outbox::Topic::Rejected, Own::Rejected),
    (outbox::Topic::Census, Own::Census),
];

impl Tail {
    /// Reads the ends. Open transactions of other workers are waited for, or ended if they are the last owner's.
    pub fn read<L: Log>(log: &mut L, shard: u32, stop: &AtomicBool) -> Result<Self, Aborted> {
        let mut owner = LastOwner::default();
        let journal = last_journal_record(log, shard, stop, &mut owner)?;
        let last = journal.as_ref().map_or(0, |record| record.transaction);
        let mut outputs = <[LastOutputs; outbox::Topic::ALL.len()]>::default();
        for (topic, own) in TOPICS {
            outputs[topic as usize] = read_outputs(log, own, shard, last, stop, &mut owner)?;
        }
        Ok(Self { journal, outputs })
    }

    /// Number of the journal's last transaction; 0 if the journal is empty.
    pub fn last_transaction(&self) -> u64 {
        self.journal.as_ref().map_or(0, |record| record.transaction)
    }

    /// Numbers of the newest transaction and output, by `last` and by the outputs.
    pub fn newest(&self, last: Option<&JournalRecord>) -> (u64, u64) {
        let (transaction, output) = last.map_or((0, 0), |last| (last.transaction, last.outputs_before + last.outputs));
        self.found().fold((transaction, output), |newest, found| (newest.0.max(found.0), newest.1.max(found.1)))
    }

    /// Whether the outputs agree with the journal, as far as can be known without a replay of its last transaction.
    pub fn agrees(&self) -> bool {
        let last = self.last_transaction();
        let expected = self.journal.as_ref().map_or(0, |record| record.outputs);
        let of_last = self.found().filter(|(transaction, _)| *transaction == last).count() as u64;
        let is_later = self.found().any(|(transaction, _)| transaction > last);
        let may_have_expired = self.outputs.iter().any(|outputs| !outputs.is_whole);
        !is_later && (of_last == expected || may_have_expired)
    }

    /// Transactions and numbers of all outputs that were found.
    fn found(&self) -> impl Iterator<Item = (u64, u64)> {
        self.outputs.iter().flat_map(|outputs| outputs.numbers.iter().copied())
    }

    /// Whether an output of the journal's last transaction is missing, and has not just expired.
    pub fn is_missing(&self, topic: outbox::Topic, transaction: u64, number: u64) -> bool {
        let outputs = &self.outputs[topic as usize];
        outputs.is_whole && !outputs.numbers.contains(&(transaction, number))
    }

    /// The journal record of the transaction after the journal's last one, if outputs of it are there.
    ///
    /// # Errors
    /// If there are outputs of which neither the journal nor a copy has the record.
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
                "shard {shard}: there are outputs of transaction {latest}, and the journal ends with transaction {last}: \
                 records of the journal are lost. Was the journal topic recreated? `shoal rebuild` rebuilds the state"
            ))),
        }
    }
}

fn last_journal_record<L: Log>(
    log: &mut L,
    shard: u32,
    stop: &AtomicBool,
    owner: &mut LastOwner,
) -> Result<Option<JournalRecord>, Aborted> {
    let mut last = None;
    read_backwards(
        log,
        Own::Journal,
        shard,
        stop,
        owner,
        |_, _| true,
        |batch, index, owner| {
            let (offset, bytes) = (batch.record(index).offset, batch.record(index).value.unwrap_or_default());
            owner.transactional_id = JournalRecord::read(bytes).ok().map(|record| record.transactional_id);
            last = Some((offset, bytes.to_vec()));
        },
    )?;
    let Some((offset, bytes)) = last else { return Ok(None) };
    Ok(Some(read_journal_record(shard, offset, &bytes)?))
}

/// Reads a journal record.
///
/// # Errors
/// If this version cannot replay it.
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
    owner: &mut LastOwner,
) -> Result<LastOutputs, Aborted> {
    let is_older = |batch: &L::Batch, index: usize| number_of(batch, index).is_some_and(|(found, _)| found < last);
    let mut outputs = LastOutputs::default();
    outputs.is_whole = read_backwards(log, own, shard, stop, owner, is_older, |batch, index, _| {
        let Some((transaction, number)) = number_of(batch, index).filter(|(found, _)| *found >= last) else { return };
        outputs.numbers.insert((transaction, number));
        if let Some(copy) = batch.header(index, "shoal_journal") {
            outputs.copies.entry(transaction).or_insert_with(|| copy.to_vec());
        }
    })?;
    Ok(outputs)
}

/// Transaction and number of an output, from its header `shoal_out` = shard/transaction/number.
fn number_of(batch: &impl Batch, index: usize) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(batch.header(index, "shoal_out")?).ok()?;
    let mut parts = text.split('/').skip(1).map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

/// Visits the last records of a partition in order, from one that is far enough back. Whether there is such a record,
/// or the partition still has its first record.
fn read_backwards<L: Log>(
    log: &mut L,
    own: Own,
    shard: u32,
    stop: &AtomicBool,
    owner: &mut LastOwner,
    is_far_enough: impl Fn(&L::Batch, usize) -> bool,
    mut visit: impl FnMut(&L::Batch, usize, &mut LastOwner),
) -> Result<bool, Aborted> {
    let mut reader = log.reader(Topic::Own(own), shard, i64::MAX)?;
    let (first, end) = (reader.first(), reader.end());
    let mut batch = L::Batch::default();
    let mut width = FIRST_WIDTH;
    loop {
        let from = end.saturating_sub(width).max(first);
        reader.seek(from)?;
        read_past_owner(log, &mut reader, end, stop, owner, &mut batch)?;
        let reaches_back = !batch.is_empty() && is_far_enough(&batch, 0);
        if !reaches_back && from > first {
            width = width.saturating_mul(8);
            continue;
        }
        while !batch.is_empty() {
            (0..batch.len()).for_each(|index| visit(&batch, index, owner));
            read_past_owner(log, &mut reader, end, stop, owner, &mut batch)?;
        }
        return Ok(reaches_back || first == 0);
    }
}
