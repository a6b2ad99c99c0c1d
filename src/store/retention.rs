//! Which snapshots are kept, and the removal of files that none of them needs.
//!
//! The newest `keep` readable snapshots are kept. If they all share a file, the newest older snapshot that shares no
//! file with the newest one is kept too, so that one damaged file leaves a snapshot to start from. A manifest is
//! removed before its files. Nothing as new as the oldest of the newest `keep` snapshots is removed: it may belong to a
//! snapshot that is being written.

use super::load::{self, ReadError};
use super::manifest::Manifest;
use super::names;
use super::objects::{Listing, Objects};
use crate::fault_injection;
use std::collections::BTreeSet;

/// Removes snapshots up to a transaction that are not kept, and their files; `in_use` are files that no manifest names
/// yet. Returns the number of removed objects.
pub fn remove_old(
    objects: &impl Objects,
    shard: u32,
    until: u64,
    keep: usize,
    in_use: &BTreeSet<String>,
) -> Result<usize, String> {
    let folder = names::folder(shard);
    let listing = objects.list(&folder)?;
    let mut known: Vec<u64> = manifests(&listing).filter(|&transaction| transaction <= until).collect();
    known.sort_unstable_by(|a, b| b.cmp(a));
    let kept = kept(objects, shard, &known, keep)?;
    let Some(oldest) = kept[..keep.min(kept.len())].last().map(|manifest| manifest.transaction) else { return Ok(0) };
    let is_kept = |transaction: u64| kept.iter().any(|manifest| manifest.transaction == transaction);
    let mut removed = 0;
    for transaction in known.into_iter().filter(|&transaction| transaction < oldest && !is_kept(transaction)).rev() {
        fault_injection::crash_point("retention/manifest");
        objects.remove(&format!("{folder}/{}", names::manifest(transaction)))?;
        removed += 1;
    }
    let named: BTreeSet<&str> = kept.iter().flat_map(Manifest::files).map(|file| file.name.as_str()).collect();
    // Newer manifests may belong to another history; their files stay.
    let newer: BTreeSet<String> = manifests(&listing)
        .filter(|&transaction| transaction > until)
        .map(|transaction| match load::manifest(objects, shard, transaction) {
            Ok(manifest) => Ok(manifest.files().map(|file| file.name.clone()).collect::<Vec<_>>()),
            Err(ReadError::Unavailable(error)) => Err(error),
            Err(_) => Ok(Vec::new()),
        })
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .flatten()
        .collect();
    for (name, _) in &listing.files {
        let is_old = names::file_transaction(name).is_some_and(|transaction| transaction < oldest);
        if is_old && !named.contains(name.as_str()) && !newer.contains(name) && !in_use.contains(name) {
            fault_injection::crash_point("retention/file");
            objects.remove(&format!("{folder}/{name}"))?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Removes the snapshots after a transaction, the newest first: they belong to an abandoned history.
pub fn remove_after(objects: &impl Objects, shard: u32, transaction: u64) -> Result<usize, String> {
    let folder = names::folder(shard);
    let mut later: Vec<u64> = manifests(&objects.list(&folder)?).filter(|&other| other > transaction).collect();
    later.sort_unstable_by(|a, b| b.cmp(a));
    for &other in &later {
        objects.remove(&format!("{folder}/{}", names::manifest(other)))?;
    }
    Ok(later.len())
}

fn manifests(listing: &Listing) -> impl Iterator<Item = u64> + '_ {
    listing.files.iter().filter_map(|(name, _)| names::manifest_transaction(name))
}

/// The manifests to keep; `known` are the transactions of all manifests, the newest first.
fn kept(objects: &impl Objects, shard: u32, known: &[u64], keep: usize) -> Result<Vec<Manifest>, String> {
    let mut kept: Vec<Manifest> = Vec::new();
    for &transaction in known {
        let manifest = match load::manifest(objects, shard, transaction) {
            Ok(manifest) => manifest,
            Err(ReadError::Unavailable(error)) => return Err(error),
            Err(_) => continue,
        };
        if kept.len() < keep {
            kept.push(manifest);
        } else if is_independent(&kept[0], &manifest) {
            kept.push(manifest);
            break;
        }
        if kept.len() >= keep && kept[1..].iter().any(|other| is_independent(&kept[0], other)) {
            break;
        }
    }
    Ok(kept)
}

/// Whether two snapshots share no file.
fn is_independent(one: &Manifest, other: &Manifest) -> bool {
    let names: BTreeSet<&str> = one.files().map(|file| file.name.as_str()).collect();
    !other.files().any(|file| names.contains(file.name.as_str()))
}
