//! Checks the frame of journal records, as the comment at the top of src/worker/journal/mod.rs defines it: the fields
//! before the operations, and the checksum. The operations themselves are not read.

use super::Faults;
use super::records::Record;
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64;

/// Version of the layout.
const FORMAT: u8 = 1;

/// The outputs of a transaction, as its journal record states them.
pub struct Transaction {
    pub outputs_before: u64,
    pub outputs: u64,
    /// The whole record.
    pub bytes: Vec<u8>,
}

/// By shard and number.
#[derive(Default)]
pub struct Transactions(BTreeMap<(u64, u64), Transaction>);

impl Transactions {
    pub fn count(&self) -> usize {
        self.0.len()
    }

    pub fn shards(&self) -> usize {
        self.0.keys().map(|(shard, _)| shard).collect::<std::collections::BTreeSet<_>>().len()
    }

    pub fn get(&self, shard: u64, number: u64) -> Option<&Transaction> {
        self.0.get(&(shard, number))
    }

    /// The number of the last transaction of a shard.
    pub fn last(&self, shard: u64) -> u64 {
        self.0.range((shard, 0)..=(shard, u64::MAX)).next_back().map_or(0, |((_, number), _)| *number)
    }

    /// Each shard with the number of its last output.
    pub fn last_outputs(&self) -> BTreeMap<u64, u64> {
        let mut last = BTreeMap::new();
        for ((shard, _), transaction) in &self.0 {
            last.insert(*shard, transaction.outputs_before + transaction.outputs);
        }
        last
    }
}

/// Reads all records; each must continue the record before it in its partition.
pub fn read(records: &[Record], faults: &mut Faults) -> Transactions {
    let mut transactions = Transactions::default();
    let mut last: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for record in records {
        let bytes = record.value.clone().unwrap_or_default();
        let head = match Head::read(&bytes) {
            Ok(head) => head,
            Err(message) => {
                faults.add(format!("journal: {}: {message}", record.location()));
                continue;
            }
        };
        if head.shard != record.partition as u64 {
            faults.add(format!("journal: {} is of shard {}", record.location(), head.shard));
        }
        let (transaction, outputs) = last.get(&head.shard).copied().unwrap_or_default();
        if head.transaction != transaction + 1 {
            let (location, found) = (record.location(), head.transaction);
            faults
                .add(format!("journal: {location} has transaction {found} after {transaction}: a gap or a repetition"));
        } else if head.outputs_before != outputs {
            let (location, found) = (record.location(), head.outputs_before);
            faults.add(format!(
                "journal: {location} goes on after output {found}, the record before ended with {outputs}"
            ));
        }
        last.insert(head.shard, (head.transaction, head.outputs_before + head.outputs));
        let transaction = Transaction { outputs_before: head.outputs_before, outputs: head.outputs, bytes };
        transactions.0.insert((head.shard, head.transaction), transaction);
    }
    transactions
}

struct Head {
    shard: u64,
    transaction: u64,
    outputs_before: u64,
    outputs: u64,
}

impl Head {
    fn read(bytes: &[u8]) -> Result<Self, String> {
        let (content, checksum) = bytes.split_last_chunk::<8>().ok_or("shorter than its checksum")?;
        if xxh3_64(content) != u64::from_le_bytes(*checksum) {
            return Err("the checksum is wrong".into());
        }
        let (format, mut rest) = content.split_first().ok_or("nothing before the checksum")?;
        if *format != FORMAT {
            return Err(format!("format {format}, this checker reads {FORMAT}"));
        }
        let _semantics = number(&mut rest)?;
        let (shard, transaction) = (number(&mut rest)?, number(&mut rest)?);
        let identity = number(&mut rest)? as usize;
        rest = rest.get(identity..).ok_or("it ends within the transactional id")?;
        Ok(Self { shard, transaction, outputs_before: number(&mut rest)?, outputs: number(&mut rest)? })
    }
}

/// An unsigned LEB128 number.
fn number(rest: &mut &[u8]) -> Result<u64, String> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first().ok_or("it ends within a number")?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err("a number of more than 64 bits".into())
}
