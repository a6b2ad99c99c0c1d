//! What is stored comes back as it was, however often it was merged, whatever happened while it was captured.

use super::world::{SHARD, World, load};
use shoal::random::Random;
use shoal::store::blobs::{Blobs, MemoryBlobs};
use shoal::store::{Keeper, Piece, Vault};

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
        let blobs = MemoryBlobs::default();
        let mut keeper = Keeper::new(blobs.clone(), 2, seed);
        for round in 0..12 {
            let events = if world.random.one_in(4) { 600 } else { 30 };
            world.happen(events);
            if world.random.one_in(4) {
                world.change_rules();
            }
            let customers = world.shard.head().customers;
            let events_between = if round % 2 == 0 { 3 } else { 0 };
            let (fingerprint, outcome) = world.snapshot(&mut keeper, events_between);
            let stored = outcome.result.unwrap_or_else(|message| panic!("seed {seed}, round {round}: {message}"));
            assert_eq!(stored.is_whole, round == 0, "seed {seed}");
            // Another keeper than the one that goes on: what stands in the store counts.
            let loaded = load(&mut Keeper::new(blobs.clone(), 2, 0)).expect("a snapshot");
            assert_eq!(loaded.head.place.transaction, world.transaction());
            assert_eq!(loaded.head.state.customers, customers);
            let groups = manifest_groups(&blobs, world.transaction());
            merged += usize::from(groups < round + 1);
            let restored = world.restore(loaded);
            assert_eq!(restored.fingerprint(), fingerprint, "seed {seed}, round {round}");
            if world.shard.fingerprint() == fingerprint && world.random.one_in(2) {
                keeper = Keeper::new(blobs.clone(), 2, seeds.draw());
                let loaded = load(&mut keeper).expect("a snapshot");
                world.resume(loaded);
                resumed += 1;
            }
        }
        erased += usize::from(blobs.objects(|objects| objects.keys().any(|name| name.contains("marks"))));
    }
    assert!(merged > 20 && resumed > 5 && erased > 5, "{merged} merged, {resumed} resumed, {erased} with marks");
}

fn manifest_groups(blobs: &MemoryBlobs, transaction: u64) -> usize {
    shoal::store::load::manifest(blobs, SHARD, transaction).expect("a manifest").groups.len()
}

#[test]
fn many_small_deltas_are_merged_among_themselves() {
    let mut world = World::new(5, 300);
    let blobs = MemoryBlobs::default();
    let mut keeper = Keeper::new(blobs.clone(), 2, 1);
    world.happen(3_000);
    world.store(&mut keeper);
    let mut most = 0;
    for _ in 0..40 {
        world.happen(1);
        let fingerprint = world.store(&mut keeper);
        let loaded = load(&mut Keeper::new(blobs.clone(), 2, 0)).expect("a snapshot");
        assert_eq!(world.restore(loaded).fingerprint(), fingerprint);
        most = most.max(manifest_groups(&blobs, world.transaction()));
    }
    assert!((3..=16).contains(&most), "at most {most} groups");
}

#[test]
fn a_snapshot_that_is_given_up_leaves_nothing_and_the_next_has_it_all() {
    let mut world = World::new(9, 100);
    let blobs = MemoryBlobs::default();
    let mut keeper = Keeper::new(blobs.clone(), 2, 1);
    world.happen(300);
    world.store(&mut keeper);
    let names = |blobs: &MemoryBlobs| blobs.objects(|objects| objects.keys().cloned().collect::<Vec<_>>());
    let before = names(&blobs);
    world.happen(50);
    let head = shoal::store::Head { place: load_head(&blobs), state: world.shard.begin_capture() };
    keeper.take(SHARD, Piece::Begin(Box::new(head))).expect("room");
    while let Some(part) = world.shard.capture(10) {
        keeper.take(SHARD, Piece::Part(part)).expect("room");
    }
    keeper.take(SHARD, Piece::Abandoned).expect("room");
    world.shard.end_capture(false);
    assert!(keeper.outcome().is_none());
    assert_eq!(names(&blobs), before);
    let fingerprint = world.store(&mut keeper);
    let loaded = load(&mut keeper).expect("a snapshot");
    assert_eq!(world.restore(loaded).fingerprint(), fingerprint);
}

fn load_head(blobs: &MemoryBlobs) -> shoal::store::Place {
    let loaded = load(&mut Keeper::new(blobs.clone(), 2, 0)).expect("a snapshot");
    shoal::store::Place { transaction: loaded.head.place.transaction + 1, ..loaded.head.place }
}

#[test]
fn an_earlier_snapshot_is_found_by_its_transaction() {
    let mut world = World::new(11, 50);
    let mut keeper = Keeper::new(MemoryBlobs::default(), 2, 1);
    world.happen(200);
    let first = world.store(&mut keeper);
    world.happen(20);
    world.store(&mut keeper);
    let loaded = keeper.load(SHARD, 1, &|| false).expect("an answer").expect("a snapshot");
    assert_eq!((loaded.head.place.transaction, world.restore(loaded).fingerprint()), (1, first));
    assert!(keeper.load(SHARD, 0, &|| false).expect("an answer").is_none());
    assert!(keeper.load(SHARD, 9, &|| true).is_err(), "it was interrupted");
}

#[test]
fn notes_lie_beside_snapshots() {
    let blobs = MemoryBlobs::default();
    let mut keeper = Keeper::new(blobs.clone(), 2, 1);
    assert_eq!(keeper.noted(SHARD, "attempt"), Ok(None));
    keeper.note(SHARD, "attempt", Some(b"once")).expect("a note");
    let mut world = World::new(1, 20);
    for _ in 0..5 {
        world.happen(50);
        world.store(&mut keeper);
    }
    assert_eq!(keeper.noted(SHARD, "attempt"), Ok(Some(b"once".to_vec())), "retention leaves notes alone");
    keeper.note(SHARD, "attempt", None).expect("a note");
    assert_eq!(keeper.noted(SHARD, "attempt"), Ok(None));
    assert!(blobs.list("").expect("a list").folders.len() == 1);
}
