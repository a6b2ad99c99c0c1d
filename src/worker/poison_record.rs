//! Poison records: a record that kills the process is found, tried alone, and in the end skipped.
//!
//! When a shard begins to run, a small *marker* beside its snapshots notes the last committed transaction. If a start
//! finds the marker of another process at the same transaction, that process probably died there. The start then names
//! in the marker, durably, which records it applies next; applies them; clears the marker; and commits. It tries 256
//! records at once, and one at a time after a death among them. A record that was tried alone when the process died,
//! twice, is skipped ([`super::journal::Operation::Skip`]) and rejected with reason `crash`.
//!
//! So only deaths between naming a record and clearing the marker count against it, a few milliseconds. Somebody who
//! kills processes from outside would have to hit these milliseconds of the same record twice, in two starts. Waiting
//! for Kafka, or for the next record, is not part of them.

use super::input_buffer::InputBuffer;
use super::owned_shard::OwnedShard;
use super::transaction::open::INPUT_RECORDS_MAX;
use crate::kafka::Batch;
use crate::store::SnapshotStore;
use serde::{Deserialize, Serialize};

/// The name of the marker in the snapshot store.
const NOTE: &str = "attempt";
/// Records tried at once until the process dies among them.
const WIDTH: u32 = 256;
/// Deaths while a record was tried alone after which it is skipped.
const DEATHS_MAX: u32 = 2;
/// Records with deaths that are remembered.
const SUSPECTS_MAX: usize = 16;

/// The snapshot store, if snapshots are on.
type Store<'a> = Option<&'a mut (dyn SnapshotStore + 'static)>;

/// What is stored about the attempts to get past a transaction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Marker {
    /// The last committed transaction when the marker was written.
    transaction: u64,
    /// The process that wrote it; different in every process.
    process: String,
    /// Starts since the last one without suspects.
    starts: u32,
    /// Records tried at once; 0: there are no suspects.
    width: u32,
    /// Number of records that the poison record may be among.
    left: u64,
    /// The first of the records that are being tried.
    trying: Option<Suspect>,
    suspects: Vec<Suspect>,
}

/// A record, and how often the process died while it was tried alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Suspect {
    topic: u16,
    offset: i64,
    deaths: u32,
}

/// The guard of one shard: which of its next records may be poison records, and what is done about them.
pub struct PoisonRecordGuard {
    shard: u32,
    marker: Marker,
    /// The store failed to read or write a marker: it is not asked again.
    is_unavailable: bool,
}

impl PoisonRecordGuard {
    /// A shard was recovered and begins to run after `transaction`. Without a store there is no marker and no
    /// protection.
    pub fn begin(shard: u32, process: &str, transaction: u64, positions: &[i64], store: Store<'_>) -> Self {
        let marker = Marker { transaction, ..Marker::default() };
        let mut guard = Self { shard, marker, is_unavailable: store.is_none() };
        let Some(store) = store else { return guard };
        match read_marker(shard, store) {
            Ok(before) => guard.marker = Marker::follow(before, process, transaction, positions),
            Err(message) => guard.give_up_marker(&message),
        }
        guard.log_start();
        guard.write_to(store);
        guard
    }

    fn log_start(&self) {
        let Marker { transaction, starts, width, ref suspects, .. } = self.marker;
        match width {
            0 => {}
            // Perhaps the other process only gave the shard up: a shard without events commits nothing.
            WIDTH => tracing::info!(
                shard = self.shard,
                transaction,
                starts,
                width,
                "another process began after this transaction and committed nothing: in case it died on a record, records \
                 are tried in small steps"
            ),
            _ => tracing::warn!(
                shard = self.shard,
                transaction,
                starts,
                width,
                ?suspects,
                "a process died while it tried records after this transaction: they are tried in small steps"
            ),
        }
    }

    /// Whether a poison record may be among the next records.
    pub fn has_suspects(&self) -> bool {
        self.marker.width > 0
    }

    /// Tries the next suspects, or skips a record that is known to be a poison record; how many records that were,
    /// `None` if no record is buffered. The caller commits them.
    pub fn try_next(
        &mut self,
        owned: &mut OwnedShard,
        buffer: &mut InputBuffer<impl Batch>,
        wall: i64,
        mut store: Store<'_>,
    ) -> Option<u64> {
        let Some((topic, offset)) = owned.next_record(wall, buffer) else {
            if buffer.is_at_end() {
                self.end_trial(owned.transaction(), store);
            }
            return None;
        };
        if self.is_poison(topic, offset) {
            tracing::error!(
                shard = self.shard,
                topic = owned.input_name(topic),
                offset,
                "a record ends the process each time it is applied: it is skipped, and published to the topic of rejected \
                 records with reason `crash`. Report it as a bug, and send the record again once the bug is fixed"
            );
            owned.skip_record(wall, buffer);
            return Some(1);
        }
        self.set_trying(Some(Suspect { topic, offset, deaths: 0 }), store.as_deref_mut());
        let records = owned.step_of(wall, buffer, self.marker.width as usize);
        self.set_trying(None, store);
        Some(records)
    }

    /// Records that were tried are committed, up to this transaction.
    pub fn mark_committed(&mut self, transaction: u64, records: u64, store: Store<'_>) {
        self.marker.left = self.marker.left.saturating_sub(records);
        self.marker.transaction = transaction;
        if self.marker.left == 0 {
            self.end_trial(transaction, store);
        }
    }

    /// Removes the marker at an orderly stop, so that the next start trusts all records.
    pub fn remove_marker(&self, store: &mut (dyn SnapshotStore + 'static)) {
        if self.has_suspects() || self.is_unavailable {
            return;
        }
        if let Err(message) = store.write_note(self.shard, NOTE, None) {
            tracing::warn!(
                shard = self.shard,
                error = message,
                "the marker of attempts cannot be removed, so the next start tries the first records in small steps"
            );
        }
    }

    /// Whether a record has to be skipped.
    fn is_poison(&self, topic: u16, offset: i64) -> bool {
        let known = self.marker.suspects.iter().find(|suspect| (suspect.topic, suspect.offset) == (topic, offset));
        known.is_some_and(|suspect| suspect.deaths >= DEATHS_MAX)
    }

    fn set_trying(&mut self, trying: Option<Suspect>, store: Store<'_>) {
        self.marker.trying = trying;
        self.write(store);
    }

    /// The poison record is passed, or there was none.
    fn end_trial(&mut self, transaction: u64, store: Store<'_>) {
        if self.has_suspects() {
            tracing::info!(shard = self.shard, transaction, "no poison record is left: records are applied as always");
            let process = std::mem::take(&mut self.marker.process);
            self.marker = Marker { transaction, process, starts: 1, ..Marker::default() };
            self.write(store);
        }
    }

    fn write(&mut self, store: Store<'_>) {
        if let Some(store) = store {
            self.write_to(store);
        }
    }

    fn write_to(&mut self, store: &mut (dyn SnapshotStore + 'static)) {
        if self.is_unavailable {
            return;
        }
        let bytes = serde_json::to_vec(&self.marker).expect("a marker is plain data");
        if let Err(message) = store.write_note(self.shard, NOTE, Some(&bytes)) {
            self.give_up_marker(&message);
        }
    }

    fn give_up_marker(&mut self, message: &str) {
        self.is_unavailable = true;
        tracing::warn!(
            shard = self.shard,
            error = message,
            "the marker of attempts cannot be read or written, so a record that kills the process would not be found until \
             the next start"
        );
    }
}

/// The marker that an earlier start left; one that cannot be parsed counts as none.
fn read_marker(shard: u32, store: &mut (dyn SnapshotStore + 'static)) -> Result<Option<Marker>, String> {
    let Some(bytes) = store.read_note(shard, NOTE)? else { return Ok(None) };
    let marker = serde_json::from_slice::<Marker>(&bytes);
    Ok(marker
        .inspect_err(|error| {
            tracing::warn!(
                shard,
                %error,
                "the marker of attempts cannot be parsed and is ignored: if a record kills the process, one more start is \
                 needed to find it"
            );
        })
        .ok())
}

impl Marker {
    /// The marker of a start, from the marker that it finds.
    fn follow(before: Option<Self>, process: &str, transaction: u64, positions: &[i64]) -> Self {
        let first = Self { transaction, process: process.to_owned(), starts: 1, ..Self::default() };
        let Some(before) = before else { return first };
        let is_ahead =
            |suspect: &Suspect| positions.get(usize::from(suspect.topic)).is_some_and(|next| suspect.offset >= *next);
        let mut suspects: Vec<Suspect> = before.suspects.iter().copied().filter(is_ahead).collect();
        let again = Self { starts: before.starts + 1, width: before.width, left: before.left, ..first.clone() };
        if before.process == process {
            // This process has rebuilt the shard: nothing died.
            return Self { starts: before.starts, suspects, ..again };
        }
        match before.trying.filter(is_ahead) {
            Some(tried) if before.width == 1 => {
                match suspects.iter_mut().find(|known| (known.topic, known.offset) == (tried.topic, tried.offset)) {
                    Some(known) => known.deaths += 1,
                    None => suspects.push(Suspect { deaths: 1, ..tried }),
                }
                let surplus = suspects.len().saturating_sub(SUSPECTS_MAX);
                suspects.drain(..surplus);
                Self { suspects, ..again }
            }
            // The record is among these.
            Some(_) => Self { width: 1, left: u64::from(before.width), suspects, ..again },
            None if before.width > 0 => Self { suspects, ..again },
            None if before.transaction == transaction => Self { width: WIDTH, left: INPUT_RECORDS_MAX, ..again },
            None => first,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(before: &Marker, process: &str, transaction: u64, position: i64) -> Marker {
        Marker::follow(Some(before.clone()), process, transaction, &[position])
    }

    fn trying(marker: &Marker, offset: i64) -> Marker {
        Marker { trying: Some(Suspect { topic: 0, offset, deaths: 0 }), ..marker.clone() }
    }

    #[test]
    fn a_record_that_kills_is_found_and_skipped() {
        let first = Marker::follow(None, "a", 7, &[100]);
        assert_eq!((first.starts, first.width), (1, 0));
        let second = start(&first, "b", 7, 100);
        assert_eq!((second.starts, second.width, second.left), (2, WIDTH, INPUT_RECORDS_MAX));
        // It died while it tried 256 records from 356 on, after one transaction.
        let third = start(&trying(&second, 356), "c", 8, 356);
        assert_eq!((third.width, third.left), (1, 256));
        let fourth = start(&trying(&third, 360), "d", 12, 360);
        assert_eq!(fourth.suspects, [Suspect { topic: 0, offset: 360, deaths: 1 }]);
        let fifth = start(&trying(&fourth, 360), "e", 12, 360);
        assert_eq!(fifth.suspects[0].deaths, DEATHS_MAX);
        let guard = PoisonRecordGuard { shard: 0, marker: fifth.clone(), is_unavailable: false };
        assert!(guard.is_poison(0, 360) && !guard.is_poison(0, 361));
        assert_eq!(start(&fifth, "f", 13, 361).suspects, [], "a record that was passed is not a suspect");
    }

    #[test]
    fn deaths_elsewhere_do_not_count_against_a_record() {
        let first = Marker::follow(None, "a", 7, &[100]);
        assert_eq!(start(&first, "b", 8, 101).width, 0, "something was committed in between");
        assert_eq!(start(&first, "a", 7, 100).width, 0, "the same process rebuilt it");
        let alone = Marker { width: 1, left: 9, ..first };
        for process in ["b", "c", "d", "e"] {
            let next = start(&alone, process, 7, 100);
            assert_eq!((next.width, next.left, next.suspects.len()), (1, 9, 0), "nothing was named");
        }
        // Named, and committed.
        assert_eq!(start(&trying(&alone, 100), "b", 8, 101).suspects, []);
        // Different ones each time.
        let one = start(&trying(&alone, 100), "b", 7, 100);
        let two = start(&trying(&one, 101), "c", 7, 100);
        assert!(two.suspects.iter().all(|suspect| suspect.deaths == 1) && two.suspects.len() == 2);
    }
}
