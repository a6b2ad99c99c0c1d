//! A damaged, truncated or missing block of any file is detected, and the snapshot before is loaded.

use super::world::{SHARD, World, load};
use bytes::Bytes;
use shoal::store::load::ReadError;
use shoal::store::manifest::Manifest;
use shoal::store::objects::{MemoryObjects, Objects};
use shoal::store::{SnapshotWriter, load as reading, names};
use std::collections::BTreeSet;

const BLOCK: usize = 4_096;

/// Two snapshots that share no file, and optionally one between them that shares files with the older one.
struct Prepared {
    objects: MemoryObjects,
    older: (u64, u64),
    newest: (u64, u64),
    world: World,
}

/// A snapshot's files and its manifest, by path.
fn paths(objects: &MemoryObjects, transaction: u64) -> BTreeSet<String> {
    let manifest = reading::manifest(objects, SHARD, transaction).expect("a manifest");
    let folder = names::folder(SHARD);
    let own = format!("{folder}/{}", names::manifest(transaction));
    manifest.files().map(|file| format!("{folder}/{}", file.name)).chain([own]).collect()
}

fn prepare() -> Prepared {
    let objects = MemoryObjects::default();
    let mut world = World::new(77, 60);
    let mut writer = SnapshotWriter::new(objects.clone(), 2, 7);
    world.happen(500);
    let mut history = Vec::new();
    loop {
        let fingerprint = world.store(&mut writer);
        history.push((world.transaction(), fingerprint));
        let newest = paths(&objects, world.transaction());
        let older = history.iter().rev().find(|(transaction, _)| {
            reading::manifest(&objects, SHARD, *transaction).is_ok()
                && paths(&objects, *transaction).is_disjoint(&newest)
        });
        if let Some(&older) = older {
            return Prepared { newest: (world.transaction(), fingerprint), older, objects, world };
        }
        assert!(history.len() < 20, "the base is merged now and then");
        world.happen(120);
    }
}

/// Loads the snapshots with one object replaced or removed, and restores the object.
fn loaded_without(prepared: &Prepared, path: &str, with: Option<Bytes>) -> (u64, u64) {
    let Prepared { objects, world, .. } = prepared;
    let was = objects.edit(|objects| match with {
        Some(bytes) => objects.insert(path.to_owned(), bytes),
        None => objects.remove(path),
    });
    let loaded = load(&mut SnapshotWriter::new(objects.clone(), 2, 0)).expect("one is good");
    let found = (loaded.head.position.transaction, world.restore(loaded).fingerprint());
    objects.edit(|objects| objects.insert(path.to_owned(), was.expect("it was there")));
    found
}

fn flipped(bytes: &Bytes, index: usize) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes[index] ^= 1 << (index % 8);
    bytes.into()
}

#[test]
fn any_damage_to_the_newest_snapshot_leads_to_one_before() {
    let prepared = prepare();
    let (mut flips, mut cuts, mut missing) = (0, 0, 0);
    for path in paths(&prepared.objects, prepared.newest.0) {
        let bytes = prepared.objects.get(&path).expect("an answer").expect("the file");
        for block in (0..bytes.len()).step_by(BLOCK) {
            let index = block + (block / BLOCK * 977) % (bytes.len() - block).min(BLOCK);
            let with = flipped(&bytes, index);
            assert_eq!(loaded_without(&prepared, &path, Some(with)), prepared.older, "{path}, byte {index} flipped");
            flips += 1;
            let cut = bytes.slice(..block);
            assert_eq!(loaded_without(&prepared, &path, Some(cut)), prepared.older, "{path} cut at {block}");
            cuts += 1;
        }
        let longer = [&bytes[..], b"\n"].concat();
        assert_eq!(loaded_without(&prepared, &path, Some(longer.into())), prepared.older, "{path} with one byte more");
        assert_eq!(loaded_without(&prepared, &path, None), prepared.older, "{path} missing");
        missing += 1;
    }
    let path = paths(&prepared.objects, prepared.newest.0).pop_last().expect("a file");
    let bytes = prepared.objects.get(&path).expect("an answer").expect("the file");
    assert_eq!(loaded_without(&prepared, &path, Some(bytes)), prepared.newest, "whole again");
    println!("{flips} blocks flipped, {cuts} cuts, {missing} files missing: each led to the snapshot before");
    assert!(flips > 15 && missing >= 3);
}

#[test]
fn damage_to_the_older_snapshot_leaves_the_newest_alone() {
    let prepared = prepare();
    for path in paths(&prepared.objects, prepared.older.0) {
        assert_eq!(loaded_without(&prepared, &path, None), prepared.newest, "{path} missing");
    }
}

#[test]
fn every_byte_of_every_file_counts() {
    let prepared = prepare();
    let objects = MemoryObjects::default();
    let manifest = reading::manifest(&prepared.objects, SHARD, prepared.newest.0).expect("a manifest");
    let bytes = manifest.to_bytes();
    for index in 0..bytes.len() {
        let error = Manifest::from_bytes(&flipped(&bytes, index));
        assert!(error.is_err(), "byte {index} of the manifest");
        assert!(Manifest::from_bytes(&bytes[..index]).is_err(), "the manifest cut at {index}");
    }
    for group in &manifest.groups {
        let kinds = [shoal::store::columns::FileKind::Customers, shoal::store::columns::FileKind::Ids];
        for (kind, file) in
            kinds.into_iter().zip([&group.customers, &group.ids]).filter_map(|(k, f)| Some((k, f.first()?)))
        {
            let path = format!("{}/{}", names::folder(SHARD), file.name);
            let bytes = prepared.objects.get(&path).expect("an answer").expect("the file");
            for index in 0..bytes.len() {
                objects.put(&path, flipped(&bytes, index)).expect("memory");
                let fault = reading::file(&objects, SHARD, kind, file);
                assert!(matches!(fault, Err(ReadError::Damaged(_))), "byte {index} of {}", file.name);
            }
        }
    }
}

#[test]
fn a_manifest_of_another_format_or_shard_is_passed_over() {
    let prepared = prepare();
    let path = format!("{}/{}", names::folder(SHARD), names::manifest(prepared.newest.0));
    let manifest = reading::manifest(&prepared.objects, SHARD, prepared.newest.0).expect("a manifest");
    let newer = Manifest { format: 4, ..manifest.clone() }.to_bytes();
    let message = Manifest::from_bytes(&newer).expect_err("another format");
    assert_eq!(message, "expected a format from 2 to 3, found format 4");
    assert_eq!(loaded_without(&prepared, &path, Some(newer)), prepared.older);
    let strange = Manifest { shard: SHARD + 1, ..manifest };
    assert_eq!(loaded_without(&prepared, &path, Some(strange.to_bytes())), prepared.older);
}

#[test]
fn if_all_is_damaged_there_is_none() {
    let prepared = prepare();
    prepared.objects.edit(|objects| objects.retain(|path, _| !path.ends_with(".arrow")));
    assert!(load(&mut SnapshotWriter::new(prepared.objects.clone(), 2, 0)).is_none());
}
