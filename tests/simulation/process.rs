//! A worker's process: the real worker on a stack of its own, which can be left standing in the middle of any call.

use super::audit::Seen;
use super::plan::Snapshots;
use super::store::{SlowSnapshotStore, Store};
use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use shoal::kafka::memory::{Cluster, Point, Scheduler};
use shoal::kafka::{Failure, Log};
use shoal::worker::{Job, Worker};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Bytes of a worker's stack: rules are parsed on it.
const STACK_BYTES: usize = 2 * 1024 * 1024;

/// Where a worker stands, and when it goes on by itself.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    pub at: Point,
    pub until: i64,
}

/// What can be seen of a worker from outside.
#[derive(Clone, Debug, Default)]
pub struct Status {
    pub turns: u64,
    pub is_idle: bool,
    pub shards: Vec<u32>,
    pub torn_repaired: u64,
    /// States of shards after transactions, as they were seen.
    pub seen: Vec<Seen>,
    /// It is to finish and end.
    pub is_leaving: bool,
}

pub struct Process {
    pub client: usize,
    pub slot: usize,
    pub standing: Standing,
    /// What was to be seen when it last began to wait.
    pub version: u64,
    /// It stands still as by SIGSTOP.
    pub is_stopped: bool,
    pub status: Rc<RefCell<Status>>,
    worker: Coroutine<(), Standing, Result<(), Failure>>,
}

#[derive(Clone)]
struct Hook<'y>(&'y Yielder<(), Standing>);

impl Scheduler for Hook<'_> {
    fn pause(&self, at: Point, until: i64) -> bool {
        self.0.suspend(Standing { at, until });
        true
    }
}

/// Looks at the states of a worker's shards whenever they may be those of another transaction.
#[derive(Default)]
struct Watch {
    recoveries: u64,
    transactions: BTreeMap<u32, u64>,
}

impl Watch {
    fn look<L: Log>(&mut self, worker: &Worker<L>, seen: &mut Vec<Seen>) {
        let is_recovered = std::mem::replace(&mut self.recoveries, worker.recoveries()) != worker.recoveries();
        for held in worker.shards().filter(|held| held.is_settled()) {
            let (shard, transaction) = (held.number(), held.transaction());
            let is_known = self.transactions.insert(shard, transaction) == Some(transaction);
            if let Some(state) = held.shard().filter(|_| is_recovered || !is_known) {
                seen.push(Seen { shard, transaction, fingerprint: state.fingerprint(), is_recovered });
            }
        }
    }
}

impl Process {
    pub fn start(
        cluster: &Cluster,
        client: usize,
        slot: usize,
        batch_max: usize,
        job: Job,
        snapshots: Option<(Store, Snapshots)>,
    ) -> Self {
        let status = Rc::new(RefCell::new(Status::default()));
        let (cluster_of_worker, seen) = (cluster.clone(), Rc::clone(&status));
        let stack = DefaultStack::new(STACK_BYTES).expect("memory for a stack");
        let worker = Coroutine::with_stack(stack, move |yielder: &Yielder<(), Standing>, ()| {
            let log = cluster_of_worker.member(client, Hook(yielder)).with_batch_max(batch_max);
            let mut worker = Worker::new(log, job);
            if let Some((store, Snapshots { interval_ms, keep, .. })) = snapshots {
                worker = worker.with_snapshots(Box::new(SlowSnapshotStore::new(&store, keep)), interval_ms);
            }
            let mut watch = Watch::default();
            while !seen.borrow().is_leaving {
                worker.turn()?;
                let mut seen = seen.borrow_mut();
                seen.turns += 1;
                seen.is_idle = worker.is_idle();
                seen.shards = worker.shards().map(|held| held.number()).collect();
                seen.torn_repaired = worker.torn_repaired();
                watch.look(&worker, &mut seen.seen);
            }
            worker.finish()
        });
        let standing = Standing { at: Point::Poll, until: cluster.clock() };
        Self { client, slot, standing, version: 0, is_stopped: false, status, worker }
    }

    /// Lets it go on to its next stop; its end if it has come to one.
    pub fn resume(&mut self) -> Option<Result<(), Failure>> {
        match self.worker.resume(()) {
            CoroutineResult::Yield(standing) => {
                self.standing = standing;
                None
            }
            CoroutineResult::Return(ended) => Some(ended),
        }
    }
}
