//! A partition as its leader stores it: records, markers, open transactions, and the state of writers.
//!
//! Every entry has an offset, markers and aborted records too. Readers stop at the *stable end*: the first record whose
//! transaction is still open.

use std::collections::BTreeMap;
use std::sync::Arc;

/// A record as it is stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    pub offset: i64,
    pub timestamp: Option<i64>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
    /// The writer of its transaction.
    pub writer: Option<Writer>,
}

/// A holder of a transactional identity. A newer one has a higher epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Writer {
    pub identity: usize,
    pub epoch: u32,
}

#[derive(Clone)]
enum Entry {
    Committed(Arc<Stored>),
    Open(Arc<Stored>),
    /// A marker, or a record whose transaction was aborted.
    Nothing,
}

/// What a leader knows of a writer.
#[derive(Clone, Copy)]
struct WriterState {
    epoch: u32,
    /// Number of the next request; lower numbers are repetitions.
    sequence: u32,
}

#[derive(Clone, Default)]
pub(super) struct Partition {
    entries: Vec<Entry>,
    /// First offset of each open transaction.
    open: BTreeMap<usize, i64>,
    writers: BTreeMap<usize, WriterState>,
}

impl Partition {
    pub fn append(&mut self, stored: Stored) -> i64 {
        let offset = self.end();
        self.entries.push(Entry::Committed(Arc::new(Stored { offset, ..stored })));
        offset
    }

    /// Appends a record at the offset that it has, after as many markers as are missing.
    pub fn store(&mut self, stored: Stored) {
        let missing = stored.offset - self.end();
        assert!(missing >= 0, "offset {} is taken: the partition ends at {}", stored.offset, self.end());
        self.entries.extend((0..missing).map(|_| Entry::Nothing));
        self.append(stored);
    }

    pub fn end(&self) -> i64 {
        self.entries.len() as i64
    }

    /// The end for readers of committed records.
    pub fn stable_end(&self) -> i64 {
        self.open.values().copied().min().unwrap_or(self.end())
    }

    pub fn has_open(&self, identity: usize) -> bool {
        self.open.contains_key(&identity)
    }

    /// The epoch of the newest holder of this identity that was seen here.
    pub fn epoch_of(&self, identity: usize) -> u32 {
        self.writers.get(&identity).map_or(0, |known| known.epoch)
    }

    /// Number of the writer's next request.
    pub fn next_sequence(&self, identity: usize) -> u32 {
        self.writers.get(&identity).map_or(0, |known| known.sequence)
    }

    /// Appends records to the writer's open transaction. Returns false for a repetition, which is acknowledged but not
    /// appended; a gap is an error with the expected number.
    pub fn write(&mut self, writer: Writer, sequence: u32, records: &[Stored]) -> Result<bool, u32> {
        let known = self.writers.entry(writer.identity).or_insert(WriterState { epoch: writer.epoch, sequence: 0 });
        if known.epoch != writer.epoch {
            *known = WriterState { epoch: writer.epoch, sequence: 0 };
        }
        if sequence < known.sequence {
            return Ok(false);
        }
        if sequence > known.sequence {
            return Err(known.sequence);
        }
        known.sequence += 1;
        let first = self.entries.len() as i64;
        self.open.entry(writer.identity).or_insert(first);
        for (offset, record) in (first..).zip(records) {
            let stored = Stored { offset, writer: Some(writer), ..record.clone() };
            self.entries.push(Entry::Open(Arc::new(stored)));
        }
        Ok(true)
    }

    /// The marker of a transaction's end arrives.
    pub fn mark(&mut self, writer: Writer, is_commit: bool) {
        let known = self.writers.entry(writer.identity).or_insert(WriterState { epoch: writer.epoch, sequence: 0 });
        if known.epoch < writer.epoch {
            *known = WriterState { epoch: writer.epoch, sequence: 0 };
        }
        if let Some(first) = self.open.remove(&writer.identity) {
            for entry in &mut self.entries[first as usize..] {
                match std::mem::replace(entry, Entry::Nothing) {
                    Entry::Open(stored) if stored.writer.is_some_and(|of| of.identity == writer.identity) => {
                        if is_commit {
                            *entry = Entry::Committed(stored);
                        }
                    }
                    other => *entry = other,
                }
            }
        }
        self.entries.push(Entry::Nothing);
    }

    /// Passes committed records from an offset on, below `until`, at most `records_max`, to `accept`. Returns the next
    /// offset to read.
    pub fn read(&self, from: i64, until: i64, records_max: usize, mut accept: impl FnMut(&Arc<Stored>)) -> i64 {
        let until = until.min(self.stable_end());
        let mut count = 0;
        let mut position = from;
        while position < until {
            if let Entry::Committed(stored) = &self.entries[position as usize] {
                if count == records_max {
                    break;
                }
                accept(stored);
                count += 1;
            }
            position += 1;
        }
        position
    }

    /// All committed records.
    pub fn committed(&self) -> impl Iterator<Item = &Arc<Stored>> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Committed(stored) => Some(stored),
            _ => None,
        })
    }

    pub fn replace(&mut self, offset: i64, value: &[u8]) {
        if let Some(Entry::Committed(stored)) = self.entries.get_mut(offset as usize) {
            Arc::make_mut(stored).value = Some(value.to_vec());
        }
    }

    pub fn truncate(&mut self, end: i64) {
        self.entries.truncate(end as usize);
    }
}
