//! A worker's process: the real worker on a stack of its own, which can be suspended in the middle of any call.

use super::audit::ObservedState;
use super::buggy::{Bug, BuggyLog, BuggyStore};
use super::plan::Snapshots;
use super::storage::{FaultyStorage, SlowStore};
use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use shoal::kafka::memory::{Cluster, Point, Scheduler};
use shoal::kafka::{Failure, Log};
use shoal::worker::{Worker, WorkerConfig};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Bytes of a worker's stack: rules are parsed on it.
const STACK_BYTES: usize = 2 * 1024 * 1024;

/// Where a worker is suspended, and when it continues by itself.
#[derive(Clone, Copy, Debug)]
pub struct Suspended {
    pub at: Point,
    pub until: i64,
}

/// What the driver sees of a worker.
#[derive(Clone, Debug, Default)]
pub struct Status {
    pub turns: u64,
    pub is_idle: bool,
    pub shards: Vec<u32>,
    /// The next offset of each input of the shards that have nothing open.
    pub committed: BTreeMap<(u16, u32), i64>,
    pub torn_repaired: u64,
    /// States of shards after transactions.
    pub observed: Vec<ObservedState>,
    /// The worker is to finish and end.
    pub is_leaving: bool,
}

pub struct Process {
    pub client: usize,
    pub slot: usize,
    pub suspended: Suspended,
    /// The version of the cluster when the worker last began to wait.
    pub version: u64,
    /// Paused as by SIGSTOP.
    pub is_paused: bool,
    pub status: Rc<RefCell<Status>>,
    worker: Coroutine<(), Suspended, Result<(), Failure>>,
}

/// What a process is started with.
pub struct Start {
    pub client: usize,
    pub slot: usize,
    pub batch_max: usize,
    pub config: WorkerConfig,
    pub snapshots: Option<(FaultyStorage, Snapshots)>,
    pub bug: Option<Bug>,
}

#[derive(Clone)]
struct Hook<'y>(&'y Yielder<(), Suspended>);

impl Scheduler for Hook<'_> {
    fn pause(&self, at: Point, until: i64) -> bool {
        self.0.suspend(Suspended { at, until });
        true
    }
}

/// Observes the states of a worker's shards whenever they may be those of another transaction.
#[derive(Default)]
struct Observer {
    recoveries: u64,
    transactions: BTreeMap<u32, u64>,
}

impl Observer {
    fn observe<L: Log>(&mut self, worker: &Worker<L>, observed: &mut Vec<ObservedState>) {
        let is_recovered = std::mem::replace(&mut self.recoveries, worker.recoveries()) != worker.recoveries();
        for held in worker.shards().filter(|held| held.is_settled()) {
            let (shard, transaction) = (held.number(), held.transaction());
            let is_known = self.transactions.insert(shard, transaction) == Some(transaction);
            if let Some(state) = held.shard().filter(|_| is_recovered || !is_known) {
                observed.push(ObservedState { shard, transaction, fingerprint: state.fingerprint(), is_recovered });
            }
        }
    }
}

fn committed<L: Log>(worker: &Worker<L>) -> BTreeMap<(u16, u32), i64> {
    let settled = worker.shards().filter(|owned| owned.is_settled());
    let inputs =
        settled.flat_map(|owned| (0..).zip(owned.positions()).map(|(topic, next)| ((topic, owned.number()), *next)));
    inputs.collect()
}

impl Process {
    pub fn start(cluster: &Cluster, start: Start) -> Self {
        let Start { client, slot, batch_max, config, snapshots, bug } = start;
        let status = Rc::new(RefCell::new(Status::default()));
        let (cluster_of_worker, status_of_worker) = (cluster.clone(), Rc::clone(&status));
        let stack = DefaultStack::new(STACK_BYTES).expect("memory for a stack");
        let worker = Coroutine::with_stack(stack, move |yielder: &Yielder<(), Suspended>, ()| {
            let log = cluster_of_worker.member(client, Hook(yielder)).with_batch_max(batch_max);
            let mut worker = Worker::new(BuggyLog::new(log, bug), config);
            if let Some((storage, Snapshots { interval_ms, keep, .. })) = snapshots {
                let store = BuggyStore::new(SlowStore::new(&storage, keep), bug);
                worker = worker.with_snapshots(Box::new(store), interval_ms);
            }
            let mut observer = Observer::default();
            while !status_of_worker.borrow().is_leaving {
                worker.turn()?;
                let mut status = status_of_worker.borrow_mut();
                status.turns += 1;
                status.is_idle = worker.is_idle();
                status.shards = worker.shards().map(|held| held.number()).collect();
                status.committed = committed(&worker);
                status.torn_repaired = worker.torn_repaired();
                observer.observe(&worker, &mut status.observed);
            }
            worker.finish()
        });
        let suspended = Suspended { at: Point::Poll, until: cluster.clock() };
        Self { client, slot, suspended, version: 0, is_paused: false, status, worker }
    }

    /// The next offset of an input up to which the worker has committed all effects, if it owns the shard.
    pub fn committed(&self, topic: u16, shard: u32) -> Option<i64> {
        self.status.borrow().committed.get(&(topic, shard)).copied()
    }

    /// Lets the worker continue until it is suspended again; its result if it has ended.
    pub fn resume(&mut self) -> Option<Result<(), Failure>> {
        match self.worker.resume(()) {
            CoroutineResult::Yield(suspended) => {
                self.suspended = suspended;
                None
            }
            CoroutineResult::Return(ended) => Some(ended),
        }
    }
}
