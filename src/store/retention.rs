//! Which snapshots are kept, and the removal of what none of them needs.
//!
//! Kept are the newest few that can be read, and, if all of these share a file, the newest one before that shares none
//! with the newest: damage to one file then leaves one to start from. Manifests go before the files they name, and
//! nothing goes that is as new as the oldest of the newest few or newer: it may belong to a snapshot in the making.

use super::blobs::{Blobs, Listing};
use super::load::{self, Fault};
use super::manifest::Manifest;
use super::names;
use crate::trial;
use std::collections::BTreeSet;

/// Removes what snapshots until a transaction do not need any more; `in_use` are names of files that nobody names yet.
/// What was removed.
pub fn tidy(
    blobs: &impl Blobs,
    shard: u32,
    until: u64,
    keep: usize,
    in_use: &BTreeSet<String>,
) -> Result<usize, String> {
    let folder = names::folder(shard);
    let listing = blobs.list(&folder)?;
    let mut known: Vec<u64> = manifests(&listing).filter(|&transaction| transaction <= until).collect();
    known.sort_unstable_by(|a, b| b.cmp(a));
    let kept = kept(blobs, shard, &known, keep)?;
    let Some(oldest) = kept[..keep.min(kept.len())].last().map(|manifest| manifest.transaction) else { return Ok(0) };
    let is_kept = |transaction: u64| kept.iter().any(|manifest| manifest.transaction == transaction);
    let mut removed = 0;
    for transaction in known.into_iter().filter(|&transaction| transaction < oldest && !is_kept(transaction)).rev() {
        trial::crash_point("retention/manifest");
        blobs.remove(&format!("{folder}/{}", names::manifest(transaction)))?;
        removed += 1;
    }
    let named: BTreeSet<&str> = kept.iter().flat_map(Manifest::files).map(|file| file.name.as_str()).collect();
    // What newer manifests name, of another history perhaps, is not ours to judge.
    let newer: BTreeSet<String> = manifests(&listing)
        .filter(|&transaction| transaction > until)
        .map(|transaction| match load::manifest(blobs, shard, transaction) {
            Ok(manifest) => Ok(manifest.files().map(|file| file.name.clone()).collect::<Vec<_>>()),
            Err(Fault::Away(words)) => Err(words),
            Err(_) => Ok(Vec::new()),
        })
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .flatten()
        .collect();
    for (name, _) in &listing.files {
        let is_old = names::file_transaction(name).is_some_and(|transaction| transaction < oldest);
        if is_old && !named.contains(name.as_str()) && !newer.contains(name) && !in_use.contains(name) {
            trial::crash_point("retention/file");
            blobs.remove(&format!("{folder}/{name}"))?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Removes the snapshots after a transaction, the newest first: they are of a history that is not gone on with.
pub fn drop_after(blobs: &impl Blobs, shard: u32, transaction: u64) -> Result<usize, String> {
    let folder = names::folder(shard);
    let mut later: Vec<u64> = manifests(&blobs.list(&folder)?).filter(|&other| other > transaction).collect();
    later.sort_unstable_by(|a, b| b.cmp(a));
    for &other in &later {
        blobs.remove(&format!("{folder}/{}", names::manifest(other)))?;
    }
    Ok(later.len())
}

fn manifests(listing: &Listing) -> impl Iterator<Item = u64> + '_ {
    listing.files.iter().filter_map(|(name, _)| names::manifest_transaction(name))
}

/// The manifests to keep, of those known, which come the newest first.
fn kept(blobs: &impl Blobs, shard: u32, known: &[u64], keep: usize) -> Result<Vec<Manifest>, String> {
    let mut kept: Vec<Manifest> = Vec::new();
    for &transaction in known {
        let manifest = match load::manifest(blobs, shard, transaction) {
            Ok(manifest) => manifest,
            Err(Fault::Away(words)) => return Err(words),
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
