//! The golden files of snapshots: a state that is read from them is written with the same bytes.

use crate::support::golden::{self, Golden};
use crate::support::memory::golden_config;
use arrow::array::RecordBatch;
use shoal::engine::shard::Shard;
use shoal::store::columns::{self, FileKind, IdHours, IdsBuilder, MarksBuilder, read_marks};
use shoal::store::manifest::File;
use shoal::store::objects::MemoryObjects;
use shoal::store::{LoadedSnapshot, Piece, SnapshotHead, SnapshotWriter, load};
use shoal::worker::WorkerConfig;
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_128;

/// The golden folder of the present format.
const NEWEST: &str = "journal-5";

/// Other programs read the files too, so the bytes must not change.
#[test]
fn golden_snapshots_are_written_with_the_same_bytes() {
    let golden = Golden::read(&golden::folder(NEWEST));
    let objects = golden::objects(&golden::folder(NEWEST));
    let mut written: BTreeMap<&str, usize> = BTreeMap::new();
    for number in 0..golden.partitions {
        for transaction in load::transactions(&objects, number, u64::MAX).unwrap() {
            let manifest = load::manifest(&objects, number, transaction).unwrap();
            for file in manifest.groups.iter().flat_map(|group| &group.ids) {
                let mut hours = IdHours::default();
                hours.read(&load::file(&objects, number, FileKind::Ids, file).unwrap()).unwrap();
                let mut builder = IdsBuilder::default();
                hours.into_runs().for_each(|(hour, before, ids)| builder.push(hour, before, ids.into_iter()));
                assert_eq!(checksum(&builder.finish().unwrap()), file.xxh3_128, "{}", file.name);
                *written.entry("ids").or_default() += 1;
            }
            for file in manifest.groups.iter().flat_map(|group| &group.marks) {
                let marks = load::file(&objects, number, FileKind::Marks, file).unwrap();
                let mut builder = MarksBuilder::default();
                read_marks(&marks).for_each(|mark| builder.push(mark));
                assert_eq!(checksum(&builder.finish().unwrap()), file.xxh3_128, "{}", file.name);
                *written.entry("marks").or_default() += 1;
            }
            // Customers are restored to a shard; of a snapshot with deltas the files are different ones.
            let [base] = &manifest.groups[..] else { continue };
            let (_, loaded) = load::whole(&objects, manifest.clone(), &|| false).unwrap();
            let again = full_snapshot(number, &golden_config(&golden), loaded);
            let again = load::manifest(&again, number, transaction).unwrap();
            let checksums = |files: &[File]| files.iter().map(|file| file.xxh3_128.clone()).collect::<Vec<_>>();
            assert_eq!(checksums(&again.groups[0].customers), checksums(&base.customers), "{number}, {transaction}");
            assert_eq!((again.position, again.state), (manifest.position, manifest.state));
            *written.entry("customers").or_default() += 1;
        }
    }
    assert!(["customers", "ids", "marks"].iter().all(|kind| written.contains_key(kind)), "{written:?}");
}

fn checksum(batch: &RecordBatch) -> String {
    format!("{:032x}", xxh3_128(&columns::write(batch).unwrap()))
}

/// The full snapshot of a shard that was restored from this one.
fn full_snapshot(number: u32, config: &WorkerConfig, loaded: LoadedSnapshot) -> MemoryObjects {
    let LoadedSnapshot { head: SnapshotHead { position, state }, restored, .. } = loaded;
    let mut shard =
        Shard::restore(config.shard.clone(), config.rules.clone(), Some(config.rules.clone()), &state, restored);
    let objects = MemoryObjects::default();
    let mut writer = SnapshotWriter::new(objects.clone(), 2, 1);
    shard.forget_stored();
    writer.accept(number, Piece::Begin(Box::new(SnapshotHead { position, state: shard.begin_capture() })));
    while let Some(part) = shard.capture(1_000) {
        writer.accept(number, Piece::Part(part));
    }
    writer.accept(number, Piece::End);
    objects
}
