//! From the outboxes and journals of shards to one transaction of the log.
//!
//! Each output carries the header `shoal_out` = shard/transaction/number; the first output of a shard on each topic carries
//! a copy of the shard's journal record as `shoal_journal`, so that a torn transaction can be put right from either side.

use super::control::ControlRecord;
use super::held::HeldShard;
use super::outbox::{Output, Topic};
use crate::kafka::{Failure, Header, Log, OutRecord, Own, Transaction};
use std::io::Write;
use std::ops::Range;

/// Publishes what the shards have, and control records with it. Shards that have not moved are left out.
pub fn publish<'a, L: Log>(
    log: &mut L,
    shards: impl Iterator<Item = &'a mut HeldShard>,
    control: &[ControlRecord],
) -> Result<(), Failure> {
    let mut moved: Vec<&mut HeldShard> = shards.collect();
    let journals: Vec<Vec<u8>> = moved.iter_mut().map(|held| held.seal(log.transactional_id())).collect();
    let (numbers, number_ranges) = number_outputs(&moved);
    let mut transaction = Transaction::default();
    for record in control {
        transaction.records.push(OutRecord {
            topic: Own::Control,
            partition: 0,
            key: Some(&record.key),
            value: Some(&record.value),
            headers: 0..0,
        });
    }
    let mut number_ranges = number_ranges.into_iter();
    for (held, journal) in moved.iter().zip(&journals) {
        let mut first_on = [true; 3];
        for output in held.outbox().outputs() {
            let number = &numbers[number_ranges.next().expect("a number for each output")];
            let first = std::mem::replace(&mut first_on[output.topic as usize], false);
            add(&mut transaction, held.number(), output, number, first.then_some(journal));
        }
        transaction.records.push(OutRecord {
            topic: Own::Journal,
            partition: held.number(),
            key: None,
            value: Some(journal),
            headers: 0..0,
        });
        transaction.offsets.extend(held.input_offsets());
    }
    log.publish(&transaction)?;
    drop(transaction);
    moved.iter_mut().for_each(|held| held.committed());
    Ok(())
}

/// The texts of `shoal_out` of all outputs in their order, and where each stands.
fn number_outputs(moved: &[&mut HeldShard]) -> (Vec<u8>, Vec<Range<usize>>) {
    let (mut numbers, mut ranges) = (Vec::new(), Vec::new());
    for held in moved {
        for place in 1..=held.outbox().outputs().len() as u64 {
            let start = numbers.len();
            let (shard, transaction, number) = (held.number(), held.transaction() + 1, held.outputs() + place);
            write!(numbers, "{shard}/{transaction}/{number}").expect("memory");
            ranges.push(start..numbers.len());
        }
    }
    (numbers, ranges)
}

fn add<'a>(
    transaction: &mut Transaction<'a>,
    shard: u32,
    output: Output<'a>,
    number: &'a [u8],
    journal: Option<&'a Vec<u8>>,
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
        },
        partition: shard,
        key: Some(output.key),
        value: output.value,
        headers: start..transaction.headers.len(),
    });
}
