//! `shoal seed`: files of history in, the state that a service begins from out: a snapshot of transaction 0 of every shard.
//!
//! It plays the files as a replay does and ends otherwise. The watermark ends just before the moment until which events
//! are taken, so all that was due before has fired and is published nowhere; what is due at that moment, the beginning of
//! publishing for one, fires when the service goes on. The same files and arguments give the same state.

use super::input;
use super::player::{Player, Stage};
use super::rejected::RejectedLines;
use super::summary::{Summary, grouped};
use crate::engine::decode::Partitioner;
use crate::engine::event::Millis;
use crate::engine::rule::Rules;
use crate::engine::shard::{Bootstrap, Shard};
use crate::store::blobs::Blobs;
use crate::store::load::Fault;
use crate::store::seed::SeedNote;
use crate::store::{Head, Keeper, Piece, Place, Stored, Vault, load, names};
use crate::trial;
use anyhow::{anyhow, bail};
use jiff::Timestamp;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Customers handed to the store at once: what a file of theirs holds.
const CUSTOMERS_PER_PART: usize = 65_536;

pub struct Seed<'a> {
    pub rules: Arc<Rules>,
    pub files: &'a [PathBuf],
    pub partitions: u32,
    pub partitioner: Partitioner,
    /// Events before this moment are taken.
    pub until: Millis,
    /// Not before `until`.
    pub publish_from: Millis,
    pub bootstrap: Bootstrap,
    pub rejected: Option<&'a Path>,
}

/// What a seed did, in a few lines for people.
pub struct Seeded {
    summary: Summary,
    /// Lines of events at `until` or later.
    left_out: u64,
    shards: u32,
    bytes: u64,
    storing: Duration,
    /// Parts of an interrupted seed that were removed first.
    removed: usize,
    /// It was there once: a service has begun from it.
    is_again: bool,
}

/// What is in the place of a seed.
enum Before {
    /// Nothing any more; so many objects of an interrupted seed were removed.
    Nothing(usize),
    /// The note of a seed that was whole once, of which something is missing: it went as all old snapshots do, or is
    /// damaged. It can be put back as it was, also beside the snapshots of the service that began from it.
    Gone(SeedNote),
}

impl Seed<'_> {
    /// Plays the files and stores the state.
    pub fn run(&self, keeper: &mut Keeper<impl Blobs>) -> anyhow::Result<Seeded> {
        let start = Instant::now();
        let before = look(keeper)?;
        if let Before::Gone(note) = &before {
            self.check_arguments(note)?;
        }
        let topics: Vec<String> = self.files.iter().map(|file| input::short_name(file)).collect();
        let mut rejected = RejectedLines::create(self.rejected)?;
        let mut player = Player::new(&self.rules, self.stage(), &topics);
        let left_out =
            player.files(self.files, Some(self.until), |step| rejected.take(step.effects, step.records, &topics))?;
        player.finish(Some(self.until - 1), |_| Ok(()))?;
        rejected.finish()?;
        let played = start.elapsed();
        let (is_again, removed) = match &before {
            Before::Nothing(removed) => (false, *removed),
            Before::Gone(note) => {
                check_state(note, player.shards())?;
                (true, 0)
            }
        };
        let bytes = self.store(keeper, player.shards_mut(), is_again)?;
        let shards: Vec<&Shard> = player.shards().iter().collect();
        let summary = Summary::new(player.counts.clone(), &shards, Some(self.until - 1), played);
        let storing = start.elapsed() - played;
        Ok(Seeded { summary, left_out, shards: self.partitions, bytes, storing, removed, is_again })
    }

    fn stage(&self) -> Stage {
        Stage {
            partitions: self.partitions,
            partitioner: self.partitioner,
            // No event is later, so it caps nothing, and the state does not depend on when it is made.
            now: self.until,
            publish_from: Some(self.publish_from),
            bootstrap: self.bootstrap,
        }
    }

    /// The note of this seed while it is being made.
    fn note(&self) -> SeedNote {
        let (placed, times) = ((self.partitions, self.partitioner.name()), (self.until, self.publish_from));
        SeedNote::begun(placed, times, &self.rules.version)
    }

    /// Whether these are the arguments of the seed that was there.
    fn check_arguments(&self, note: &SeedNote) -> anyhow::Result<()> {
        let SeedNote { partitions, partitioner, rules_version, .. } = note;
        if self.note() == note.clone().unfinished() {
            return Ok(());
        }
        let moment = |at| Timestamp::from_millisecond(at).map_or_else(|_| at.to_string(), |at| at.to_string());
        bail!(
            "there was a seed here, and the service that began from it needs the same one: --partitions {partitions} \
             --partitioner {partitioner} --until {} --publish-from {}, rules of version {rules_version} (given: \
             {}). Seed with these, or into another place",
            moment(note.until),
            moment(note.publish_from),
            self.rules.version
        );
    }

    /// Stores every shard, and says so last, unless the note of what was there says it already; the bytes written.
    fn store(&self, keeper: &mut Keeper<impl Blobs>, shards: &mut [Shard], is_again: bool) -> anyhow::Result<u64> {
        if !is_again {
            self.note().write(keeper).map_err(not_stored)?;
        }
        let mut bytes = 0;
        for (number, shard) in (0..).zip(&mut *shards) {
            if is_again {
                // What is left of the one before; files of it may belong to later snapshots.
                let manifest = format!("{}/{}", names::folder(number), names::manifest(0));
                keeper.blobs().remove(&manifest).map_err(not_stored)?;
            }
            bytes += store_shard(keeper, number, shard, self.place(shard))?.bytes;
            trial::crash_point("seed/part");
        }
        let digests: Vec<u64> = shards.iter().map(Shard::digest).collect();
        trial::crash_point("seed/before-manifest");
        if !is_again {
            self.note().whole(&digests).write(keeper).map_err(not_stored)?;
        }
        trial::crash_point("seed/after-manifest");
        Ok(bytes)
    }

    fn place(&self, shard: &Shard) -> Place {
        Place {
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

fn not_stored(words: String) -> anyhow::Error {
    anyhow!("the seed cannot be stored: {words}")
}

fn store_shard(vault: &mut impl Vault, number: u32, shard: &mut Shard, place: Place) -> anyhow::Result<Stored> {
    let full = |_| not_stored("the store took no more".into());
    let head = Head { place, state: shard.begin_capture() };
    vault.take(number, Piece::Begin(Box::new(head))).map_err(full)?;
    while let Some(part) = shard.capture(CUSTOMERS_PER_PART) {
        vault.take(number, Piece::Part(part)).map_err(full)?;
    }
    vault.take(number, Piece::End).map_err(full)?;
    let outcome = vault.outcome().ok_or_else(|| not_stored(format!("nothing is known of shard {number}")))?;
    shard.end_capture(outcome.result.is_ok());
    outcome.result.map_err(|words| not_stored(format!("shard {number}: {words}")))
}

/// A seed that is put back has the state of the one that was there: the journal of the service begins with its digests.
fn check_state(note: &SeedNote, shards: &[Shard]) -> anyhow::Result<()> {
    let digests: Vec<u64> = shards.iter().map(Shard::digest).collect();
    let made = note.clone().unfinished().whole(&digests);
    if made.digests != note.digests {
        bail!(
            "there was a seed here, with digests {}, and these files give {}: they are not those of then, or another \
             version of Shoal made it. Nothing was stored",
            note.digests.join(", "),
            made.digests.join(", ")
        );
    }
    Ok(())
}

/// Looks at what is there, and removes what an interrupted seed left.
///
/// # Errors
/// If there is a whole seed, or anything else.
fn look(keeper: &mut Keeper<impl Blobs>) -> anyhow::Result<Before> {
    let note = SeedNote::read(keeper).map_err(|words| anyhow!("{words}"))?.map_err(|words| anyhow!("{words}"))?;
    let Some(note) = note.filter(|note| note.is_whole) else { return make_room(keeper).map(Before::Nothing) };
    if !is_there(keeper.blobs(), &note)? {
        return Ok(Before::Gone(note));
    }
    bail!(
        "there is a whole seed already, of {} partitions and rules version {}: start the service with it, or remove what \
         is there to seed anew, or seed into another place",
        note.partitions,
        note.rules_version
    );
}

/// Whether the snapshots of all shards of a seed can be read.
fn is_there(blobs: &impl Blobs, note: &SeedNote) -> anyhow::Result<bool> {
    for shard in 0..note.partitions {
        match load::manifest(blobs, shard, 0).and_then(|manifest| load::whole(blobs, manifest, &|| false)) {
            Ok(_) => {}
            Err(Fault::Away(words)) => bail!("{words}"),
            Err(_) => return Ok(false),
        }
    }
    Ok(true)
}

/// Removes what an interrupted seed left; how many objects.
///
/// # Errors
/// If there is anything else.
fn make_room(keeper: &mut Keeper<impl Blobs>) -> anyhow::Result<usize> {
    let blobs = keeper.blobs();
    let mut left = Vec::new();
    for folder in blobs.list("").map_err(|words| anyhow!("{words}"))?.folders {
        let Some(shard) = names::shard(&folder) else { continue };
        let known = load::transactions(blobs, shard, u64::MAX).map_err(|words| anyhow!("{words}"))?;
        if let Some(newest) = known.first().filter(|newest| **newest > 0) {
            bail!(
                "there are snapshots of a service that has run ({folder} goes to transaction {newest}): a seed is where a \
                 service begins. Seed into another place, or remove these if no journal needs them any more"
            );
        }
        let listing = blobs.list(&folder).map_err(|words| anyhow!("{words}"))?;
        // Manifests first: what they name must not go while they stand.
        let (manifests, files): (Vec<_>, Vec<_>) =
            listing.files.into_iter().partition(|(name, _)| names::manifest_transaction(name).is_some());
        let files = files.into_iter().filter(|(name, _)| names::file_transaction(name).is_some());
        left.extend(manifests.into_iter().chain(files).map(|(name, _)| format!("{folder}/{name}")));
    }
    for path in &left {
        blobs.remove(path).map_err(|words| anyhow!("{words}"))?;
    }
    Ok(left.len())
}

impl fmt::Display for Seeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.removed > 0 {
            writeln!(f, "{} objects of an interrupted seed removed first", self.removed)?;
        }
        if self.is_again {
            writeln!(f, "the seed that was here before is put back: its state is the same")?;
        }
        write!(f, "{}", self.summary)?;
        if self.left_out > 0 {
            writeln!(f, "  left out {}: at --until or later", grouped(self.left_out))?;
        }
        let (shards, bytes, seconds) = (self.shards, grouped(self.bytes), self.storing.as_secs_f64());
        writeln!(f, "  stored {shards} shards, {bytes} bytes, in {seconds:.2} s")
    }
}
