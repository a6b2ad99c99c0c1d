//! Keeps the snapshots of a worker's shards: makes them of pieces, merges their files, removes what is old, loads them.
//!
//! A keeper does it all on the thread that asks. In a service that is a thread of its own ([`super::VaultThread`]), which
//! merges while no pieces come; in simulations, seeding and tests it is the caller's, and a merge follows its snapshot.

use super::blobs::{Blobs, Created};
use super::group::{GroupWriter, Parts};
use super::load::{self, Fault};
use super::manifest::{Group, Manifest};
use super::merge::{Merge, Step, worth_it};
use super::{Head, LoadFailed, Loaded, Outcome, Piece, Place, Stored, Vault, names, retention};
use crate::engine::shard::Part;
use crate::random::Random;
use crate::trial;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::time::{Duration, Instant};

/// All that is known of the snapshots of some shards.
pub struct Keeper<B> {
    blobs: B,
    /// Snapshots kept of each shard.
    keep: usize,
    nonces: Random,
    shards: BTreeMap<u32, Kept>,
    outcomes: VecDeque<Outcome>,
    failures: u64,
}

/// What is known of a shard's snapshots.
#[derive(Default)]
struct Kept {
    /// The snapshot that the next one stands on, as it was stored or loaded last.
    footing: Option<Manifest>,
    /// The footing's files are gone: only a snapshot of everything can be stored.
    needs_all: bool,
    making: Option<Making>,
    merging: Option<Box<Merge>>,
    /// A merged group that takes the place of groups of the footing in the next manifest.
    merged: Option<(Range<usize>, Group)>,
    /// Old snapshots have yet to be removed.
    is_untidy: bool,
}

/// A snapshot in the making.
struct Making {
    head: Box<Head>,
    parts: Parts,
    began: Instant,
    /// Why it cannot be stored any more.
    failed: Option<String>,
}

impl<B: Blobs> Keeper<B> {
    /// A keeper that keeps so many snapshots of each shard; the seed makes its files' names different from others'.
    pub fn new(blobs: B, keep: usize, seed: u64) -> Self {
        Self {
            blobs,
            keep: keep.max(1),
            nonces: Random(seed),
            shards: BTreeMap::new(),
            outcomes: VecDeque::new(),
            failures: 0,
        }
    }

    pub fn blobs(&self) -> &B {
        &self.blobs
    }

    /// Removes a shard's snapshots after a transaction: of a history that is not gone on with. How many there were.
    pub fn drop_after(&mut self, shard: u32, transaction: u64) -> Result<usize, String> {
        retention::drop_after(&self.blobs, shard, transaction)
    }

    /// On what the next snapshot of a shard stands: one that was loaded elsewhere, or none.
    pub fn set_footing(&mut self, shard: u32, footing: Option<Manifest>) {
        self.abandon(shard);
        let kept = self.shards.entry(shard).or_default();
        if let Some(merging) = kept.merging.take() {
            merging.writer().remove(&self.blobs);
        }
        *kept = Kept { footing, ..Kept::default() };
    }

    /// Takes a piece, and stores the snapshot with its last one.
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

    fn begin(&mut self, shard: u32, head: Box<Head>) {
        self.abandon(shard);
        let writer = GroupWriter::new(shard, head.place.transaction, self.nonce());
        let kept = self.shards.entry(shard).or_default();
        let is_whole = kept.footing.is_none();
        let backwards = kept.footing.as_ref().filter(|footing| footing.transaction > head.place.transaction);
        let failed = backwards.map(|footing| {
            let (last, now) = (footing.transaction, head.place.transaction);
            format!("expected a transaction after {last}, of which the last snapshot is, found {now}")
        });
        kept.making = Some(Making { head, parts: Parts::new(writer, is_whole), began: Instant::now(), failed });
        trial::crash_point("snapshot/begin");
    }

    fn add(&mut self, shard: u32, part: Part) {
        let Some(making) = self.making(shard) else { return };
        if making.failed.is_none() {
            let mut making =
                self.shards.get_mut(&shard).and_then(|kept| kept.making.take()).expect("it is in the making");
            making.failed = making.parts.add(&self.blobs, part).err();
            self.shards.entry(shard).or_default().making = Some(making);
        }
    }

    fn making(&mut self, shard: u32) -> Option<&mut Making> {
        self.shards.get_mut(&shard)?.making.as_mut()
    }

    fn abandon(&mut self, shard: u32) {
        if let Some(making) = self.shards.get_mut(&shard).and_then(|kept| kept.making.take()) {
            making.parts.writer().remove(&self.blobs);
        }
    }

    fn end(&mut self, shard: u32) {
        let Some(mut making) = self.shards.get_mut(&shard).and_then(|kept| kept.making.take()) else { return };
        let transaction = making.head.place.transaction;
        let result = match making.failed.take() {
            Some(words) => Err(words),
            None => self.store(shard, &mut making),
        };
        if let Err(words) = &result {
            self.failures += 1;
            making.parts.writer().remove(&self.blobs);
            tracing::warn!("shard {shard}: no snapshot of transaction {transaction}; the stream goes on: {words}");
        }
        let needs_all = self.shards.get(&shard).is_some_and(|kept| kept.needs_all);
        let failures = self.failures;
        self.outcomes.push_back(Outcome { shard, transaction, result, needs_all, failures });
    }

    /// Writes what is left, and the manifest.
    fn store(&mut self, shard: u32, making: &mut Making) -> Result<Stored, String> {
        making.parts.finish(&self.blobs)?;
        trial::crash_point("snapshot/before-manifest");
        let kept = self.shards.entry(shard).or_default();
        let mut groups = kept.footing.as_ref().map_or_else(Vec::new, |footing| footing.groups.clone());
        let is_whole = groups.is_empty();
        if is_whole && making.parts.rows() != making.head.state.customers as u64 {
            kept.needs_all = true;
            let (rows, all) = (making.parts.rows(), making.head.state.customers);
            return Err(format!("there is none that it could stand on, and it has {rows} of {all} customers"));
        }
        if let Some((range, group)) = &kept.merged {
            groups.splice(range.clone(), [group.clone()]);
        }
        if let Some(gone) = first_gone(&self.blobs, shard, &groups)? {
            *kept = Kept { needs_all: true, ..Kept::default() };
            return Err(format!("{gone}, on which it stands, is gone; the next snapshot must be of everything"));
        }
        let own = making.parts.writer().group().clone();
        let stored = Stored {
            rows: making.parts.rows(),
            bytes: own.bytes(),
            is_whole,
            took_ms: making.began.elapsed().as_millis() as u64,
        };
        groups.push(own);
        let manifest = Manifest::new(shard, &making.head, groups)?;
        let standing = put_manifest(&self.blobs, &manifest)?;
        trial::crash_point("snapshot/after-manifest");
        if standing.groups != manifest.groups {
            making.parts.writer().remove(&self.blobs);
        }
        let kept = self.shards.entry(shard).or_default();
        if kept.merged.take().is_some() || standing.groups != manifest.groups {
            kept.merging = None;
        }
        kept.footing = Some(standing);
        kept.needs_all = false;
        kept.is_untidy = true;
        self.plan_merge(shard);
        Ok(stored)
    }

    fn plan_merge(&mut self, shard: u32) {
        let nonce = self.nonce();
        let kept = self.shards.entry(shard).or_default();
        if let Some(footing) = &kept.footing
            && kept.merging.is_none()
            && let Some(range) = worth_it(&footing.groups)
        {
            kept.merging = Some(Box::new(Merge::new(footing, range, nonce)));
        }
    }

    /// Does a piece of the work that nobody waits for: one file of a merge, or the removal of what is old. Whether there
    /// is more of it.
    pub fn tend(&mut self) -> bool {
        let due = |kept: &Kept| kept.is_untidy || kept.merging.is_some();
        let Some((&shard, kept)) = self.shards.iter_mut().find(|(_, kept)| due(kept)) else { return false };
        if kept.is_untidy {
            kept.is_untidy = false;
            let in_use = kept.unnamed();
            if let Some(until) = kept.footing.as_ref().map(|footing| footing.transaction)
                && let Err(words) = retention::tidy(&self.blobs, shard, until, self.keep, &in_use)
            {
                tracing::warn!("shard {shard}: old snapshots stay until after the next one: {words}");
            }
        } else if let Some(merging) = kept.merging.take() {
            match merging.step(&self.blobs) {
                Step::GoesOn(merging) => kept.merging = Some(merging),
                Step::Done(range, group) => kept.merged = Some((range, group)),
                Step::Failed(writer, fault) => {
                    writer.remove(&self.blobs);
                    let (Fault::Damaged(words) | Fault::Away(words)) = fault else { return true };
                    tracing::warn!("shard {shard}: the files of its snapshots could not be merged: {words}");
                }
            }
        }
        self.shards.values().any(due)
    }
}

impl Kept {
    /// Files that no manifest names yet.
    fn unnamed(&self) -> BTreeSet<String> {
        let merging = self.merging.as_ref().map(|merging| merging.writer().group());
        let making = self.making.as_ref().map(|making| making.parts.writer().group());
        let groups = merging.into_iter().chain(making).chain(self.merged.as_ref().map(|(_, group)| group));
        groups.flat_map(Group::files).map(|file| file.name.clone()).collect()
    }
}

/// The first file of the groups that is not there any more.
fn first_gone(blobs: &impl Blobs, shard: u32, groups: &[Group]) -> Result<Option<String>, String> {
    if groups.is_empty() {
        return Ok(None);
    }
    let listing = blobs.list(&names::folder(shard))?;
    let there: BTreeSet<&str> = listing.files.iter().map(|(name, _)| name.as_str()).collect();
    let gone = groups.iter().flat_map(Group::files).find(|file| !there.contains(file.name.as_str()));
    Ok(gone.map(|file| file.name.clone()))
}

/// Puts a manifest, and reads back what stands there: it may be another one of the same state.
fn put_manifest(blobs: &impl Blobs, manifest: &Manifest) -> Result<Manifest, String> {
    let Manifest { shard, transaction, .. } = *manifest;
    let name = format!("{}/{}", names::folder(shard), names::manifest(transaction));
    let created = blobs.create(&name, manifest.to_bytes())?;
    let standing = match load::manifest(blobs, shard, transaction) {
        Ok(standing) => standing,
        Err(Fault::Away(words)) => return Err(words),
        Err(Fault::Damaged(words)) if created == Created::Exists => {
            return Err(format!("{words}; it stands in the way: remove {name}"));
        }
        Err(Fault::Damaged(words)) => return Err(format!("the manifest was written, and then: {words}")),
        Err(Fault::Interrupted) => return Err("reading the manifest was interrupted".to_owned()),
    };
    if !standing.is_same_state(manifest) {
        let words = "there is a snapshot of this transaction already, and it says other things of the shard";
        return Err(format!("{words}: is it of topics that were there before? Remove {name}, or use another folder"));
    }
    Ok(standing)
}

impl<B: Blobs> Vault for Keeper<B> {
    /// Everything was done when it was handed over.
    fn wait(&mut self, _: Duration) {}

    fn take(&mut self, shard: u32, piece: Piece) -> Result<(), Piece> {
        let is_end = matches!(piece, Piece::End);
        self.accept(shard, piece);
        while is_end && self.tend() {}
        Ok(())
    }

    fn outcome(&mut self) -> Option<Outcome> {
        self.outcomes.pop_front()
    }

    fn load(&mut self, shard: u32, at_most: u64, interrupted: &dyn Fn() -> bool) -> Result<Option<Loaded>, LoadFailed> {
        let found = load::newest(&self.blobs, shard, at_most, interrupted)?;
        let (footing, loaded) = found.unzip();
        self.set_footing(shard, footing);
        Ok(loaded)
    }

    fn place_before(&mut self, shard: u32, transaction: u64) -> Result<Option<Place>, String> {
        load::place_before(&self.blobs, shard, transaction)
    }

    fn note(&mut self, shard: u32, name: &str, bytes: Option<&[u8]>) -> Result<(), String> {
        note(&self.blobs, shard, name, bytes)
    }

    fn noted(&mut self, shard: u32, name: &str) -> Result<Option<Vec<u8>>, String> {
        noted(&self.blobs, shard, name)
    }
}

pub(super) fn note(blobs: &impl Blobs, shard: u32, name: &str, bytes: Option<&[u8]>) -> Result<(), String> {
    let name = names::note(shard, name);
    match bytes {
        Some(bytes) => blobs.put(&name, bytes::Bytes::copy_from_slice(bytes)),
        None => blobs.remove(&name),
    }
}

pub(super) fn noted(blobs: &impl Blobs, shard: u32, name: &str) -> Result<Option<Vec<u8>>, String> {
    Ok(blobs.get(&names::note(shard, name))?.map(|bytes| bytes.to_vec()))
}
