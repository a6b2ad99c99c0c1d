//! The note that says what seed lies among the snapshots, and whether it is whole.
//!
//! A seed is a snapshot of transaction 0 of every shard. The note is written before the first of them, and once more when
//! all are there: a shard that begins from a part of a seed, or beside one, would never be noticed later. It outlives the
//! seed, which goes as all old snapshots do: what is put back in its place must be the same.

use super::Vault;
use crate::engine::event::Millis;
use serde::{Deserialize, Serialize};

/// Its name, and the shard beside whose snapshots it lies.
const NOTE: (u32, &str) = (0, "seed.json");
const FORMAT: u32 = 1;

/// What `shoal seed` made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedNote {
    pub format: u32,
    /// Snapshots of all shards are there.
    pub is_whole: bool,
    pub partitions: u32,
    pub partitioner: String,
    /// Events before this moment are in it.
    pub until: Millis,
    pub publish_from: Millis,
    pub rules_version: String,
    /// Of each shard, in hexadecimal, as not every reader of JSON holds 64 bits; of a whole one only.
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
            is_whole: false,
            partitions,
            partitioner: partitioner.into(),
            until,
            publish_from,
            rules_version: rules_version.into(),
            digests: Vec::new(),
        }
    }

    /// The same when all shards are there.
    pub fn whole(self, digests: &[u64]) -> Self {
        Self { is_whole: true, digests: digests.iter().map(|digest| format!("{digest:016x}")).collect(), ..self }
    }

    /// The same before any shard was there.
    pub fn unfinished(self) -> Self {
        Self { is_whole: false, digests: Vec::new(), ..self }
    }

    /// Reads the note, if there is one.
    ///
    /// # Errors
    /// If the store does not answer; the inner one if the note cannot be understood.
    pub fn read(vault: &mut (impl Vault + ?Sized)) -> Result<Result<Option<Self>, String>, String> {
        let Some(bytes) = vault.noted(NOTE.0, NOTE.1)? else { return Ok(Ok(None)) };
        let note: Result<Self, String> = serde_json::from_slice(&bytes).map_err(|error| error.to_string());
        let note = note.and_then(|note| match note.format {
            FORMAT => Ok(Some(note)),
            other => Err(format!("it has format {other}, this program knows {FORMAT}")),
        });
        Ok(note.map_err(|words| format!("the note `{}` beside the snapshots cannot be read: {words}", NOTE.1)))
    }

    pub fn write(&self, vault: &mut (impl Vault + ?Sized)) -> Result<(), String> {
        let bytes = serde_json::to_vec_pretty(self).expect("plain fields are JSON");
        vault.note(NOTE.0, NOTE.1, Some(&bytes))
    }

    pub fn remove(vault: &mut (impl Vault + ?Sized)) -> Result<(), String> {
        vault.note(NOTE.0, NOTE.1, None)
    }
}

/// What a shard without a journal finds among the snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    pub shard: u32,
    pub partitions: u32,
    /// How the service checks keys; `any` does not.
    pub partitioner: &'a str,
    /// Digest of the shard's snapshot of transaction 0, if there is one.
    pub digest: Option<u64>,
}

/// Whether a shard without a journal may begin: from its part of a whole seed, or without any seed.
///
/// # Errors
/// In words, what is there and what to do.
pub fn check(note: Option<&SeedNote>, found: Found<'_>) -> Result<(), String> {
    const AGAIN: &str = "remove what is in the place of the snapshots and run `shoal seed` again";
    let Found { shard, partitions, partitioner, digest } = found;
    let note = match (note, digest) {
        (None, None) => return Ok(()),
        (None, Some(_)) => {
            return Err(format!(
                "shard {shard} has a snapshot of a seed, and there is no note that the seed is whole: {AGAIN}"
            ));
        }
        (Some(note), _) => note,
    };
    if !note.is_whole {
        return Err("the seed among the snapshots was interrupted, so customers are missing: run `shoal seed` again, \
                    which removes what is there of it"
            .into());
    }
    if note.partitions != partitions {
        let made = note.partitions;
        return Err(format!(
            "the seed was made with --partitions {made}, the input topics have {partitions}: {AGAIN} with --partitions \
             {partitions}"
        ));
    }
    if partitioner != "any" && note.partitioner != partitioner {
        let made = &note.partitioner;
        return Err(format!(
            "the seed was made with --partitioner {made}, [kafka] has `partitioner = {partitioner:?}`, so customers are in \
             other shards than their records: {AGAIN} with --partitioner {partitioner}"
        ));
    }
    match (digest, note.digests.get(shard as usize)) {
        (None, _) => Err(format!(
            "the seed's snapshot of shard {shard} is missing or damaged: run `shoal seed` again with the same files and \
             arguments, which puts it back"
        )),
        (Some(digest), Some(made)) if format!("{digest:016x}") == *made => Ok(()),
        (Some(digest), made) => Err(format!(
            "the snapshot of shard {shard} has digest {digest:016x}, the seed's has {}: it is of another seed; {AGAIN}",
            made.map_or("none", String::as_str)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOUND: Found<'_> = Found { shard: 1, partitions: 2, partitioner: "murmur2", digest: Some(7) };

    fn whole() -> SeedNote {
        SeedNote::begun((2, "murmur2"), (1_000, 1_000), "abc").whole(&[5, 7])
    }

    #[test]
    fn a_whole_seed_and_none_at_all_are_begun_from() {
        assert_eq!(check(Some(&whole()), FOUND), Ok(()));
        assert_eq!(check(Some(&whole()), Found { partitioner: "any", ..FOUND }), Ok(()));
        assert_eq!(check(None, Found { digest: None, ..FOUND }), Ok(()));
    }

    #[test]
    fn anything_else_is_refused() {
        let refused = |note: Option<SeedNote>, found: Found<'_>, words: &str| {
            let told = check(note.as_ref(), found).unwrap_err();
            assert!(told.contains(words) && told.contains("`shoal seed` again"), "{told}");
        };
        refused(None, FOUND, "no note that the seed is whole");
        refused(Some(SeedNote { is_whole: false, ..whole() }), Found { digest: None, ..FOUND }, "was interrupted");
        refused(Some(whole()), Found { partitions: 3, ..FOUND }, "--partitions 3");
        refused(Some(whole()), Found { partitioner: "crc32", ..FOUND }, "--partitioner crc32");
        refused(Some(whole()), Found { digest: None, ..FOUND }, "shard 1 is missing or damaged");
        refused(Some(whole()), Found { digest: Some(5), ..FOUND }, "the seed's has 0000000000000007");
        refused(Some(whole()), Found { shard: 2, ..FOUND }, "the seed's has none");
    }
}
