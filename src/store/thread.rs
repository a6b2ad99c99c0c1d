//! A worker's keeper on a thread of its own, with little claim to the processor, behind a queue of so many pieces.
//!
//! Pieces are never waited for: what has no room goes back to the worker, who comes again. Loading is done by the worker
//! itself, which has nothing else to do then, with its own connection to the store.

use super::blobs::Blobs;
use super::keeper::{note, noted};
use super::manifest::Manifest;
use super::object_blobs::ObjectBlobs;
use super::settings::SnapshotSettings;
use super::{Keeper, LoadFailed, Loaded, Outcome, Piece, Place, Vault, load};
use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, TrySendError, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Pieces that wait: a piece has about a thousand customers.
const PIECES_MAX: usize = 16;
/// How much less the thread gets of a processor that others want too.
const NICE: i32 = 10;
/// How long an end waits for the thread to finish what it is at.
const END_WITHIN: Duration = Duration::from_secs(5);

/// What the thread is told.
enum Order {
    Piece(u32, Piece),
    /// The next snapshot of a shard stands on this one, or on none.
    Footing(u32, Option<Box<Manifest>>),
}

/// See the module.
pub struct VaultThread<B = ObjectBlobs> {
    blobs: B,
    orders: Option<SyncSender<Order>>,
    outcomes: Receiver<Outcome>,
    /// Footings that the thread has yet to be told of; it is before the next piece of the shard.
    footings: BTreeMap<u32, Option<Box<Manifest>>>,
    /// Transactions of the snapshots that are being handed over: if the thread is gone they have failed.
    open: BTreeMap<u32, u64>,
    /// Outcomes that nobody has asked for yet.
    ready: VecDeque<Outcome>,
    failures: u64,
    thread: Option<JoinHandle<()>>,
}

impl VaultThread {
    /// Opens the store of the settings and starts the thread of that name. A store that is away now may come later.
    pub fn start(settings: &SnapshotSettings, name: &str) -> Result<Self, String> {
        let (own, keepers) = (ObjectBlobs::open_or_later(settings)?, ObjectBlobs::open_or_later(settings)?);
        Self::over(own, keepers, settings.keep as usize, name)
    }
}

impl<B: Blobs + Send + 'static> VaultThread<B> {
    /// Starts the thread over two ways to the same store: the caller's, and the thread's.
    pub fn over(blobs: B, keepers: B, keep: usize, name: &str) -> Result<Self, String> {
        let keeper = Keeper::new(keepers, keep, RandomState::new().hash_one(name));
        let (orders, incoming) = sync_channel(PIECES_MAX);
        let (outgoing, outcomes) = channel();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(keeper, &incoming, &outgoing))
            .map_err(|error| format!("the thread of snapshots cannot be started: {error}"))?;
        Ok(Self {
            blobs,
            orders: Some(orders),
            outcomes,
            footings: BTreeMap::new(),
            open: BTreeMap::new(),
            ready: VecDeque::new(),
            failures: 0,
            thread: Some(thread),
        })
    }

    /// Hands an order over; gives it back if there is no room. An order to a thread that has ended is gone.
    fn send(&mut self, order: Order) -> Result<bool, Order> {
        let Some(orders) = &self.orders else { return Ok(false) };
        match orders.try_send(order) {
            Ok(()) => Ok(true),
            Err(TrySendError::Full(order)) => Err(order),
            Err(TrySendError::Disconnected(_)) => Ok(false),
        }
    }

    fn receive(&mut self, outcome: Outcome) {
        self.open.remove(&outcome.shard);
        self.failures = outcome.failures;
        self.ready.push_back(outcome);
    }

    /// The thread has ended, which only a bug does: its snapshots fail, the stream goes on.
    fn lose(&mut self, shard: u32) {
        let Some(transaction) = self.open.remove(&shard) else { return };
        self.failures += 1;
        let words = "the thread of snapshots has ended; there are none until a restart";
        tracing::warn!("shard {shard}: no snapshot of transaction {transaction}: {words}");
        let result = Err(words.to_owned());
        self.ready.push_back(Outcome { shard, transaction, result, needs_all: false, failures: self.failures });
    }
}

impl<B: Blobs + Send + 'static> Vault for VaultThread<B> {
    fn take(&mut self, shard: u32, piece: Piece) -> Result<(), Piece> {
        if let Some(footing) = self.footings.remove(&shard)
            && let Err(Order::Footing(shard, footing)) = self.send(Order::Footing(shard, footing))
        {
            self.footings.insert(shard, footing);
            return Err(piece);
        }
        let (begins, ends) = match &piece {
            Piece::Begin(head) => (Some(head.place.transaction), false),
            other => (None, matches!(other, Piece::End)),
        };
        if matches!(piece, Piece::Abandoned) {
            self.open.remove(&shard);
        }
        match self.send(Order::Piece(shard, piece)) {
            Err(Order::Piece(_, piece)) => return Err(piece),
            Err(Order::Footing(..)) => unreachable!("a piece was sent"),
            Ok(is_sent) => {
                self.open.extend(begins.map(|transaction| (shard, transaction)));
                if !is_sent && ends {
                    self.lose(shard);
                }
            }
        }
        Ok(())
    }

    fn outcome(&mut self) -> Option<Outcome> {
        match self.outcomes.try_recv() {
            Ok(outcome) => self.receive(outcome),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => {
                let open: Vec<u32> = self.open.keys().copied().collect();
                open.into_iter().for_each(|shard| self.lose(shard));
            }
        }
        self.ready.pop_front()
    }

    fn wait(&mut self, at_most: Duration) {
        if let Ok(outcome) = self.outcomes.recv_timeout(at_most) {
            self.receive(outcome);
        }
    }

    fn load(&mut self, shard: u32, at_most: u64, interrupted: &dyn Fn() -> bool) -> Result<Option<Loaded>, LoadFailed> {
        let found = load::newest(&self.blobs, shard, at_most, interrupted)?;
        let (footing, loaded) = found.unzip();
        self.footings.insert(shard, footing.map(Box::new));
        Ok(loaded)
    }

    fn place_before(&mut self, shard: u32, transaction: u64) -> Result<Option<Place>, String> {
        load::place_before(&self.blobs, shard, transaction)
    }

    fn note(&mut self, shard: u32, name: &str, bytes: Option<&[u8]>) -> Result<(), String> {
        note(&self.blobs, shard, name, bytes)
    }

    fn noted(&mut self, shard: u32, name: &str) -> Result<Option<Vec<u8>>, String> {
        noted(&self.blobs, shard, name)
    }
}

/// An end does not wait for a merge, nor for ever for a store that does not answer.
impl<B> Drop for VaultThread<B> {
    fn drop(&mut self) {
        self.orders = None;
        let began = Instant::now();
        // The thread's end of the outcomes is dropped when it ends.
        while let Some(left) = END_WITHIN.checked_sub(began.elapsed()) {
            if self.outcomes.recv_timeout(left).is_err() {
                break;
            }
        }
        if let Some(thread) = self.thread.take().filter(JoinHandle::is_finished) {
            // A panic of the thread has been told of where it happened.
            let _ = thread.join();
        }
    }
}

fn work<B: Blobs>(mut keeper: Keeper<B>, orders: &Receiver<Order>, outcomes: &Sender<Outcome>) {
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!("the thread of snapshots runs like any other: {error}");
    }
    loop {
        let order = match orders.try_recv() {
            Ok(order) => Some(order),
            Err(TryRecvError::Disconnected) => return,
            Err(TryRecvError::Empty) if keeper.tend() => None,
            Err(TryRecvError::Empty) => match orders.recv() {
                Ok(order) => Some(order),
                Err(_) => return,
            },
        };
        match order {
            Some(Order::Piece(shard, piece)) => keeper.accept(shard, piece),
            Some(Order::Footing(shard, footing)) => keeper.set_footing(shard, footing.map(|footing| *footing)),
            None => {}
        }
        while let Some(outcome) = keeper.outcome() {
            // The worker that would hear it is gone with its end of the channel, and with it the orders.
            let _ = outcomes.send(outcome);
        }
    }
}
