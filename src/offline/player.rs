//! Shards driven from lines instead of a log: one player with two ends, a replay's and a seed's.
//!
//! Time comes from the events alone: no ticks, and one `now` for all, which only caps arrivals (T3).

use super::input::BytesRead;
use super::merge::{Line, Merge};
use super::progress::progress;
use crate::engine::decode::{Partitioner, Source, customer_id, partition_of, time_of};
use crate::engine::effects::{Counts, Effects};
use crate::engine::event::{Millis, Record};
use crate::engine::rule::Rules;
use crate::engine::shard::{Bootstrap, Input, Settings, Shard};
use crate::worker::outbox::{Detection, Outbox};
use std::path::PathBuf;
use std::sync::Arc;

/// Deadlines fired at once after the last record.
const FIRED_AT_ONCE: u32 = 4_096;

/// How lines are played.
#[derive(Clone, Copy, Debug)]
pub struct Stage {
    pub partitions: u32,
    /// Which of them a customer is in.
    pub partitioner: Partitioner,
    /// Caps arrivals.
    pub now: Millis,
    /// Nothing is published of what comes before (R11).
    pub publish_from: Option<Millis>,
    pub bootstrap: Bootstrap,
}

pub struct Player {
    stage: Stage,
    shards: Vec<Shard>,
    outboxes: Vec<Outbox>,
    effects: Effects,
    pub counts: Counts,
}

/// What followed from one step of one shard.
pub struct Step<'a> {
    pub shard: &'a Shard,
    /// What is published of it, encoded.
    pub outbox: &'a mut Outbox,
    pub effects: &'a Effects,
    /// The records that were applied.
    pub records: &'a [Record<'a>],
}

impl Player {
    /// `topics` are the names that triggers and rejected records tell.
    pub fn new(rules: &Arc<Rules>, stage: Stage, topics: &[String]) -> Self {
        let Stage { partitions, publish_from, bootstrap, .. } = stage;
        let shard = |_| Shard::new(Settings { source: Source::File, publish_from, bootstrap }, rules.clone());
        let outbox = |_| Outbox::new(topics.to_vec(), "shoal".into(), Detection::Effective);
        Self {
            stage,
            shards: (0..partitions).map(shard).collect(),
            outboxes: (0..partitions).map(outbox).collect(),
            effects: Effects::default(),
            counts: Counts::default(),
        }
    }

    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }

    pub fn shards_mut(&mut self) -> &mut [Shard] {
        &mut self.shards
    }

    /// Plays all lines of files in their order, with a bar of progress; those of events at `before` or later are left
    /// out. Gives how many were.
    pub fn files(
        &mut self,
        files: &[PathBuf],
        before: Option<Millis>,
        mut step: impl FnMut(Step<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<u64> {
        let read = BytesRead::default();
        let ahead = self.shards.first().map_or(0, |shard| shard.rules().event_settings.max_future);
        let mut merge = Merge::open(files, self.stage.now.saturating_add(ahead), &read)?;
        let progress = progress(files);
        let (mut lines, mut left_out): (Vec<Line>, u64) = (Vec::new(), 0);
        loop {
            merge.next_batch(Shard::CHUNK, &mut lines)?;
            if lines.is_empty() {
                break;
            }
            if let Some(before) = before {
                let all = lines.len();
                lines.retain(|line| time_of(merge.text(line)).is_none_or(|time| time < before));
                left_out += (all - lines.len()) as u64;
            }
            self.lines(&merge, &lines, &mut step)?;
            progress.set_position(read.get());
        }
        progress.finish_and_clear();
        Ok(left_out)
    }

    /// Applies lines, each in the shard of its customer; one without a readable customer id goes to shard 0.
    pub fn lines(
        &mut self,
        merge: &Merge,
        lines: &[Line],
        mut step: impl FnMut(Step<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let Stage { partitions, partitioner, now, .. } = self.stage;
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

    /// Ends with the watermark of every shard at `until`, by default the latest accepted time (R10); `None` if there
    /// is neither.
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
        let outbox = &mut self.outboxes[shard];
        outbox.clear();
        outbox.take(&self.effects, records);
        step(Step { shard: &self.shards[shard], outbox, effects: &self.effects, records })
    }
}
