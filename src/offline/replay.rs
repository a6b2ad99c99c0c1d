//! `shoal replay`: computes the changes of files of native events, with the same bytes as the values on the `changes`
//! topic.
//!
//! The same lines, rules, `--now` and `--partitions` give the same bytes: nothing depends on a clock, on threads or on
//! how the bytes of a file arrive.

use super::input;
use super::player::{Player, PlayerSettings, Step};
use super::rejected::RejectedLines;
use super::summary::Summary;
use super::unusable::Unusable;
use crate::engine::event::Millis;
use crate::engine::rule::Rules;
use crate::engine::shard::Shard;
use crate::worker::transaction::outbox::{Outbox, Topic};
use anyhow::Context;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

pub struct Replay<'a> {
    pub rules: Arc<Rules>,
    pub files: &'a [PathBuf],
    pub player: PlayerSettings,
    pub until: Option<Millis>,
    pub rejected: Option<&'a Path>,
    pub membership: Option<&'a Path>,
}

/// The result of a replay.
pub struct Replayed {
    pub summary: Summary,
    /// What is unusual about the times of the lines.
    pub warnings: Vec<String>,
    lines: u64,
    unusable: Unusable,
}

impl Replayed {
    /// # Errors
    /// If most lines could not be used.
    pub fn check(&self) -> anyhow::Result<()> {
        self.unusable.check(self.lines, "lines")
    }
}

/// Where the outputs are written.
struct Sinks<'a, W> {
    changes: W,
    rejected: RejectedLines,
    topics: &'a [String],
    /// The content of the compacted membership topic, by customer id; only if it was requested.
    membership: Option<Compacted>,
}

/// The latest value of each key.
type Compacted = BTreeMap<Box<[u8]>, Box<[u8]>>;

impl Replay<'_> {
    pub fn run(&self, changes: impl Write) -> anyhow::Result<Replayed> {
        let start = Instant::now();
        let topics: Vec<String> = self.files.iter().map(|file| input::short_name(file)).collect();
        let mut player = Player::new(&self.rules, self.player, &topics);
        let mut sinks = Sinks {
            changes,
            rejected: RejectedLines::create(self.rejected)?,
            topics: &topics,
            membership: self.membership.map(|_| BTreeMap::new()),
        };
        player.leaps.watch_for(self.until);
        player.files(self.files, None, |step| sinks.write(step))?;
        let until = player.finish(self.until, |step| sinks.write(step))?;
        let unusable = sinks.finish(self.membership)?;
        let shards: Vec<&Shard> = player.shards().iter().collect();
        let summary = Summary::new("replayed", player.counts.clone(), &shards, until, start.elapsed());
        let warnings = player.leaps.warnings(&topics);
        Ok(Replayed { summary, warnings, lines: player.counts.records, unusable })
    }
}

impl<W: Write> Sinks<'_, W> {
    fn write(&mut self, step: Step<'_>) -> anyhow::Result<()> {
        self.rejected.write_all(step.effects, step.records, self.topics)?;
        if self.membership.is_some() {
            step.outbox.encode_memberships(step.shard);
        }
        self.write_outputs(step.outbox)
    }

    fn write_outputs(&mut self, outbox: &Outbox) -> anyhow::Result<()> {
        for output in outbox.outputs() {
            match (output.topic, output.value, &mut self.membership) {
                (Topic::Changes, Some(value), _) => {
                    self.changes.write_all(value)?;
                    self.changes.write_all(b"\n")?;
                }
                (Topic::Membership, Some(value), Some(membership)) => {
                    membership.insert(output.key.into(), value.into());
                }
                (Topic::Membership, None, Some(membership)) => {
                    membership.remove(output.key);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn finish(mut self, membership: Option<&Path>) -> anyhow::Result<Unusable> {
        self.changes.flush()?;
        let unusable = self.rejected.finish()?;
        let (Some(path), Some(customers)) = (membership, self.membership) else { return Ok(unusable) };
        let write = || -> std::io::Result<()> {
            let mut out = std::io::BufWriter::new(std::fs::File::create(path)?);
            for value in customers.values() {
                out.write_all(value)?;
                out.write_all(b"\n")?;
            }
            out.flush()
        };
        write().with_context(|| format!("cannot write {}", path.display()))?;
        Ok(unusable)
    }
}
