//! Buffered records of one shard, merged into one order from all its input topics (T7).
//!
//! Each topic has a bounded buffer. The next record is the one with the smallest arrival, then of the first topic, then
//! with the smallest offset; arrivals are capped at `now` and made non-decreasing per topic from the start of the step.
//! A step applies the first records of that order, and buffers do not change during a step. So the order follows from
//! the range of records that the step took from each topic, and a replay from the journal merges them in the same
//! order.

use crate::engine::event::Millis;
use crate::kafka::{Batch, Failure, Log, Record, Topic};

/// Records buffered of one topic, and applied in one step, at most.
pub const RECORDS_MAX: usize = 4_096;

/// The buffers of one shard's inputs.
pub struct InputBuffer<B> {
    batches: Vec<B>,
    /// By topic: the merged order has to wait when the buffer is empty, because the topic is not known to be read to
    /// its end.
    waits: Vec<bool>,
    /// The last fill stopped at the bound, so there may be more records.
    has_more: bool,
}

impl<B: Batch> InputBuffer<B> {
    pub fn new(topics: usize) -> Self {
        Self { batches: (0..topics).map(|_| B::default()).collect(), waits: vec![true; topics], has_more: false }
    }

    /// Moves records of the shard from the log into the buffers.
    pub fn fill<L: Log<Batch = B>>(&mut self, log: &mut L, shard: u32) -> Result<(), Failure> {
        self.has_more = false;
        for (index, batch) in self.batches.iter_mut().enumerate() {
            let topic = Topic::Input(index as u16);
            let room = RECORDS_MAX.saturating_sub(batch.len());
            if room > 0 {
                self.has_more |= log.read(topic, shard, room, batch)? == room;
            }
            self.waits[index] = !log.partition_status(topic, shard).is_at_end;
        }
        Ok(())
    }

    pub fn clear(&mut self) {
        self.batches.iter_mut().for_each(Batch::clear);
        self.waits.fill(true);
        self.has_more = false;
    }

    pub fn batches(&self) -> &[B] {
        &self.batches
    }

    /// The buffer of one topic, to be filled with the records of a step that is replayed.
    pub fn batch_mut(&mut self, topic: u16) -> &mut B {
        &mut self.batches[usize::from(topic)]
    }

    /// Sets whether the merged order waits for a topic when its buffer is empty.
    pub fn set_waits(&mut self, topic: u16, waits: bool) {
        self.waits[usize::from(topic)] = waits;
    }

    /// The merged order live: it ends before a topic that has to be waited for.
    pub fn merge(&self, now: Millis) -> Merge<'_, B> {
        Merge::new(&self.batches, &self.waits, now)
    }

    /// The merged order of a step whose records are all in the buffers.
    pub fn merge_all(&self, now: Millis) -> Merge<'_, B> {
        Merge::new(&self.batches, &[], now)
    }

    /// Removes the records that a step applied: how many of each topic.
    pub fn discard(&mut self, applied: &[usize]) {
        for (batch, &count) in self.batches.iter_mut().zip(applied) {
            batch.discard(count);
        }
    }

    /// Whether a step could be applied now, or more records be buffered, without waiting.
    pub fn is_ready(&self) -> bool {
        self.has_more || self.merge(Millis::MAX).next().is_some()
    }

    /// Whether all topics are read to their end and no record is buffered.
    pub fn is_at_end(&self) -> bool {
        !self.waits.contains(&true) && self.batches.iter().all(Batch::is_empty)
    }

    /// A header of a buffered record.
    pub fn header(&self, topic: u16, offset: i64, name: &str) -> Option<&[u8]> {
        let batch = self.batches.get(usize::from(topic))?;
        // Few offsets of a partition are not records, so that the index is mostly known at once.
        let oldest = if batch.is_empty() { return None } else { batch.record(0).offset };
        let (mut first, mut end) = (0, batch.len());
        if let Ok(index) = usize::try_from(offset - oldest)
            && index < end
            && batch.record(index).offset == offset
        {
            return batch.header(index, name);
        }
        while first < end {
            let middle = first + (end - first) / 2;
            if batch.record(middle).offset < offset { first = middle + 1 } else { end = middle }
        }
        let is_found = first < batch.len() && batch.record(first).offset == offset;
        if is_found { batch.header(first, name) } else { None }
    }

    /// Whether records of this topic are buffered.
    pub fn has_records(&self, topic: u16) -> bool {
        !self.batches[usize::from(topic)].is_empty()
    }

    /// Arrival of the next record; `None` if there is no next record or it is not known yet.
    pub fn next_arrival(&self, now: Millis) -> Option<Millis> {
        self.merge(now).next().map(|next| next.arrival)
    }
}

/// A record in the merged order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MergedRecord<'a> {
    pub topic: u16,
    /// Capped, and made non-decreasing.
    pub arrival: Millis,
    pub record: Record<'a>,
}

/// Iterates over buffers in their merged order.
pub struct Merge<'a, B> {
    batches: &'a [B],
    waits: &'a [bool],
    now: Millis,
    heads: Vec<TopicHead<'a>>,
}

/// The next record of one topic, if there is one.
struct TopicHead<'a> {
    index: usize,
    next: Option<(Millis, Record<'a>)>,
}

impl<'a, B: Batch> Merge<'a, B> {
    fn new(batches: &'a [B], waits: &'a [bool], now: Millis) -> Self {
        let heads = batches.iter().map(|batch| TopicHead::at(batch, 0, now, Millis::MIN)).collect();
        Self { batches, waits, now, heads }
    }
}

impl<'a> TopicHead<'a> {
    fn at<B: Batch>(batch: &'a B, index: usize, now: Millis, arrival_before: Millis) -> Self {
        let next = (index < batch.len()).then(|| {
            let record = batch.record(index);
            (record.timestamp.unwrap_or(now).min(now).max(arrival_before), record)
        });
        Self { index, next }
    }
}

impl<'a, B: Batch> Iterator for Merge<'a, B> {
    type Item = MergedRecord<'a>;

    fn next(&mut self) -> Option<MergedRecord<'a>> {
        let mut first: Option<(Millis, usize)> = None;
        for (topic, head) in self.heads.iter().enumerate() {
            match head.next {
                Some((arrival, _)) if first.is_none_or(|(smallest, _)| arrival < smallest) => {
                    first = Some((arrival, topic));
                }
                None if self.waits.get(topic) == Some(&true) => return None,
                _ => {}
            }
        }
        let (arrival, topic) = first?;
        let head = &mut self.heads[topic];
        let (_, record) = head.next?;
        *head = TopicHead::at(&self.batches[topic], head.index + 1, self.now, arrival);
        Some(MergedRecord { topic: topic as u16, arrival, record })
    }
}

#[cfg(test)]
mod tests;
