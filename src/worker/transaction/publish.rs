//! Publishes the sealed transactions of shards as one transaction of the log.
//!
//! Each output carries the header `shoal_out` = shard/transaction/number. The first output of a shard on each topic
//! also carries a copy of the shard's journal record in the header `shoal_journal`, so that a torn transaction can be
//! repaired from either side.

use super::encode::unsigned;
use super::outbox::{Outbox, Output, Topic};
use crate::fault_injection;
use crate::kafka::{Failure, Header, InputOffset, Log, OutRecord, Own, Transaction};

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
    let numbers: Vec<OutputNumbers> = sealed.iter().map(OutputNumbers::new).collect();
    let mut transaction = with_room_for(sealed, extra);
    transaction.records.extend(extra.iter().map(extra_record));
    for (shard, numbers) in sealed.iter().zip(&numbers) {
        add_outputs(&mut transaction, shard.shard, shard.outbox.outputs().zip(numbers.iter()), shard.journal);
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

/// An empty transaction whose lists need not grow: copies of long lists cost as much as what is in them.
fn with_room_for<'a>(sealed: &[SealedTransaction<'_>], extra: &[ExtraRecord<'_>]) -> Transaction<'a> {
    let outputs: usize = sealed.iter().map(|shard| shard.outbox.outputs().len()).sum();
    // Each output has its number; the first ones on each topic have a copy of the journal record.
    let own = outputs + sealed.len() * Topic::ALL.len();
    let headers: usize = sealed.iter().map(|shard| shard.outbox.headers()).sum();
    Transaction {
        records: Vec::with_capacity(extra.len() + outputs + sealed.len()),
        headers: Vec::with_capacity(headers + own),
        offsets: Vec::with_capacity(sealed.iter().map(|shard| shard.offsets.len()).sum()),
    }
}

/// The values of `shoal_out` of a shard's outputs, in order.
struct OutputNumbers {
    bytes: Vec<u8>,
    /// The end of each.
    ends: Vec<u32>,
}

impl OutputNumbers {
    fn new(shard: &SealedTransaction<'_>) -> Self {
        let outputs = shard.outbox.outputs().len();
        let head = output_number_head(shard.shard, shard.transaction);
        let length_max = head.len() + u64::MAX.ilog10() as usize + 1;
        let (mut bytes, mut ends) = (Vec::with_capacity(outputs * length_max), Vec::with_capacity(outputs));
        for number in (shard.outputs_before + 1..).take(outputs) {
            bytes.extend_from_slice(&head);
            unsigned(&mut bytes, number);
            ends.push(bytes.len() as u32);
        }
        Self { bytes, ends }
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.bytes[start as usize..end as usize])
    }
}

/// What the values of `shoal_out` of one transaction begin with: shard/transaction/
fn output_number_head(shard: u32, transaction: u64) -> Vec<u8> {
    format!("{shard}/{transaction}/").into_bytes()
}

/// The value of the header `shoal_out`.
pub fn output_number(shard: u32, transaction: u64, number: u64) -> Vec<u8> {
    let mut value = output_number_head(shard, transaction);
    unsigned(&mut value, number);
    value
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
