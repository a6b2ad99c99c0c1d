//! The note that describes the seed among the snapshots and says whether it is complete.
//!
//! A seed is a snapshot of transaction 0 of every shard. The note is written before the first of these snapshots and
//! again after the last: if a shard started from a part of a seed, or without it, nothing would reveal the error later.
//! The note outlives the seed, whose snapshots are removed like all old ones: a seed that is restored must be the same.

use super::SnapshotStore;
use crate::engine::event::Millis;
use serde::{Deserialize, Serialize};

/// The name of the note, and the shard beside whose snapshots it is stored.
const NOTE: (u32, &str) = (0, "seed.json");
const FORMAT: u32 = 1;

/// The seed that `shoal seed` made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedNote {
    pub format: u32,
    /// The snapshots of all shards are stored.
    #[serde(rename = "is_whole")]
    pub is_complete: bool,
    pub partitions: u32,
    pub partitioner: String,
    /// The seed contains events before this time.
    pub until: Millis,
    pub publish_from: Millis,
    pub rules_version: String,
    /// The digest of each shard, in hexadecimal since some readers of JSON lack 64-bit integers. Empty until the seed
    /// is complete.
    pub digests: Vec<String>,
}

impl SeedNote {
    /// The note of a seed that is being made.
    pub fn begun(
        (partitions, partitioner): (u32, &str),
        (until, publish_from): (Millis, Millis),
        rules_version: &str,
    ) -> Self {
        Self {
            format: FORMAT,
            is_complete: false,
            partitions,
            partitioner: partitioner.into(),
            until,
            publish_from,
            rules_version: rules_version.into(),
            digests: Vec::new(),
        }
    }

    /// The note after all shards are stored.
    pub fn complete(self, digests: &[u64]) -> Self {
        Self { is_complete: true, digests: digests.iter().map(|digest| format!("{digest:016x}")).collect(), ..self }
    }

    /// The note before any shard was stored.
    pub fn unfinished(self) -> Self {
        Self { is_complete: false, digests: Vec::new(), ..self }
    }

    /// Reads the note, if there is one.
    ///
    /// # Errors
    /// The outer error if the storage does not answer, the inner one if the note cannot be parsed.
    pub fn read(store: &mut (impl SnapshotStore + ?Sized)) -> Result<Result<Option<Self>, String>, String> {
        let Some(bytes) = store.read_note(NOTE.0, NOTE.1)? else { return Ok(Ok(None)) };
        let note: Result<Self, String> = serde_json::from_slice(&bytes).map_err(|error| error.to_string());
        let note = note.and_then(|note| match note.format {
            FORMAT => Ok(Some(note)),
            other => Err(format!("expected format {FORMAT}, found format {other}")),
        });
        Ok(note.map_err(|error| format!("the note `{}` beside the snapshots cannot be read: {error}", NOTE.1)))
    }

    pub fn write(&self, store: &mut (impl SnapshotStore + ?Sized)) -> Result<(), String> {
        let bytes = serde_json::to_vec_pretty(self).expect("plain fields are JSON");
        store.write_note(NOTE.0, NOTE.1, Some(&bytes))
    }

    pub fn remove(store: &mut (impl SnapshotStore + ?Sized)) -> Result<(), String> {
        store.write_note(NOTE.0, NOTE.1, None)
    }
}

/// A shard without a journal, and what it finds among the snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewShard<'a> {
    pub shard: u32,
    pub partitions: u32,
    /// The partitioner that the service expects; `any`: it does not check keys.
    pub partitioner: &'a str,
    /// Digest of the shard's snapshot of transaction 0, if there is one.
    pub digest: Option<u64>,
}

/// Checks that a shard without a journal may start: from its part of a complete seed, or without any seed.
///
/// # Errors
/// A message that says what was found and what to do.
pub fn check(note: Option<&SeedNote>, found: NewShard<'_>) -> Result<(), String> {
    const AGAIN: &str = "remove the stored snapshots and run `shoal seed` again";
    let NewShard { shard, partitions, partitioner, digest } = found;
    let note = match (note, digest) {
        (None, None) => return Ok(()),
        (None, Some(_)) => {
            return Err(format!(
                "shard {shard} has the snapshot of a seed, but there is no note that the seed is complete: {AGAIN}"
            ));
        }
        (Some(note), _) => note,
    };
    if !note.is_complete {
        return Err(
            "the seed among the snapshots was interrupted, so customers are missing: run `shoal seed` again; it \
                    removes the incomplete seed"
                .into(),
        );
    }
    if note.partitions != partitions {
        let made = note.partitions;
        return Err(format!(
            "the seed was made with --partitions {made}, but the input topics have {partitions} partitions: {AGAIN} with --partitions \
             {partitions}"
        ));
    }
    if partitioner != "any" && note.partitioner != partitioner {
        let made = &note.partitioner;
        return Err(format!(
            "the seed was made with --partitioner {made}, but [kafka] has `partitioner = {partitioner:?}`, so customers \
             and their records are in different shards: {AGAIN} with --partitioner {partitioner}"
        ));
    }
    match (digest, note.digests.get(shard as usize)) {
        (None, _) => Err(format!(
            "the seed's snapshot of shard {shard} is missing or damaged: run `shoal seed` again with the same files and \
             arguments; it restores the seed"
        )),
        (Some(digest), Some(made)) if format!("{digest:016x}") == *made => Ok(()),
        (Some(digest), made) => Err(format!(
            "the snapshot of shard {shard} belongs to another seed: expected digest {}, found {digest:016x}; {AGAIN}",
            made.map_or("none", String::as_str)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOUND: NewShard<'_> = NewShard { shard: 1, partitions: 2, partitioner: "murmur2", digest: Some(7) };

    fn complete() -> SeedNote {
        SeedNote::begun((2, "murmur2"), (1_000, 1_000), "abc").complete(&[5, 7])
    }

    #[test]
    fn a_shard_starts_from_a_complete_seed_or_without_any() {
        assert_eq!(check(Some(&complete()), FOUND), Ok(()));
        assert_eq!(check(Some(&complete()), NewShard { partitioner: "any", ..FOUND }), Ok(()));
        assert_eq!(check(None, NewShard { digest: None, ..FOUND }), Ok(()));
    }

    #[test]
    fn an_incomplete_or_different_seed_is_refused() {
        let refused = |note: Option<SeedNote>, found: NewShard<'_>, expected: &str| {
            let message = check(note.as_ref(), found).unwrap_err();
            assert!(message.contains(expected) && message.contains("`shoal seed` again"), "{message}");
        };
        refused(None, FOUND, "no note that the seed is complete");
        refused(
            Some(SeedNote { is_complete: false, ..complete() }),
            NewShard { digest: None, ..FOUND },
            "was interrupted",
        );
        refused(Some(complete()), NewShard { partitions: 3, ..FOUND }, "--partitions 3");
        refused(Some(complete()), NewShard { partitioner: "crc32", ..FOUND }, "--partitioner crc32");
        refused(Some(complete()), NewShard { digest: None, ..FOUND }, "shard 1 is missing or damaged");
        refused(Some(complete()), NewShard { digest: Some(5), ..FOUND }, "expected digest 0000000000000007");
        refused(Some(complete()), NewShard { shard: 2, ..FOUND }, "expected digest none");
    }
}
