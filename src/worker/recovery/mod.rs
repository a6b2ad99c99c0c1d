//! Recovery: a shard's state from its newest snapshot and its journal, at start, at takeover, and after a transaction
//! whose outcome is unknown.
//!
//! The caller has fenced earlier holders of its identity, so the journal's end cannot move. The operations of all
//! committed transactions since the snapshot are replayed, muted, on the same records ([`replay`]); record counts,
//! hashes and digests are compared with the journal. If the last transaction is torn ([`tail`]), its missing parts are
//! published again ([`repair`]).

mod fallback;
mod inputs;
pub mod progress;
mod refusal;
mod repair;
mod replay;
mod snapshot;
pub mod tail;

pub use snapshot::restore;

use crate::fault_injection;
use crate::kafka::{Batch, Failure, InputOffset, Log, Own, Reader, StartAt, Topic};
use crate::store::SnapshotStore;
use crate::worker::control::Control;
use crate::worker::lifecycle::Phase;
use crate::worker::observe::status::{WorkProgress, WorkerStatus};
use crate::worker::owned_shard::OwnedShard;
use crate::worker::reading::{Aborted, check_interrupted, read_some};
use progress::Progress;
use replay::Replay;
use std::sync::atomic::AtomicBool;
use tail::{Tail, read_journal_record};

/// The step that takes most of the time of a recovery.
const REPLAYING: &str = "replaying the journal";

/// What recovery needs besides the shard.
pub struct Recovery<'a, L: Log> {
    pub log: &'a mut L,
    pub control: &'a mut Control,
    /// The snapshot store, if snapshots are on.
    pub store: Option<&'a mut (dyn SnapshotStore + 'static)>,
    pub start: StartAt,
    /// The process is to stop: recovery ends early.
    pub stop: &'a AtomicBool,
    /// Where progress is reported.
    pub status: Option<&'a WorkerStatus>,
}

impl<L: Log> Recovery<'_, L> {
    /// Restores a shard to the state at its journal's end; how many torn transactions were repaired.
    pub fn recover(&mut self, owned: &mut OwnedShard) -> Result<u64, Aborted> {
        owned.enter_phase(Phase::Recovering);
        let (shard, before) = (owned.number(), self.journal_end(owned.number())?);
        // Read after the journal's end: the control topic that is fetched live, or that was read before this worker was
        // suspended, may lack rules that the shard's last owner knew.
        self.control.read_to_end(self.log, self.stop)?;
        let done = self.restore(owned);
        self.rebuild_if_moved(shard, before, done)
    }

    /// Whether the kept state of a shard is still the one at its journal's end. Then it is live again.
    pub fn reuse(&mut self, owned: &mut OwnedShard) -> Result<bool, Aborted> {
        owned.enter_phase(Phase::Recovering);
        let (shard, before) = (owned.number(), self.journal_end(owned.number())?);
        let done = self.compare_with_tail(owned);
        self.rebuild_if_moved(shard, before, done)
    }

    fn journal_end(&mut self, shard: u32) -> Result<i64, Failure> {
        Ok(self.log.reader(Topic::Own(Own::Journal), shard, 0)?.end())
    }

    /// A worker that was suspended during recovery, and lost the shard without knowing it yet, has read some topics
    /// before and some after the new owner wrote to them. That these contradict each other is no reason to stop.
    fn rebuild_if_moved<T>(&mut self, shard: u32, before: i64, done: Result<T, Aborted>) -> Result<T, Aborted> {
        match done {
            Err(Aborted::Failed(Failure::Stop(message))) if self.journal_end(shard)? != before => Err(
                Failure::Rebuild(format!("another worker continued the journal of shard {shard} meanwhile: {message}"))
                    .into(),
            ),
            done => done,
        }
    }

    fn restore(&mut self, owned: &mut OwnedShard) -> Result<u64, Aborted> {
        self.report(owned, "reading the journal's end", 0);
        let tail = Tail::read(self.log, owned.number(), self.stop)?;
        fault_injection::crash_point("recovery/tail");
        self.report(owned, "loading the snapshot", 0);
        if let Some(store) = &mut self.store {
            snapshot::load(self.log, self.control, *store, self.stop, owned, &tail)?;
        }
        let repaired = self.replay(owned, &tail)?;
        if owned.transaction() == 0 {
            self.begin_at_start(owned)?;
        }
        self.finish(owned)?;
        Ok(repaired)
    }

    /// Replays the journal after the shard's transaction; how many torn transactions were repaired.
    fn replay(&mut self, owned: &mut OwnedShard, tail: &Tail) -> Result<u64, Aborted> {
        let (shard, loaded) = (owned.number(), owned.transaction());
        let mut progress = Progress::new(shard, REPLAYING, loaded, tail.last_transaction());
        self.report(owned, REPLAYING, tail.last_transaction() - loaded);
        let mut repaired = 0;
        let mut journal = self.log.reader(Topic::Own(Own::Journal), shard, owned.journal_from())?;
        let end = journal.end();
        let mut batch = L::Batch::default();
        let mut replay = Replay::new(self.control, tail, self.stop, owned.positions().len());
        loop {
            read_some(self.log, &mut journal, end, self.stop, &mut batch)?;
            if batch.is_empty() {
                break;
            }
            for index in 0..batch.len() {
                check_interrupted(self.log, self.stop)?;
                let record = batch.record(index);
                let bytes = record.value.unwrap_or_default();
                let read = read_journal_record(shard, record.offset, bytes)?;
                if read.transaction <= loaded {
                    continue;
                }
                repaired += u64::from(replay.transaction(self.log, owned, &read, bytes)?);
                owned.set_journal_offset(record.offset);
                let progress = progress.advance(self.log.now().monotonic, read.transaction);
                if let Some((status, progress)) = self.status.zip(progress) {
                    status.set_progress(shard, progress);
                }
            }
        }
        if owned.transaction() != tail.last_transaction() {
            let (reached, last) = (owned.transaction(), tail.last_transaction());
            let message = format!(
                "the end of the journal of shard {shard} moved from transaction {last} to {reached} while it was read"
            );
            return Err(Failure::Rebuild(message).into());
        }
        if let Some(copy) = tail.orphan(shard)? {
            let read = read_journal_record(shard, -1, &copy)?;
            repaired += u64::from(replay.transaction(self.log, owned, &read, &copy)?);
        }
        Ok(repaired)
    }

    /// A shard with an empty journal begins at the configured start of its inputs, perhaps with the state of a seed.
    fn begin_at_start(&mut self, owned: &mut OwnedShard) -> Result<(), Failure> {
        if owned.has_seed_rules() {
            owned.begin_from_seed();
        }
        for topic in 0..owned.positions().len() as u16 {
            owned.set_position(topic, self.log.first_offset(Topic::Input(topic), owned.number(), self.start)?);
        }
        Ok(())
    }

    /// Reports the step of recovery that begins, which has `all` items; 0 if that is not known.
    fn report(&self, owned: &OwnedShard, work: &'static str, all: u64) {
        if let Some(status) = self.status {
            status.set_progress(owned.number(), WorkProgress { work, done: 0, all, seconds_left: None });
        }
    }

    fn compare_with_tail(&mut self, owned: &mut OwnedShard) -> Result<bool, Aborted> {
        let tail = Tail::read(self.log, owned.number(), self.stop)?;
        let is_last = match &tail.journal {
            Some(last) => last.transaction == owned.transaction() && last.digest == owned.digest(),
            None => owned.transaction() == 0,
        };
        if is_last && tail.agrees() {
            self.finish(owned)?;
        }
        Ok(is_last && tail.agrees())
    }

    fn finish(&mut self, owned: &mut OwnedShard) -> Result<(), Aborted> {
        let committed = self.log.committed(&[owned.number()])?;
        compare_offsets(owned, &committed)?;
        owned.count_from_here();
        owned.enter_phase(if owned.shard().is_some() { Phase::Running } else { Phase::Waiting });
        fault_injection::crash_point("recovery/done");
        Ok(())
    }
}

/// Compares the group's offsets with the journal, which alone decides where the shard goes on. Offsets that are behind
/// or missing are sent with the next transaction.
fn compare_offsets(owned: &mut OwnedShard, committed: &[InputOffset]) -> Result<(), Failure> {
    let expected: Vec<InputOffset> = owned.input_offsets().collect();
    for input in expected {
        let known = committed.iter().find(|known| (known.topic, known.partition) == (input.topic, input.partition));
        match known {
            Some(known) if known.offset == input.offset => {}
            Some(known) if known.offset > input.offset => {
                return Err(Failure::Stop(format!(
                    "group offsets ahead of the journal: input topic {}, partition {}: the group's offset is {}, the \
                     journal's {}. Either records of the journal are lost, or the group's offsets were set by hand; the \
                     records in between would not be processed. Set the offsets back, or rebuild the state with \
                     `shoal rebuild`",
                    owned.input_name(input.topic),
                    input.partition,
                    known.offset,
                    input.offset
                )));
            }
            _ => owned.mark_offsets_behind(),
        }
    }
    Ok(())
}
