//! A worker's snapshot writer on its own thread, with low scheduling priority and a bounded queue of pieces.
//!
//! The worker never waits for the queue: a piece without room is returned to it, and the worker offers it again. Loads
//! run on the worker's thread, which has nothing else to do then, with its own connection to the object storage.

use super::manifest::Manifest;
use super::objects::Objects;
use super::settings::SnapshotSettings;
use super::stored_objects::StoredObjects;
use super::writer::{read_note, write_note};
use super::{LoadError, LoadedSnapshot, Piece, ShardPosition, SnapshotOutcome, SnapshotStore, SnapshotWriter, load};
use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, TrySendError, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Capacity of the queue: a piece has about a thousand customers.
const PIECES_MAX: usize = 16;
/// The thread's nice value: other threads get the processor first.
const NICE: i32 = 10;
/// How long a drop waits for the thread to finish its current work.
const DROP_TIMEOUT: Duration = Duration::from_secs(5);

/// What the thread receives.
enum Command {
    Piece(u32, Piece),
    /// The next snapshot of a shard is based on this one, or is a full one.
    Parent(u32, Option<Box<Manifest>>),
}

/// A snapshot store whose writer runs on its own thread; see the module.
pub struct SnapshotStoreThread<B = StoredObjects> {
    objects: B,
    commands: Option<SyncSender<Command>>,
    outcomes: Receiver<SnapshotOutcome>,
    /// Parents not sent to the thread yet; a parent is sent before the next piece of its shard.
    parents: BTreeMap<u32, Option<Box<Manifest>>>,
    /// Transactions of the snapshots that have begun and have no outcome: if the thread has ended, they have failed.
    open: BTreeMap<u32, u64>,
    /// Outcomes not returned yet.
    ready: VecDeque<SnapshotOutcome>,
    failures: u64,
    thread: Option<JoinHandle<()>>,
}

impl SnapshotStoreThread {
    /// Opens the object storage of the settings and starts the thread. Storage that is unavailable now may become
    /// available.
    pub fn start(settings: &SnapshotSettings, name: &str) -> Result<Self, String> {
        let (own, thread_objects) = (StoredObjects::open_or_later(settings)?, StoredObjects::open_or_later(settings)?);
        Self::over(own, thread_objects, settings.keep as usize, name)
    }
}

impl<B: Objects + Send + 'static> SnapshotStoreThread<B> {
    /// Starts the thread with two connections to the same storage: the caller's and the thread's.
    pub fn over(objects: B, thread_objects: B, keep: usize, name: &str) -> Result<Self, String> {
        let writer = SnapshotWriter::new(thread_objects, keep, RandomState::new().hash_one(name));
        let (commands, incoming) = sync_channel(PIECES_MAX);
        let (outgoing, outcomes) = channel();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(writer, &incoming, &outgoing))
            .map_err(|error| format!("cannot start the snapshot thread: {error}"))?;
        Ok(Self {
            objects,
            commands: Some(commands),
            outcomes,
            parents: BTreeMap::new(),
            open: BTreeMap::new(),
            ready: VecDeque::new(),
            failures: 0,
            thread: Some(thread),
        })
    }

    /// Sends a command, or returns it if there is no room. False if the thread has ended: the command is dropped.
    fn send(&mut self, command: Command) -> Result<bool, Command> {
        let Some(commands) = &self.commands else { return Ok(false) };
        match commands.try_send(command) {
            Ok(()) => Ok(true),
            Err(TrySendError::Full(command)) => Err(command),
            Err(TrySendError::Disconnected(_)) => Ok(false),
        }
    }

    fn receive(&mut self, outcome: SnapshotOutcome) {
        self.open.remove(&outcome.shard);
        self.failures = outcome.failures;
        self.ready.push_back(outcome);
    }

    /// The thread has ended, which only a bug causes: its snapshots fail, and records are processed without them.
    fn fail_open(&mut self, shard: u32) {
        let Some(transaction) = self.open.remove(&shard) else { return };
        self.failures += 1;
        let error = "the snapshot thread has ended; there are no snapshots until a restart";
        tracing::warn!(shard, transaction, error, "the snapshot failed; records are processed without it");
        let result = Err(error.to_owned());
        self.ready.push_back(SnapshotOutcome {
            shard,
            transaction,
            result,
            needs_full: false,
            failures: self.failures,
        });
    }
}

impl<B: Objects + Send + 'static> SnapshotStore for SnapshotStoreThread<B> {
    fn offer(&mut self, shard: u32, piece: Piece) -> Result<(), Piece> {
        if let Some(parent) = self.parents.remove(&shard)
            && let Err(Command::Parent(shard, parent)) = self.send(Command::Parent(shard, parent))
        {
            self.parents.insert(shard, parent);
            return Err(piece);
        }
        let (begins, ends) = match &piece {
            Piece::Begin(head) => (Some(head.position.transaction), false),
            other => (None, matches!(other, Piece::End)),
        };
        if matches!(piece, Piece::Abandoned) {
            self.open.remove(&shard);
        }
        match self.send(Command::Piece(shard, piece)) {
            Err(Command::Piece(_, piece)) => return Err(piece),
            Err(Command::Parent(..)) => unreachable!("a piece was sent"),
            Ok(is_sent) => {
                self.open.extend(begins.map(|transaction| (shard, transaction)));
                if !is_sent && ends {
                    self.fail_open(shard);
                }
            }
        }
        Ok(())
    }

    fn next_outcome(&mut self) -> Option<SnapshotOutcome> {
        match self.outcomes.try_recv() {
            Ok(outcome) => self.receive(outcome),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => {
                let open: Vec<u32> = self.open.keys().copied().collect();
                open.into_iter().for_each(|shard| self.fail_open(shard));
            }
        }
        self.ready.pop_front()
    }

    fn wait(&mut self, at_most: Duration) {
        if let Ok(outcome) = self.outcomes.recv_timeout(at_most) {
            self.receive(outcome);
        }
    }

    fn load(
        &mut self,
        shard: u32,
        at_most: u64,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Option<LoadedSnapshot>, LoadError> {
        let found = load::newest(&self.objects, shard, at_most, interrupted)?;
        let (parent, loaded) = found.unzip();
        self.parents.insert(shard, parent.map(Box::new));
        Ok(loaded)
    }

    fn position_before(&mut self, shard: u32, transaction: u64) -> Result<Option<ShardPosition>, String> {
        load::position_before(&self.objects, shard, transaction)
    }

    fn write_note(&mut self, shard: u32, name: &str, bytes: Option<&[u8]>) -> Result<(), String> {
        write_note(&self.objects, shard, name, bytes)
    }

    fn read_note(&mut self, shard: u32, name: &str) -> Result<Option<Vec<u8>>, String> {
        read_note(&self.objects, shard, name)
    }
}

/// A drop does not wait for a merge, and only for a bounded time for storage that does not answer.
impl<B> Drop for SnapshotStoreThread<B> {
    fn drop(&mut self) {
        self.commands = None;
        let began = Instant::now();
        // The thread drops its end of the channel when it ends.
        while let Some(left) = DROP_TIMEOUT.checked_sub(began.elapsed()) {
            if self.outcomes.recv_timeout(left).is_err() {
                break;
            }
        }
        if let Some(thread) = self.thread.take().filter(JoinHandle::is_finished) {
            // A panic of the thread was logged where it happened.
            let _ = thread.join();
        }
    }
}

fn work<B: Objects>(mut writer: SnapshotWriter<B>, commands: &Receiver<Command>, outcomes: &Sender<SnapshotOutcome>) {
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(%error, "the priority of the snapshot thread cannot be lowered");
    }
    loop {
        let command = match commands.try_recv() {
            Ok(command) => Some(command),
            Err(TryRecvError::Disconnected) => return,
            Err(TryRecvError::Empty) if writer.maintain() => None,
            Err(TryRecvError::Empty) => match commands.recv() {
                Ok(command) => Some(command),
                Err(_) => return,
            },
        };
        match command {
            Some(Command::Piece(shard, piece)) => writer.accept(shard, piece),
            Some(Command::Parent(shard, parent)) => writer.set_parent(shard, parent.map(|parent| *parent)),
            None => {}
        }
        while let Some(outcome) = writer.next_outcome() {
            // If the receiver is gone, so is the sender of commands: the loop ends.
            let _ = outcomes.send(outcome);
        }
    }
}
