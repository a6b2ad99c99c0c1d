//! Snapshots: a shard's state in object storage, so that a start need not read all inputs again.
//!
//! docs/snapshots.md describes what a snapshot consists of and which failures it survives. A worker knows only
//! [`SnapshotStore`]: it offers the pieces of a capture as the shard produces them and receives the outcome later.
//! Nothing here decides what an event means, and no record waits for anything here.

mod census;
pub mod columns;
mod group;
pub mod load;
pub mod manifest;
mod merge;
pub mod names;
pub mod objects;
mod retention;
pub mod seed;
pub mod settings;
pub mod stored_objects;
pub mod thread;
mod writer;

pub use settings::SnapshotSettings;
pub use stored_objects::StoredObjects;
pub use thread::SnapshotStoreThread;
pub use writer::SnapshotWriter;

use crate::engine::shard::{self, Part, Restored};
use std::fmt;
use std::time::Duration;

/// Where snapshots are stored and loaded from. A store belongs to one worker; each shard has one owner at a time.
pub trait SnapshotStore {
    /// Accepts the next piece of a shard's snapshot, or returns the piece if the store has no room for it yet. Never
    /// waits.
    fn offer(&mut self, shard: u32, piece: Piece) -> Result<(), Piece>;

    /// The outcome of a snapshot that ended since the last call: one outcome per [`Piece::End`], none for
    /// [`Piece::Abandoned`].
    fn next_outcome(&mut self) -> Option<SnapshotOutcome>;

    /// Waits until there may be room or an outcome, at most for this time.
    fn wait(&mut self, at_most: Duration);

    /// Loads the newest good snapshot of a shard at or before a transaction; damaged ones are logged and skipped. The
    /// shard's next snapshot has what changed since this one; it is a full snapshot if none was found.
    fn load(
        &mut self,
        shard: u32,
        at_most: u64,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Option<LoadedSnapshot>, LoadError>;

    /// The position of the newest snapshot before a transaction, from its manifest: a start falls back on that snapshot
    /// if the one of this transaction is damaged.
    fn position_before(&mut self, shard: u32, transaction: u64) -> Result<Option<ShardPosition>, String>;

    /// Writes a small object beside the shard's snapshots, or removes it if there are no bytes.
    fn write_note(&mut self, shard: u32, name: &str, bytes: Option<&[u8]>) -> Result<(), String>;

    /// Reads an object that [`Self::write_note`] wrote; `None` if there is none.
    fn read_note(&mut self, shard: u32, name: &str) -> Result<Option<Vec<u8>>, String>;
}

/// A piece of a capture: a beginning, any number of parts, and an end.
#[derive(Debug)]
pub enum Piece {
    /// A snapshot begins. A snapshot of the same shard that has not ended is abandoned.
    Begin(Box<SnapshotHead>),
    /// The parts in the order in which [`shard::Shard::capture`] returns them.
    Part(Part),
    End,
    /// The snapshot is abandoned without an outcome.
    Abandoned,
}

/// Everything in a snapshot except customers, event ids and marks.
#[derive(Clone, Debug, PartialEq)]
pub struct SnapshotHead {
    pub position: ShardPosition,
    pub state: shard::Head,
}

/// The state of a shard outside of the engine: its position in all topics, its rules and its clock.
#[derive(Clone, Debug, PartialEq)]
pub struct ShardPosition {
    /// The last transaction in the state; 0 for a seed.
    pub transaction: u64,
    /// Number of outputs up to that transaction.
    pub outputs: u64,
    /// The next offset of each input, in the order of `inputs`.
    pub positions: Vec<i64>,
    pub inputs: Vec<String>,
    /// Partitions of each input.
    pub partitions: u32,
    /// The next offset of the control topic.
    pub control_next: i64,
    /// Offset in the control topic of the rules in force; `None` if they came with a seed or a rebuild.
    pub rules_at: Option<i64>,
    /// Offset of the previous rules while a sweep is in progress.
    pub old_rules_at: Option<i64>,
    pub rules_version: String,
    /// The rules file itself if it is not in the control topic: the rules in force, or those that a sweep replaces.
    pub rules: Option<Vec<u8>>,
    /// The wall clock at the last step.
    pub now: i64,
    /// The wall clock at the last tick.
    pub ticked: i64,
    pub last_arrival: Option<i64>,
    /// The offset from which the journal is read after a restore.
    pub journal_from: i64,
}

/// The outcome of a snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct SnapshotOutcome {
    pub shard: u32,
    pub transaction: u64,
    /// What was stored, or a message that says why nothing was stored.
    pub result: Result<StoredSnapshot, String>,
    /// Files of earlier snapshots that the next one needs are gone: only a full snapshot can be stored.
    pub needs_full: bool,
    /// Number of snapshots that failed in this process, of all its shards.
    pub failures: u64,
}

/// A snapshot that was stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredSnapshot {
    /// Rows written: those that changed since the previous snapshot.
    pub rows: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Whether it is a full snapshot, which needs no files of earlier ones.
    pub is_full: bool,
    /// Milliseconds from the first piece to the manifest.
    pub took_ms: u64,
}

/// A snapshot that was loaded.
pub struct LoadedSnapshot {
    pub head: SnapshotHead,
    pub restored: Restored,
    /// Bytes read.
    pub bytes: u64,
}

/// Why no snapshot was loaded. Damage is not among the reasons: the load falls back on the snapshot before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// The object storage does not answer or refuses the request; a later attempt may succeed.
    Unavailable(String),
    /// The caller interrupted the load.
    Interrupted,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(message) => f.write_str(message),
            Self::Interrupted => f.write_str("the load of the snapshot was interrupted"),
        }
    }
}
