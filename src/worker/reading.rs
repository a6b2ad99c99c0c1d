//! Reading a partition to its end outside of the group: for recovery, the control topic, and everything else that must
//! be known before a shard is live.
//!
//! Only committed records are read, so an open transaction holds the reader up. One left open by the shard's last owner
//! is ended by fencing that owner; every other one is waited for.

use crate::fault_injection;
use crate::kafka::{Batch, Failure, Log, Reader, Topic};
use std::sync::atomic::{AtomicBool, Ordering};

/// Records read at once.
const RECORDS_MAX: usize = 1_024;
/// Empty reads, a tenth of a second each, after which an open transaction of the shard's last owner is ended.
const OWNER_WAITS: u32 = 5;
/// Empty reads between two log lines about them.
const LOGGED_WAITS: u32 = 50;

/// Why work on a shard that is not live yet ended early.
#[derive(Debug)]
pub enum Aborted {
    Failed(Failure),
    /// There is a group event, or the process is to stop.
    Interrupted,
}

impl From<Failure> for Aborted {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Ends long work early if something is more urgent.
///
/// # Errors
/// If there is a group event, or the process is to stop.
pub fn check_interrupted<L: Log>(log: &L, stop: &AtomicBool) -> Result<(), Aborted> {
    if log.has_group_event() || stop.load(Ordering::Relaxed) { Err(Aborted::Interrupted) } else { Ok(()) }
}

/// The last owner of a shard, by its journal. If it died in the middle of a transaction, no record behind that
/// transaction can be read until the transaction ends: by its time-out, which may take twenty seconds, or because this
/// worker fences the owner.
#[derive(Default)]
pub struct LastOwner {
    pub transactional_id: Option<String>,
    /// Empty reads in a row.
    waits: u32,
    is_fenced: bool,
}

impl LastOwner {
    /// A read was empty. After some of them the owner is fenced, if a transaction is open. An empty read alone proves
    /// nothing: the broker may be slow, and a healthy worker that is fenced must rebuild its other shards.
    fn wait<L: Log>(&mut self, log: &mut L, reader: &mut L::Reader) -> Result<(), Failure> {
        self.waits += 1;
        let Some(id) = self.transactional_id.as_ref().filter(|id| *id != log.transactional_id()) else { return Ok(()) };
        if self.is_fenced || !self.waits.is_multiple_of(OWNER_WAITS) || !reader.is_held_up()? {
            return Ok(());
        }
        tracing::info!(owner = id, "the shard's last owner left a transaction open: it is aborted");
        self.is_fenced = true;
        log.fence_other(id)?;
        fault_injection::crash_point("recovery/holder-fenced");
        Ok(())
    }
}

/// Reads until there is a record or `until` is reached. A transaction of the shard's last owner that holds the reader
/// up is ended.
pub fn read_past_owner<L: Log>(
    log: &mut L,
    reader: &mut L::Reader,
    until: i64,
    stop: &AtomicBool,
    owner: &mut LastOwner,
    batch: &mut L::Batch,
) -> Result<(), Aborted> {
    batch.clear();
    while batch.is_empty() && reader.position() < until {
        check_interrupted(log, stop)?;
        let before = reader.position();
        reader.read(until, RECORDS_MAX, batch)?;
        if !batch.is_empty() || reader.position() > before {
            owner.waits = 0;
            continue;
        }
        owner.wait(log, reader)?;
        if owner.waits > 0 && owner.waits.is_multiple_of(LOGGED_WAITS) {
            let position = reader.position();
            tracing::info!(position, until, "still waiting for records: an earlier owner's transaction may be open");
        }
    }
    Ok(())
}

/// Reads until there is a record or `until` is reached.
pub fn read_some<L: Log>(
    log: &mut L,
    reader: &mut L::Reader,
    until: i64,
    stop: &AtomicBool,
    batch: &mut L::Batch,
) -> Result<(), Aborted> {
    read_past_owner(log, reader, until, stop, &mut LastOwner::default(), batch)
}

/// Visits a partition's records, batch by batch, from an offset or the oldest record to the present end; that end.
pub fn read_all<L: Log>(
    log: &mut L,
    (topic, partition): (Topic, u32),
    from: i64,
    stop: &AtomicBool,
    mut visit: impl FnMut(&L::Batch) -> Result<(), Failure>,
) -> Result<i64, Aborted> {
    let mut reader = log.reader(topic, partition, from)?;
    let (first, end) = (reader.first(), reader.end());
    if first > from {
        reader.seek(first)?;
    }
    let mut batch = L::Batch::default();
    while reader.position() < end {
        read_some(log, &mut reader, end, stop, &mut batch)?;
        visit(&batch)?;
    }
    Ok(end)
}
