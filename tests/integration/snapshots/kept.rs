//! Which snapshots and files are kept, and which are removed.

use super::world::{SHARD, World, load};
use shoal::store::objects::{MemoryObjects, Objects};
use shoal::store::{SnapshotWriter, load as reading, names};
use std::collections::BTreeSet;

fn transactions(objects: &MemoryObjects) -> Vec<u64> {
    reading::transactions(objects, SHARD, u64::MAX).expect("memory")
}

fn files(objects: &MemoryObjects) -> BTreeSet<String> {
    let listing = objects.list(&names::folder(SHARD)).expect("memory");
    listing.files.into_iter().map(|(name, _)| name).filter(|name| name.ends_with(".arrow")).collect()
}

fn named(objects: &MemoryObjects) -> BTreeSet<String> {
    let manifests = transactions(objects).into_iter().map(|transaction| reading::manifest(objects, SHARD, transaction));
    manifests
        .flat_map(|manifest| manifest.expect("good").files().map(|file| file.name.clone()).collect::<Vec<_>>())
        .collect()
}

#[test]
fn the_newest_are_kept_with_one_that_shares_nothing_with_the_newest() {
    let objects = MemoryObjects::default();
    let mut world = World::new(31, 200);
    let mut writer = SnapshotWriter::new(objects.clone(), 2, 1);
    let (mut most, mut with_independent) = (0, 0);
    for round in 1..=30 {
        world.happen(60);
        world.store(&mut writer);
        let kept = transactions(&objects);
        assert_eq!(kept[0], round);
        assert!(round == 1 || kept[1] == round - 1, "{kept:?}");
        let of = |transaction: u64| {
            let manifest = reading::manifest(&objects, SHARD, transaction).expect("good");
            manifest.files().map(|file| file.name.clone()).collect::<BTreeSet<_>>()
        };
        with_independent += u32::from(kept[1..].iter().any(|&older| of(older).is_disjoint(&of(kept[0]))));
        most = most.max(kept.len());
        // Files that no manifest names belong to a merge that is not in a manifest yet.
        let unnamed: Vec<String> = files(&objects).difference(&named(&objects)).cloned().collect();
        let nonces: BTreeSet<&str> = unnamed.iter().filter_map(|name| name.split('-').nth(1)).collect();
        assert!(nonces.len() <= 1, "{unnamed:?}");
        assert!(named(&objects).is_subset(&files(&objects)));
    }
    assert_eq!(most, 3);
    assert!(with_independent > 20, "{with_independent}");
}

#[test]
fn what_nobody_names_goes_and_what_is_newer_stays() {
    let objects = MemoryObjects::default();
    let mut world = World::new(32, 100);
    let mut writer = SnapshotWriter::new(objects.clone(), 2, 1);
    world.happen(200);
    world.store(&mut writer);
    let folder = names::folder(SHARD);
    let put = |name: &str| objects.put(&format!("{folder}/{name}"), "x".into()).expect("memory");
    let (old, newer, other) = (
        "00000000000000000000-0badcafe-customers-0000.arrow",
        "00000000000000000099-0badcafe-ids-0000.arrow",
        "mine.txt",
    );
    [old, newer, other, "manifest-00000000000000000000.json", "manifest-00000000000000000099.json"]
        .into_iter()
        .for_each(put);
    for _ in 0..3 {
        world.happen(10);
        world.store(&mut writer);
    }
    let there = objects.list(&folder).expect("memory").files.into_iter().map(|(name, _)| name).collect::<BTreeSet<_>>();
    assert!(!there.contains(old) && !there.contains("manifest-00000000000000000000.json"), "{there:?}");
    for stays in [newer, other, "manifest-00000000000000000099.json"] {
        assert!(there.contains(stays), "{stays} of {there:?}");
    }
}

#[test]
fn a_damaged_manifest_does_not_count_as_kept() {
    let objects = MemoryObjects::default();
    let mut world = World::new(33, 100);
    let mut writer = SnapshotWriter::new(objects.clone(), 2, 1);
    for _ in 0..2 {
        world.happen(50);
        world.store(&mut writer);
    }
    objects.put(&format!("{}/{}", names::folder(SHARD), names::manifest(2)), "{}".into()).expect("memory");
    world.happen(50);
    world.store(&mut writer);
    assert_eq!(transactions(&objects), [3, 2, 1], "the one before the damaged one is kept");
    world.happen(50);
    let fingerprint = world.store(&mut writer);
    assert!(!transactions(&objects).contains(&2), "the damaged one is old by now");
    let loaded = load(&mut writer).expect("a snapshot");
    assert_eq!(world.restore(loaded).fingerprint(), fingerprint);
}
