//! `shoal snapshot list`: the snapshots of every shard, from their manifests.

use crate::engine::calendar::rfc3339_text;
use crate::engine::event::Millis;
use crate::offline::summary::grouped;
use crate::store::load::{self, ReadError};
use crate::store::manifest::{Group, Manifest};
use crate::store::names;
use crate::store::objects::Objects;
use anyhow::anyhow;
use serde::Serialize;
use std::fmt;

/// A snapshot, or the damage of its manifest.
#[derive(Debug, Serialize)]
pub struct ListedSnapshot {
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
    /// `base`: the whole state at its transaction; `delta`: the changes since the part before.
    pub kind: &'static str,
    pub transaction: u64,
    pub rows: u64,
    pub bytes: u64,
    pub files: Vec<String>,
}

/// The shards with stored objects, in order.
pub fn shards(objects: &impl Objects) -> anyhow::Result<Vec<u32>> {
    let folders = objects.list("").map_err(anyhow::Error::msg)?.folders;
    let mut shards: Vec<u32> = folders.iter().filter_map(|folder| names::shard(folder)).collect();
    shards.sort_unstable();
    Ok(shards)
}

/// All snapshots by shard, the newest first.
pub fn list(objects: &impl Objects) -> anyhow::Result<Vec<ListedSnapshot>> {
    let mut entries = Vec::new();
    for shard in shards(objects)? {
        for transaction in load::transactions(objects, shard, u64::MAX).map_err(anyhow::Error::msg)? {
            let content = match load::manifest(objects, shard, transaction) {
                Ok(manifest) => Content::Snapshot(Box::new(Snapshot::of(&manifest))),
                Err(ReadError::Damaged(damaged)) => Content::Damaged { damaged },
                Err(ReadError::Unavailable(error)) => return Err(anyhow!(error)),
                Err(ReadError::Interrupted) => unreachable!("reading a manifest is never interrupted"),
            };
            entries.push(ListedSnapshot { shard, transaction, content });
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
            partitions: manifest.position.partitions,
            rules_version: manifest.position.rules_version.clone(),
            program: manifest.program.clone(),
            bytes: manifest.files().map(|file| file.bytes).sum(),
            groups: manifest.groups.iter().enumerate().map(|(index, group)| Part::of(index, group)).collect(),
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
    fn of(index: usize, group: &Group) -> Self {
        Self {
            kind: if index == 0 { "base" } else { "delta" },
            transaction: group.transaction,
            rows: group.customers.iter().map(|file| file.rows).sum(),
            bytes: group.bytes(),
            files: group.files().map(|file| file.name.clone()).collect(),
        }
    }
}

/// The snapshots as a table for people.
pub struct Table<'a>(pub &'a [ListedSnapshot]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["shard", "transaction", "watermark", "customers", "files", "base bytes", "delta bytes", "rules"];
        writeln!(
            f,
            "{:>5} {:>12}  {:24} {:>11} {:>5} {:>14} {:>14}  {}",
            head[0], head[1], head[2], head[3], head[4], head[5], head[6], head[7]
        )?;
        for ListedSnapshot { shard, transaction, content } in self.0 {
            write!(f, "{shard:>5} {transaction:>12}  ")?;
            match content {
                Content::Damaged { damaged } => writeln!(f, "damaged: {damaged}")?,
                Content::Snapshot(snapshot) => writeln!(
                    f,
                    "{:24} {:>11} {:>5} {:>14} {:>14}  {}",
                    snapshot.watermark.as_deref().unwrap_or("no events yet"),
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
