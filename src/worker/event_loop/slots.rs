//! The shards of a worker: those assigned to it, each with its input buffer, and those that were revoked and are kept.

use crate::kafka::Batch;
use crate::worker::config::WorkerConfig;
use crate::worker::input_buffer::InputBuffer;
use crate::worker::lifecycle::Phase;
use crate::worker::owned_shard::OwnedShard;
use crate::worker::poison_record::PoisonRecordGuard;
use crate::worker::throttle::Throttle;
use std::collections::BTreeMap;

/// How long the state of a revoked shard is kept.
const KEPT_MS: u64 = 5 * 60_000;

/// A shard, with all that its worker has for it alone.
pub struct ShardSlot<B> {
    pub owned: OwnedShard,
    pub buffer: InputBuffer<B>,
    pub throttle: Throttle,
    /// `None` before the shard was recovered, and for a kept state.
    pub guard: Option<PoisonRecordGuard>,
    /// The shard was revoked and came back: its state may be used again.
    pub is_kept: bool,
}

/// See the module.
pub struct Shards<B> {
    slots: BTreeMap<u32, ShardSlot<B>>,
    /// Revoked shards with everything committed, each with the monotonic millisecond of its revocation. If a shard
    /// comes back, and no other worker owned it in between, it goes on with this state.
    kept: BTreeMap<u32, (u64, OwnedShard)>,
}

impl<B> Default for Shards<B> {
    fn default() -> Self {
        Self { slots: BTreeMap::new(), kept: BTreeMap::new() }
    }
}

impl<B: Batch> Shards<B> {
    /// Adds an assigned shard: with its kept state if there is one, else without state.
    pub fn add(&mut self, number: u32, config: &WorkerConfig, now: u64) {
        let kept = self.kept.remove(&number);
        let is_kept = kept.is_some();
        let fresh = || OwnedShard::new(number, config.shard.clone(), config.outbox());
        let owned = kept.map_or_else(fresh, |(_, owned)| owned);
        let buffer = InputBuffer::new(config.inputs.len());
        let throttle = Throttle::new(config.max_changes_per_minute, config.partitions, now);
        self.slots.insert(number, ShardSlot { owned, buffer, throttle, guard: None, is_kept });
    }

    pub fn remove(&mut self, number: u32) -> Option<ShardSlot<B>> {
        self.slots.remove(&number)
    }

    /// Keeps the state of a revoked shard for a while.
    pub fn keep(&mut self, mut owned: OwnedShard, now: u64) {
        owned.enter_phase(Phase::Kept);
        self.kept.insert(owned.number(), (now, owned));
    }

    /// Drops states that were kept for long enough.
    pub fn expire_kept(&mut self, now: u64) {
        self.kept.retain(|_, (since, _)| now < *since + KEPT_MS);
    }

    pub fn kept_mut(&mut self) -> impl Iterator<Item = &mut OwnedShard> {
        self.kept.values_mut().map(|(_, owned)| owned)
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub fn get(&self, number: u32) -> Option<&ShardSlot<B>> {
        self.slots.get(&number)
    }

    pub fn get_mut(&mut self, number: u32) -> Option<&mut ShardSlot<B>> {
        self.slots.get_mut(&number)
    }

    /// All assigned shards in order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &ShardSlot<B>> {
        self.slots.values()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut ShardSlot<B>> {
        self.slots.values_mut()
    }

    pub fn owned(&self) -> impl Iterator<Item = &OwnedShard> {
        self.iter().map(|slot| &slot.owned)
    }

    pub fn owned_mut(&mut self) -> impl Iterator<Item = &mut OwnedShard> {
        self.iter_mut().map(|slot| &mut slot.owned)
    }

    /// Shard 0, if it is here and runs.
    pub fn running_first(&mut self) -> Option<&mut OwnedShard> {
        self.slots.get_mut(&0).map(|slot| &mut slot.owned).filter(|owned| owned.is_running())
    }

    /// Numbers of the shards that run.
    pub fn running(&self) -> Vec<u32> {
        self.owned().filter(|owned| owned.is_running()).map(OwnedShard::number).collect()
    }

    /// Running shards with something to commit.
    pub fn to_commit(&self) -> impl Iterator<Item = &OwnedShard> {
        self.owned().filter(|owned| owned.is_running() && owned.has_work())
    }

    pub fn to_commit_mut(&mut self) -> impl Iterator<Item = &mut OwnedShard> {
        self.owned_mut().filter(|owned| owned.is_running() && owned.has_work())
    }

    /// The next shard to recover; those with a kept state first, because that is quick.
    pub fn next_to_recover(&self) -> Option<u32> {
        let is_next = |slot: &&ShardSlot<B>| matches!(slot.owned.phase(), Phase::Assigned | Phase::Kept);
        self.iter().filter(is_next).min_by_key(|slot| !slot.is_kept).map(|slot| slot.owned.number())
    }
}
