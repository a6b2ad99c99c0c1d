//! The trait [`Log`]: what a worker needs of a partitioned log with transactions, and nothing about how it is
//! implemented.
//!
//! A *shard* is partition `p` of every input topic; a worker is assigned whole shards. Everything that a worker learns
//! of the outside comes through this trait, the clock included, so that a simulation of the log controls all of it. The
//! implementations are [`super::KafkaLog`], [`super::memory::MemoryLog`] and [`super::DryRun`]. There are no default
//! methods: each implementation must answer everything.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

/// A topic as a worker names it: the n-th input, or one of our own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Topic {
    Input(u16),
    Own(Own),
}

/// The topics that Shoal writes. [`Own::Control`] and [`Own::Alerts`] have one partition, the others as many as the
/// inputs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Own {
    Changes,
    Membership,
    Rejected,
    Journal,
    Control,
    Census,
    Alerts,
}

impl Own {
    pub const ALL: [Self; 7] =
        [Self::Changes, Self::Membership, Self::Rejected, Self::Journal, Self::Control, Self::Census, Self::Alerts];

    /// Whether the topic has one partition, whatever the number of shards.
    pub fn is_single(self) -> bool {
        matches!(self, Self::Control | Self::Alerts)
    }

    /// The number of partitions of the topic for this number of shards.
    pub fn partitions(self, shards: u32) -> u32 {
        if self.is_single() { 1 } else { shards }
    }
}

/// One record, borrowed from a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record<'a> {
    pub offset: i64,
    /// Milliseconds; `None` if the record has no timestamp.
    pub timestamp: Option<i64>,
    pub key: Option<&'a [u8]>,
    /// `None`: a tombstone.
    pub value: Option<&'a [u8]>,
}

/// Records of one partition in order of offset, first in, first out. They stay in the log's own buffers until they are
/// discarded or the batch is dropped.
pub trait Batch: Default {
    fn len(&self) -> usize;
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    fn record(&self, index: usize) -> Record<'_>;
    /// The value of the first header with this name.
    fn header(&self, index: usize, name: &str) -> Option<&[u8]>;
    /// Removes the first `count` records.
    fn discard(&mut self, count: usize);
    fn clear(&mut self) {
        self.discard(self.len());
    }
}

/// What the consumer group reports.
#[derive(Clone, Debug, PartialEq)]
pub enum GroupEvent {
    None,
    /// The worker owns these shards too from now on. Nothing is fetched before [`Log::start`].
    Assigned(Vec<u32>),
    /// The worker must give up these shards: commit, unless they are `lost` (another worker may own them already), then
    /// call [`Log::release`].
    Revoked {
        shards: Vec<u32>,
        lost: bool,
    },
}

/// The time on the log's machine, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Since 1970 UTC; may jump.
    pub wall: i64,
    /// Since an arbitrary start; never decreases.
    pub monotonic: u64,
}

/// The next offset to read of any partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub topic: Topic,
    pub partition: u32,
    pub offset: i64,
}

/// The next offset to read of an input partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InputOffset {
    pub topic: u16,
    pub partition: u32,
    pub offset: i64,
}

impl From<InputOffset> for Position {
    fn from(InputOffset { topic, partition, offset }: InputOffset) -> Self {
        Self { topic: Topic::Input(topic), partition, offset }
    }
}

/// Where a shard with an empty journal begins to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    Earliest,
    Latest,
    /// The first record with at least this timestamp, in milliseconds.
    Time(i64),
}

/// What is known of a partition that is being fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionStatus {
    /// The partition was read up to its end, as of the last fetch. That counts until its leader changes, the connection
    /// breaks or a fetch fails: then another fetch must be answered first (T7).
    pub is_at_end: bool,
    /// When, in monotonic milliseconds, the broker last answered a fetch of the partition, with records or without. Of
    /// inputs only; `None` if it has not answered since the start.
    pub last_answer: Option<u64>,
    /// The topic holds time back when it is silent, and has had no record for as long as was configured.
    pub is_silent: bool,
}

pub struct Header<'a> {
    pub name: &'a str,
    pub value: &'a [u8],
}

/// One record to write to an explicit partition.
#[derive(Clone)]
pub struct OutRecord<'a> {
    pub topic: Own,
    pub partition: u32,
    pub key: Option<&'a [u8]>,
    /// `None`: a tombstone.
    pub value: Option<&'a [u8]>,
    /// Indexes into [`Transaction::headers`].
    pub headers: Range<usize>,
}

/// Records and offsets that become visible together.
#[derive(Default)]
pub struct Transaction<'a> {
    pub records: Vec<OutRecord<'a>>,
    pub headers: Vec<Header<'a>>,
    /// Of every input partition of every shard in the transaction, including unchanged ones: the client skips the check
    /// of the group's generation, which fences a zombie, when there is no offset.
    pub offsets: Vec<InputOffset>,
}

/// What went wrong, classified by what the worker has to do. What can be retried was retried by the implementation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The transaction may or may not have been committed, or the producer cannot be used any more: rebuild the shards.
    Rebuild(String),
    /// Nothing that this process does will help: stop with a message.
    Stop(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rebuild(message) | Self::Stop(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Failure {}

/// Names of the steps at which a transaction can fail.
pub const TRANSACTION_STEPS: [&str; 7] = ["begin", "write", "offsets", "commit", "connection", "slow", "member"];

/// What a worker's client reports of itself, for metrics and health checks. Counters begin with the client.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientReport {
    /// The group has accepted this worker as a member since it started, with shards for it or without.
    pub has_joined: bool,
    /// Why the group does not accept this worker at the moment.
    pub waits_for: Option<String>,
    /// Brokers that the client is connected to.
    pub brokers_up: u64,
    /// Seconds from a request to its answer, median and 99th percentile, of the slowest broker in the last half second.
    pub round_trip: Option<[f64; 2]>,
    pub request_timeouts: u64,
    pub request_errors: u64,
    /// Connections that were established again.
    pub reconnects: u64,
    /// The longest time in seconds for which a broker last throttled the client.
    pub throttle: f64,
    /// By [`TRANSACTION_STEPS`].
    pub transaction_failures: [u64; TRANSACTION_STEPS.len()],
}

/// The transactional ids of the two producers that a worker of this identity uses in turn: each transaction is begun
/// by the other producer, after the one before was acknowledged.
pub fn producer_ids(transactional_id: &str) -> [String; 2] {
    [transactional_id.to_owned(), format!("{transactional_id}.2")]
}

/// A log of partitioned topics with transactions, as one worker sees it.
pub trait Log {
    type Batch: Batch;
    type Reader: Reader<Batch = Self::Batch>;

    fn now(&self) -> Moment;

    /// The identity under which this worker writes; stable over restarts. Its producers have [`producer_ids`].
    fn transactional_id(&self) -> &str;

    // The consumer group.

    /// Returns the next group event. Waits at most `wait` for one, or for something new in a started partition; what
    /// was there before and was not read does not end the wait.
    fn poll(&mut self, wait: Duration) -> Result<GroupEvent, Failure>;

    /// Whether the next poll returns a group event or a failure. Long work is interrupted for it.
    fn has_group_event(&self) -> bool;

    /// The worker has given up these shards after [`GroupEvent::Revoked`]. Their inputs are no longer fetched.
    fn release(&mut self, shards: &[u32]);

    // Live records.

    /// Starts to fetch partitions, in addition to those already started. A partition that is started already continues
    /// from its new position.
    fn start(&mut self, positions: &[Position]) -> Result<(), Failure>;

    /// Stops fetching partitions. Those that are not started are ignored.
    fn stop(&mut self, partitions: &[(Topic, u32)]);

    /// Appends the next records of a started partition to the batch, at most `records_max`, without waiting. Returns
    /// the number of records appended.
    fn read(
        &mut self,
        topic: Topic,
        partition: u32,
        records_max: usize,
        batch: &mut Self::Batch,
    ) -> Result<usize, Failure>;

    /// What is known of a partition. Of one that is not started only `is_silent` is.
    fn partition_status(&self, topic: Topic, partition: u32) -> PartitionStatus;

    /// The end of a started partition as of the last fetch, markers and open transactions included; `None` if unknown.
    /// Not part of the status because it costs a call of the client: meant for metrics.
    fn known_end(&self, topic: Topic, partition: u32) -> Option<i64>;

    // Writing.

    /// Makes new producers. Ends the transaction that earlier producers of this identity left open, and prevents them
    /// from publishing any more. Needed before the first transaction and after each one that failed.
    fn fence(&mut self) -> Result<(), Failure>;

    /// Ends the transaction that another identity left open and prevents its producers from publishing any more. Where
    /// that is not possible, the transaction ends by its time-out.
    fn fence_other(&mut self, transactional_id: &str) -> Result<(), Failure>;

    /// Makes everything in the transaction visible, or nothing; after an error it is not known which. Returns the
    /// monotonic millisecond from which on the next transaction is best begun: one that begins earlier may be slower
    /// than one that waits.
    fn publish(&mut self, transaction: &Transaction<'_>) -> Result<u64, Failure>;

    // Offsets, and records that are read again.

    /// The group's stable offsets of the inputs of these shards. Partitions without one are left out.
    fn committed(&mut self, shards: &[u32]) -> Result<Vec<InputOffset>, Failure>;

    /// The offset at which a partition begins when read from `start`; with [`StartAt::Earliest`] its oldest record.
    fn first_offset(&mut self, topic: Topic, partition: u32, start: StartAt) -> Result<i64, Failure>;

    /// Identifiers that distinguish each input topic from a later one of the same name; empty if they are unknown.
    fn input_ids(&mut self) -> Result<Vec<String>, Failure>;

    /// Reads committed records of a partition from an offset on, outside the group. An offset beyond the end means the
    /// end.
    fn reader(&mut self, topic: Topic, partition: u32, from: i64) -> Result<Self::Reader, Failure>;

    fn client_report(&self) -> ClientReport;
}

/// Reads one partition from an offset on.
pub trait Reader {
    type Batch: Batch;

    /// The oldest offset when the reader was made.
    fn first(&self) -> i64;

    /// The end when the reader was made, open transactions included.
    fn end(&self) -> i64;

    /// The next offset to read. It passes markers, which are in no batch.
    fn position(&self) -> i64;

    /// Whether an open transaction stands before the end: no record from it on is returned until it ends.
    fn is_held_up(&mut self) -> Result<bool, Failure>;

    /// Continues from another offset.
    fn seek(&mut self, offset: i64) -> Result<(), Failure>;

    /// Appends the next `records_max` records to the batch, or fewer if the position reaches `until`; never reads past
    /// it. Where no record comes, as before the end of an open transaction, it waits a tenth of a second and returns
    /// what there is.
    fn read(&mut self, until: i64, records_max: usize, batch: &mut Self::Batch) -> Result<(), Failure>;
}
