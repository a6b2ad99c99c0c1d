//! `shoal snapshot verify`: reads every snapshot as a start would, all its files and rows, and says what is wrong.

use super::list::shards;
use crate::engine::decode::{Partitioner, partition_of};
use crate::store::blobs::Blobs;
use crate::store::columns::{Customers, Kind};
use crate::store::load::{self, Fault};
use crate::store::manifest::Manifest;
use anyhow::anyhow;
use arrow::array::{Array, AsArray};
use std::collections::BTreeSet;

/// What was looked at.
#[derive(Debug, Default)]
pub struct Verified {
    pub snapshots: u64,
    pub bytes: u64,
    /// In words, each with shard and transaction.
    pub damages: Vec<String>,
}

/// Reads everything; `partitioner` says where ids belong.
pub fn verify(blobs: &impl Blobs, partitioner: Partitioner) -> anyhow::Result<Verified> {
    let mut verified = Verified::default();
    for shard in shards(blobs)? {
        let mut known = BTreeSet::new();
        for transaction in load::transactions(blobs, shard, u64::MAX).map_err(|words| anyhow!("{words}"))? {
            verified.snapshots += 1;
            let read = load::manifest(blobs, shard, transaction).and_then(|manifest| {
                let (manifest, loaded) = load::whole(blobs, manifest, &|| false)?;
                verified.bytes += loaded.bytes;
                check_ids(blobs, &manifest, partitioner, &mut known)
            });
            match read {
                Ok(()) => {}
                Err(Fault::Damaged(words)) => {
                    verified.damages.push(format!("shard {shard}, transaction {transaction}: {words}"));
                }
                Err(Fault::Away(words)) => return Err(anyhow!("{words}")),
                Err(Fault::Interrupted) => unreachable!("nobody interrupts it"),
            }
        }
    }
    Ok(verified)
}

/// Whether the customers of all files that are not known yet belong into the shard.
fn check_ids(
    blobs: &impl Blobs,
    manifest: &Manifest,
    partitioner: Partitioner,
    known: &mut BTreeSet<String>,
) -> Result<(), Fault> {
    let (shard, partitions) = (manifest.shard, manifest.place.partitions);
    let files = manifest.groups.iter().flat_map(|group| &group.customers);
    for file in files.filter(|_| partitioner != Partitioner::Any) {
        if !known.insert(file.name.clone()) {
            continue;
        }
        let customers = Customers::new(load::file(blobs, shard, Kind::Customers, file)?);
        let ids = customers.batch().column_by_name("id").expect("the columns were compared").as_string::<i32>();
        let alive = customers.alive();
        let stranger = (0..ids.len()).find(|&place| {
            alive.value(place) && partition_of(partitioner, ids.value(place).as_bytes(), partitions) != shard
        });
        if let Some(place) = stranger {
            let (id, number) = (ids.value(place), customers.numbers()[place]);
            let belongs = partition_of(partitioner, id.as_bytes(), partitions);
            return Err(Fault::Damaged(format!(
                "{}: row {number} holds customer {id:?}, who belongs to shard {belongs} of {partitions} (by {partitioner:?})",
                file.name
            )));
        }
    }
    Ok(())
}
