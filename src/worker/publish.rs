//! From the outboxes and journals of shards to one transaction of the log.
//!
//! Each output carries the header `shoal_out` = shard/transaction/number; the first output of a shard on each topic carries
//! a copy of the shard's journal record as `shoal_journal`, so that a torn transaction can be put right from either side.

use super::held::HeldShard;
use super::journal::JournalRecord;
use super::outbox::{Output, Topic};
use crate::fault_injection;
use crate::kafka::{Failure, Header, Log, OutRecord, Own, Transaction};
use std::ops::Range;

/// What a transaction came to.
#[derive(Clone, Copy, Debug)]
pub struct Published {
    /// Changes, memberships, rejected records and reports of the census.
    pub outputs: u64,
    /// Of all keys and values, journal records included.
    pub bytes: u64,
    /// Monotonic milliseconds from which on the next transaction is best begun.
    pub next_transaction: u64,
}

/// A record that goes with a transaction of shard 0 and is no output of a shard: it has no number.
pub struct Beside<'a> {
    pub topic: Own,
    pub key: &'a [u8],
    pub value: &'a [u8],
}

/// Publishes what the shards have, and other records with it. Shards that have not moved are left out.
pub fn publish<'a, L: Log>(
    log: &mut L,
    shards: impl Iterator<Item = &'a mut HeldShard>,
    beside: &[Beside<'_>],
) -> Result<Published, Failure> {
    let mut moved: Vec<&mut HeldShard> = shards.collect();
    let journals: Vec<Vec<u8>> = moved.iter_mut().map(|held| held.seal(log.transactional_id())).collect();
    let (numbers, number_ranges) = number_outputs(&moved);
    let mut transaction = Transaction::default();
    for record in beside {
        transaction.records.push(OutRecord {
            topic: record.topic,
            partition: 0,
            key: Some(record.key),
            value: Some(record.value),
            headers: 0..0,
        });
    }
    let mut number_ranges = number_ranges.into_iter();
    for (held, journal) in moved.iter().zip(&journals) {
        let numbers = number_ranges.by_ref().map(|range| &numbers[range]);
        add_outputs(&mut transaction, held.number(), held.outbox().outputs().zip(numbers), journal);
        transaction.records.push(journal_record(held.number(), journal));
        transaction.offsets.extend(held.input_offsets());
    }
    let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len) as u64;
    let outputs = (transaction.records.len() - beside.len() - moved.len()) as u64;
    let bytes = transaction.records.iter().map(|record| length(record.key) + length(record.value)).sum();
    fault_injection::crash_point("transaction/sealed");
    let next_transaction = log.publish(&transaction)?;
    drop(transaction);
    moved.iter_mut().for_each(|held| held.committed());
    fault_injection::crash_point("transaction/known");
    Ok(Published { outputs, bytes, next_transaction })
}

/// Publishes again what a torn transaction left out: outputs, and its journal record if only a copy of that is there.
/// Whether anything was missing.
pub fn repair<L: Log>(
    log: &mut L,
    held: &mut HeldShard,
    (record, bytes): (&JournalRecord, &[u8]),
    is_orphan: bool,
    is_missing: impl Fn(Topic, u64) -> bool,
) -> Result<bool, Failure> {
    held.complete_outputs();
    let found = held.outbox().outputs().len() as u64;
    if found != record.outputs {
        return Err(Failure::Stop(format!(
            "shard {}, transaction {}: replay gives {found} outputs, the journal has {}",
            record.shard, record.transaction, record.outputs
        )));
    }
    let missing: Vec<(u64, Output<'_>)> = (record.outputs_before + 1..)
        .zip(held.outbox().outputs())
        .filter(|(number, output)| is_missing(output.topic, *number))
        .collect();
    let numbers: Vec<String> =
        missing.iter().map(|(number, _)| out_text(record.shard, record.transaction, *number)).collect();
    let mut transaction = Transaction::default();
    let outputs = missing.iter().map(|(_, output)| *output).zip(numbers.iter().map(String::as_bytes));
    add_outputs(&mut transaction, record.shard, outputs, bytes);
    if is_orphan {
        transaction.records.push(journal_record(record.shard, bytes));
    }
    let torn = !transaction.records.is_empty();
    if torn {
        let (outputs, journal) = (missing.len(), is_orphan);
        tracing::warn!(
            shard = record.shard,
            transaction = record.transaction,
            outputs,
            journal_record = journal,
            "a torn transaction is repaired"
        );
        transaction.offsets.extend(held.input_offsets());
        log.publish(&transaction)?;
        fault_injection::crash_point("recovery/repaired");
    }
    drop(transaction);
    drop(missing);
    held.drop_outputs();
    Ok(torn)
}

/// The texts of `shoal_out` of all outputs in their order, and where each stands.
fn number_outputs(moved: &[&mut HeldShard]) -> (Vec<u8>, Vec<Range<usize>>) {
    let (mut numbers, mut ranges) = (Vec::new(), Vec::new());
    for held in moved {
        for place in 1..=held.outbox().outputs().len() as u64 {
            let start = numbers.len();
            numbers.extend(out_text(held.number(), held.transaction() + 1, held.outputs() + place).into_bytes());
            ranges.push(start..numbers.len());
        }
    }
    (numbers, ranges)
}

/// The value of the header `shoal_out`.
fn out_text(shard: u32, transaction: u64, number: u64) -> String {
    format!("{shard}/{transaction}/{number}")
}

fn journal_record(shard: u32, journal: &[u8]) -> OutRecord<'_> {
    OutRecord { topic: Own::Journal, partition: shard, key: None, value: Some(journal), headers: 0..0 }
}

/// Adds outputs of a shard with their numbers; the first on each topic with a copy of the journal record.
fn add_outputs<'a>(
    transaction: &mut Transaction<'a>,
    shard: u32,
    outputs: impl Iterator<Item = (Output<'a>, &'a [u8])>,
    journal: &'a [u8],
) {
    let mut first_on = [true; Topic::ALL.len()];
    for (output, number) in outputs {
        let first = std::mem::replace(&mut first_on[output.topic as usize], false);
        add(transaction, shard, output, number, first.then_some(journal));
    }
}

fn add<'a>(
    transaction: &mut Transaction<'a>,
    shard: u32,
    output: Output<'a>,
    number: &'a [u8],
    journal: Option<&'a [u8]>,
) {
    let start = transaction.headers.len();
    transaction.headers.extend(output.headers().map(|(name, value)| Header { name, value }));
    transaction.headers.push(Header { name: "shoal_out", value: number });
    transaction.headers.extend(journal.map(|value| Header { name: "shoal_journal", value }));
    transaction.records.push(OutRecord {
        topic: match output.topic {
            Topic::Changes => Own::Changes,
            Topic::Membership => Own::Membership,
            Topic::Rejected => Own::Rejected,
            Topic::Census => Own::Census,
        },
        partition: shard,
        key: Some(output.key),
        value: output.value,
        headers: start..transaction.headers.len(),
    });
}
