//! The golden files of snapshots. Of the present format: a state that is read from them is written with the same bytes.
//! Of earlier formats: every value in them is read, written in the present format, and kept when a service continues.

use super::values::{contains, rows};
use crate::support::golden::{self, Golden};
use crate::support::memory::golden_config;
use arrow::array::RecordBatch;
use serde_json::Value;
use shoal::engine::effects::Effects;
use shoal::engine::event::{REMEMBERED, Record};
use shoal::engine::shard::{Input, Shard};
use shoal::store::columns::{self, FORMAT, FileKind, IdHours, IdsBuilder, MarksBuilder, read_marks};
use shoal::store::manifest::{File, Manifest};
use shoal::store::objects::MemoryObjects;
use shoal::store::{LoadedSnapshot, Piece, ShardPosition, SnapshotHead, SnapshotStore, SnapshotWriter, load};
use shoal::worker::WorkerConfig;
use std::collections::BTreeMap;
use std::path::PathBuf;
use xxhash_rust::xxh3::xxh3_128;

/// All golden folders with the records and the objects of each.
fn all_golden() -> Vec<(Golden, MemoryObjects)> {
    let folders = std::fs::read_dir(golden::folder("")).expect("the golden folders");
    let folders = folders.map(|folder| folder.expect("a folder").path()).filter(|path| path.is_dir());
    folders.map(|folder: PathBuf| (Golden::read(&folder), golden::objects(&folder))).collect()
}

/// All snapshots of a golden folder.
fn manifests(objects: &MemoryObjects, golden: &Golden) -> Vec<Manifest> {
    let of_shard = |number: u32| {
        let transactions = load::transactions(objects, number, u64::MAX).expect("a list").into_iter();
        transactions.map(move |transaction| load::manifest(objects, number, transaction).expect("a manifest"))
    };
    (0..golden.partitions).flat_map(of_shard).collect()
}

/// Other programs read the files too, so the bytes must not change.
#[test]
fn golden_snapshots_are_written_with_the_same_bytes() {
    for (golden, objects) in all_golden() {
        let of_present_format: Vec<Manifest> =
            manifests(&objects, &golden).into_iter().filter(|manifest| manifest.format == FORMAT).collect();
        let mut written: BTreeMap<&str, usize> = BTreeMap::new();
        for manifest in &of_present_format {
            same_bytes(&golden, &objects, manifest, &mut written);
        }
        let all = ["customers", "ids", "marks"].iter().all(|kind| written.contains_key(kind));
        assert!(all || of_present_format.is_empty(), "{written:?}");
    }
}

fn same_bytes(
    golden: &Golden,
    objects: &MemoryObjects,
    manifest: &Manifest,
    written: &mut BTreeMap<&'static str, usize>,
) {
    let number = manifest.shard;
    for file in manifest.groups.iter().flat_map(|group| &group.ids) {
        let mut hours = IdHours::default();
        hours.read(&load::file(objects, number, FileKind::Ids, file).unwrap()).unwrap();
        let mut builder = IdsBuilder::default();
        hours.into_runs().for_each(|(hour, before, ids)| builder.push(hour, before, ids.into_iter()));
        assert_eq!(checksum(&builder.finish().unwrap()), file.xxh3_128, "{}", file.name);
        *written.entry("ids").or_default() += 1;
    }
    for file in manifest.groups.iter().flat_map(|group| &group.marks) {
        let marks = load::file(objects, number, FileKind::Marks, file).unwrap();
        let mut builder = MarksBuilder::default();
        read_marks(&marks).for_each(|mark| builder.push(mark));
        assert_eq!(checksum(&builder.finish().unwrap()), file.xxh3_128, "{}", file.name);
        *written.entry("marks").or_default() += 1;
    }
    // Customers are restored to a shard; of a snapshot with deltas the files are different ones.
    let [base] = &manifest.groups[..] else { return };
    let (_, loaded) = load::whole(objects, manifest.clone(), &|| false).unwrap();
    let (again, _) = written_in_full(number, &golden_config(golden), loaded);
    let again = load::manifest(&again, number, manifest.transaction).unwrap();
    let checksums = |files: &[File]| files.iter().map(|file| file.xxh3_128.clone()).collect::<Vec<_>>();
    assert_eq!(checksums(&again.groups[0].customers), checksums(&base.customers), "shard {number}");
    assert_eq!((&again.position, &again.state), (&manifest.position, &manifest.state));
    *written.entry("customers").or_default() += 1;
}

fn checksum(batch: &RecordBatch) -> String {
    format!("{:032x}", xxh3_128(&columns::write(batch).unwrap()))
}

/// The full snapshot of a shard that was restored from this one, and the shard.
fn written_in_full(number: u32, config: &WorkerConfig, loaded: LoadedSnapshot) -> (MemoryObjects, Shard) {
    let (mut shard, position) = restored(config, loaded);
    let objects = MemoryObjects::default();
    let mut writer = SnapshotWriter::new(objects.clone(), 2, 1);
    shard.forget_stored();
    store(&mut writer, number, &mut shard, position);
    (objects, shard)
}

fn restored(config: &WorkerConfig, loaded: LoadedSnapshot) -> (Shard, ShardPosition) {
    let LoadedSnapshot { head: SnapshotHead { position, state }, restored, .. } = loaded;
    let rules = config.rules.clone();
    (Shard::restore(config.shard.clone(), rules.clone(), Some(rules), &state, restored), position)
}

fn store(writer: &mut SnapshotWriter<MemoryObjects>, number: u32, shard: &mut Shard, position: ShardPosition) {
    let head = SnapshotHead { position, state: shard.begin_capture() };
    writer.offer(number, Piece::Begin(Box::new(head))).expect("room");
    while let Some(part) = shard.capture(1_000) {
        writer.offer(number, Piece::Part(part)).expect("room");
    }
    writer.offer(number, Piece::End).expect("room");
    writer.next_outcome().expect("an outcome").result.expect("a stored snapshot");
    shard.end_capture(true);
}

/// Every value of every customer in a snapshot of an earlier format is the same in the snapshot of the present format
/// that a shard writes which was restored from it; so are event ids, marks and the small parts of the state.
#[test]
fn snapshots_of_earlier_formats_keep_every_value() {
    let mut compared = 0;
    for (golden, objects) in all_golden() {
        for manifest in manifests(&objects, &golden).iter().filter(|manifest| manifest.format < FORMAT) {
            let number = manifest.shard;
            let (_, loaded) = load::whole(&objects, manifest.clone(), &|| false).expect("an earlier format is read");
            let (again, shard) = written_in_full(number, &golden_config(&golden), loaded);
            let written = load::manifest(&again, number, manifest.transaction).expect("a manifest");
            assert_eq!(written.format, FORMAT);
            assert_eq!((&written.position, &written.state), (&manifest.position, &manifest.state));
            for kind in [FileKind::Customers, FileKind::Ids, FileKind::Marks] {
                let (mut before, after) = (rows(&objects, manifest, kind), rows(&again, &written, kind));
                let watermark = manifest.state.watermark.expect("a watermark");
                // A mark that has ended is not written again.
                before.retain(|_, row| kind != FileKind::Marks || is_in_effect(row, watermark));
                assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>(), "{kind:?}");
                for (key, row) in &before {
                    assert!(contains(&after[key], row), "shard {number}, {kind:?} {key}\n{row}\n{}", after[key]);
                    compared += 1;
                }
            }
            let (_, loaded) = load::whole(&again, written, &|| false).expect("the present format is read");
            assert_eq!(restored(&golden_config(&golden), loaded).0.fingerprint(), shard.fingerprint());
        }
    }
    assert!(compared > 40, "{compared} rows");
}

fn is_in_effect(mark: &Value, watermark: i64) -> bool {
    let counted_from = mark["counted_from"].as_i64().expect("a time");
    !mark["opted_out_at"].is_null() || watermark <= counted_from + REMEMBERED
}

/// Deltas of the present format follow a base of an earlier one, until all are merged.
#[test]
fn a_service_continues_from_snapshots_of_an_earlier_format() {
    let mut continued = 0;
    for (golden, objects) in all_golden() {
        let config = golden_config(&golden);
        for number in 0..golden.partitions {
            let mut writer = SnapshotWriter::new(objects.clone(), 2, 1);
            let loaded = writer.load(number, u64::MAX, &|| false).expect("an answer").expect("a snapshot");
            let first = load::manifest(&objects, number, loaded.head.position.transaction).expect("a manifest");
            if first.format == FORMAT {
                continue;
            }
            let ids: Vec<String> = rows(&objects, &first, FileKind::Customers)
                .values()
                .map(|row| row["id"].as_str().expect("an id").to_owned())
                .collect();
            let (mut shard, mut position) = restored(&config, loaded);
            for round in 1..=4 {
                position.transaction += 1;
                view(&mut shard, number, ids.iter().step_by(2), first.position.now + round * 60_000);
                store(&mut writer, number, &mut shard, position.clone());
                let again = SnapshotWriter::new(objects.clone(), 2, 2).load(number, u64::MAX, &|| false);
                let again = again.expect("an answer").expect("a snapshot");
                assert_eq!(restored(&config, again).0.fingerprint(), shard.fingerprint(), "round {round}");
            }
            let last = load::manifest(&objects, number, position.transaction).expect("a manifest");
            let names =
                |manifest: &Manifest| manifest.groups[0].files().map(|file| file.name.clone()).collect::<Vec<_>>();
            assert!(names(&last).iter().all(|name| !names(&first).contains(name)), "the base is a merged one");
            continued += 1;
        }
    }
    assert!(continued >= 2, "{continued} shards");
}

/// Each of the customers looks at something.
fn view<'a>(shard: &mut Shard, number: u32, ids: impl Iterator<Item = &'a String>, now: i64) {
    let value = format!(r#"{{"type":"view","time":{now}}}"#);
    let record = |id: &'a String| Record {
        topic: 0,
        partition: number,
        offset: now,
        arrival: Some(now),
        key: Some(id.as_bytes()),
        value: value.as_bytes(),
    };
    let records: Vec<Record<'_>> = ids.map(record).collect();
    let mut effects = Effects::default();
    shard.apply(Input::Records { now, records: &records }, &mut effects);
    assert!(effects.rejected.is_empty() && effects.counts.accepted > 0, "{:?}", effects.counts);
}
