//! The journal record: the operations of a shard in one transaction, whose replay gives the same state.
//!
//! One record per shard and transaction, without personal data. Layout, version 1; `v` is an unsigned LEB128 number,
//! `z` a zigzag-coded signed number, `u64` eight bytes little-endian:
//!
//! ```text
//! format version      1 byte
//! semantics version   v
//! shard               v
//! transaction number  v    from 1, without gaps
//! transactional id    v length, bytes
//! outputs before      v    number of the last output of earlier transactions
//! outputs             v    number of outputs of this transaction, numbered on from there
//! digest              u64  of the shard after the last operation
//! positions           v count, v next offset of each input topic after the last operation
//! operations          v count, then each: 1 byte kind, fields
//!    1 step           z now - last now, v topics, each: v topic, v from, v to - from, v records, u64 hash
//!    2 tick           z moment - last now
//!    3 control        v offset in the control topic
//!    4 sweep          z now - last now, v customers
//!    5 fire           v customers whose deadline is due
//!    7 skip           v topic, v offset
//!    8 census         v mark, in minutes since 1970
//!    9 seed           u64 digest of the seed that the shard began from
//!   10 rebuild        u64 digest of the rebuilt state, which is in the snapshot of this transaction
//! checksum            u64  xxh3 of all bytes before
//! ```
//! "last now" starts at 0 in each record and is the moment of the last step, tick or sweep. In semantics version 4 a
//! sweep has no moment.

use crate::engine::event::Millis;
use std::fmt;
use xxhash_rust::xxh3::xxh3_64;

/// Version of the layout above.
pub const FORMAT: u8 = 1;
/// Version of what the operations mean: another version would replay them to another state. Versions 1 to 3 were never
/// released, and are not read. In version 4 new rules did not move a customer's clock (T2), an event that came behind
/// the watermark did not arm the end of a dwell again, and sweeps had no wall clock.
pub const SEMANTICS: u64 = 5;
/// Records of these versions are read. Only those of [`SEMANTICS`] are replayed: an older record at the end of the
/// journal shows where a snapshot of the same transaction stands.
const SEMANTICS_READ: std::ops::RangeInclusive<u64> = 4..=SEMANTICS;
/// A transaction ends before a journal record grows beyond this.
pub const RECORD_BYTES_MAX: usize = 16 * 1024;
/// Input topics at most, so that one operation has a bounded size.
pub const TOPICS_MAX: usize = 16;
/// Bytes of one operation at most.
const OPERATION_BYTES_MAX: usize = 1_024;
/// Bytes of everything but the operations at most.
const FRAME_BYTES_MAX: usize = 1_024;

/// A change of a shard's state. Slices are counted in items, never in time.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Records were applied, in chunks counted from the step's first record.
    Step { now: Millis, parts: Vec<StepPart> },
    /// Time passed, up to a moment of the wall clock.
    Tick(Millis),
    /// The rules at this offset of the control topic came into force.
    Control(i64),
    /// A number of customers were evaluated with new rules.
    Sweep { now: Millis, customers: u32 },
    /// A number of due deadlines fired.
    Fire(u32),
    /// A record that killed the process was skipped and rejected.
    Skip { topic: u16, offset: i64 },
    /// The counts for alerts of the minutes before this one were reported.
    Census(i64),
    /// The shard began from a seed whose state has this digest.
    Seed(u64),
    /// The state was rebuilt: it has this digest, and is in the snapshot of this transaction.
    Rebuild(u64),
}

/// The records of one topic in a step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepPart {
    pub topic: u16,
    /// Offset from which records were read.
    pub from: i64,
    /// Next offset after the last record.
    pub to: i64,
    pub records: u32,
    /// Hash of offsets and lengths, see [`StepHash`].
    pub hash: u64,
}

/// A journal record, read.
#[derive(Clone, Debug, PartialEq)]
pub struct JournalRecord {
    /// The version of what its operations mean: [`SEMANTICS`], or an older one.
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

/// Everything in a record but its operations.
pub struct Frame<'a> {
    pub shard: u32,
    pub transaction: u64,
    pub transactional_id: &'a str,
    pub outputs_before: u64,
    pub outputs: u64,
    pub digest: u64,
    pub positions: &'a [i64],
}

/// The operations of the open transaction, encoded.
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
            Operation::Sweep { now, customers } => {
                self.bytes.push(4);
                self.put_now(*now);
                put_number(&mut self.bytes, u64::from(*customers));
            }
            Operation::Fire(deadlines) => self.put(5, &[u64::from(*deadlines)]),
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

/// Why bytes are not a journal record that this version can replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    Checksum,
    Format(u8),
    Semantics(u64),
    /// The checksum is right and the content is not: a bug of the program that wrote it.
    Content(&'static str),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checksum => write!(f, "the checksum is wrong: the record is damaged"),
            Self::Format(found) => write!(f, "format version {found}; this program reads {FORMAT}"),
            Self::Semantics(found) => {
                let version = if *found > SEMANTICS { "a later" } else { "an earlier, unreleased" };
                let (first, last) = (SEMANTICS_READ.start(), SEMANTICS_READ.end());
                write!(
                    f,
                    "semantics version {found}, of {version} version of Shoal; this program reads {first} to {last}"
                )
            }
            Self::Content(what) => write!(f, "{what}"),
        }
    }
}

impl JournalRecord {
    /// Reads a record. The operations of an older semantics version must not be replayed.
    pub fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let (content, checksum) = bytes.split_last_chunk::<8>().ok_or(Unreadable::Checksum)?;
        if xxh3_64(content) != u64::from_le_bytes(*checksum) {
            return Err(Unreadable::Checksum);
        }
        let mut input = Input { bytes: content, semantics: SEMANTICS, now: 0 };
        match input.byte()? {
            FORMAT => {}
            other => return Err(Unreadable::Format(other)),
        }
        input.semantics = input.number()?;
        if !SEMANTICS_READ.contains(&input.semantics) {
            return Err(Unreadable::Semantics(input.semantics));
        }
        let record = input.record()?;
        if input.bytes.is_empty() { Ok(record) } else { Err(Unreadable::Content("bytes after the last operation")) }
    }
}

struct Input<'a> {
    bytes: &'a [u8],
    semantics: u64,
    now: Millis,
}

impl Input<'_> {
    fn record(&mut self) -> Result<JournalRecord, Unreadable> {
        let (shard, transaction) = (self.small()?, self.number()?);
        let length = self.small()? as usize;
        let id =
            self.bytes.split_off(..length).ok_or(Unreadable::Content("the record ends within the transactional id"))?;
        let transactional_id =
            String::from_utf8(id.to_vec()).map_err(|_| Unreadable::Content("the transactional id is not text"))?;
        let (outputs_before, outputs, digest) = (self.number()?, self.number()?, self.eight()?);
        let positions = (0..self.number()?).map(|_| self.offset()).collect::<Result<_, _>>()?;
        let operations = (0..self.number()?).map(|_| self.operation()).collect::<Result<_, _>>()?;
        Ok(JournalRecord {
            semantics: self.semantics,
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
            4 => {
                let now = if self.semantics > 4 { self.moment()? } else { self.now };
                Operation::Sweep { now, customers: self.small()? }
            }
            5 => Operation::Fire(self.small()?),
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
        self.bytes.split_off_first().copied().ok_or(Unreadable::Content("the record ends within an operation"))
    }

    fn eight(&mut self) -> Result<u64, Unreadable> {
        let bytes = self.bytes.split_off(..8).ok_or(Unreadable::Content("the record ends within a hash"))?;
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

/// Hash of the offsets and lengths of a step's records. Kafka checks their content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepHash(u64);

impl Default for StepHash {
    fn default() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }
}

impl StepHash {
    /// Adds one record. A missing key or value counts as longer than the longest possible one.
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
