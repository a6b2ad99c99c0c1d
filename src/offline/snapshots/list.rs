//! `shoal snapshot list`: the snapshots of every shard, from their manifests alone.

use crate::engine::calendar::rfc3339_text;
use crate::engine::event::Millis;
use crate::offline::summary::grouped;
use crate::store::blobs::Blobs;
use crate::store::load::{self, Fault};
use crate::store::manifest::{Group, Manifest};
use crate::store::names;
use anyhow::anyhow;
use serde::Serialize;
use std::fmt;

/// One snapshot, or what stands in its place.
#[derive(Debug, Serialize)]
pub struct Entry {
    pub shard: u32,
    pub transaction: u64,
    #[serde(flatten)]
    pub content: Content,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Content {
    Snapshot(Box<Snapshot>),
    Damaged { damaged: String },
}

#[derive(Debug, Serialize)]
pub struct Snapshot {
    /// RFC 3339; none before the first event.
    pub watermark: Option<String>,
    pub latest_event: Option<String>,
    pub customers: u64,
    pub partitions: u32,
    pub rules_version: String,
    pub program: String,
    pub bytes: u64,
    pub groups: Vec<Part>,
}

/// Files that were written together.
#[derive(Debug, Serialize)]
pub struct Part {
    /// `base`: of everything until its transaction; `delta`: of what changed since the part before.
    pub kind: &'static str,
    pub transaction: u64,
    pub rows: u64,
    pub bytes: u64,
    pub files: Vec<String>,
}

/// The shards of which there is anything, in order.
pub fn shards(blobs: &impl Blobs) -> anyhow::Result<Vec<u32>> {
    let folders = blobs.list("").map_err(|words| anyhow!("{words}"))?.folders;
    let mut shards: Vec<u32> = folders.iter().filter_map(|folder| names::shard(folder)).collect();
    shards.sort_unstable();
    Ok(shards)
}

/// All snapshots by shard, the newest first.
pub fn list(blobs: &impl Blobs) -> anyhow::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for shard in shards(blobs)? {
        for transaction in load::transactions(blobs, shard, u64::MAX).map_err(|words| anyhow!("{words}"))? {
            let content = match load::manifest(blobs, shard, transaction) {
                Ok(manifest) => Content::Snapshot(Box::new(Snapshot::of(&manifest))),
                Err(Fault::Damaged(damaged)) => Content::Damaged { damaged },
                Err(Fault::Away(words)) => return Err(anyhow!("{words}")),
                Err(Fault::Interrupted) => unreachable!("nobody interrupts the reading of a manifest"),
            };
            entries.push(Entry { shard, transaction, content });
        }
    }
    Ok(entries)
}

impl Snapshot {
    fn of(manifest: &Manifest) -> Self {
        let moment = |moment: Option<Millis>| moment.map(|at| String::from_utf8_lossy(&rfc3339_text(at)).into_owned());
        Self {
            watermark: moment(manifest.state.watermark),
            latest_event: moment(manifest.state.latest_event),
            customers: manifest.state.customers,
            partitions: manifest.place.partitions,
            rules_version: manifest.place.rules_version.clone(),
            program: manifest.program.clone(),
            bytes: manifest.files().map(|file| file.bytes).sum(),
            groups: manifest.groups.iter().enumerate().map(|(place, group)| Part::of(place, group)).collect(),
        }
    }

    fn files(&self) -> usize {
        self.groups.iter().map(|part| part.files.len()).sum()
    }

    fn bytes_of(&self, kind: &str) -> u64 {
        self.groups.iter().filter(|part| part.kind == kind).map(|part| part.bytes).sum()
    }
}

impl Part {
    fn of(place: usize, group: &Group) -> Self {
        Self {
            kind: if place == 0 { "base" } else { "delta" },
            transaction: group.transaction,
            rows: group.customers.iter().map(|file| file.rows).sum(),
            bytes: group.bytes(),
            files: group.files().map(|file| file.name.clone()).collect(),
        }
    }
}

/// The table for people.
pub struct Table<'a>(pub &'a [Entry]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["shard", "transaction", "watermark", "customers", "files", "base bytes", "delta bytes", "rules"];
        writeln!(
            f,
            "{:>5} {:>12}  {:24} {:>11} {:>5} {:>14} {:>14}  {}",
            head[0], head[1], head[2], head[3], head[4], head[5], head[6], head[7]
        )?;
        for Entry { shard, transaction, content } in self.0 {
            write!(f, "{shard:>5} {transaction:>12}  ")?;
            match content {
                Content::Damaged { damaged } => writeln!(f, "damaged: {damaged}")?,
                Content::Snapshot(snapshot) => writeln!(
                    f,
                    "{:24} {:>11} {:>5} {:>14} {:>14}  {}",
                    snapshot.watermark.as_deref().unwrap_or("no time yet"),
                    grouped(snapshot.customers),
                    snapshot.files(),
                    grouped(snapshot.bytes_of("base")),
                    grouped(snapshot.bytes_of("delta")),
                    snapshot.rules_version
                )?,
            }
        }
        Ok(())
    }
}
