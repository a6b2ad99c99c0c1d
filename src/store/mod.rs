//! Snapshots: a shard's state in an object store, so that a start need not read all inputs again.
//!
//! What a snapshot is made of, and what it survives, is told in docs/snapshots.md. Of the folder a worker knows only
//! [`Vault`]: it hands over the pieces of a capture as it gets them from the shard, and hears later what became of them.
//! Nothing here decides what an event means, and nothing here is waited for by records.

pub mod blobs;
mod census;
pub mod columns;
mod group;
mod keeper;
pub mod load;
pub mod manifest;
mod merge;
pub mod names;
pub mod object_blobs;
mod retention;
pub mod seed;
pub mod settings;
pub mod thread;

pub use keeper::Keeper;
pub use object_blobs::ObjectBlobs;
pub use settings::SnapshotSettings;
pub use thread::VaultThread;

use crate::engine::shard::{self, Part, Restored};
use std::fmt;
use std::time::Duration;

/// Where snapshots are put, and where they come from. One worker's; each shard has one owner at a time.
pub trait Vault {
    /// Takes the next piece of the snapshot in the making of a shard, or gives it back because there is no room yet.
    /// It never waits.
    fn take(&mut self, shard: u32, piece: Piece) -> Result<(), Piece>;

    /// What has become of a snapshot since the last call: one answer to each [`Piece::End`], none to
    /// [`Piece::Abandoned`].
    fn outcome(&mut self) -> Option<Outcome>;

    /// Waits until there may be room or an outcome, at most so long.
    fn wait(&mut self, at_most: Duration);

    /// The newest good snapshot of a shard at or before a transaction; damaged ones are told of and passed over. The
    /// shard's next snapshot is of what changed since this one; of everything, if there is none.
    fn load(&mut self, shard: u32, at_most: u64, interrupted: &dyn Fn() -> bool) -> Result<Option<Loaded>, LoadFailed>;

    /// Where the newest snapshot before a transaction stands, by its manifest: a start falls back on it if the one of this
    /// transaction is damaged.
    fn place_before(&mut self, shard: u32, transaction: u64) -> Result<Option<Place>, String>;

    /// Writes a small object beside the shard's snapshots, or removes it.
    fn note(&mut self, shard: u32, name: &str, bytes: Option<&[u8]>) -> Result<(), String>;

    /// Such an object, if it is there.
    fn noted(&mut self, shard: u32, name: &str) -> Result<Option<Vec<u8>>, String>;
}

/// What a capture is handed over in: a beginning, parts, and an end.
#[derive(Debug)]
pub enum Piece {
    /// A snapshot begins; one of the same shard that has not ended is given up.
    Begin(Box<Head>),
    /// The parts in the order in which [`shard::Shard::capture`] gives them.
    Part(Part),
    End,
    /// The snapshot is given up, without an outcome.
    Abandoned,
}

/// All of a snapshot that is not customers, ids of events and marks.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    pub place: Place,
    pub state: shard::Head,
}

/// Where the shard stands outside of the engine.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The last transaction that is in the state; 0 for a seed.
    pub transaction: u64,
    /// Outputs until then.
    pub outputs: u64,
    /// The next offset of each input, in the order of `inputs`.
    pub positions: Vec<i64>,
    pub inputs: Vec<String>,
    /// Partitions of each input.
    pub partitions: u32,
    /// The next offset of the control topic.
    pub control_next: i64,
    /// Offset of the rules in force in the control topic; `None` if they came with a seed or a rebuild.
    pub rules_at: Option<i64>,
    /// Of the rules before, while a sweep goes on.
    pub old_rules_at: Option<i64>,
    pub rules_version: String,
    /// The rules themselves, where they do not stand in the control topic: those in force, or those that a sweep is
    /// replacing.
    pub rules: Option<Vec<u8>>,
    /// The wall clock of the last step.
    pub now: i64,
    /// The wall clock of the last tick.
    pub ticked: i64,
    pub last_arrival: Option<i64>,
    /// Offset in the journal from which to go on reading.
    pub journal_from: i64,
}

/// What became of a snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub shard: u32,
    pub transaction: u64,
    /// What was stored, or in words why nothing was.
    pub result: Result<Stored, String>,
    /// Files that the shard's snapshots stand on are gone, so the next one must be of everything: until then none can be
    /// stored.
    pub needs_all: bool,
    /// How many snapshots failed in this process, of all shards that it has.
    pub failures: u64,
}

/// A snapshot that is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Rows written: those that changed since the snapshot before.
    pub rows: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Whether it stands on no other.
    pub is_whole: bool,
    /// Milliseconds from its first piece to its manifest.
    pub took_ms: u64,
}

/// A shard's state as of a snapshot.
pub struct Loaded {
    pub head: Head,
    pub restored: Restored,
    /// Bytes read.
    pub bytes: u64,
}

/// Why nothing was loaded. Damage is no reason: it leads to the snapshot before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadFailed {
    /// The store does not answer, or refuses; it may later.
    Away(String),
    /// The caller wanted it so.
    Interrupted,
}

impl fmt::Display for LoadFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away(words) => f.write_str(words),
            Self::Interrupted => f.write_str("loading was interrupted"),
        }
    }
}
