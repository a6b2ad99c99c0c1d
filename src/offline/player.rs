//! Applies lines of files to shards, for replays and seeds.
//!
//! Time comes from the events alone: there are no ticks, and one constant `now`, which only limits arrivals (T3).

use super::input::BytesRead;
use super::leaps::Leaps;
use super::merge::{Line, Merge};
use super::progress::progress;
use crate::engine::decode::{Partitioner, Source, customer_id, partition_of, time_of};
use crate::engine::effects::{Counts, Effects};
use crate::engine::event::{Millis, Record};
use crate::engine::rule::Rules;
use crate::engine::shard::{Bootstrap, Input, Settings, Shard};
use crate::worker::transaction::outbox::{DetectedAt, Outbox};
use std::path::PathBuf;
use std::sync::Arc;

/// Maximum number of deadlines per `Fire` input.
const FIRED_AT_ONCE: u32 = 4_096;

/// How lines are applied.
#[derive(Clone, Copy, Debug)]
pub struct PlayerSettings {
    pub partitions: u32,
    /// Assigns customers to partitions.
    pub partitioner: Partitioner,
    /// The upper limit of arrivals.
    pub now: Millis,
    /// No changes before this time are published (R11).
    pub publish_from: Option<Millis>,
    pub bootstrap: Bootstrap,
}

pub struct Player {
    settings: PlayerSettings,
    shards: Vec<Shard>,
    outboxes: Vec<Outbox>,
    effects: Effects,
    pub counts: Counts,
    /// What is unusual about the times of the lines.
    pub leaps: Leaps,
    /// File and line of the rejected ones among the last lines.
    rejected: Vec<(u16, i64)>,
}

/// Lines that were left out because of their time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Skipped {
    pub lines: u64,
    /// The first one: file, and line from 0.
    pub first: Option<(usize, u64)>,
}

/// The result of one input of one shard.
pub struct Step<'a> {
    pub shard: &'a Shard,
    /// The encoded outputs.
    pub outbox: &'a mut Outbox,
    pub effects: &'a Effects,
    /// The records that were applied.
    pub records: &'a [Record<'a>],
}

impl Player {
    /// `topics` are the topic names in triggers and rejected records.
    pub fn new(rules: &Arc<Rules>, settings: PlayerSettings, topics: &[String]) -> Self {
        let PlayerSettings { partitions, publish_from, bootstrap, .. } = settings;
        let shard = |_| Shard::new(Settings { source: Source::File, publish_from, bootstrap }, rules.clone());
        let outbox = |_| Outbox::new(topics.to_vec(), "shoal", DetectedAt::Effective);
        Self {
            settings,
            shards: (0..partitions).map(shard).collect(),
            outboxes: (0..partitions).map(outbox).collect(),
            effects: Effects::default(),
            counts: Counts::default(),
            leaps: Leaps::default(),
            rejected: Vec::new(),
        }
    }

    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }

    pub fn shards_mut(&mut self) -> &mut [Shard] {
        &mut self.shards
    }

    /// Applies all lines of files in their order, with a progress bar. Events at `before` or later are skipped.
    pub fn files(
        &mut self,
        files: &[PathBuf],
        before: Option<Millis>,
        mut step: impl FnMut(Step<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<Skipped> {
        let read = BytesRead::default();
        let ahead = self.shards.first().map_or(0, |shard| shard.rules().event_settings.max_future);
        let mut merge = Merge::open(files, self.settings.now.saturating_add(ahead), &read)?;
        let progress = progress(files);
        let (mut lines, mut skipped): (Vec<Line>, Skipped) = (Vec::new(), Skipped::default());
        loop {
            merge.next_batch(Shard::CHUNK, &mut lines)?;
            if lines.is_empty() {
                break;
            }
            if let Some(before) = before {
                lines.retain(|line| {
                    let is_kept = time_of(merge.text(line)).is_none_or(|time| time < before);
                    if !is_kept {
                        skipped.lines += 1;
                        skipped.first.get_or_insert((line.file, line.number));
                    }
                    is_kept
                });
            }
            self.lines(&merge, &lines, &mut step)?;
            let latest = self.shards.iter().filter_map(Shard::latest_event).max();
            let rejected = &self.rejected;
            let is_rejected = |line: &Line| rejected.contains(&(line.file as u16, line.number as i64));
            self.leaps.observe(&merge, &lines, is_rejected, latest);
            progress.set_position(read.get());
        }
        progress.finish_and_clear();
        Ok(skipped)
    }

    /// Applies lines, each to the shard of its customer; lines without a readable customer id go to shard 0.
    pub fn lines(
        &mut self,
        merge: &Merge,
        lines: &[Line],
        mut step: impl FnMut(Step<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let PlayerSettings { partitions, partitioner, now, .. } = self.settings;
        self.rejected.clear();
        let mut records = vec![Vec::new(); self.shards.len()];
        for line in lines {
            let value = merge.text(line);
            let partition = match partitions {
                1 => 0,
                _ => customer_id(value).map_or(0, |id| partition_of(partitioner, id.as_bytes(), partitions)),
            };
            let (topic, offset) = (line.file as u16, line.number as i64);
            records[partition as usize].push(Record { topic, partition, offset, arrival: None, key: None, value });
        }
        for (shard, records) in records.iter().enumerate() {
            for chunk in records.chunks(Shard::CHUNK) {
                self.apply(shard, Input::Records { now, records: chunk }, chunk, &mut step)?;
                if self.shards[shard].has_due() {
                    self.apply(shard, Input::Fire(FIRED_AT_ONCE), &[], &mut step)?;
                }
            }
        }
        Ok(())
    }

    /// Advances the watermark of every shard to `until`, by default the latest accepted time (R10). Returns that time;
    /// `None` if there is neither.
    pub fn finish(
        &mut self,
        until: Option<Millis>,
        mut step: impl FnMut(Step<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<Option<Millis>> {
        let until = until.or(self.shards.iter().filter_map(Shard::latest_event).max());
        let Some(until) = until else { return Ok(None) };
        for shard in 0..self.shards.len() {
            let grace = self.shards[shard].rules().event_settings.grace;
            self.apply(shard, Input::Tick(until.saturating_add(grace)), &[], &mut step)?;
            while self.shards[shard].has_due() {
                self.apply(shard, Input::Fire(FIRED_AT_ONCE), &[], &mut step)?;
            }
        }
        Ok(Some(until))
    }

    fn apply(
        &mut self,
        shard: usize,
        input: Input<'_>,
        records: &[Record<'_>],
        step: &mut impl FnMut(Step<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.effects.clear();
        self.shards[shard].apply(input, &mut self.effects);
        self.counts.add(&self.effects.counts);
        self.rejected.extend(self.effects.rejected.iter().map(|rejected| (rejected.topic, rejected.offset)));
        let outbox = &mut self.outboxes[shard];
        outbox.clear();
        outbox.encode(&self.effects, records);
        step(Step { shard: &self.shards[shard], outbox, effects: &self.effects, records })
    }
}
