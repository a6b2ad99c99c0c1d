//! Two snapshots of a shard made by hand: a base, and a delta with the rows that changed since.

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray, TimestampMillisecondArray, UInt32Array};
use arrow::ipc::writer::FileWriter;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_128;

/// The fault in the snapshots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wrong {
    #[default]
    Nothing,
    /// A byte of the newer snapshot's file is changed.
    Damaged,
    /// There is no snapshot of the last transaction.
    Stale,
    /// A changed customer is missing in the newer snapshot.
    RowMissing,
}

/// A customer with its number, whether it is alive, and its sequence.
type Row = (&'static str, u32, bool, u32);

const BASE: &[Row] = &[("ann", 0, true, 2), ("bob", 1, true, 1)];
const DELTA: &[Row] = &[("ann", 0, true, 3), ("bob", 1, false, 2)];

/// Writes both snapshots into the folder of shard 0: of transactions 2 and 3, after 7 and 12 outputs.
pub fn write(folder: &Path, wrong: Wrong) -> Result<(), Box<dyn Error>> {
    let folder = folder.join("shard-00000");
    fs::create_dir_all(&folder)?;
    let delta = if wrong == Wrong::RowMissing { &DELTA[1..] } else { DELTA };
    let base = write_group(&folder, 2, BASE)?;
    let delta = write_group(&folder, 3, delta)?;
    write_manifest(&folder, 1, 4, &base)?;
    write_manifest(&folder, 2, 7, &base)?;
    if wrong != Wrong::Stale {
        write_manifest(&folder, 3, 12, &format!("{base},{delta}"))?;
    }
    if wrong == Wrong::Damaged {
        fs::remove_file(folder.join(manifest_name(1)))?;
        let file = folder.join(file_name(3));
        let mut bytes = fs::read(&file)?;
        bytes[100] ^= 1;
        fs::write(file, bytes)?;
    }
    Ok(())
}

fn file_name(transaction: u32) -> String {
    format!("{transaction:020}-00000000-customers-0000.arrow")
}

fn manifest_name(transaction: u32) -> String {
    format!("manifest-{transaction:020}.json")
}

/// Writes the file of a group; returns its entry in the manifest.
fn write_group(folder: &Path, transaction: u32, rows: &[Row]) -> Result<String, Box<dyn Error>> {
    let columns: [(&str, ArrayRef); 5] = [
        ("id", Arc::new(rows.iter().map(|row| Some(row.0)).collect::<StringArray>())),
        ("number", Arc::new(rows.iter().map(|row| Some(row.1)).collect::<UInt32Array>())),
        ("alive", Arc::new(rows.iter().map(|row| Some(row.2)).collect::<BooleanArray>())),
        ("sequence", Arc::new(rows.iter().map(|row| Some(row.3)).collect::<UInt32Array>())),
        ("life", Arc::new(rows.iter().map(|_| Some(1)).collect::<TimestampMillisecondArray>())),
    ];
    let batch = RecordBatch::try_from_iter(columns)?;
    let mut writer = FileWriter::try_new(Vec::new(), &batch.schema())?;
    writer.write(&batch)?;
    let bytes = writer.into_inner()?;
    let (name, length, checksum) = (file_name(transaction), bytes.len(), xxh3_128(&bytes));
    fs::write(folder.join(&name), &bytes)?;
    let file = format!(r#"{{"name":"{name}","bytes":{length},"rows":{},"xxh3_128":"{checksum:032x}"}}"#, rows.len());
    Ok(format!(r#"{{"transaction":{transaction},"customers":[{file}],"ids":[],"marks":[]}}"#))
}

fn write_manifest(folder: &Path, transaction: u32, outputs: u32, groups: &str) -> Result<(), Box<dyn Error>> {
    let line = format!(
        r#"{{"format":1,"shard":0,"transaction":{transaction},"place":{{"outputs":{outputs}}},"groups":[{groups}]}}"#
    );
    let checksum = xxh3_128(line.as_bytes());
    fs::write(folder.join(manifest_name(transaction)), format!("{line}\nxxh3-128 {checksum:032x}\n"))?;
    Ok(())
}
