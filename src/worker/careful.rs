//! A record that kills the process: found, tried alone, and in the end left out.
//!
//! When a shard begins to run, a small *marker* beside its snapshots says after which transaction. A start that finds the
//! marker of another process at the same transaction, with no commit in between, comes after a death, and goes on
//! carefully: the marker says, durably, which records are tried next, then they are applied, then the marker is cleared
//! and they are committed. At first 256 at once; once a death was among these, one by one. A record that was alone when
//! the process died, twice, is left out ([`super::journal::Operation::Skip`]) and rejected as `crash`.
//!
//! So nothing is held against a record but deaths between the marker that names it and its clearing, a few milliseconds:
//! whoever kills processes from outside would have to hit the same record's moment twice, in two starts. Waiting for
//! Kafka or for the next record is not in it.

use super::lifecycle::Phase;
use super::work::{Place, Worker};
use crate::kafka::{Failure, Log};
use crate::store::SnapshotStore;
use serde::{Deserialize, Serialize};

/// The name of the marker.
const NOTE: &str = "attempt";
/// Records tried at once until a death is among them.
const WIDTH: u32 = 256;
/// Deaths of one record, alone, after which it is left out.
const DEATHS_MAX: u32 = 2;
/// Records that one transaction takes of a shard at most: so many are in doubt after a death.
pub const DOUBT_MAX: u64 = 65_536;
/// Records with deaths that are remembered.
const SUSPECTS_MAX: usize = 16;

/// What is noted of the attempts to get past a transaction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Marker {
    /// The last committed transaction when it was written.
    transaction: u64,
    /// Who wrote it: another one in each process.
    process: String,
    /// Starts since the last one with nothing to fear.
    starts: u32,
    /// Records tried at once; 0 is not careful.
    width: u32,
    /// Records that are still in doubt.
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

/// How carefully a shard goes on.
pub struct Care {
    shard: u32,
    marker: Marker,
    /// The store took no marker: it is not asked again.
    is_away: bool,
}

impl Care {
    /// A shard has been recovered and begins to run. Without a store nothing is noted.
    pub fn begin(
        shard: u32,
        process: &str,
        transaction: u64,
        positions: &[i64],
        store: Option<&mut (dyn SnapshotStore + 'static)>,
    ) -> Self {
        let mut care = Self { shard, marker: Marker { transaction, ..Marker::default() }, is_away: store.is_none() };
        let Some(store) = store else { return care };
        let before = store.read_note(shard, NOTE).map(|bytes| {
            let marker = bytes.map(|bytes| serde_json::from_slice::<Marker>(&bytes));
            marker.and_then(|read| {
                read.inspect_err(|error| {
                    tracing::warn!(shard, "the marker of attempts is no marker, and is left: {error}")
                })
                .ok()
            })
        });
        match before {
            Ok(before) => care.marker = Marker::follow(before, process, transaction, positions),
            Err(words) => care.lose(&words),
        }
        let Marker { starts, width, ref suspects, .. } = care.marker;
        match width {
            0 => {}
            // Perhaps it only gave the shard up: an idle one commits nothing.
            WIDTH => tracing::info!(
                shard,
                transaction,
                starts,
                "another process began here and committed nothing: in case it died, records are tried {width} at a time"
            ),
            _ => tracing::warn!(
                shard,
                transaction,
                starts,
                ?suspects,
                "a process died while it tried records from here on: they are tried {width} at a time"
            ),
        }
        care.write(store);
        care
    }

    /// How many records are tried next; `None`: all there are, nothing is feared.
    pub fn width(&self) -> Option<usize> {
        (self.marker.width > 0).then_some(self.marker.width as usize)
    }

    /// Whether a record has to be left out.
    pub fn is_condemned(&self, topic: u16, offset: i64) -> bool {
        let deaths = self.marker.suspects.iter().find(|suspect| (suspect.topic, suspect.offset) == (topic, offset));
        deaths.is_some_and(|suspect| suspect.deaths >= DEATHS_MAX)
    }

    /// The records from this one on are tried now.
    pub fn name(&mut self, topic: u16, offset: i64, store: Option<&mut (dyn SnapshotStore + 'static)>) {
        self.marker.trying = Some(Suspect { topic, offset, deaths: 0 });
        self.write_to(store);
    }

    /// They were survived.
    pub fn clear(&mut self, store: Option<&mut (dyn SnapshotStore + 'static)>) {
        self.marker.trying = None;
        self.write_to(store);
    }

    /// So many records are committed, up to this transaction.
    pub fn committed(&mut self, transaction: u64, records: u64, store: Option<&mut (dyn SnapshotStore + 'static)>) {
        self.marker.left = self.marker.left.saturating_sub(records);
        self.marker.transaction = transaction;
        if self.marker.left == 0 {
            self.end(transaction, store);
        }
    }

    /// Nothing is in doubt any more.
    pub fn end(&mut self, transaction: u64, store: Option<&mut (dyn SnapshotStore + 'static)>) {
        if self.marker.width > 0 {
            tracing::info!(shard = self.shard, transaction, "all records that were in doubt are committed");
            let process = std::mem::take(&mut self.marker.process);
            self.marker = Marker { transaction, process, starts: 1, ..Marker::default() };
            self.write_to(store);
        }
    }

    fn write_to(&mut self, store: Option<&mut (dyn SnapshotStore + 'static)>) {
        if let Some(store) = store {
            self.write(store);
        }
    }

    fn write(&mut self, store: &mut dyn SnapshotStore) {
        if self.is_away {
            return;
        }
        let bytes = serde_json::to_vec(&self.marker).expect("plain data");
        if let Err(words) = store.write_note(self.shard, NOTE, Some(&bytes)) {
            self.lose(&words);
        }
    }

    fn lose(&mut self, words: &str) {
        self.is_away = true;
        tracing::warn!(
            shard = self.shard,
            "no marker of attempts can be read or written, so a record that kills the process would not be found now: {words}"
        );
    }
}

impl<L: Log> Worker<L> {
    /// A shard that has been recovered begins to run.
    pub(super) fn begin_with_care(&mut self, number: u32) {
        let Some(Place { held, care, .. }) = self.places.get_mut(&number) else { return };
        let store = self.snapshots.as_mut().map(|snapshots| &mut *snapshots.store);
        *care = Some(Care::begin(number, &self.process, held.transaction(), held.positions(), store));
    }

    /// Tries the next records of a shard of which some are feared, and commits them.
    pub(super) fn try_records(&mut self, number: u32, width: usize) -> Result<(), Failure> {
        let wall = self.log.now().wall;
        let Some(Place { held, feed, care: Some(care), .. }) = self.places.get_mut(&number) else { return Ok(()) };
        let mut store = self.snapshots.as_mut().map(|snapshots| &mut *snapshots.store);
        let Some((topic, offset)) = held.next_record(wall, feed) else {
            if feed.is_at_end() {
                care.end(held.transaction(), store);
            }
            return Ok(());
        };
        let records = if care.is_condemned(topic, offset) {
            let name = &self.job.inputs[usize::from(topic)];
            tracing::error!(
                shard = number,
                topic = name,
                offset,
                "a record ends the process each time it is applied: it is left out, and is in the topic of rejected records \
                 with reason `crash`"
            );
            held.skip(wall, feed);
            1
        } else {
            care.name(topic, offset, store.as_deref_mut());
            let records = held.step_of(wall, feed, width);
            care.clear(store);
            records
        };
        self.commit()?;
        let store = self.snapshots.as_mut().map(|snapshots| &mut *snapshots.store);
        if let Some(Place { held, care: Some(care), .. }) = self.places.get_mut(&number) {
            care.committed(held.transaction(), records, store);
        }
        Ok(())
    }

    /// The shards stop in order: whoever has them next has nothing to fear.
    pub(super) fn leave_no_marker(&mut self) {
        let Some(snapshots) = &mut self.snapshots else { return };
        for (&shard, Place { held, care, .. }) in &self.places {
            let is_calm = care.as_ref().is_some_and(|care| care.width().is_none() && !care.is_away);
            if is_calm
                && held.phase() == Phase::Running
                && !held.moved()
                && let Err(words) = snapshots.store.write_note(shard, NOTE, None)
            {
                tracing::warn!(
                    shard,
                    "the marker of attempts stays, so the next start is careful for a moment: {words}"
                );
            }
        }
    }
}

impl Marker {
    /// What a start makes of the marker it finds.
    fn follow(before: Option<Self>, process: &str, transaction: u64, positions: &[i64]) -> Self {
        let first = Self { transaction, process: process.to_owned(), starts: 1, ..Self::default() };
        let Some(before) = before else { return first };
        let is_ahead =
            |suspect: &Suspect| positions.get(usize::from(suspect.topic)).is_some_and(|next| suspect.offset >= *next);
        let mut suspects: Vec<Suspect> = before.suspects.iter().copied().filter(is_ahead).collect();
        let again = Self { starts: before.starts + 1, width: before.width, left: before.left, ..first.clone() };
        if before.process == process {
            // This process has rebuilt the shard, and lives.
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
            // It is among these.
            Some(_) => Self { width: 1, left: u64::from(before.width), suspects, ..again },
            None if before.width > 0 => Self { suspects, ..again },
            None if before.transaction == transaction => Self { width: WIDTH, left: DOUBT_MAX, ..again },
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
    fn a_record_that_kills_is_found_and_condemned() {
        let first = Marker::follow(None, "a", 7, &[100]);
        assert_eq!((first.starts, first.width), (1, 0));
        let second = start(&first, "b", 7, 100);
        assert_eq!((second.starts, second.width, second.left), (2, WIDTH, DOUBT_MAX));
        // It died with a width of records from 356 on, after one transaction.
        let third = start(&trying(&second, 356), "c", 8, 356);
        assert_eq!((third.width, third.left), (1, 256));
        let fourth = start(&trying(&third, 360), "d", 12, 360);
        assert_eq!(fourth.suspects, [Suspect { topic: 0, offset: 360, deaths: 1 }]);
        let fifth = start(&trying(&fourth, 360), "e", 12, 360);
        assert_eq!(fifth.suspects[0].deaths, DEATHS_MAX);
        let care = Care { shard: 0, marker: fifth.clone(), is_away: false };
        assert!(care.is_condemned(0, 360) && !care.is_condemned(0, 361));
        assert_eq!(start(&fifth, "f", 13, 361).suspects, [], "once it is passed it is no suspect");
    }

    #[test]
    fn deaths_elsewhere_condemn_nobody() {
        let first = Marker::follow(None, "a", 7, &[100]);
        assert_eq!(start(&first, "b", 8, 101).width, 0, "something was committed in between");
        assert_eq!(start(&first, "a", 7, 100).width, 0, "the same process rebuilt it");
        let alone = Marker { width: 1, left: 9, ..first };
        for process in ["b", "c", "d", "e"] {
            let next = start(&alone, process, 7, 100);
            assert_eq!((next.width, next.left, next.suspects.len()), (1, 9, 0), "nothing was named");
        }
        // Named, and committed all the same.
        assert_eq!(start(&trying(&alone, 100), "b", 8, 101).suspects, []);
        // Different ones each time.
        let one = start(&trying(&alone, 100), "b", 7, 100);
        let two = start(&trying(&one, 101), "c", 7, 100);
        assert!(two.suspects.iter().all(|suspect| suspect.deaths == 1) && two.suspects.len() == 2);
    }
}
