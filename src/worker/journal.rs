//! The journal record: what a shard did in one transaction, so that doing it again gives the same state.
//!
//! One record per shard and transaction, without personal data. Layout, version 1; `v` is an unsigned LEB128 number, `z` a
//! zigzag-coded signed one, `u64` eight bytes little-endian:
//!
//! ```text
//! format version      1 byte
//! semantics version   v
//! shard               v
//! transaction number  v    from 1, without gaps
//! transactional id    v length, bytes
//! outputs before      v    number of the last output of the transactions before
//! outputs             v    how many this transaction has; they are numbered on
//! digest              u64  of the shard after the last operation
//! positions           v count, v next offset of each input topic after the last operation
//! operations          v count, then each: 1 byte kind, fields
//!    1 step           z now - last now, v topics, each: v topic, v from, v to - from, v records, u64 hash
//!    2 tick           z moment - last now
//!    3 control        v offset in the control topic
//!    4 sweep          v customers
//!    5 fire           v customers with a deadline that is due
//!    6 forget         v customers
//!    7 skip           v topic, v offset
//!    8 census         v mark, in minutes since 1970
//!    9 seed           u64 digest of the seed that the shard began from
//!   10 rebuild        u64 digest of the state that was made anew: that of the snapshot of this transaction
//! checksum            u64  xxh3 of all before
//! ```
//! "last now" starts at 0 in each record and is the moment of the last step or tick.

use crate::engine::event::Millis;
use std::fmt;
use xxhash_rust::xxh3::xxh3_64;

/// Version of the layout above.
pub const FORMAT: u8 = 1;
/// Version of the semantics under which the operations mean what they mean. 1: a step was of one topic, and a record
/// did not bring its customer's deadlines up to its arrival (T3). 2: a step fired deadlines too, and what fired depended
/// on how the timing wheel had come to look as it did. 3: there was no census; what there was means the same.
pub const SEMANTICS: u64 = 4;
/// Operations of these versions mean what they mean now, and can be done again.
pub const SEMANTICS_DONE_AGAIN: std::ops::RangeInclusive<u64> = 3..=SEMANTICS;
/// The first version under which snapshots were made.
pub const SNAPSHOTS_SINCE: u64 = 3;
/// Records of these versions have the layout above. Those of older ones cannot be read at all.
const SEMANTICS_READ: std::ops::RangeInclusive<u64> = 2..=SEMANTICS;
/// A transaction ends before one of its journal records grows beyond this.
pub const RECORD_BYTES_MAX: usize = 16 * 1024;
/// Input topics at most, so that one operation has a bounded size.
pub const TOPICS_MAX: usize = 16;
/// No operation takes more.
const OPERATION_BYTES_MAX: usize = 1_024;
/// Nor does all that surrounds the operations.
const FRAME_BYTES_MAX: usize = 1_024;

/// Something that was done to a shard. Slices are counted in items, never in time.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Records were applied, in chunks counted from the step's start; topics in their order, each up to its `to`.
    Step {
        now: Millis,
        parts: Vec<StepPart>,
    },
    /// The wall clock.
    Tick(Millis),
    /// The control record at this offset.
    Control(i64),
    /// So many customers were evaluated with new rules.
    Sweep(u32),
    /// So many due deadlines fired.
    Fire(u32),
    Forget(u32),
    /// The record there killed the process and is left out.
    Skip {
        topic: u16,
        offset: i64,
    },
    /// What was counted for alerts in the minutes before this one was told.
    Census(i64),
    /// The shard began from a seed whose state has this digest.
    Seed(u64),
    /// The state was made anew; it has this digest, and is the snapshot of this transaction.
    Rebuild(u64),
}

/// The records of one topic in a step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepPart {
    pub topic: u16,
    /// First offset wanted.
    pub from: i64,
    /// Next offset after the last record.
    pub to: i64,
    pub records: u32,
    /// Of offsets and lengths, see [`StepHash`].
    pub hash: u64,
}

/// A journal record, read.
#[derive(Clone, Debug, PartialEq)]
pub struct JournalRecord {
    /// The version under which its operations mean what they mean: [`SEMANTICS`], or an older one.
    pub semantics: u64,
    pub shard: u32,
    pub transaction: u64,
    pub transactional_id: String,
    pub outputs_before: u64,
    pub outputs: u64,
    pub digest: u64,
    pub positions: Vec<i64>,
    pub operations: Vec<Operation>,
}

/// What a record says besides its operations.
pub struct Frame<'a> {
    pub shard: u32,
    pub transaction: u64,
    pub transactional_id: &'a str,
    pub outputs_before: u64,
    pub outputs: u64,
    pub digest: u64,
    pub positions: &'a [i64],
}

/// Operations of the open transaction, encoded as they come.
#[derive(Default)]
pub struct Operations {
    bytes: Vec<u8>,
    count: u64,
    now: Millis,
}

impl Operations {
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether the transaction must end before another operation.
    pub fn is_full(&self) -> bool {
        self.bytes.len() + OPERATION_BYTES_MAX + FRAME_BYTES_MAX > RECORD_BYTES_MAX
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
        self.now = 0;
    }

    pub fn push(&mut self, operation: &Operation) {
        self.count += 1;
        match operation {
            Operation::Step { now, parts } => self.push_step(*now, parts),
            Operation::Tick(moment) => {
                self.bytes.push(2);
                self.put_now(*moment);
            }
            Operation::Control(offset) => self.put(3, &[*offset as u64]),
            Operation::Sweep(customers) => self.put(4, &[u64::from(*customers)]),
            Operation::Fire(deadlines) => self.put(5, &[u64::from(*deadlines)]),
            Operation::Forget(customers) => self.put(6, &[u64::from(*customers)]),
            Operation::Skip { topic, offset } => self.put(7, &[u64::from(*topic), *offset as u64]),
            Operation::Census(mark) => self.put(8, &[*mark as u64]),
            Operation::Seed(digest) => self.put_digest(9, *digest),
            Operation::Rebuild(digest) => self.put_digest(10, *digest),
        }
    }

    /// The whole record.
    pub fn record(&self, frame: &Frame<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes.len() + 128);
        out.push(FORMAT);
        for number in [SEMANTICS, u64::from(frame.shard), frame.transaction, frame.transactional_id.len() as u64] {
            put_number(&mut out, number);
        }
        out.extend_from_slice(frame.transactional_id.as_bytes());
        put_number(&mut out, frame.outputs_before);
        put_number(&mut out, frame.outputs);
        out.extend_from_slice(&frame.digest.to_le_bytes());
        put_number(&mut out, frame.positions.len() as u64);
        for &position in frame.positions {
            put_number(&mut out, position as u64);
        }
        put_number(&mut out, self.count);
        out.extend_from_slice(&self.bytes);
        let checksum = xxh3_64(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        out
    }

    fn push_step(&mut self, now: Millis, parts: &[StepPart]) {
        self.bytes.push(1);
        self.put_now(now);
        put_number(&mut self.bytes, parts.len() as u64);
        for part in parts {
            let length = (part.to - part.from) as u64;
            for number in [u64::from(part.topic), part.from as u64, length, u64::from(part.records)] {
                put_number(&mut self.bytes, number);
            }
            self.bytes.extend_from_slice(&part.hash.to_le_bytes());
        }
    }

    fn put(&mut self, kind: u8, numbers: &[u64]) {
        self.bytes.push(kind);
        for &number in numbers {
            put_number(&mut self.bytes, number);
        }
    }

    fn put_digest(&mut self, kind: u8, digest: u64) {
        self.bytes.push(kind);
        self.bytes.extend_from_slice(&digest.to_le_bytes());
    }

    fn put_now(&mut self, now: Millis) {
        let difference = now.wrapping_sub(self.now);
        put_number(&mut self.bytes, ((difference << 1) ^ (difference >> 63)) as u64);
        self.now = now;
    }
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Why bytes are no journal record that this version can follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    Checksum,
    Format(u8),
    Semantics(u64),
    /// The checksum is right and the content is not: written by a broken program.
    Content(&'static str),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checksum => write!(f, "the checksum is wrong: the record is damaged"),
            Self::Format(found) => write!(f, "format version {found}; this program reads {FORMAT}"),
            Self::Semantics(found) => {
                let (first, last) = (SEMANTICS_READ.start(), SEMANTICS_READ.end());
                write!(f, "semantics version {found}; this program reads {first} to {last}")
            }
            Self::Content(what) => write!(f, "{what}"),
        }
    }
}

impl JournalRecord {
    /// Reads a record. Operations of an older semantics version are read, and must not be done again.
    pub fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let (content, checksum) = bytes.split_last_chunk::<8>().ok_or(Unreadable::Checksum)?;
        if xxh3_64(content) != u64::from_le_bytes(*checksum) {
            return Err(Unreadable::Checksum);
        }
        let mut input = Input { bytes: content, now: 0 };
        match input.byte()? {
            FORMAT => {}
            other => return Err(Unreadable::Format(other)),
        }
        let semantics = input.number()?;
        if !SEMANTICS_READ.contains(&semantics) {
            return Err(Unreadable::Semantics(semantics));
        }
        let record = input.record(semantics)?;
        if input.bytes.is_empty() { Ok(record) } else { Err(Unreadable::Content("bytes after the last operation")) }
    }
}

struct Input<'a> {
    bytes: &'a [u8],
    now: Millis,
}

impl Input<'_> {
    fn record(&mut self, semantics: u64) -> Result<JournalRecord, Unreadable> {
        let (shard, transaction) = (self.small()?, self.number()?);
        let length = self.small()? as usize;
        let id = self.bytes.split_off(..length).ok_or(Unreadable::Content("it ends within the transactional id"))?;
        let transactional_id =
            String::from_utf8(id.to_vec()).map_err(|_| Unreadable::Content("the transactional id is not text"))?;
        let (outputs_before, outputs, digest) = (self.number()?, self.number()?, self.eight()?);
        let positions = (0..self.number()?).map(|_| self.offset()).collect::<Result<_, _>>()?;
        let operations = (0..self.number()?).map(|_| self.operation()).collect::<Result<_, _>>()?;
        Ok(JournalRecord {
            semantics,
            shard,
            transaction,
            transactional_id,
            outputs_before,
            outputs,
            digest,
            positions,
            operations,
        })
    }

    fn operation(&mut self) -> Result<Operation, Unreadable> {
        Ok(match self.byte()? {
            1 => Operation::Step {
                now: self.moment()?,
                parts: (0..self.number()?).map(|_| self.part()).collect::<Result<_, _>>()?,
            },
            2 => Operation::Tick(self.moment()?),
            3 => Operation::Control(self.offset()?),
            4 => Operation::Sweep(self.small()?),
            5 => Operation::Fire(self.small()?),
            6 => Operation::Forget(self.small()?),
            7 => Operation::Skip { topic: self.topic()?, offset: self.offset()? },
            8 => Operation::Census(self.number()? as i64),
            9 => Operation::Seed(self.eight()?),
            10 => Operation::Rebuild(self.eight()?),
            _ => return Err(Unreadable::Content("an operation of unknown kind")),
        })
    }

    fn part(&mut self) -> Result<StepPart, Unreadable> {
        let (topic, from) = (self.topic()?, self.offset()?);
        let to = from.checked_add(self.offset()?).ok_or(Unreadable::Content("an offset out of range"))?;
        Ok(StepPart { topic, from, to, records: self.small()?, hash: self.eight()? })
    }

    fn byte(&mut self) -> Result<u8, Unreadable> {
        self.bytes.split_off_first().copied().ok_or(Unreadable::Content("it ends within an operation"))
    }

    fn eight(&mut self) -> Result<u64, Unreadable> {
        let bytes = self.bytes.split_off(..8).ok_or(Unreadable::Content("it ends within a hash"))?;
        Ok(u64::from_le_bytes(bytes.try_into().expect("eight bytes")))
    }

    fn number(&mut self) -> Result<u64, Unreadable> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Unreadable::Content("a number of more than 64 bits"))
    }

    fn small(&mut self) -> Result<u32, Unreadable> {
        u32::try_from(self.number()?).map_err(|_| Unreadable::Content("a number out of range"))
    }

    fn topic(&mut self) -> Result<u16, Unreadable> {
        u16::try_from(self.number()?).map_err(|_| Unreadable::Content("a topic out of range"))
    }

    fn offset(&mut self) -> Result<i64, Unreadable> {
        i64::try_from(self.number()?).map_err(|_| Unreadable::Content("an offset out of range"))
    }

    fn moment(&mut self) -> Result<Millis, Unreadable> {
        let coded = self.number()?;
        self.now = self.now.wrapping_add((coded >> 1) as i64 ^ -((coded & 1) as i64));
        Ok(self.now)
    }
}

/// Hash of the offsets and lengths of a step's records: not of their content, which Kafka checks itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepHash(u64);

impl Default for StepHash {
    fn default() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }
}

impl StepHash {
    /// Folds one record in; a missing key or value counts as one byte longer than the longest there can be.
    pub fn add(&mut self, offset: i64, key: Option<&[u8]>, value: Option<&[u8]>) {
        let length = |bytes: Option<&[u8]>| bytes.map_or(u64::from(u32::MAX), |bytes| bytes.len() as u64);
        let lengths = length(key) << 32 ^ length(value);
        let mixed = (self.0 ^ offset as u64).wrapping_mul(0xff51_afd7_ed55_8ccd) ^ lengths;
        self.0 = (mixed ^ mixed >> 29).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        self.0 ^= self.0 >> 32;
    }

    pub fn value(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests;
