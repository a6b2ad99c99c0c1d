//! The seam: what a worker needs of a log, and nothing about how it is done.
//!
//! A *shard* is partition `p` of every input topic; a worker is assigned whole shards. Everything a worker knows of the
//! outside comes through here, the clock too, so a simulation of the log controls all of it.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

/// A topic as a worker names it: the n-th input, or one of our own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Topic {
    Input(u16),
    Own(Own),
}

/// Topics that we write. All but [`Own::Control`] and [`Own::Alerts`] have as many partitions as the inputs; those have one.
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

    /// Whether it has one partition, however many shards there are.
    pub fn is_single(self) -> bool {
        matches!(self, Self::Control | Self::Alerts)
    }

    /// How many partitions it has, with so many shards.
    pub fn partitions(self, shards: u32) -> u32 {
        if self.is_single() { 1 } else { shards }
    }
}

/// One record, borrowed from a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record<'a> {
    pub offset: i64,
    /// Milliseconds; `None` if the log has none.
    pub timestamp: Option<i64>,
    pub key: Option<&'a [u8]>,
    /// `None`: a tombstone.
    pub value: Option<&'a [u8]>,
}

/// Records of one partition in order of offset, first in, first out. They live in the log's own buffers until they are
/// discarded or the batch is dropped.
pub trait Batch: Default {
    fn len(&self) -> usize;
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    fn record(&self, place: usize) -> Record<'_>;
    /// The value of the first header of this name.
    fn header(&self, place: usize, name: &str) -> Option<&[u8]>;
    /// Lets go of the first so many records.
    fn discard(&mut self, count: usize);
    fn clear(&mut self) {
        self.discard(self.len());
    }
}

/// What the group has to say.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    Nothing,
    /// These shards are the worker's too from now on. Nothing is fetched before [`Log::start`].
    Assigned(Vec<u32>),
    /// These shards must be given up: commit (unless `lost`: then somebody else may own them already), then
    /// [`Log::release`].
    Revoked {
        shards: Vec<u32>,
        lost: bool,
    },
}

/// Time as the log's machine tells it, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Since 1970 UTC; may jump.
    pub wall: i64,
    /// Since some start; never goes back.
    pub monotonic: u64,
}

/// Next offset to read of an input partition, absolute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InputOffset {
    pub topic: u16,
    pub partition: u32,
    pub offset: i64,
}

/// Where a shard with an empty journal begins to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    Earliest,
    Latest,
    /// The first record with a timestamp of at least so many milliseconds.
    Time(i64),
}

pub struct Header<'a> {
    pub name: &'a str,
    pub value: &'a [u8],
}

/// One record to write, to an explicit partition.
#[derive(Clone)]
pub struct OutRecord<'a> {
    pub topic: Own,
    pub partition: u32,
    pub key: Option<&'a [u8]>,
    /// `None`: a tombstone.
    pub value: Option<&'a [u8]>,
    /// Places in [`Transaction::headers`].
    pub headers: Range<usize>,
}

/// Everything that becomes visible together.
#[derive(Default)]
pub struct Transaction<'a> {
    pub records: Vec<OutRecord<'a>>,
    pub headers: Vec<Header<'a>>,
    /// Of every input partition of every shard in the transaction, unchanged ones too: the check of the group's
    /// generation, which fences a zombie, is skipped by the client when there is no offset.
    pub offsets: Vec<InputOffset>,
}

/// What went wrong, by what the worker has to do. What can be tried again was tried again below the seam.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It is not known to be good how the transaction ended, or the producer is of no more use: rebuild the shards.
    Rebuild(String),
    /// Nothing that this process does will help: stop and say why.
    Stop(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rebuild(words) | Self::Stop(words) => f.write_str(words),
        }
    }
}

impl std::error::Error for Failure {}

/// Steps of a transaction at which it can fail, by name.
pub const TRANSACTION_STEPS: [&str; 7] = ["begin", "write", "offsets", "commit", "connection", "slow", "member"];

/// What a worker's client tells of itself, since it was made; see the steps of a transaction for its failures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientReport {
    /// Brokers that it has a connection to.
    pub brokers_up: u64,
    /// Seconds from a request to its answer, median and 99th percentile, of the slowest broker of the last half second.
    pub round_trip: Option<[f64; 2]>,
    pub request_timeouts: u64,
    pub request_errors: u64,
    /// Connections that were made anew.
    pub reconnects: u64,
    /// Seconds for which a broker last put requests off, of the broker that did so longest.
    pub throttle: f64,
    /// By [`TRANSACTION_STEPS`].
    pub transaction_failures: [u64; TRANSACTION_STEPS.len()],
}

/// A log of partitioned topics with transactions, as one worker sees it.
pub trait Log {
    type Batch: Batch;
    type Reader: Reader<Batch = Self::Batch>;

    fn now(&self) -> Moment;

    /// The identity under which this worker writes; stable over restarts.
    fn transactional_id(&self) -> &str;

    /// Hears what the group has to say, waiting at most `wait` for that or for something new in a started partition.
    /// What was there before and was not taken is nothing new.
    fn poll(&mut self, wait: Duration) -> Result<News, Failure>;

    /// Whether the group has taken this worker in since it began, with shards for it or without.
    fn has_joined(&self) -> bool {
        true
    }

    /// Whether the next poll will bring news: long work is left off for it.
    fn has_news(&self) -> bool;

    /// Appends the next records of a started partition to the batch, at most so many, without waiting. Gives how many.
    fn take(
        &mut self,
        topic: Topic,
        partition: u32,
        records_max: usize,
        batch: &mut Self::Batch,
    ) -> Result<usize, Failure>;

    /// Whether all of a started partition was taken up to its end as the last fetch showed it.
    fn is_at_end(&self, topic: Topic, partition: u32) -> bool;

    /// When, in monotonic milliseconds, the broker last answered a fetch of this input partition, with records or without;
    /// `None` if it has not since the start.
    fn answered(&self, topic: u16, partition: u32) -> Option<u64>;

    /// The end of a started partition as the last fetch showed it, markers included; `None` if that is not known.
    fn known_end(&self, _topic: Topic, _partition: u32) -> Option<i64> {
        None
    }

    /// What the client tells of itself.
    fn client_report(&self) -> ClientReport {
        ClientReport::default()
    }

    /// Whether a topic that is to hold time back when it is silent has had no record for as long as was configured.
    fn is_silent(&self, topic: u16) -> bool;

    /// Starts to fetch these partitions of the inputs, in addition to those started; one that is started already goes on
    /// from its new position.
    fn start(&mut self, inputs: &[InputOffset]) -> Result<(), Failure>;

    /// Starts to fetch the control topic.
    fn start_control(&mut self, offset: i64) -> Result<(), Failure>;

    /// Starts to fetch so many partitions of a topic of our own, each from its beginning.
    fn follow(&mut self, topic: Own, partitions: u32) -> Result<(), Failure>;

    /// Stops that.
    fn unfollow(&mut self, topic: Own);

    /// Stops fetching the inputs of these shards, to start them again elsewhere.
    fn pause(&mut self, shards: &[u32]);

    /// The worker has let go of these shards after [`News::Revoked`].
    fn release(&mut self, shards: &[u32]);

    /// Makes a new producer: transactions that an earlier holder of the identity left open are ended, and such a holder
    /// can publish no more. Needed before the first transaction and after each that failed.
    fn fence(&mut self) -> Result<(), Failure>;

    /// Ends the transaction that another identity left open, as [`Log::fence`] does for our own: whoever holds it can
    /// publish no more. Where that is not possible its time-out is waited for.
    fn fence_other(&mut self, _transactional_id: &str) -> Result<(), Failure> {
        Ok(())
    }

    /// How many milliseconds the next transaction is better put off, so that the last one's end is written everywhere before
    /// it begins.
    fn rest_ms(&self) -> u64 {
        0
    }

    /// Makes all of it visible, or nothing. After an error it is not known which.
    fn publish(&mut self, transaction: &Transaction<'_>) -> Result<(), Failure>;

    /// The group's stable offsets of the inputs of these shards; those without one are left out.
    fn committed(&mut self, shards: &[u32]) -> Result<Vec<InputOffset>, Failure>;

    /// What tells each input topic from another one of the same name, made later; none if that is not known.
    fn input_ids(&mut self) -> Result<Vec<String>, Failure> {
        Ok(Vec::new())
    }

    /// Where an input partition begins for a shard with an empty journal; with [`StartAt::Earliest`] the oldest record
    /// there is.
    fn first_offset(&mut self, topic: u16, partition: u32, start: StartAt) -> Result<i64, Failure>;

    /// Reads a partition outside the group, committed records only, from an offset; one beyond the end means the end.
    fn reader(&mut self, topic: Topic, partition: u32, from: i64) -> Result<Self::Reader, Failure>;
}

/// Reads one partition from an offset on.
pub trait Reader {
    type Batch: Batch;

    /// The oldest offset there was when the reader was made.
    fn first(&self) -> i64;

    /// The end when the reader was made, transactions still open included.
    fn end(&self) -> i64;

    /// The next offset to be read; past markers, which no batch shows.
    fn position(&self) -> i64;

    /// Whether a transaction that is still open stands before the end: nothing from it on is given.
    fn is_held_up(&mut self) -> Result<bool, Failure>;

    /// Goes on from another offset.
    fn seek(&mut self, offset: i64) -> Result<(), Failure>;

    /// Appends the next `records_max` records to the batch, or fewer if the position has reached `until`: never past it.
    /// Where nothing comes, as before the end of a transaction that is still open, it waits a tenth of a second and gives
    /// what there is.
    fn read(&mut self, until: i64, records_max: usize, batch: &mut Self::Batch) -> Result<(), Failure>;
}
