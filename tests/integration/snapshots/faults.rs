//! Stores that are full or unavailable, refuse requests, or answer wrongly: the snapshot fails with a message and is
//! counted, the shard continues, and incomplete files are never loaded as a snapshot.

use super::world::{SHARD, World, load};
use bytes::Bytes;
use shoal::store::objects::{Created, Listing, MemoryObjects, Objects};
use shoal::store::{LoadError, SnapshotSettings, SnapshotStore, SnapshotWriter, StoredObjects};
use std::cell::{Cell, RefCell};
use std::path::Path;
use std::process::Command;
use std::rc::Rc;

/// The fault of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Nothing,
    /// It does not answer after this number of requests.
    Away(u32),
    /// It reports that it is full after this number of writes, and has stored half of the last one.
    Full(u32),
    /// It is read-only.
    ReadOnly,
    /// It reports that an object existed already when it has just created it.
    SaysExists,
    /// It lets every conditional creation of an object succeed.
    LetsAllWin,
    /// It reports that it has created an object, but has not.
    Loses,
}

/// A store in memory with a fault; clones share it.
#[derive(Clone)]
struct Faulty {
    objects: MemoryObjects,
    wrong: Rc<Cell<Wrong>>,
    requests: Rc<RefCell<u32>>,
}

impl Faulty {
    fn new() -> Self {
        let wrong = Rc::new(Cell::new(Wrong::Nothing));
        Self { objects: MemoryObjects::default(), wrong, requests: Rc::default() }
    }

    fn be(&self, wrong: Wrong) {
        self.wrong.set(wrong);
        *self.requests.borrow_mut() = 0;
    }

    fn ask(&self, is_write: bool) -> Result<(), String> {
        let mut requests = self.requests.borrow_mut();
        *requests += u32::from(is_write || matches!(self.wrong.get(), Wrong::Away(_)));
        match self.wrong.get() {
            Wrong::Away(after) if *requests > after => Err("no answer within 120 s".to_owned()),
            Wrong::Full(after) if is_write && *requests > after => Err("no space left on device".to_owned()),
            Wrong::ReadOnly if is_write => Err("permission denied".to_owned()),
            _ => Ok(()),
        }
    }
}

impl Objects for Faulty {
    fn put(&self, path: &str, bytes: Bytes) -> Result<(), String> {
        let half = bytes.slice(..bytes.len() / 2);
        self.ask(true).inspect_err(|message| {
            if message.contains("space") {
                self.objects.put(path, half).expect("memory");
            }
        })?;
        self.objects.put(path, bytes)
    }

    fn create(&self, path: &str, bytes: Bytes) -> Result<Created, String> {
        self.ask(true)?;
        match self.wrong.get() {
            Wrong::SaysExists => self.objects.create(path, bytes).map(|_| Created::Exists),
            Wrong::LetsAllWin => self.objects.put(path, bytes).map(|()| Created::Created),
            Wrong::Loses => Ok(Created::Created),
            _ => self.objects.create(path, bytes),
        }
    }

    fn get(&self, path: &str) -> Result<Option<Bytes>, String> {
        self.ask(false)?;
        self.objects.get(path)
    }

    fn list(&self, folder: &str) -> Result<Listing, String> {
        self.ask(false)?;
        self.objects.list(folder)
    }

    fn remove(&self, path: &str) -> Result<(), String> {
        if !matches!(self.wrong.get(), Wrong::Full(_)) {
            self.ask(true)?;
        }
        self.objects.remove(path)
    }
}

/// A store fails for two snapshots and then works again.
fn goes_wrong(wrong: Wrong, words_expected: &str) {
    let store = Faulty::new();
    let mut world = World::new(21, 150);
    let mut writer = SnapshotWriter::new(store.clone(), 2, 1);
    world.happen(400);
    let first = world.store(&mut writer);
    store.be(wrong);
    for failures in 1..=2 {
        world.happen(40);
        let (_, outcome) = world.snapshot(&mut writer, 1);
        let message = outcome.result.expect_err("the store is wrong");
        assert!(message.contains(words_expected), "{wrong:?}: {message}");
        assert_eq!(outcome.failures, failures);
        store.be(Wrong::Nothing);
        let loaded = load(&mut SnapshotWriter::new(store.clone(), 2, 0)).expect("the first one");
        assert_eq!((loaded.head.position.transaction, world.restore(loaded).fingerprint()), (1, first), "{wrong:?}");
        store.be(wrong);
    }
    store.be(Wrong::Nothing);
    world.happen(40);
    let fingerprint = world.store(&mut writer);
    let loaded = load(&mut SnapshotWriter::new(store.clone(), 2, 0)).expect("a snapshot");
    assert_eq!(world.restore(loaded).fingerprint(), fingerprint, "{wrong:?}");
    for _ in 0..6 {
        world.happen(100);
        world.store(&mut writer);
    }
    let (named, there) = named_and_there(&store.objects);
    assert!(there.iter().all(|name| named.contains(name)), "{wrong:?}: {there:?} are more than {named:?}");
}

/// Files that manifests name, and files that are older than the newest snapshot, without manifests.
fn named_and_there(objects: &MemoryObjects) -> (Vec<String>, Vec<String>) {
    let known = shoal::store::load::transactions(objects, SHARD, u64::MAX).expect("memory");
    let manifests = known.iter().map(|&transaction| shoal::store::load::manifest(objects, SHARD, transaction));
    let named = manifests
        .flat_map(|manifest| manifest.expect("good").files().map(|file| file.name.clone()).collect::<Vec<_>>());
    let listing = objects.list(&shoal::store::names::folder(SHARD)).expect("memory");
    let oldest = *known.last().expect("a snapshot");
    let files = listing.files.into_iter().map(|(name, _)| name);
    let is_old =
        |name: &String| shoal::store::names::file_transaction(name).is_some_and(|transaction| transaction < oldest);
    (named.collect(), files.filter(is_old).collect())
}

#[test]
fn a_store_that_is_away_fails_the_snapshot_and_the_next_one_has_it_all() {
    for after in 0..4 {
        goes_wrong(Wrong::Away(after), "no answer");
    }
}

#[test]
fn a_full_store_fails_the_snapshot_and_the_next_one_has_it_all() {
    goes_wrong(Wrong::Full(0), "no space");
    goes_wrong(Wrong::Full(1), "no space");
}

#[test]
fn a_store_that_refuses_fails_the_snapshot() {
    goes_wrong(Wrong::ReadOnly, "permission denied");
}

#[test]
fn a_manifest_that_was_lost_is_no_snapshot() {
    goes_wrong(Wrong::Loses, "is missing");
}

#[test]
fn a_store_that_denies_its_own_success_has_a_snapshot_all_the_same() {
    for wrong in [Wrong::SaysExists, Wrong::LetsAllWin] {
        let store = Faulty::new();
        let mut world = World::new(22, 100);
        let mut writer = SnapshotWriter::new(store.clone(), 2, 1);
        world.happen(300);
        store.be(wrong);
        let fingerprint = world.store(&mut writer);
        let loaded = load(&mut SnapshotWriter::new(store.clone(), 2, 0)).expect("a snapshot");
        assert_eq!(world.restore(loaded).fingerprint(), fingerprint, "{wrong:?}");
    }
}

#[test]
fn two_writers_of_one_transaction_do_each_other_no_harm() {
    for wrong in [Wrong::Nothing, Wrong::SaysExists, Wrong::LetsAllWin] {
        let store = Faulty::new();
        store.be(wrong);
        let (mut one, mut other) = (World::new(23, 100), World::new(23, 100));
        let mut writers = [SnapshotWriter::new(store.clone(), 2, 1), SnapshotWriter::new(store.clone(), 2, 2)];
        for _ in 0..6 {
            one.happen(90);
            other.happen(90);
            let fingerprint = one.store(&mut writers[0]);
            assert_eq!(other.store(&mut writers[1]), fingerprint, "the same shard twice");
            let loaded = load(&mut SnapshotWriter::new(store.clone(), 2, 0)).expect("a snapshot");
            assert_eq!(one.restore(loaded).fingerprint(), fingerprint, "{wrong:?}");
        }
    }
}

#[test]
fn a_snapshot_of_another_history_is_not_taken_for_ours() {
    let store = MemoryObjects::default();
    let mut old = World::new(24, 100);
    old.happen(100);
    old.store(&mut SnapshotWriter::new(store.clone(), 2, 1));
    let mut new = World::new(25, 100);
    new.happen(100);
    let (_, outcome) = new.snapshot(&mut SnapshotWriter::new(store.clone(), 2, 2), 0);
    assert!(outcome.result.expect_err("it is there").contains("exists with another state"));
}

#[test]
fn when_the_folder_is_emptied_the_next_snapshot_is_of_everything() {
    let store = MemoryObjects::default();
    let mut world = World::new(26, 100);
    let mut writer = SnapshotWriter::new(store.clone(), 2, 1);
    world.happen(300);
    world.store(&mut writer);
    store.edit(|objects| objects.clear());
    world.happen(30);
    let (_, outcome) = world.snapshot(&mut writer, 0);
    assert!(outcome.needs_full && outcome.result.expect_err("nothing to stand on").contains("is missing"));
    let (fingerprint, outcome) = world.snapshot(&mut writer, 2);
    assert!(!outcome.needs_full && outcome.result.expect("stored").is_full);
    let loaded = load(&mut SnapshotWriter::new(store, 2, 0)).expect("a snapshot");
    assert_eq!(world.restore(loaded).fingerprint(), fingerprint);
}

#[test]
fn a_store_that_is_away_is_not_a_store_without_snapshots() {
    let store = Faulty::new();
    let mut world = World::new(27, 60);
    let mut writer = SnapshotWriter::new(store.clone(), 2, 1);
    world.happen(100);
    world.store(&mut writer);
    for after in 0..4 {
        store.be(Wrong::Away(after));
        let failed = writer.load(SHARD, u64::MAX, &|| false).err();
        assert_eq!(failed, Some(LoadError::Unavailable("no answer within 120 s".to_owned())), "after {after} requests");
    }
}

/// A small file system that exists as long as this value.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let mounted = mount(&["-t", "tmpfs", "-o", "size=400k", "tmpfs"], folder.path());
        mounted.then_some(Self(folder))
    }
}

fn mount(arguments: &[&str], folder: &Path) -> bool {
    Command::new("mount").args(arguments).arg(folder).output().is_ok_and(|output| output.status.success())
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "the small disk stays mounted");
    }
}

#[test]
fn a_real_disk_that_is_full_or_read_only_fails_the_snapshot() {
    let Some(disk) = SmallDisk::mount() else {
        return println!("SKIPPED: only root can mount a small disk; the same is tested on a store in memory");
    };
    let url = disk.0.path().join("snapshots").to_string_lossy().into_owned();
    let settings = SnapshotSettings { url, ..SnapshotSettings::default() };
    let open = || StoredObjects::open(&settings).expect("a folder");
    let mut world = World::new(28, 60);
    let mut writer = SnapshotWriter::new(open(), 2, 1);
    world.happen(100);
    let first = world.store(&mut writer);
    let filler = disk.0.path().join("filler");
    let filled = std::fs::write(&filler, vec![0; 1 << 20]).expect_err("the disk is small");
    assert_eq!(filled.kind(), std::io::ErrorKind::StorageFull);
    world.happen(30);
    let (_, outcome) = world.snapshot(&mut writer, 0);
    let message = outcome.result.expect_err("no room");
    assert!(message.contains("writing shard-00003/") && message.contains("No space left"), "{message}");
    std::fs::remove_file(&filler).expect("room again");
    assert!(mount(&["-o", "remount,ro"], disk.0.path()), "read-only");
    let (_, outcome) = world.snapshot(&mut writer, 0);
    assert!(outcome.result.expect_err("read-only").contains("Read-only file system"));
    let loaded = load(&mut SnapshotWriter::new(open(), 2, 0)).expect("the first one");
    assert_eq!(world.restore(loaded).fingerprint(), first);
    assert!(mount(&["-o", "remount,rw"], disk.0.path()), "writable again");
    let fingerprint = world.store(&mut writer);
    let loaded = load(&mut SnapshotWriter::new(open(), 2, 0)).expect("a snapshot");
    assert_eq!(world.restore(loaded).fingerprint(), fingerprint);
}

#[test]
fn a_folder_that_cannot_be_made_at_the_start_is_made_later() {
    let Some(disk) = SmallDisk::mount() else {
        return println!("SKIPPED: only root can mount a small disk; the same is tested without writing");
    };
    assert!(mount(&["-o", "remount,ro"], disk.0.path()), "read-only");
    let url = disk.0.path().join("snapshots").to_string_lossy().into_owned();
    let settings = SnapshotSettings { url, ..SnapshotSettings::default() };
    let message = StoredObjects::open(&settings).err().expect("a command does not wait");
    assert!(message.contains("the folder cannot be created") && message.contains("Read-only file system"), "{message}");
    let mut world = World::new(29, 60);
    world.happen(100);
    let mut writer = SnapshotWriter::new(StoredObjects::open_or_later(&settings).expect("it may come"), 2, 1);
    assert!(load(&mut writer).is_none(), "nothing can be in it");
    let (_, outcome) = world.snapshot(&mut writer, 0);
    assert!(outcome.result.expect_err("read-only").contains("Read-only file system"));
    assert!(mount(&["-o", "remount,rw"], disk.0.path()), "writable");
    let fingerprint = world.store(&mut writer);
    let loaded =
        load(&mut SnapshotWriter::new(StoredObjects::open(&settings).expect("a folder"), 2, 0)).expect("a snapshot");
    assert_eq!(world.restore(loaded).fingerprint(), fingerprint);
}

#[test]
fn a_place_that_is_away_is_empty_and_a_wrong_one_is_refused() {
    // No folder can be created here.
    let settings = |url: &str| SnapshotSettings { url: url.to_owned(), ..SnapshotSettings::default() };
    let objects = StoredObjects::open_or_later(&settings("/proc/shoal/snapshots")).expect("it may come");
    assert_eq!((objects.list("shard-00000"), objects.get("shard-00000/x")), (Ok(Listing::default()), Ok(None)));
    assert_eq!(objects.remove("shard-00000/x"), Ok(()));
    let message = objects.put("shard-00000/x", Bytes::new()).expect_err("there is no folder");
    assert!(message.contains("snapshots cannot be stored at /proc/shoal/snapshots"), "{message}");
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().to_str().expect("a path");
    for wrong in [path.to_owned(), format!("{path}/snapshots"), "gs://bucket".to_owned()] {
        assert!(StoredObjects::open_or_later(&settings(&wrong)).is_err(), "{wrong}");
    }
}
