//! `shoal snapshot verify`: reads all files and rows of every snapshot as a start does, and reports damage.

use super::list::shards;
use crate::engine::decode::{Partitioner, partition_of};
use crate::store::columns::{Customers, FileKind};
use crate::store::load::{self, ReadError};
use crate::store::manifest::Manifest;
use crate::store::objects::Objects;
use anyhow::anyhow;
use arrow::array::Array;
use std::collections::BTreeSet;

/// The result of a verification.
#[derive(Debug, Default)]
pub struct Verified {
    pub snapshots: u64,
    pub bytes: u64,
    /// A message for each damaged snapshot, with shard and transaction.
    pub damages: Vec<String>,
}

/// Reads all snapshots; `partitioner` says to which shard an id belongs.
pub fn verify(objects: &impl Objects, partitioner: Partitioner) -> anyhow::Result<Verified> {
    let mut verified = Verified::default();
    for shard in shards(objects)? {
        let mut known = BTreeSet::new();
        for transaction in load::transactions(objects, shard, u64::MAX).map_err(anyhow::Error::msg)? {
            verified.snapshots += 1;
            let read = load::manifest(objects, shard, transaction).and_then(|manifest| {
                let (manifest, loaded) = load::whole(objects, manifest, &|| false)?;
                verified.bytes += loaded.bytes;
                check_ids(objects, &manifest, partitioner, &mut known)
            });
            match read {
                Ok(()) => {}
                Err(ReadError::Damaged(error)) => {
                    verified.damages.push(format!("shard {shard}, transaction {transaction}: {error}"));
                }
                Err(ReadError::Unavailable(error)) => return Err(anyhow!(error)),
                Err(ReadError::Interrupted) => unreachable!("the verification is never interrupted"),
            }
        }
    }
    Ok(verified)
}

/// Checks that the customers of all files that are not in `known` belong to the shard.
fn check_ids(
    objects: &impl Objects,
    manifest: &Manifest,
    partitioner: Partitioner,
    known: &mut BTreeSet<String>,
) -> Result<(), ReadError> {
    let (shard, partitions) = (manifest.shard, manifest.position.partitions);
    let files = manifest.groups.iter().flat_map(|group| &group.customers);
    for file in files.filter(|_| partitioner != Partitioner::Any) {
        if !known.insert(file.name.clone()) {
            continue;
        }
        let customers = Customers::new(load::file(objects, shard, FileKind::Customers, file)?);
        let (ids, alive) = (customers.ids(), customers.alive());
        let misplaced = (0..ids.len()).find(|&index| {
            alive.value(index) && partition_of(partitioner, ids.value(index).as_bytes(), partitions) != shard
        });
        if let Some(index) = misplaced {
            let (id, number) = (ids.value(index), customers.numbers()[index]);
            let belongs = partition_of(partitioner, id.as_bytes(), partitions);
            return Err(ReadError::Damaged(format!(
                "{}: row {number} has customer {id:?}, who belongs to shard {belongs} of {partitions} (by {partitioner:?})",
                file.name
            )));
        }
    }
    Ok(())
}
