//! Loads a shard's newest good snapshot. A damaged one is logged, and the one before it is tried.
//!
//! Every file is compared with its checksum in the manifest before it is used.

use super::columns::{self, Customers, FileKind, IdHours};
use super::group::checksum;
use super::manifest::{File, Manifest};
use super::objects::Objects;
use super::{LoadError, LoadedSnapshot, ShardPosition, names};
use crate::engine::shard::Restored;
use crate::fault_injection;
use arrow::array::RecordBatch;
use bytes::Bytes;
use std::time::{Duration, Instant};

/// How often a long load logs its progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// Why a snapshot, or a file of it, was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// Something of it is missing or differs from what was written; another attempt does not help.
    Damaged(String),
    /// The object storage does not answer or refuses the request; a later attempt may succeed.
    Unavailable(String),
    Interrupted,
}

/// The transactions of a shard's manifests at or before a transaction, the newest first. The manifests are not read.
pub fn transactions(objects: &impl Objects, shard: u32, at_most: u64) -> Result<Vec<u64>, String> {
    let listing = objects.list(&names::folder(shard))?;
    let known = listing.files.iter().filter_map(|(name, _)| names::manifest_transaction(name));
    let mut known: Vec<u64> = known.filter(|&transaction| transaction <= at_most).collect();
    known.sort_unstable_by(|a, b| b.cmp(a));
    Ok(known)
}

/// Loads the newest good snapshot at or before a transaction; also returns its manifest.
pub fn newest(
    objects: &impl Objects,
    shard: u32,
    at_most: u64,
    interrupted: &dyn Fn() -> bool,
) -> Result<Option<(Manifest, LoadedSnapshot)>, LoadError> {
    let known = transactions(objects, shard, at_most).map_err(LoadError::Unavailable)?;
    for transaction in &known {
        match manifest(objects, shard, *transaction).and_then(|manifest| whole(objects, manifest, interrupted)) {
            Ok(found) => return Ok(Some(found)),
            Err(ReadError::Damaged(error)) => {
                tracing::warn!(shard, transaction, error, "a snapshot is damaged; the one before it is loaded instead");
            }
            Err(ReadError::Unavailable(error)) => return Err(LoadError::Unavailable(error)),
            Err(ReadError::Interrupted) => return Err(LoadError::Interrupted),
        }
    }
    if !known.is_empty() {
        let snapshots = known.len();
        tracing::warn!(
            shard,
            snapshots,
            "every snapshot of the shard is damaged: the shard counts as one without snapshots"
        );
    }
    Ok(None)
}

/// The position of the newest snapshot before a transaction, from its manifest; its files are not read.
pub fn position_before(objects: &impl Objects, shard: u32, transaction: u64) -> Result<Option<ShardPosition>, String> {
    let Some(at_most) = transaction.checked_sub(1) else { return Ok(None) };
    for older in transactions(objects, shard, at_most)? {
        match manifest(objects, shard, older).and_then(|manifest| manifest.head().map_err(ReadError::Damaged)) {
            Ok(head) => return Ok(Some(head.position)),
            Err(ReadError::Unavailable(error)) => return Err(error),
            Err(_) => {}
        }
    }
    Ok(None)
}

/// Reads a manifest.
pub fn manifest(objects: &impl Objects, shard: u32, transaction: u64) -> Result<Manifest, ReadError> {
    let name = names::manifest(transaction);
    let bytes = objects.get(&format!("{}/{name}", names::folder(shard))).map_err(ReadError::Unavailable)?;
    let bytes = bytes.ok_or_else(|| ReadError::Damaged(format!("{name} is missing")))?;
    let manifest = Manifest::from_bytes(&bytes).map_err(|error| ReadError::Damaged(format!("{name}: {error}")))?;
    if (manifest.shard, manifest.transaction) != (shard, transaction) {
        let Manifest { shard: found_shard, transaction: found, .. } = manifest;
        return Err(ReadError::Damaged(format!(
            "{name}: expected shard {shard} and transaction {transaction}, found shard {found_shard} and transaction {found}"
        )));
    }
    Ok(manifest)
}

/// Reads a file and compares it with its entry in the manifest.
pub fn file(objects: &impl Objects, shard: u32, kind: FileKind, file: &File) -> Result<RecordBatch, ReadError> {
    check(kind, file, objects.get(&path(shard, file)))
}

fn path(shard: u32, file: &File) -> String {
    format!("{}/{}", names::folder(shard), file.name)
}

/// The content of a file, if it agrees with its entry in the manifest.
fn check(kind: FileKind, file: &File, read: Result<Option<Bytes>, String>) -> Result<RecordBatch, ReadError> {
    let File { name, bytes: length, rows, xxh3_128 } = file;
    let damaged = |error: String| ReadError::Damaged(format!("{name}: {error}"));
    let bytes = read.map_err(ReadError::Unavailable)?.ok_or_else(|| damaged("the file is missing".to_owned()))?;
    if bytes.len() as u64 != *length {
        return Err(damaged(format!("expected {length} bytes, found {}", bytes.len())));
    }
    if checksum(&bytes) != *xxh3_128 {
        return Err(damaged("its checksum differs from the one in the manifest".to_owned()));
    }
    let batch = columns::read(kind, bytes).map_err(&damaged)?;
    if batch.num_rows() as u64 != *rows {
        return Err(damaged(format!("expected {rows} rows, found {}", batch.num_rows())));
    }
    Ok(batch)
}

/// Reads a whole snapshot.
pub fn whole(
    objects: &impl Objects,
    manifest: Manifest,
    interrupted: &dyn Fn() -> bool,
) -> Result<(Manifest, LoadedSnapshot), ReadError> {
    let head = manifest.head().map_err(ReadError::Damaged)?;
    let mut load = Load {
        shard: manifest.shard,
        restored: Restored::new(&head.state),
        rows_used: head.state.rows_used,
        seen: vec![0; (head.state.rows_used as usize).div_ceil(64)],
        hours: IdHours::default(),
        progress: Progress::new(&manifest),
    };
    let files = in_order(&manifest);
    let paths: Vec<String> = files.iter().map(|(_, file)| path(manifest.shard, file)).collect();
    let mut failed = None;
    let checked = |index: usize, read| {
        let (kind, file) = files[index];
        check(kind, file, read)
    };
    objects.get_each(&paths, checked, |index, batch| {
        let (kind, file) = files[index];
        let batch = if interrupted() { Err(ReadError::Interrupted) } else { batch };
        failed = batch.and_then(|batch| load.add(kind, file, batch)).err();
        failed.is_none()
    });
    if let Some(error) = failed {
        return Err(error);
    }
    let (restored, bytes) = load.finish()?;
    if restored.customers() != head.state.customers {
        let (expected, found) = (head.state.customers, restored.customers());
        return Err(ReadError::Damaged(format!("expected {expected} customers, found {found}")));
    }
    if restored.ids() != head.state.ids.hours {
        return Err(ReadError::Damaged("the numbers of ids per hour differ from those in the manifest".to_owned()));
    }
    Ok((manifest, LoadedSnapshot { head, restored, bytes }))
}

/// The files of a snapshot in the order in which they are read. Customers of the latest group come first: of rows with
/// the same number, the first one read is used.
fn in_order(manifest: &Manifest) -> Vec<(FileKind, &File)> {
    let groups = || manifest.groups.iter();
    let customers = groups().rev().flat_map(|group| &group.customers).map(|file| (FileKind::Customers, file));
    let ids = groups().flat_map(|group| &group.ids).map(|file| (FileKind::Ids, file));
    let marks = groups().flat_map(|group| &group.marks).map(|file| (FileKind::Marks, file));
    customers.chain(ids).chain(marks).collect()
}

/// A snapshot that is being loaded.
struct Load {
    shard: u32,
    restored: Restored,
    rows_used: u32,
    /// A bit for each row that was read.
    seen: Vec<u64>,
    hours: IdHours,
    progress: Progress,
}

impl Load {
    fn add(&mut self, kind: FileKind, of: &File, batch: RecordBatch) -> Result<(), ReadError> {
        fault_injection::crash_point("load/part");
        self.progress.add(self.shard, of.bytes);
        let added = match kind {
            FileKind::Customers => self.customers(&Customers::new(batch)),
            FileKind::Ids => self.hours.read(&batch),
            FileKind::Marks => {
                columns::read_marks(&batch).for_each(|mark| self.restored.add_mark(mark));
                Ok(())
            }
        };
        added.map_err(|error| ReadError::Damaged(format!("{}: {error}", of.name)))
    }

    /// Adds the rows that no later group has.
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

    /// The restored state with the ids of all hours, and the number of bytes read.
    fn finish(mut self) -> Result<(Restored, u64), ReadError> {
        for (hour, before, ids) in self.hours.into_runs() {
            if before > 0 {
                return Err(ReadError::Damaged(format!(
                    "the first {before} ids of hour {hour} are in none of the files"
                )));
            }
            self.restored.add_ids(hour, ids.into_iter());
        }
        Ok((self.restored, self.progress.done))
    }
}

/// The progress of a load, logged while it takes long.
struct Progress {
    all: u64,
    done: u64,
    began: Instant,
    logged: Instant,
}

impl Progress {
    fn new(manifest: &Manifest) -> Self {
        let now = Instant::now();
        Self { all: manifest.files().map(|file| file.bytes).sum(), done: 0, began: now, logged: now }
    }

    fn add(&mut self, shard: u32, bytes: u64) {
        self.done += bytes;
        if self.logged.elapsed() < PROGRESS_INTERVAL {
            return;
        }
        self.logged = Instant::now();
        let (percent, took) = (self.done * 100 / self.all.max(1), self.began.elapsed().as_secs_f64());
        let left = took * (self.all - self.done) as f64 / self.done.max(1) as f64;
        let (bytes, seconds_left) = (self.all, left.round());
        tracing::info!(shard, percent, bytes, seconds_left, "loading a snapshot");
    }
}
