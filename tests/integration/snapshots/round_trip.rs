//! A stored state is loaded unchanged, after any number of merges, and with events during its capture.

use super::world::{SHARD, World, load};
use shoal::random::Random;
use shoal::store::objects::{MemoryObjects, Objects};
use shoal::store::{Piece, SnapshotStore, SnapshotWriter};

fn seed() -> u64 {
    let clock = std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970").as_nanos() as u64;
    let seed = std::env::var("SHOAL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(clock);
    println!("SHOAL_SEED={seed}");
    seed
}

#[test]
fn random_shards_come_back_as_they_were() {
    let mut seeds = Random(seed());
    let (mut merged, mut resumed, mut erased) = (0, 0, 0);
    for _ in 0..12 {
        let seed = seeds.draw();
        let mut world = World::new(seed, 30 + seed % 500);
        let objects = MemoryObjects::default();
        let mut writer = SnapshotWriter::new(objects.clone(), 2, seed);
        for round in 0..12 {
            let events = if world.random.one_in(4) { 600 } else { 30 };
            world.happen(events);
            if world.random.one_in(4) {
                world.change_rules();
            }
            let customers = world.shard.head().customers;
            let events_between = if round % 2 == 0 { 3 } else { 0 };
            let (fingerprint, outcome) = world.snapshot(&mut writer, events_between);
            let stored = outcome.result.unwrap_or_else(|message| panic!("seed {seed}, round {round}: {message}"));
            assert_eq!(stored.is_full, round == 0, "seed {seed}");
            // A new writer continues: only the contents of the store count.
            let loaded = load(&mut SnapshotWriter::new(objects.clone(), 2, 0)).expect("a snapshot");
            assert_eq!(loaded.head.position.transaction, world.transaction());
            assert_eq!(loaded.head.state.customers, customers);
            let groups = manifest_groups(&objects, world.transaction());
            merged += usize::from(groups < round + 1);
            let restored = world.restore(loaded);
            assert_eq!(restored.fingerprint(), fingerprint, "seed {seed}, round {round}");
            if world.shard.fingerprint() == fingerprint && world.random.one_in(2) {
                writer = SnapshotWriter::new(objects.clone(), 2, seeds.draw());
                let loaded = load(&mut writer).expect("a snapshot");
                world.resume(loaded);
                resumed += 1;
            }
        }
        erased += usize::from(objects.edit(|objects| objects.keys().any(|name| name.contains("marks"))));
    }
    assert!(merged > 20 && resumed > 5 && erased > 5, "{merged} merged, {resumed} resumed, {erased} with marks");
}

fn manifest_groups(objects: &MemoryObjects, transaction: u64) -> usize {
    shoal::store::load::manifest(objects, SHARD, transaction).expect("a manifest").groups.len()
}

#[test]
fn many_small_deltas_are_merged_among_themselves() {
    let mut world = World::new(5, 300);
    let objects = MemoryObjects::default();
    let mut writer = SnapshotWriter::new(objects.clone(), 2, 1);
    world.happen(3_000);
    world.store(&mut writer);
    let mut most = 0;
    for _ in 0..40 {
        world.happen(1);
        let fingerprint = world.store(&mut writer);
        let loaded = load(&mut SnapshotWriter::new(objects.clone(), 2, 0)).expect("a snapshot");
        assert_eq!(world.restore(loaded).fingerprint(), fingerprint);
        most = most.max(manifest_groups(&objects, world.transaction()));
    }
    assert!((3..=16).contains(&most), "at most {most} groups");
}

#[test]
fn a_snapshot_that_is_given_up_leaves_nothing_and_the_next_has_it_all() {
    let mut world = World::new(9, 100);
    let objects = MemoryObjects::default();
    let mut writer = SnapshotWriter::new(objects.clone(), 2, 1);
    world.happen(300);
    world.store(&mut writer);
    let names = |objects: &MemoryObjects| objects.edit(|objects| objects.keys().cloned().collect::<Vec<_>>());
    let before = names(&objects);
    world.happen(50);
    let head = shoal::store::SnapshotHead { position: load_head(&objects), state: world.shard.begin_capture() };
    writer.offer(SHARD, Piece::Begin(Box::new(head))).expect("room");
    while let Some(part) = world.shard.capture(10) {
        writer.offer(SHARD, Piece::Part(part)).expect("room");
    }
    writer.offer(SHARD, Piece::Abandoned).expect("room");
    world.shard.end_capture(false);
    assert!(writer.next_outcome().is_none());
    assert_eq!(names(&objects), before);
    let fingerprint = world.store(&mut writer);
    let loaded = load(&mut writer).expect("a snapshot");
    assert_eq!(world.restore(loaded).fingerprint(), fingerprint);
}

fn load_head(objects: &MemoryObjects) -> shoal::store::ShardPosition {
    let loaded = load(&mut SnapshotWriter::new(objects.clone(), 2, 0)).expect("a snapshot");
    shoal::store::ShardPosition { transaction: loaded.head.position.transaction + 1, ..loaded.head.position }
}

#[test]
fn an_earlier_snapshot_is_found_by_its_transaction() {
    let mut world = World::new(11, 50);
    let mut writer = SnapshotWriter::new(MemoryObjects::default(), 2, 1);
    world.happen(200);
    let first = world.store(&mut writer);
    world.happen(20);
    world.store(&mut writer);
    let loaded = writer.load(SHARD, 1, &|| false).expect("an answer").expect("a snapshot");
    assert_eq!((loaded.head.position.transaction, world.restore(loaded).fingerprint()), (1, first));
    assert!(writer.load(SHARD, 0, &|| false).expect("an answer").is_none());
    assert!(writer.load(SHARD, 9, &|| true).is_err(), "it was interrupted");
}

#[test]
fn notes_lie_beside_snapshots() {
    let objects = MemoryObjects::default();
    let mut writer = SnapshotWriter::new(objects.clone(), 2, 1);
    assert_eq!(writer.read_note(SHARD, "attempt"), Ok(None));
    writer.write_note(SHARD, "attempt", Some(b"once")).expect("a note");
    let mut world = World::new(1, 20);
    for _ in 0..5 {
        world.happen(50);
        world.store(&mut writer);
    }
    assert_eq!(writer.read_note(SHARD, "attempt"), Ok(Some(b"once".to_vec())), "retention leaves notes alone");
    writer.write_note(SHARD, "attempt", None).expect("a note");
    assert_eq!(writer.read_note(SHARD, "attempt"), Ok(None));
    assert!(objects.list("").expect("a list").folders.len() == 1);
}
