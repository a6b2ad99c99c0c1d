//! The store in which a world's snapshots are, and all that goes wrong with it, drawn from the world's seed.
//!
//! It loses what it has acknowledged, acknowledges halves and flipped bits, fails before or after it has done what was
//! asked, answers conditional writes wrongly, and is away for a while. In front of it stands a store that has no room at
//! times and tells late what became of a snapshot, as the one on a thread of its own does. All workers of a world share
//! one store; what happened is counted.

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

/// Out of so many requests one goes wrong, where faults are planned.
const USUAL: u64 = 60;
/// Longest times of a store that is away, and of a store without room or without news.
const AWAY_MS_MAX: u64 = 3_000;
const SLOW_MS_MAX: u64 = 400;

/// A world's store, as all its workers see it.
#[derive(Clone)]
pub struct Store {
    objects: MemoryObjects,
    cluster: Cluster,
    state: Rc<RefCell<State>>,
}

struct State {
    random: Random,
    has_faults: bool,
    away_until: i64,
    counts: BTreeMap<&'static str, u32>,
}

impl Store {
    pub fn new(cluster: &Cluster, seed: u64, has_faults: bool) -> Self {
        let state = State { random: Random(seed ^ 0x570e_e5a1), has_faults, away_until: 0, counts: BTreeMap::new() };
        Self { objects: MemoryObjects::default(), cluster: cluster.clone(), state: Rc::new(RefCell::new(state)) }
    }

    /// From now on nothing goes wrong any more.
    pub fn calm(&self) {
        let mut state = self.state.borrow_mut();
        state.has_faults = false;
        state.away_until = 0;
    }

    /// How often what has happened.
    pub fn counts(&self) -> BTreeMap<&'static str, u32> {
        self.state.borrow().counts.clone()
    }

    fn count(&self, kind: &'static str) {
        *self.state.borrow_mut().counts.entry(kind).or_default() += 1;
    }

    /// Whether something of a kind goes wrong now.
    fn strikes(&self, kind: &'static str, one_in: u64) -> bool {
        let mut state = self.state.borrow_mut();
        let strikes = state.has_faults && state.random.one_in(one_in);
        if strikes {
            *state.counts.entry(kind).or_default() += 1;
        }
        strikes
    }

    fn below(&self, bound: u64) -> u64 {
        self.state.borrow_mut().random.below(bound)
    }

    /// Every request comes through here.
    fn reach(&self) -> Result<(), String> {
        if self.strikes(tally::STORE_AWAY, 4 * USUAL) {
            let until = self.cluster.clock() + 1 + self.below(AWAY_MS_MAX) as i64;
            self.state.borrow_mut().away_until = until;
        }
        if self.cluster.clock() < self.state.borrow().away_until {
            return Err("the store is away".into());
        }
        if self.strikes(tally::STORE_FAILED, USUAL) { Err("the store refuses".into()) } else { Ok(()) }
    }

    /// What really is written of some bytes; nothing if they are lost.
    fn written(&self, bytes: Bytes) -> Option<Bytes> {
        if bytes.is_empty() || self.strikes(tally::STORE_LOST, USUAL) {
            return None;
        }
        if self.strikes(tally::STORE_TORN, USUAL) {
            return Some(bytes.slice(..self.below(bytes.len() as u64) as usize));
        }
        if self.strikes(tally::STORE_FLIPPED, USUAL) {
            let mut flipped = bytes.to_vec();
            let place = self.below(flipped.len() as u64) as usize;
            flipped[place] ^= 1 << self.below(8);
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
                    let place = random.below(bytes.len() as u64) as usize;
                    bytes[place] ^= 1 << random.below(8);
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

impl Objects for Store {
    fn put(&self, path: &str, bytes: Bytes) -> Result<(), String> {
        self.reach()?;
        if let Some(bytes) = self.written(bytes) {
            self.objects.put(path, bytes)?;
        }
        if self.strikes(tally::STORE_ANSWER_LOST, USUAL) { Err("no answer".into()) } else { Ok(()) }
    }

    fn create(&self, path: &str, bytes: Bytes) -> Result<Created, String> {
        self.reach()?;
        if self.strikes(tally::STORE_WRONG, USUAL / 4) {
            // As a store does that repeats a request of its own, or forgets the condition.
            return match self.below(3) {
                0 => Ok(Created::Exists),
                1 => self.objects.create(path, bytes).map(|_| Created::Exists),
                _ => self.objects.put(path, bytes).map(|()| Created::Created),
            };
        }
        let Some(bytes) = self.written(bytes) else { return Ok(Created::Created) };
        let created = self.objects.create(path, bytes)?;
        if self.strikes(tally::STORE_ANSWER_LOST, USUAL) { Err("no answer".into()) } else { Ok(created) }
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
        if self.strikes(tally::STORE_LOST, USUAL) { Ok(()) } else { self.objects.remove(path) }
    }
}

/// A worker's store: without room at times, and late with its news.
pub struct SlowSnapshotStore {
    writer: SnapshotWriter<Store>,
    store: Store,
    room_from: i64,
    /// With the moment at which each is told.
    outcomes: VecDeque<(i64, SnapshotOutcome)>,
}

impl SlowSnapshotStore {
    pub fn new(store: &Store, keep: usize) -> Self {
        let nonce = store.below(u64::MAX);
        Self {
            writer: SnapshotWriter::new(store.clone(), keep, nonce),
            store: store.clone(),
            room_from: 0,
            outcomes: VecDeque::new(),
        }
    }

    /// A moment that comes soon.
    fn later(&self) -> i64 {
        self.store.cluster.clock() + self.store.below(SLOW_MS_MAX) as i64
    }

    /// The newest snapshot at or before a transaction, whatever state it is in.
    fn newest(&self, shard: u32, at_most: u64) -> Option<u64> {
        let folder = format!("shard-{shard:05}/manifest-");
        self.store.objects.edit(|objects| {
            let manifests = objects.keys().filter(|name| name.starts_with(&folder));
            manifests.map(|name| transaction_of(name)).filter(|&transaction| transaction <= at_most).max()
        })
    }
}

impl SnapshotStore for SlowSnapshotStore {
    fn offer(&mut self, shard: u32, piece: Piece) -> Result<(), Piece> {
        if self.store.cluster.clock() < self.room_from {
            return Err(piece);
        }
        if self.store.strikes(tally::STORE_SLOW, 10) {
            self.room_from = self.later();
        }
        self.writer.offer(shard, piece)?;
        while let Some(outcome) = self.writer.next_outcome() {
            let told = if self.store.state.borrow().has_faults { self.later() } else { 0 };
            self.outcomes.push_back((told, outcome));
        }
        Ok(())
    }

    fn next_outcome(&mut self) -> Option<SnapshotOutcome> {
        self.outcomes.front().filter(|(told, _)| *told <= self.store.cluster.clock())?;
        let (_, outcome) = self.outcomes.pop_front()?;
        let kind = match &outcome.result {
            Ok(stored) if stored.is_full => tally::SNAPSHOT_WHOLE,
            Ok(_) => tally::SNAPSHOT_OF_CHANGES,
            Err(_) => tally::SNAPSHOT_FAILED,
        };
        self.store.count(kind);
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
            Ok(Some(found)) if Some(found.head.position.transaction) == newest => self.store.count(tally::LOADED),
            Ok(Some(_)) => self.store.count(tally::LOADED_OLDER),
            Ok(None) if newest.is_some() => self.store.count(tally::LOADED_NONE),
            Ok(None) => {}
            Err(LoadError::Unavailable(_)) => self.store.count(tally::LOAD_AWAY),
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

    /// Nobody lets time pass: it is over.
    fn wait(&mut self, _at_most: Duration) {
        self.room_from = 0;
        self.outcomes.iter_mut().for_each(|(told, _)| *told = 0);
    }
}
