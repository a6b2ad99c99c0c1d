//! The object storage with a world's snapshots, and its faults, drawn from the world's seed.
//!
//! It loses objects that it has acknowledged, acknowledges halves and flipped bits, fails before or after it has done
//! what was requested, answers conditional writes wrongly, and is unavailable for a while. In front of it is a snapshot
//! store that is sometimes busy and reports outcomes late, as the one on a thread of its own does. All workers of a
//! world share one storage; its faults are counted.

use super::tally;
use bytes::Bytes;
use shoal::kafka::memory::Cluster;
use shoal::random::Random;
use shoal::store::objects::{Created, Listing, MemoryObjects, Objects};
use shoal::store::{LoadError, LoadedSnapshot, Piece, ShardPosition, SnapshotOutcome, SnapshotStore, SnapshotWriter};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

/// If faults are planned, one of this many requests fails.
const ONE_IN: u64 = 60;
/// The longest time for which the storage is unavailable, and for which the store is busy or an outcome is late.
const UNAVAILABLE_MS_MAX: u64 = 3_000;
const BUSY_MS_MAX: u64 = 400;

/// A world's object storage; clones share their objects.
#[derive(Clone)]
pub struct FaultyStorage {
    objects: MemoryObjects,
    cluster: Cluster,
    state: Rc<RefCell<State>>,
}

struct State {
    random: Random,
    has_faults: bool,
    unavailable_until: i64,
    counts: BTreeMap<&'static str, u32>,
}

impl FaultyStorage {
    pub fn new(cluster: &Cluster, seed: u64, has_faults: bool) -> Self {
        let state =
            State { random: Random(seed ^ 0x570e_e5a1), has_faults, unavailable_until: 0, counts: BTreeMap::new() };
        Self { objects: MemoryObjects::default(), cluster: cluster.clone(), state: Rc::new(RefCell::new(state)) }
    }

    /// From now on no fault happens.
    pub fn stop_faults(&self) {
        let mut state = self.state.borrow_mut();
        state.has_faults = false;
        state.unavailable_until = 0;
    }

    /// How often each kind of fault has happened.
    pub fn counts(&self) -> BTreeMap<&'static str, u32> {
        self.state.borrow().counts.clone()
    }

    fn count(&self, kind: &'static str) {
        *self.state.borrow_mut().counts.entry(kind).or_default() += 1;
    }

    /// Draws whether a fault happens now, and counts it.
    fn has_fault(&self, kind: &'static str, one_in: u64) -> bool {
        let mut state = self.state.borrow_mut();
        let happens = state.has_faults && state.random.one_in(one_in);
        if happens {
            *state.counts.entry(kind).or_default() += 1;
        }
        happens
    }

    fn below(&self, bound: u64) -> u64 {
        self.state.borrow_mut().random.below(bound)
    }

    /// The beginning of every request.
    fn reach(&self) -> Result<(), String> {
        if self.has_fault(tally::STORE_UNAVAILABLE, 4 * ONE_IN) {
            let until = self.cluster.clock() + 1 + self.below(UNAVAILABLE_MS_MAX) as i64;
            self.state.borrow_mut().unavailable_until = until;
        }
        if self.cluster.clock() < self.state.borrow().unavailable_until {
            return Err("the storage is unavailable".into());
        }
        if self.has_fault(tally::STORE_FAILED, ONE_IN) { Err("the storage refuses the request".into()) } else { Ok(()) }
    }

    /// The bytes that are really written; none if they are lost.
    fn written(&self, bytes: Bytes) -> Option<Bytes> {
        if bytes.is_empty() || self.has_fault(tally::STORE_LOST, ONE_IN) {
            return None;
        }
        if self.has_fault(tally::STORE_TORN, ONE_IN) {
            return Some(bytes.slice(..self.below(bytes.len() as u64) as usize));
        }
        if self.has_fault(tally::STORE_FLIPPED, ONE_IN) {
            let mut flipped = bytes.to_vec();
            let index = self.below(flipped.len() as u64) as usize;
            flipped[index] ^= 1 << self.below(8);
            return Some(flipped.into());
        }
        Some(bytes)
    }

    /// Damages one of the newest objects of a shard, long after it was written.
    pub fn damage(&self, shard: u32, random: &mut Random) {
        let folder = format!("shard-{shard:05}/");
        self.objects.edit(|objects| {
            let mut names: Vec<String> = objects.keys().filter(|name| name.starts_with(&folder)).cloned().collect();
            names.sort_by_key(|name| std::cmp::Reverse(transaction_of(name)));
            names.truncate(4);
            if names.is_empty() {
                return;
            }
            let name = &names[random.below(names.len() as u64) as usize];
            let mut bytes = objects[name].to_vec();
            match random.below(3) {
                0 => drop(objects.remove(name)),
                1 if !bytes.is_empty() => {
                    let index = random.below(bytes.len() as u64) as usize;
                    bytes[index] ^= 1 << random.below(8);
                    objects.insert(name.clone(), bytes.into());
                }
                _ => {
                    bytes.truncate(bytes.len() / 2);
                    objects.insert(name.clone(), bytes.into());
                }
            }
            self.count(tally::STORE_DAMAGED);
        });
    }
}

/// The number of a snapshot's transaction in an object's name.
fn transaction_of(name: &str) -> u64 {
    let digits = |part: &&str| part.len() == 20 && part.bytes().all(|byte| byte.is_ascii_digit());
    name.split(['/', '-', '.']).find(digits).and_then(|part| part.parse().ok()).unwrap_or(0)
}

impl Objects for FaultyStorage {
    fn put(&self, path: &str, bytes: Bytes) -> Result<(), String> {
        self.reach()?;
        if let Some(bytes) = self.written(bytes) {
            self.objects.put(path, bytes)?;
        }
        if self.has_fault(tally::STORE_ANSWER_LOST, ONE_IN) { Err("no answer".into()) } else { Ok(()) }
    }

    fn create(&self, path: &str, bytes: Bytes) -> Result<Created, String> {
        self.reach()?;
        if self.has_fault(tally::STORE_WRONG, ONE_IN / 4) {
            // As a storage does that repeats a request by itself, or ignores the condition.
            return match self.below(3) {
                0 => Ok(Created::Exists),
                1 => self.objects.create(path, bytes).map(|_| Created::Exists),
                _ => self.objects.put(path, bytes).map(|()| Created::Created),
            };
        }
        let Some(bytes) = self.written(bytes) else { return Ok(Created::Created) };
        let created = self.objects.create(path, bytes)?;
        if self.has_fault(tally::STORE_ANSWER_LOST, ONE_IN) { Err("no answer".into()) } else { Ok(created) }
    }

    fn get(&self, path: &str) -> Result<Option<Bytes>, String> {
        self.reach()?;
        self.objects.get(path)
    }

    fn list(&self, folder: &str) -> Result<Listing, String> {
        self.reach()?;
        self.objects.list(folder)
    }

    fn remove(&self, path: &str) -> Result<(), String> {
        self.reach()?;
        if self.has_fault(tally::STORE_LOST, ONE_IN) { Ok(()) } else { self.objects.remove(path) }
    }
}

/// A worker's snapshot store: busy at times, and late with outcomes.
pub struct SlowStore {
    writer: SnapshotWriter<FaultyStorage>,
    storage: FaultyStorage,
    busy_until: i64,
    /// With the moment from which each is returned.
    outcomes: VecDeque<(i64, SnapshotOutcome)>,
}

impl SlowStore {
    pub fn new(storage: &FaultyStorage, keep: usize) -> Self {
        let nonce = storage.below(u64::MAX);
        Self {
            writer: SnapshotWriter::new(storage.clone(), keep, nonce),
            storage: storage.clone(),
            busy_until: 0,
            outcomes: VecDeque::new(),
        }
    }

    /// A random moment in the near future.
    fn later(&self) -> i64 {
        self.storage.cluster.clock() + self.storage.below(BUSY_MS_MAX) as i64
    }

    /// The newest snapshot at or before a transaction, damaged or not.
    fn newest(&self, shard: u32, at_most: u64) -> Option<u64> {
        let folder = format!("shard-{shard:05}/manifest-");
        self.storage.objects.edit(|objects| {
            let manifests = objects.keys().filter(|name| name.starts_with(&folder));
            manifests.map(|name| transaction_of(name)).filter(|&transaction| transaction <= at_most).max()
        })
    }
}

impl SnapshotStore for SlowStore {
    fn offer(&mut self, shard: u32, piece: Piece) -> Result<(), Piece> {
        if self.storage.cluster.clock() < self.busy_until {
            return Err(piece);
        }
        if self.storage.has_fault(tally::STORE_BUSY, 10) {
            self.busy_until = self.later();
        }
        self.writer.offer(shard, piece)?;
        while let Some(outcome) = self.writer.next_outcome() {
            let returned = if self.storage.state.borrow().has_faults { self.later() } else { 0 };
            self.outcomes.push_back((returned, outcome));
        }
        Ok(())
    }

    fn next_outcome(&mut self) -> Option<SnapshotOutcome> {
        self.outcomes.front().filter(|(returned, _)| *returned <= self.storage.cluster.clock())?;
        let (_, outcome) = self.outcomes.pop_front()?;
        let kind = match &outcome.result {
            Ok(stored) if stored.is_full => tally::SNAPSHOT_WHOLE,
            Ok(_) => tally::SNAPSHOT_OF_CHANGES,
            Err(_) => tally::SNAPSHOT_FAILED,
        };
        self.storage.count(kind);
        Some(outcome)
    }

    fn load(
        &mut self,
        shard: u32,
        at_most: u64,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Option<LoadedSnapshot>, LoadError> {
        let newest = self.newest(shard, at_most);
        let loaded = self.writer.load(shard, at_most, interrupted);
        match &loaded {
            Ok(Some(found)) if Some(found.head.position.transaction) == newest => self.storage.count(tally::LOADED),
            Ok(Some(_)) => self.storage.count(tally::LOADED_OLDER),
            Ok(None) if newest.is_some() => self.storage.count(tally::LOADED_NONE),
            Ok(None) => {}
            Err(LoadError::Unavailable(_)) => self.storage.count(tally::LOAD_WAITED),
            Err(LoadError::Interrupted) => {}
        }
        loaded
    }

    fn position_before(&mut self, shard: u32, transaction: u64) -> Result<Option<ShardPosition>, String> {
        self.writer.position_before(shard, transaction)
    }

    fn write_note(&mut self, shard: u32, name: &str, bytes: Option<&[u8]>) -> Result<(), String> {
        self.writer.write_note(shard, name, bytes)
    }

    fn read_note(&mut self, shard: u32, name: &str) -> Result<Option<Vec<u8>>, String> {
        self.writer.read_note(shard, name)
    }

    /// Time does not pass here: the wait is over at once.
    fn wait(&mut self, _at_most: Duration) {
        self.busy_until = 0;
        self.outcomes.iter_mut().for_each(|(returned, _)| *returned = 0);
    }
}
