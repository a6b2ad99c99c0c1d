//! The repair of a torn transaction: its missing outputs, and its journal record if only a copy is left, are published
//! again.

use crate::fault_injection;
use crate::kafka::{Failure, Log, Transaction};
use crate::worker::journal::JournalRecord;
use crate::worker::owned_shard::OwnedShard;
use crate::worker::transaction::outbox::{Memberships, Output, Topic};
use crate::worker::transaction::publish::{add_outputs, journal_record, output_number};

/// Publishes the missing parts of a transaction that was replayed just now; whether any were missing. `is_orphan`: the
/// journal lacks its record.
pub fn repair<L: Log>(
    log: &mut L,
    owned: &mut OwnedShard,
    (record, bytes): (&JournalRecord, &[u8]),
    is_orphan: bool,
    memberships: Memberships,
    is_missing: impl Fn(Topic, u64) -> bool,
) -> Result<bool, Failure> {
    // The number of outputs says whether memberships were published then; `memberships` are those published now.
    owned.fit_memberships(memberships, record.outputs);
    owned.complete_outputs();
    let found = owned.outbox().outputs().len() as u64;
    if found != record.outputs {
        return Err(Failure::Stop(format!(
            "shard {}, transaction {}: replay gives {found} outputs, the journal has {}",
            record.shard, record.transaction, record.outputs
        )));
    }
    let missing: Vec<(u64, Output<'_>)> = (record.outputs_before + 1..)
        .zip(owned.outbox().outputs())
        .filter(|(number, output)| is_missing(output.topic, *number))
        .collect();
    let numbers: Vec<Vec<u8>> =
        missing.iter().map(|(number, _)| output_number(record.shard, record.transaction, *number)).collect();
    let mut transaction = Transaction::default();
    let outputs = missing.iter().map(|(_, output)| *output).zip(numbers.iter().map(Vec::as_slice));
    add_outputs(&mut transaction, record.shard, outputs, bytes);
    if is_orphan {
        transaction.records.push(journal_record(record.shard, bytes));
    }
    let is_torn = !transaction.records.is_empty();
    if is_torn {
        tracing::warn!(
            shard = record.shard,
            transaction = record.transaction,
            outputs = missing.len(),
            journal_record = is_orphan,
            "a torn transaction is repaired: its missing outputs are published again"
        );
        transaction.offsets.extend(owned.input_offsets());
        log.publish(&transaction)?;
        fault_injection::crash_point("recovery/repaired");
    }
    drop(transaction);
    drop(missing);
    owned.drop_outputs();
    Ok(is_torn)
}
