//! Publishes the sealed transactions of shards as one transaction of the log.
//!
//! Each output carries the header `shoal_out` = shard/transaction/number. The first output of a shard on each topic
//! also carries a copy of the shard's journal record in the header `shoal_journal`, so that a torn transaction can be
//! repaired from either side.

use super::outbox::{Outbox, Output, Topic};
use crate::fault_injection;
use crate::kafka::{Failure, Header, InputOffset, Log, OutRecord, Own, Transaction};
use std::ops::Range;

/// What one shard contributes to a transaction.
pub struct SealedTransaction<'a> {
    pub shard: u32,
    pub transaction: u64,
    /// Number of the last output of the shard's earlier transactions.
    pub outputs_before: u64,
    pub outbox: &'a Outbox,
    /// The shard's journal record.
    pub journal: &'a [u8],
    /// Next offsets of all the shard's inputs.
    pub offsets: Vec<InputOffset>,
}

/// A record published in shard 0's transaction without an output number.
pub struct ExtraRecord<'a> {
    pub topic: Own,
    pub key: &'a [u8],
    pub value: &'a [u8],
}

/// The size of a transaction that was published.
#[derive(Clone, Copy, Debug)]
pub struct Published {
    /// Changes, memberships, rejected records and census records.
    pub outputs: u64,
    /// Of all keys and values, journal records included.
    pub bytes: u64,
    /// Monotonic milliseconds from which on the next transaction is best begun.
    pub next_transaction: u64,
}

/// Publishes what the shards sealed, and the extra records, in one transaction.
pub fn publish<L: Log>(
    log: &mut L,
    sealed: &[SealedTransaction<'_>],
    extra: &[ExtraRecord<'_>],
) -> Result<Published, Failure> {
    let (numbers, number_ranges) = number_outputs(sealed);
    let mut number_ranges = number_ranges.into_iter();
    let mut transaction = Transaction::default();
    transaction.records.extend(extra.iter().map(extra_record));
    for shard in sealed {
        let numbers = number_ranges.by_ref().map(|range| &numbers[range]);
        add_outputs(&mut transaction, shard.shard, shard.outbox.outputs().zip(numbers), shard.journal);
        transaction.records.push(journal_record(shard.shard, shard.journal));
        transaction.offsets.extend(&shard.offsets);
    }
    let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len) as u64;
    let outputs = (transaction.records.len() - extra.len() - sealed.len()) as u64;
    let bytes = transaction.records.iter().map(|record| length(record.key) + length(record.value)).sum();
    fault_injection::crash_point("transaction/sealed");
    let next_transaction = log.publish(&transaction)?;
    Ok(Published { outputs, bytes, next_transaction })
}

/// The values of `shoal_out` of all outputs in order, and the range of each.
fn number_outputs(sealed: &[SealedTransaction<'_>]) -> (Vec<u8>, Vec<Range<usize>>) {
    let (mut numbers, mut ranges) = (Vec::new(), Vec::new());
    for shard in sealed {
        for number in 1..=shard.outbox.outputs().len() as u64 {
            let start = numbers.len();
            let number = shard.outputs_before + number;
            numbers.extend(output_number(shard.shard, shard.transaction, number).into_bytes());
            ranges.push(start..numbers.len());
        }
    }
    (numbers, ranges)
}

/// The value of the header `shoal_out`.
pub fn output_number(shard: u32, transaction: u64, number: u64) -> String {
    format!("{shard}/{transaction}/{number}")
}

fn extra_record<'a>(extra: &ExtraRecord<'a>) -> OutRecord<'a> {
    OutRecord { topic: extra.topic, partition: 0, key: Some(extra.key), value: Some(extra.value), headers: 0..0 }
}

/// The journal record of a shard, as a record of the transaction.
pub fn journal_record(shard: u32, journal: &[u8]) -> OutRecord<'_> {
    OutRecord { topic: Own::Journal, partition: shard, key: None, value: Some(journal), headers: 0..0 }
}

/// Adds outputs of a shard with their numbers; the first one on each topic also gets a copy of the journal record.
pub fn add_outputs<'a>(
    transaction: &mut Transaction<'a>,
    shard: u32,
    outputs: impl Iterator<Item = (Output<'a>, &'a [u8])>,
    journal: &'a [u8],
) {
    let mut first_on = [true; Topic::ALL.len()];
    for (output, number) in outputs {
        let first = std::mem::replace(&mut first_on[output.topic as usize], false);
        add_output(transaction, shard, output, number, first.then_some(journal));
    }
}

fn add_output<'a>(
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
