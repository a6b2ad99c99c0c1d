//! What a restart with other rules would publish, from the newest snapshots.
//!
//! Shards are previewed one after another, so that one is in memory at a time. Nothing is written to Kafka or to the
//! snapshots, and no group is joined.

use super::held_back::HeldBack;
use super::tally::{ShardTally, Tally};
use crate::config::rules;
use crate::engine::rule::Rules;
use crate::kafka::Failure;
use crate::store::{LoadError, LoadedSnapshot, StoredObjects, load};
use crate::worker::transaction::outbox::Topic;
use crate::worker::{RulesPreview, RulesStatus, RunSettings};
use std::fmt::Display;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// How often a snapshot is looked for again that a running service has replaced and removed meanwhile.
const LOADS_MAX: usize = 3;

/// Writes a summary to `summary`, then the value of each change as a line to `out`. The rules are those of the
/// settings' file.
pub fn dry_run_rules(
    settings: &RunSettings,
    stop: &AtomicBool,
    mut summary: impl Write,
    out: impl Write,
) -> anyhow::Result<()> {
    if !settings.snapshots.are_on() {
        return Err(refused(
            "expected a location for snapshots, from which the dry run starts; found none: `url` of [snapshots] is empty. \
             `shoal run --dry-run` without --rules reads all inputs instead",
        ));
    }
    let mut preview = RulesPreview::begin(settings)?;
    let Some(in_force) = preview.rules_in_force().cloned() else {
        return Err(refused(format!(
            "expected rules in force in the control topic {}, found none: the service has not run yet. Start it first, or \
             use `shoal run --dry-run` without --rules, which begins without state",
            settings.kafka.topics.control
        )));
    };
    let file = settings.rules.display().to_string();
    let versions = [named(&in_force), named(preview.rules())];
    if let Some(reason) = why_not_published(preview.status(), &in_force, settings.force_rules) {
        let [in_force, of_file] = versions;
        writeln!(
            summary,
            "dry run, nothing is published: a restart with {file} would publish nothing, because {reason}"
        )?;
        writeln!(summary, "  rules in force: {in_force}; of the file: {of_file}")?;
        return Ok(());
    }
    // Mistakes of rules that follow those in force, with their places.
    rules::read_following(&settings.rules, Some(&in_force.event_settings))?;
    preview.put_in_force()?;
    let objects = StoredObjects::open_to_read(&settings.snapshots).map_err(Failure::Stop)?;
    let location = &settings.snapshots.url;
    expect_snapshots(&objects, location, preview.shards())?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
    let mut tally = Tally::new(file, versions, now, settings.worker.max_changes_per_minute);
    let folder = std::env::temp_dir();
    let mut changes = HeldBack::new(&folder);
    for number in 0..preview.shards() {
        let snapshot = newest(&objects, location, number, stop)?;
        let position = snapshot.head.position.clone();
        let (mut changed, mut by_rules) = (0, 0);
        let done = preview.shard(number, snapshot, now, stop, |output| {
            match (output.topic, output.value) {
                (Topic::Changes, Some(value)) => {
                    by_rules += u64::from(tally.add(value)?);
                    changes.add_line(value)?;
                }
                // There is one of each customer that changed.
                (Topic::Membership, _) => changed += 1,
                _ => {}
            }
            Ok(())
        })?;
        let (customers, changes_before) = (done.customers, done.changes_before);
        tally.shards.push(ShardTally { number, position, customers, changed, by_rules, changes_before });
    }
    write!(summary, "{tally}")?;
    summary.flush()?;
    Ok(changes.write_to(out)?)
}

fn refused(message: impl Display) -> anyhow::Error {
    Failure::Stop(message.to_string()).into()
}

/// What is told of rules.
fn named(rules: &Rules) -> String {
    format!("version {}, revision {}", rules.version, rules.revision)
}

/// Why a start would not publish the rules of the file; `None` if it would.
fn why_not_published(status: RulesStatus, in_force: &Rules, force: bool) -> Option<String> {
    let or_force = "or start once with --force (`--dry-run --rules FILE --force` shows what that would publish)";
    match status {
        RulesStatus::New => None,
        RulesStatus::InForce => Some("its rules are in force already".to_owned()),
        RulesStatus::Replaced | RulesStatus::Older if force => None,
        RulesStatus::Replaced => Some(format!(
            "its rules were in force before and have been replaced by others of the same revision, which stay in force. To \
             put them in force again, raise `revision` in the file above {}, {or_force}",
            in_force.revision
        )),
        RulesStatus::Older => Some(format!(
            "its `revision` is lower than that of the rules in force, which stay in force. To put the file in force, raise \
             its `revision` above {}, {or_force}",
            in_force.revision
        )),
    }
}

/// Checks that there is a snapshot of each shard, before the first is loaded.
fn expect_snapshots(objects: &StoredObjects, location: &str, shards: u32) -> anyhow::Result<()> {
    let mut missing = Vec::new();
    for number in 0..shards {
        if load::transactions(objects, number, u64::MAX).map_err(anyhow::Error::msg)?.is_empty() {
            missing.push(number.to_string());
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let found = shards as usize - missing.len();
    let missing = missing.join(", ");
    Err(refused(format!(
        "expected a snapshot of each of the {shards} shards at {location}, found {found}: there is none of shard {missing}. The \
         service makes one of each of its shards after the `interval` of [snapshots], and at an orderly stop. Is this the \
         location that it uses? `shoal snapshot list --snapshot {location}` lists what is there"
    )))
}

/// The newest good snapshot of a shard. A running service may remove it while it is read: then there is a newer one.
fn newest(objects: &StoredObjects, location: &str, shard: u32, stop: &AtomicBool) -> anyhow::Result<LoadedSnapshot> {
    let interrupted = || stop.load(Ordering::Relaxed);
    let listed = || load::transactions(objects, shard, u64::MAX).map_err(anyhow::Error::msg);
    for _ in 0..LOADS_MAX {
        let before = listed()?;
        match load::newest(objects, shard, u64::MAX, &interrupted) {
            Ok(Some((_, snapshot))) => return Ok(snapshot),
            Ok(None) if listed()? != before => {}
            Ok(None) => break,
            Err(LoadError::Interrupted) => anyhow::bail!(RulesPreview::STOPPED),
            Err(LoadError::Unavailable(message)) => anyhow::bail!(
                "expected to read the snapshots of shard {shard} at {location}, found: {message}. Check that the location can \
                 be reached and read, and start the dry run again"
            ),
        }
    }
    Err(refused(format!(
        "expected a snapshot of shard {shard} at {location} that can be read, found only damaged ones: `shoal snapshot \
         verify --snapshot {location}` says what is wrong. The dry run needs one; a start of the service reads its inputs \
         instead, as far as they reach back"
    )))
}
