//! `shoal seed`: makes the state from which a service starts, a snapshot of transaction 0 of every shard, from files of
//! history.
//!
//! The files are applied as in a replay, but the watermark ends just before `until`: deadlines before it have fired and
//! their changes are not published; deadlines at `until`, such as the start of publishing, fire when the service
//! continues. The same files and arguments give the same state.

use super::input;
use super::player::{Player, PlayerSettings, Skipped};
use super::rejected::RejectedLines;
use super::summary::{Summary, grouped};
use crate::engine::decode::Partitioner;
use crate::engine::event::Millis;
use crate::engine::rule::Rules;
use crate::engine::shard::{Bootstrap, Shard};
use crate::fault_injection;
use crate::store::load::ReadError;
use crate::store::objects::Objects;
use crate::store::seed::SeedNote;
use crate::store::{Piece, ShardPosition, SnapshotHead, SnapshotStore, SnapshotWriter, StoredSnapshot, load, names};
use anyhow::{Context, anyhow, bail};
use jiff::Timestamp;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Customers per part of a capture: as many as a file has.
const CUSTOMERS_PER_PART: usize = 65_536;

pub struct Seed<'a> {
    pub rules: Arc<Rules>,
    pub files: &'a [PathBuf],
    pub partitions: u32,
    pub partitioner: Partitioner,
    /// Events before this time are applied.
    pub until: Millis,
    /// Not before `until`.
    pub publish_from: Millis,
    pub bootstrap: Bootstrap,
    pub rejected: Option<&'a Path>,
}

/// The result of a seed, printed as a few lines.
pub struct Seeded {
    summary: Summary,
    /// Events at `until` or later.
    skipped: Skipped,
    /// What is unusual about the times of the lines.
    warnings: Vec<String>,
    shards: u32,
    bytes: u64,
    storing: Duration,
    /// Number of objects of an interrupted seed that were removed first.
    removed: usize,
    /// The seed existed before and was restored.
    is_restored: bool,
}

/// What the location of the snapshots contained before.
enum Before {
    /// No seed; this number of objects of an interrupted seed was removed.
    Nothing(usize),
    /// The note of a complete seed whose snapshots are missing or damaged: they are removed like all old ones. The same
    /// seed can be restored, also beside the snapshots of the service that started from it.
    Missing(SeedNote),
}

impl Seed<'_> {
    /// Applies the files and stores the state.
    pub fn run(&self, writer: &mut SnapshotWriter<impl Objects>) -> anyhow::Result<Seeded> {
        let start = Instant::now();
        let before = find_seed(writer)?;
        if let Before::Missing(note) = &before {
            self.check_arguments(note)?;
        }
        let topics: Vec<String> = self.files.iter().map(|file| input::short_name(file)).collect();
        let mut rejected = RejectedLines::create(self.rejected)?;
        let mut player = Player::new(&self.rules, self.player_settings(), &topics);
        let skipped = player
            .files(self.files, Some(self.until), |step| rejected.write_all(step.effects, step.records, &topics))?;
        player.finish(Some(self.until - 1), |_| Ok(()))?;
        rejected.finish()?.check(player.counts.records, "lines").context("nothing is stored")?;
        let mut warnings = player.leaps.warnings(&topics);
        if let Some((file, line)) = skipped.first.filter(|_| player.counts.records == 0) {
            warnings.push(format!(
                "all {} events are at --until or later, the first at {}:{}: no customer is seeded",
                grouped(skipped.lines),
                topics[file],
                line + 1
            ));
        }
        let played = start.elapsed();
        let (is_restored, removed) = match &before {
            Before::Nothing(removed) => (false, *removed),
            Before::Missing(note) => {
                check_state(note, player.shards())?;
                (true, 0)
            }
        };
        let bytes = self.store(writer, player.shards_mut(), is_restored)?;
        let shards: Vec<&Shard> = player.shards().iter().collect();
        let summary = Summary::new("seeded", player.counts.clone(), &shards, Some(self.until - 1), played);
        let storing = start.elapsed() - played;
        Ok(Seeded { summary, skipped, warnings, shards: self.partitions, bytes, storing, removed, is_restored })
    }

    fn player_settings(&self) -> PlayerSettings {
        PlayerSettings {
            partitions: self.partitions,
            partitioner: self.partitioner,
            // No event is later, so it limits nothing, and the state does not depend on the time of the seed.
            now: self.until,
            publish_from: Some(self.publish_from),
            bootstrap: self.bootstrap,
        }
    }

    /// The note of this seed before any shard is stored.
    fn note(&self) -> SeedNote {
        let (placed, times) = ((self.partitions, self.partitioner.name()), (self.until, self.publish_from));
        SeedNote::begun(placed, times, &self.rules.version)
    }

    /// Checks that the arguments are those of the existing seed.
    fn check_arguments(&self, note: &SeedNote) -> anyhow::Result<()> {
        let SeedNote { partitions, partitioner, rules_version, .. } = note;
        if self.note() == note.clone().unfinished() {
            return Ok(());
        }
        let moment = |at| Timestamp::from_millisecond(at).map_or_else(|_| at.to_string(), |at| at.to_string());
        bail!(
            "there was a seed at this location, and the service that started from it needs the same one: expected --partitions \
             {partitions} --partitioner {partitioner} --until {} --publish-from {} and rules of version {rules_version} \
             (found version {}). Seed with these arguments, or use another location",
            moment(note.until),
            moment(note.publish_from),
            self.rules.version
        );
    }

    /// Stores every shard, then marks the seed as complete; for a restored seed the note says so already. Returns the
    /// number of bytes written.
    fn store(
        &self,
        writer: &mut SnapshotWriter<impl Objects>,
        shards: &mut [Shard],
        is_restored: bool,
    ) -> anyhow::Result<u64> {
        if !is_restored {
            self.note().write(writer).map_err(not_stored)?;
        }
        let mut bytes = 0;
        for (number, shard) in (0..).zip(&mut *shards) {
            if is_restored {
                // The manifest of the damaged snapshot. Its files may belong to later snapshots.
                let manifest = format!("{}/{}", names::folder(number), names::manifest(0));
                writer.objects().remove(&manifest).map_err(not_stored)?;
            }
            bytes += store_shard(writer, number, shard, self.position(shard))?.bytes;
            fault_injection::crash_point("seed/part");
        }
        let digests: Vec<u64> = shards.iter().map(Shard::digest).collect();
        fault_injection::crash_point("seed/before-manifest");
        if !is_restored {
            self.note().complete(&digests).write(writer).map_err(not_stored)?;
        }
        fault_injection::crash_point("seed/after-manifest");
        Ok(bytes)
    }

    fn position(&self, shard: &Shard) -> ShardPosition {
        ShardPosition {
            transaction: 0,
            outputs: 0,
            positions: Vec::new(),
            inputs: Vec::new(),
            partitions: self.partitions,
            control_next: 0,
            rules_at: None,
            old_rules_at: None,
            rules_version: self.rules.version.clone(),
            rules: Some(self.rules.bytes.clone()),
            now: shard.head().now,
            ticked: shard.head().now,
            last_arrival: None,
            journal_from: 0,
        }
    }
}

fn not_stored(error: String) -> anyhow::Error {
    anyhow!("the seed cannot be stored: {error}")
}

fn store_shard(
    store: &mut impl SnapshotStore,
    number: u32,
    shard: &mut Shard,
    position: ShardPosition,
) -> anyhow::Result<StoredSnapshot> {
    let full = |_| not_stored("the snapshot store has no room".into());
    let head = SnapshotHead { position, state: shard.begin_capture() };
    store.offer(number, Piece::Begin(Box::new(head))).map_err(full)?;
    while let Some(part) = shard.capture(CUSTOMERS_PER_PART) {
        store.offer(number, Piece::Part(part)).map_err(full)?;
    }
    store.offer(number, Piece::End).map_err(full)?;
    let outcome = store.next_outcome().ok_or_else(|| not_stored(format!("there is no outcome for shard {number}")))?;
    shard.end_capture(outcome.result.is_ok());
    outcome.result.map_err(|error| not_stored(format!("shard {number}: {error}")))
}

/// Checks that a restored seed has the same state as before: the journal of the service starts with its digests.
fn check_state(note: &SeedNote, shards: &[Shard]) -> anyhow::Result<()> {
    let digests: Vec<u64> = shards.iter().map(Shard::digest).collect();
    let made = note.clone().unfinished().complete(&digests);
    if made.digests != note.digests {
        bail!(
            "there was a seed at this location with digests {}, but these files give {}: the files differ, or another version \
             of Shoal made the seed. Nothing was stored",
            note.digests.join(", "),
            made.digests.join(", ")
        );
    }
    Ok(())
}

/// Finds an existing seed, and removes an interrupted one.
///
/// # Errors
/// If there is a complete seed, or the snapshots of a service.
fn find_seed(writer: &mut SnapshotWriter<impl Objects>) -> anyhow::Result<Before> {
    let note = SeedNote::read(writer).map_err(anyhow::Error::msg)?.map_err(anyhow::Error::msg)?;
    let Some(note) = note.filter(|note| note.is_complete) else {
        return remove_incomplete(writer).map(Before::Nothing);
    };
    if !is_readable(writer.objects(), &note)? {
        return Ok(Before::Missing(note));
    }
    bail!(
        "there is a complete seed already, of {} partitions and rules version {}: start the service with it, remove the stored \
         snapshots to seed again, or use another location",
        note.partitions,
        note.rules_version
    );
}

/// Whether the snapshots of all shards of a seed can be read.
fn is_readable(objects: &impl Objects, note: &SeedNote) -> anyhow::Result<bool> {
    for shard in 0..note.partitions {
        match load::manifest(objects, shard, 0).and_then(|manifest| load::whole(objects, manifest, &|| false)) {
            Ok(_) => {}
            Err(ReadError::Unavailable(error)) => bail!("{error}"),
            Err(_) => return Ok(false),
        }
    }
    Ok(true)
}

/// Removes the objects of an interrupted seed; returns their number.
///
/// # Errors
/// If there are other snapshots.
fn remove_incomplete(writer: &mut SnapshotWriter<impl Objects>) -> anyhow::Result<usize> {
    let objects = writer.objects();
    let mut leftovers = Vec::new();
    for folder in objects.list("").map_err(anyhow::Error::msg)?.folders {
        let Some(shard) = names::shard(&folder) else { continue };
        let known = load::transactions(objects, shard, u64::MAX).map_err(anyhow::Error::msg)?;
        if let Some(newest) = known.first().filter(|newest| **newest > 0) {
            bail!(
                "there are snapshots of a service ({folder} has one of transaction {newest}), but a service can only start from \
                 a seed. Use another location, or remove the snapshots if no journal needs them any more"
            );
        }
        let listing = objects.list(&folder).map_err(anyhow::Error::msg)?;
        // Manifests first, so that no manifest names a file that is gone.
        let (manifests, files): (Vec<_>, Vec<_>) =
            listing.files.into_iter().partition(|(name, _)| names::manifest_transaction(name).is_some());
        let files = files.into_iter().filter(|(name, _)| names::file_transaction(name).is_some());
        leftovers.extend(manifests.into_iter().chain(files).map(|(name, _)| format!("{folder}/{name}")));
    }
    for path in &leftovers {
        objects.remove(path).map_err(anyhow::Error::msg)?;
    }
    Ok(leftovers.len())
}

impl fmt::Display for Seeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        if self.removed > 0 {
            writeln!(f, "{} objects of an interrupted seed were removed first", self.removed)?;
        }
        if self.is_restored {
            writeln!(f, "the previous seed is restored with the same state")?;
        }
        write!(f, "{}", self.summary)?;
        if self.skipped.lines > 0 {
            writeln!(f, "  skipped {}: at --until or later", grouped(self.skipped.lines))?;
        }
        let (shards, bytes, seconds) = (self.shards, grouped(self.bytes), self.storing.as_secs_f64());
        writeln!(f, "  stored {shards} shards, {bytes} bytes, in {seconds:.2} s")
    }
}
