//! Checks the snapshots, as docs/snapshots.md defines them: how many of a shard are good, and the customers of the
//! newest one.
//!
//! All services have ended in an orderly way, so the newest snapshot of a shard is the state after its last
//! transaction: each customer in it must agree with its last change.

use super::Faults;
use super::changes::ByCustomer;
use super::customers::{self, Customers};
use super::journal::Transactions;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_128;

/// Number of snapshots that are kept of each shard.
const GOOD_MIN: usize = 2;

/// A snapshot whose files all exist and agree with the manifest.
struct Snapshot {
    transaction: u64,
    manifest: Value,
}

/// Counts of what was checked.
#[derive(Default)]
pub struct Checked {
    pub shards: usize,
    pub good: usize,
    pub damaged: usize,
    pub customers: usize,
}

/// Checks the snapshots of all shards that have a journal.
pub fn check(
    folder: &Path,
    transactions: &Transactions,
    changes: &ByCustomer,
    faults: &mut Faults,
) -> Result<Checked, String> {
    let mut checked = Checked::default();
    let mut known = Customers::new();
    for (shard, last_outputs) in transactions.last_outputs() {
        checked.shards += 1;
        let of_shard = folder.join(format!("shard-{shard:05}"));
        let mut good = Vec::new();
        for path in manifests(&of_shard)? {
            match read(&of_shard, &path) {
                Ok(snapshot) => good.push(snapshot),
                Err(_) => checked.damaged += 1,
            }
        }
        checked.good += good.len();
        if good.len() < GOOD_MIN {
            faults.add(format!("snapshots: of shard {shard} {} are good, not {GOOD_MIN}", good.len()));
        }
        let Some(newest) = good.last() else { continue };
        let ended = transactions.last(shard);
        if newest.transaction != ended {
            let found = newest.transaction;
            faults.add(format!("snapshots: the newest of shard {shard} is of transaction {found}, not of {ended}"));
        }
        if newest.manifest["place"]["outputs"] != last_outputs {
            let found = &newest.manifest["place"]["outputs"];
            faults.add(format!(
                "snapshots: the newest of shard {shard} has output {found} as its last, not {last_outputs}"
            ));
        }
        for path in files(&newest.manifest, "customers").map(|file| of_shard.join(file.name)) {
            customers::read(&path, shard, &mut known)?;
        }
    }
    checked.customers = customers::compare(&known, changes, faults);
    Ok(checked)
}

/// In order of their transactions.
fn manifests(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let found = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let paths = found.filter_map(|entry| Some(entry.ok()?.path()));
    let is_manifest =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("manifest-"));
    let mut manifests: Vec<PathBuf> = paths.filter(is_manifest).collect();
    manifests.sort();
    Ok(manifests)
}

fn read(folder: &Path, manifest: &Path) -> Result<Snapshot, String> {
    let text = fs::read_to_string(manifest).map_err(|error| error.to_string())?;
    let (first, second) = text.split_once('\n').ok_or("no second line")?;
    if second != format!("xxh3-128 {:032x}\n", xxh3_128(first.as_bytes())) {
        return Err("the checksum is wrong".into());
    }
    let manifest: Value = serde_json::from_str(first).map_err(|error| error.to_string())?;
    for file in ["customers", "ids", "marks"].into_iter().flat_map(|kind| files(&manifest, kind)) {
        let bytes = fs::read(folder.join(file.name)).map_err(|error| format!("{}: {error}", file.name))?;
        if bytes.len() as u64 != file.bytes || format!("{:032x}", xxh3_128(&bytes)) != file.checksum {
            return Err(format!("{} does not agree with the manifest", file.name));
        }
    }
    let transaction = manifest["transaction"].as_u64().ok_or("no transaction")?;
    Ok(Snapshot { transaction, manifest })
}

struct File<'a> {
    name: &'a str,
    bytes: u64,
    checksum: &'a str,
}

/// The files of one kind, those of the base first.
fn files<'a>(manifest: &'a Value, kind: &'a str) -> impl Iterator<Item = File<'a>> {
    let groups = manifest["groups"].as_array().into_iter().flatten();
    groups.flat_map(move |group| group[kind].as_array().into_iter().flatten()).map(|file| File {
        name: file["name"].as_str().unwrap_or_default(),
        bytes: file["bytes"].as_u64().unwrap_or_default(),
        checksum: file["xxh3_128"].as_str().unwrap_or_default(),
    })
}
