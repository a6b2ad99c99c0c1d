//! Reading a shard's newest good snapshot. What is damaged is told of, and the one before is tried.

use super::blobs::Blobs;
use super::columns::{self, Customers, Hours, Kind};
use super::group::checksum;
use super::manifest::{File, Manifest};
use super::{LoadFailed, Loaded, Place, names};
use crate::engine::shard::Restored;
use crate::trial;
use arrow::array::RecordBatch;
use bytes::Bytes;
use std::time::{Duration, Instant};

/// How often a long load tells how far it has come.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// Why a snapshot was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It never will be: something of it is missing, or not as it was written.
    Damaged(String),
    /// The store does not answer.
    Away(String),
    Interrupted,
}

/// The manifests of a shard at or before a transaction, the newest first; unread.
pub fn transactions(blobs: &impl Blobs, shard: u32, at_most: u64) -> Result<Vec<u64>, String> {
    let listing = blobs.list(&names::folder(shard))?;
    let known = listing.files.iter().filter_map(|(name, _)| names::manifest_transaction(name));
    let mut known: Vec<u64> = known.filter(|&transaction| transaction <= at_most).collect();
    known.sort_unstable_by(|a, b| b.cmp(a));
    Ok(known)
}

/// The newest good snapshot at or before a transaction, and what it is made of.
pub fn newest(
    blobs: &impl Blobs,
    shard: u32,
    at_most: u64,
    interrupted: &dyn Fn() -> bool,
) -> Result<Option<(Manifest, Loaded)>, LoadFailed> {
    let known = transactions(blobs, shard, at_most).map_err(LoadFailed::Away)?;
    for transaction in &known {
        match manifest(blobs, shard, *transaction).and_then(|it| whole(blobs, it, interrupted)) {
            Ok(found) => return Ok(Some(found)),
            Err(Fault::Damaged(words)) => tracing::warn!(
                "shard {shard}: the snapshot of transaction {transaction} is damaged and passed over: {words}"
            ),
            Err(Fault::Away(words)) => return Err(LoadFailed::Away(words)),
            Err(Fault::Interrupted) => return Err(LoadFailed::Interrupted),
        }
    }
    if !known.is_empty() {
        tracing::warn!("shard {shard}: none of its {} snapshots can be used", known.len());
    }
    Ok(None)
}

/// Where the newest snapshot before a transaction stands, by its manifest; its files are not looked at.
pub fn place_before(blobs: &impl Blobs, shard: u32, transaction: u64) -> Result<Option<Place>, String> {
    let Some(at_most) = transaction.checked_sub(1) else { return Ok(None) };
    for older in transactions(blobs, shard, at_most)? {
        match manifest(blobs, shard, older).and_then(|it| it.head().map_err(Fault::Damaged)) {
            Ok(head) => return Ok(Some(head.place)),
            Err(Fault::Away(words)) => return Err(words),
            Err(_) => {}
        }
    }
    Ok(None)
}

/// Reads a manifest.
pub fn manifest(blobs: &impl Blobs, shard: u32, transaction: u64) -> Result<Manifest, Fault> {
    let name = names::manifest(transaction);
    let bytes = blobs.get(&format!("{}/{name}", names::folder(shard))).map_err(Fault::Away)?;
    let bytes = bytes.ok_or_else(|| Fault::Damaged(format!("{name} is gone")))?;
    let manifest = Manifest::from_bytes(&bytes).map_err(|words| Fault::Damaged(format!("{name}: {words}")))?;
    if (manifest.shard, manifest.transaction) != (shard, transaction) {
        let found = format!("shard {} and transaction {}", manifest.shard, manifest.transaction);
        return Err(Fault::Damaged(format!("{name} is of {found}")));
    }
    Ok(manifest)
}

/// Reads a file and compares it with what the manifest says of it.
pub fn file(blobs: &impl Blobs, shard: u32, kind: Kind, file: &File) -> Result<RecordBatch, Fault> {
    check(kind, file, blobs.get(&path(shard, file)))
}

fn path(shard: u32, file: &File) -> String {
    format!("{}/{}", names::folder(shard), file.name)
}

/// What a file holds, if it is what the manifest says of it.
fn check(kind: Kind, file: &File, read: Result<Option<Bytes>, String>) -> Result<RecordBatch, Fault> {
    let File { name, bytes: length, rows, xxh3_128 } = file;
    let damaged = |words: String| Fault::Damaged(format!("{name} {words}"));
    let bytes = read.map_err(Fault::Away)?.ok_or_else(|| damaged("is gone".to_owned()))?;
    if bytes.len() as u64 != *length {
        return Err(damaged(format!("has {} bytes, expected {length}", bytes.len())));
    }
    if checksum(&bytes) != *xxh3_128 {
        return Err(damaged("has another checksum than when it was written".to_owned()));
    }
    let batch = columns::read(kind, bytes).map_err(&damaged)?;
    if batch.num_rows() as u64 != *rows {
        return Err(damaged(format!("has {} rows, expected {rows}", batch.num_rows())));
    }
    Ok(batch)
}

/// Reads all of a snapshot.
pub fn whole(
    blobs: &impl Blobs,
    manifest: Manifest,
    interrupted: &dyn Fn() -> bool,
) -> Result<(Manifest, Loaded), Fault> {
    let head = manifest.head().map_err(Fault::Damaged)?;
    let mut reading = Reading {
        shard: manifest.shard,
        restored: Restored::new(&head.state),
        rows_used: head.state.rows_used,
        seen: vec![0; (head.state.rows_used as usize).div_ceil(64)],
        hours: Hours::default(),
        progress: Progress::new(&manifest),
    };
    let files = in_order(&manifest);
    let paths: Vec<String> = files.iter().map(|(_, file)| path(manifest.shard, file)).collect();
    let mut failed = None;
    let checked = |place: usize, read| {
        let (kind, file) = files[place];
        check(kind, file, read)
    };
    blobs.get_each(&paths, checked, |place, batch| {
        let (kind, file) = files[place];
        let batch = if interrupted() { Err(Fault::Interrupted) } else { batch };
        failed = batch.and_then(|batch| reading.take(kind, file, batch)).err();
        failed.is_none()
    });
    if let Some(fault) = failed {
        return Err(fault);
    }
    let (restored, bytes) = reading.end()?;
    if restored.customers() != head.state.customers {
        let words = format!("it has {} customers, expected {}", restored.customers(), head.state.customers);
        return Err(Fault::Damaged(words));
    }
    if restored.ids() != head.state.ids.hours && !trial::is_blind() {
        return Err(Fault::Damaged("it has other numbers of ids in its hours than its manifest says".to_owned()));
    }
    Ok((manifest, Loaded { head, restored, bytes }))
}

/// The files of a snapshot as they are read: customers of the latest group first, as its rows count.
fn in_order(manifest: &Manifest) -> Vec<(Kind, &File)> {
    let groups = || manifest.groups.iter();
    let customers = groups().rev().flat_map(|group| &group.customers).map(|file| (Kind::Customers, file));
    let ids = groups().flat_map(|group| &group.ids).map(|file| (Kind::Ids, file));
    let marks = groups().flat_map(|group| &group.marks).map(|file| (Kind::Marks, file));
    customers.chain(ids).chain(marks).collect()
}

/// A snapshot that is being read.
struct Reading {
    shard: u32,
    restored: Restored,
    rows_used: u32,
    /// Rows of which the latest state was read.
    seen: Vec<u64>,
    hours: Hours,
    progress: Progress,
}

impl Reading {
    fn take(&mut self, kind: Kind, of: &File, batch: RecordBatch) -> Result<(), Fault> {
        trial::crash_point("load/part");
        self.progress.add(self.shard, of.bytes);
        let taken = match kind {
            Kind::Customers => self.customers(&Customers::new(batch)),
            Kind::Ids => self.hours.read(&batch),
            Kind::Marks => {
                columns::read_marks(&batch).for_each(|mark| self.restored.add_mark(mark));
                Ok(())
            }
        };
        taken.map_err(|words| Fault::Damaged(format!("{}: {words}", of.name)))
    }

    /// Takes the rows that no later file had.
    fn customers(&mut self, customers: &Customers) -> Result<(), String> {
        if let Some(&last) = customers.numbers().last()
            && last >= self.rows_used
        {
            return Err(format!("expected rows below {}, found {last}", self.rows_used));
        }
        let seen = &mut self.seen;
        let is_new = |number: u32| {
            let Some(word) = seen.get_mut(number as usize / 64) else { return false };
            let bit = 1 << (number % 64);
            let is_new = *word & bit == 0;
            *word |= bit;
            is_new
        };
        customers.restore(&mut self.restored, is_new)
    }

    /// All that was read, with the ids of the hours that are remembered; and its bytes.
    fn end(mut self) -> Result<(Restored, u64), Fault> {
        for (hour, before, ids) in self.hours.into_runs() {
            if before > 0 {
                return Err(Fault::Damaged(format!("the first {before} ids of hour {hour} are in none of its files")));
            }
            self.restored.add_ids(hour, ids.into_iter());
        }
        Ok((self.restored, self.progress.done))
    }
}

/// How far a load has come.
struct Progress {
    all: u64,
    done: u64,
    began: Instant,
    told: Instant,
}

impl Progress {
    fn new(manifest: &Manifest) -> Self {
        let now = Instant::now();
        Self { all: manifest.files().map(|file| file.bytes).sum(), done: 0, began: now, told: now }
    }

    fn add(&mut self, shard: u32, bytes: u64) {
        self.done += bytes;
        if self.told.elapsed() < TOLD_EVERY {
            return;
        }
        self.told = Instant::now();
        let (percent, took) = (self.done * 100 / self.all.max(1), self.began.elapsed().as_secs_f64());
        let left = took * (self.all - self.done) as f64 / self.done.max(1) as f64;
        tracing::info!("shard {shard}: loading its snapshot, {percent} % of {} bytes, {left:.0} s left", self.all);
    }
}
