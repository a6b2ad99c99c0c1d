//! Writes the snapshots of a worker's shards from their pieces, merges their files, removes old ones, and loads them.
//!
//! A writer does all of this on the calling thread. In a service that is a separate thread
//! ([`super::SnapshotStoreThread`]), which merges while no pieces arrive; in simulations, seeds and tests it is the
//! caller's thread, and a merge follows its snapshot at once.

use super::group::{GroupWriter, Parts};
use super::load::{self, ReadError};
use super::manifest::{Group, Manifest};
use super::merge::{Merge, Step, groups_to_merge};
use super::objects::{Created, Objects};
use super::{
    LoadError, LoadedSnapshot, Piece, ShardPosition, SnapshotHead, SnapshotOutcome, SnapshotStore, StoredSnapshot,
    names, retention,
};
use crate::engine::shard::Part;
use crate::fault_injection;
use crate::random::Random;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::time::{Duration, Instant};

/// The snapshots of the shards of one worker.
pub struct SnapshotWriter<B> {
    objects: B,
    /// Number of snapshots snapshots per shard.
    keep: usize,
    nonces: Random,
    shards: BTreeMap<u32, ShardSnapshots>,
    outcomes: VecDeque<SnapshotOutcome>,
    failures: u64,
}

/// What the writer knows about a shard's snapshots.
#[derive(Default)]
struct ShardSnapshots {
    /// The snapshot that the next one is based on: the last one that was stored or loaded.
    parent: Option<Manifest>,
    /// Files of the parent are missing: only a full snapshot can be stored.
    needs_full: bool,
    open: Option<OpenSnapshot>,
    merge: Option<Box<Merge>>,
    /// A merged group that replaces groups of the parent in the next manifest.
    merged: Option<(Range<usize>, Group)>,
    /// Old snapshots remain to be removed.
    has_old: bool,
}

/// A snapshot that has begun and not ended.
struct OpenSnapshot {
    head: Box<SnapshotHead>,
    parts: Parts,
    began: Instant,
    /// Why it cannot be stored.
    failed: Option<String>,
}

impl<B: Objects> SnapshotWriter<B> {
    /// A writer that keeps `keep` snapshots per shard. The seed makes its file names differ from those of other
    /// writers.
    pub fn new(objects: B, keep: usize, seed: u64) -> Self {
        Self {
            objects,
            keep: keep.max(1),
            nonces: Random(seed),
            shards: BTreeMap::new(),
            outcomes: VecDeque::new(),
            failures: 0,
        }
    }

    pub fn objects(&self) -> &B {
        &self.objects
    }

    /// Removes a shard's snapshots after a transaction, which belong to an abandoned history. Returns their number.
    pub fn remove_after(&mut self, shard: u32, transaction: u64) -> Result<usize, String> {
        retention::remove_after(&self.objects, shard, transaction)
    }

    /// Sets the snapshot that the next one of a shard is based on; `None`: the next one is a full snapshot.
    pub fn set_parent(&mut self, shard: u32, parent: Option<Manifest>) {
        self.abandon(shard);
        let snapshots = self.shards.entry(shard).or_default();
        if let Some(merge) = snapshots.merge.take() {
            merge.writer().remove(&self.objects);
        }
        *snapshots = ShardSnapshots { parent, ..ShardSnapshots::default() };
    }

    /// Accepts a piece; the last piece stores the snapshot.
    pub fn accept(&mut self, shard: u32, piece: Piece) {
        match piece {
            Piece::Begin(head) => self.begin(shard, head),
            Piece::Part(part) => self.add(shard, part),
            Piece::End => self.end(shard),
            Piece::Abandoned => self.abandon(shard),
        }
    }

    fn nonce(&mut self) -> u32 {
        self.nonces.draw() as u32
    }

    fn begin(&mut self, shard: u32, head: Box<SnapshotHead>) {
        self.abandon(shard);
        let writer = GroupWriter::new(shard, head.position.transaction, self.nonce());
        let snapshots = self.shards.entry(shard).or_default();
        let is_full = snapshots.parent.is_none();
        let backwards = snapshots.parent.as_ref().filter(|parent| parent.transaction > head.position.transaction);
        let failed = backwards.map(|parent| {
            let (last, now) = (parent.transaction, head.position.transaction);
            format!("expected a transaction after {last}, the one of the last snapshot; found {now}")
        });
        snapshots.open = Some(OpenSnapshot { head, parts: Parts::new(writer, is_full), began: Instant::now(), failed });
        fault_injection::crash_point("snapshot/begin");
    }

    fn add(&mut self, shard: u32, part: Part) {
        let Some(open) = self.shards.get_mut(&shard).and_then(|snapshots| snapshots.open.as_mut()) else { return };
        if open.failed.is_none() {
            open.failed = open.parts.add(&self.objects, part).err();
        }
    }

    fn abandon(&mut self, shard: u32) {
        if let Some(open) = self.shards.get_mut(&shard).and_then(|snapshots| snapshots.open.take()) {
            open.parts.writer().remove(&self.objects);
        }
    }

    fn end(&mut self, shard: u32) {
        let Some(mut open) = self.shards.get_mut(&shard).and_then(|snapshots| snapshots.open.take()) else { return };
        let transaction = open.head.position.transaction;
        let result = match open.failed.take() {
            Some(error) => Err(error),
            None => self.store(shard, &mut open),
        };
        if let Err(error) = &result {
            self.failures += 1;
            open.parts.writer().remove(&self.objects);
            tracing::warn!(
                shard,
                transaction,
                error,
                "the snapshot failed; records are processed without it, and the next snapshot tries again"
            );
        }
        let needs_full = self.shards.get(&shard).is_some_and(|snapshots| snapshots.needs_full);
        let failures = self.failures;
        self.outcomes.push_back(SnapshotOutcome { shard, transaction, result, needs_full, failures });
    }

    /// Writes the remaining parts and the manifest.
    fn store(&mut self, shard: u32, open: &mut OpenSnapshot) -> Result<StoredSnapshot, String> {
        open.parts.finish(&self.objects)?;
        fault_injection::crash_point("snapshot/before-manifest");
        let snapshots = self.shards.entry(shard).or_default();
        let mut groups = snapshots.parent.as_ref().map_or_else(Vec::new, |parent| parent.groups.clone());
        let is_full = groups.is_empty();
        if is_full && open.parts.rows() != open.head.state.customers as u64 {
            snapshots.needs_full = true;
            let (rows, all) = (open.parts.rows(), open.head.state.customers);
            return Err(format!(
                "expected a full snapshot of {all} customers, since there is none before it; found {rows} rows"
            ));
        }
        if let Some((range, group)) = &snapshots.merged {
            groups.splice(range.clone(), [group.clone()]);
        }
        if let Some(missing) = first_missing(&self.objects, shard, &groups)? {
            *snapshots = ShardSnapshots { needs_full: true, ..ShardSnapshots::default() };
            return Err(format!(
                "the file {missing} of an earlier snapshot is missing; the next snapshot is a full one"
            ));
        }
        let own = open.parts.writer().group().clone();
        let stored = StoredSnapshot {
            rows: open.parts.rows(),
            bytes: own.bytes(),
            is_full,
            took_ms: open.began.elapsed().as_millis() as u64,
        };
        groups.push(own);
        let manifest = Manifest::new(shard, &open.head, groups)?;
        let stored_manifest = put_manifest(&self.objects, &manifest)?;
        fault_injection::crash_point("snapshot/after-manifest");
        if stored_manifest.groups != manifest.groups {
            open.parts.writer().remove(&self.objects);
        }
        let snapshots = self.shards.entry(shard).or_default();
        if snapshots.merged.take().is_some() || stored_manifest.groups != manifest.groups {
            snapshots.merge = None;
        }
        snapshots.parent = Some(stored_manifest);
        snapshots.needs_full = false;
        snapshots.has_old = true;
        self.plan_merge(shard);
        Ok(stored)
    }

    fn plan_merge(&mut self, shard: u32) {
        let nonce = self.nonce();
        let snapshots = self.shards.entry(shard).or_default();
        if let Some(parent) = &snapshots.parent
            && snapshots.merge.is_none()
            && let Some(range) = groups_to_merge(&parent.groups)
        {
            snapshots.merge = Some(Box::new(Merge::new(parent, range, nonce)));
        }
    }

    /// Does one step of the work in the background: one file of a merge, or the removal of old snapshots. Returns
    /// whether there is more to do.
    pub fn maintain(&mut self) -> bool {
        let due = |snapshots: &ShardSnapshots| snapshots.has_old || snapshots.merge.is_some();
        let Some((&shard, snapshots)) = self.shards.iter_mut().find(|(_, snapshots)| due(snapshots)) else {
            return false;
        };
        if snapshots.has_old {
            snapshots.has_old = false;
            let in_use = snapshots.unnamed();
            if let Some(until) = snapshots.parent.as_ref().map(|parent| parent.transaction)
                && let Err(error) = retention::remove_old(&self.objects, shard, until, self.keep, &in_use)
            {
                tracing::warn!(shard, error, "old snapshots could not be removed; they stay until after the next one");
            }
        } else if let Some(merge) = snapshots.merge.take() {
            match merge.step(&self.objects) {
                Step::Continues(merge) => snapshots.merge = Some(merge),
                Step::Done(range, group) => snapshots.merged = Some((range, group)),
                Step::Failed(writer, failed) => {
                    writer.remove(&self.objects);
                    let (ReadError::Damaged(error) | ReadError::Unavailable(error)) = failed else { return true };
                    tracing::warn!(
                        shard,
                        error,
                        "the files of a snapshot could not be merged; a merge is tried again after a later snapshot"
                    );
                }
            }
        }
        self.shards.values().any(due)
    }
}

impl ShardSnapshots {
    /// Names of files that no manifest has yet.
    fn unnamed(&self) -> BTreeSet<String> {
        let merge = self.merge.as_ref().map(|merge| merge.writer().group());
        let open = self.open.as_ref().map(|open| open.parts.writer().group());
        let groups = merge.into_iter().chain(open).chain(self.merged.as_ref().map(|(_, group)| group));
        groups.flat_map(Group::files).map(|file| file.name.clone()).collect()
    }
}

/// The first file of the groups that no longer exists.
fn first_missing(objects: &impl Objects, shard: u32, groups: &[Group]) -> Result<Option<String>, String> {
    if groups.is_empty() {
        return Ok(None);
    }
    let listing = objects.list(&names::folder(shard))?;
    let existing: BTreeSet<&str> = listing.files.iter().map(|(name, _)| name.as_str()).collect();
    let missing = groups.iter().flat_map(Group::files).find(|file| !existing.contains(file.name.as_str()));
    Ok(missing.map(|file| file.name.clone()))
}

/// Writes a manifest and reads back what is stored: it may be another manifest of the same state.
fn put_manifest(objects: &impl Objects, manifest: &Manifest) -> Result<Manifest, String> {
    let Manifest { shard, transaction, .. } = *manifest;
    let name = format!("{}/{}", names::folder(shard), names::manifest(transaction));
    let created = objects.create(&name, manifest.to_bytes())?;
    let stored = match load::manifest(objects, shard, transaction) {
        Ok(stored) => stored,
        Err(ReadError::Unavailable(error)) => return Err(error),
        Err(ReadError::Damaged(error)) if created == Created::Exists => {
            return Err(format!("a manifest of this transaction exists and cannot be read: {error}; remove {name}"));
        }
        Err(ReadError::Damaged(error)) => return Err(format!("the manifest was written and cannot be read: {error}")),
        Err(ReadError::Interrupted) => return Err("reading the manifest was interrupted".to_owned()),
    };
    if !stored.is_same_state(manifest) {
        return Err(format!(
            "a snapshot of this transaction exists with another state, for example of topics that were deleted and created \
             again: remove {name}, or use another location for snapshots"
        ));
    }
    Ok(stored)
}

impl<B: Objects> SnapshotStore for SnapshotWriter<B> {
    /// Nothing to wait for: each piece is handled when it is offered.
    fn wait(&mut self, _: Duration) {}

    fn offer(&mut self, shard: u32, piece: Piece) -> Result<(), Piece> {
        let is_end = matches!(piece, Piece::End);
        self.accept(shard, piece);
        while is_end && self.maintain() {}
        Ok(())
    }

    fn next_outcome(&mut self) -> Option<SnapshotOutcome> {
        self.outcomes.pop_front()
    }

    fn load(
        &mut self,
        shard: u32,
        at_most: u64,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Option<LoadedSnapshot>, LoadError> {
        let found = load::newest(&self.objects, shard, at_most, interrupted)?;
        let (parent, loaded) = found.unzip();
        self.set_parent(shard, parent);
        Ok(loaded)
    }

    fn position_before(&mut self, shard: u32, transaction: u64) -> Result<Option<ShardPosition>, String> {
        load::position_before(&self.objects, shard, transaction)
    }

    fn write_note(&mut self, shard: u32, name: &str, bytes: Option<&[u8]>) -> Result<(), String> {
        write_note(&self.objects, shard, name, bytes)
    }

    fn read_note(&mut self, shard: u32, name: &str) -> Result<Option<Vec<u8>>, String> {
        read_note(&self.objects, shard, name)
    }
}

pub(super) fn write_note(objects: &impl Objects, shard: u32, name: &str, bytes: Option<&[u8]>) -> Result<(), String> {
    let name = names::note(shard, name);
    match bytes {
        Some(bytes) => objects.put(&name, bytes::Bytes::copy_from_slice(bytes)),
        None => objects.remove(&name),
    }
}

pub(super) fn read_note(objects: &impl Objects, shard: u32, name: &str) -> Result<Option<Vec<u8>>, String> {
    Ok(objects.get(&names::note(shard, name))?.map(|bytes| bytes.to_vec()))
}
