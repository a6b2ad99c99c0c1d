//! The records of one shard, in one order from all its input topics (T7).
//!
//! Each topic has a buffer of its own, bounded. The next record is the one with the smallest arrival, then the first
//! topic, then the smallest offset; arrivals are capped at `now` and made non-decreasing per topic from the start of the
//! step. A step takes a beginning of that order from buffers that stand still meanwhile. So the order follows from which
//! records a step took of each topic, and doing the step again from the journal merges them alike.

use crate::engine::event::Millis;
use crate::kafka::{Batch, Failure, Log, Record, Topic};

/// Records kept of one topic, and taken in one step.
pub const RECORDS_MAX: usize = 4_096;

/// What is buffered of one shard's inputs.
pub struct Feed<B> {
    batches: Vec<B>,
    /// Topics that must be waited for when their buffer runs out: not read to their end, as far as is known.
    waits: Vec<bool>,
    /// The last fill was cut short by the bound, so there may be more.
    more: bool,
}

impl<B: Batch> Feed<B> {
    pub fn new(topics: usize) -> Self {
        Self { batches: (0..topics).map(|_| B::default()).collect(), waits: vec![true; topics], more: false }
    }

    /// Takes over what the log has for this shard.
    pub fn fill<L: Log<Batch = B>>(&mut self, log: &mut L, shard: u32) -> Result<(), Failure> {
        self.more = false;
        for (place, batch) in self.batches.iter_mut().enumerate() {
            let topic = Topic::Input(place as u16);
            let room = RECORDS_MAX.saturating_sub(batch.len());
            if room > 0 {
                self.more |= log.read(topic, shard, room, batch)? == room;
            }
            self.waits[place] = !log.partition_status(topic, shard).is_at_end;
        }
        Ok(())
    }

    pub fn clear(&mut self) {
        self.batches.iter_mut().for_each(Batch::clear);
        self.waits.fill(true);
        self.more = false;
    }

    pub fn batches(&self) -> &[B] {
        &self.batches
    }

    /// The buffer of one topic, to be filled with the records of a step that is done again.
    pub fn batch_mut(&mut self, topic: u16) -> &mut B {
        &mut self.batches[usize::from(topic)]
    }

    /// Says whether a topic must be waited for when its buffer runs out.
    pub fn set_waits(&mut self, topic: u16, waits: bool) {
        self.waits[usize::from(topic)] = waits;
    }

    /// The live order: it ends where a topic must be waited for.
    pub fn merge(&self, now: Millis) -> Merge<'_, B> {
        Merge::new(&self.batches, &self.waits, now)
    }

    /// The order of a step whose records are all there.
    pub fn merge_all(&self, now: Millis) -> Merge<'_, B> {
        Merge::new(&self.batches, &[], now)
    }

    /// Lets go of what a step took.
    pub fn discard(&mut self, taken: &[usize]) {
        for (batch, &count) in self.batches.iter_mut().zip(taken) {
            batch.discard(count);
        }
    }

    /// Whether a step could be made now, or more be taken, without waiting.
    pub fn is_ready(&self) -> bool {
        self.more || self.merge(Millis::MAX).next().is_some()
    }

    /// Whether all topics are read to their end and nothing is buffered.
    pub fn is_at_end(&self) -> bool {
        !self.waits.contains(&true) && self.batches.iter().all(Batch::is_empty)
    }

    /// A header of a buffered record.
    pub fn header(&self, topic: u16, offset: i64, name: &str) -> Option<&[u8]> {
        let batch = self.batches.get(usize::from(topic))?;
        let (mut first, mut end) = (0, batch.len());
        while first < end {
            let middle = first + (end - first) / 2;
            if batch.record(middle).offset < offset { first = middle + 1 } else { end = middle }
        }
        let is_found = first < batch.len() && batch.record(first).offset == offset;
        if is_found { batch.header(first, name) } else { None }
    }

    /// Whether records of this topic are waiting here.
    pub fn has_records(&self, topic: u16) -> bool {
        !self.batches[usize::from(topic)].is_empty()
    }

    /// Arrival of the next record; `None` if there is none or it cannot be known yet.
    pub fn next_arrival(&self, now: Millis) -> Option<Millis> {
        self.merge(now).next().map(|next| next.arrival)
    }
}

/// A record in the merged order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Next<'a> {
    pub topic: u16,
    /// Capped, and made non-decreasing.
    pub arrival: Millis,
    pub record: Record<'a>,
}

/// The merged order of buffers.
pub struct Merge<'a, B> {
    batches: &'a [B],
    waits: &'a [bool],
    now: Millis,
    heads: Vec<Head<'a>>,
}

/// The next record of one topic, if there is one.
struct Head<'a> {
    place: usize,
    next: Option<(Millis, Record<'a>)>,
}

impl<'a, B: Batch> Merge<'a, B> {
    fn new(batches: &'a [B], waits: &'a [bool], now: Millis) -> Self {
        let heads = batches.iter().map(|batch| Head::look(batch, 0, now, Millis::MIN)).collect();
        Self { batches, waits, now, heads }
    }
}

impl<'a> Head<'a> {
    fn look<B: Batch>(batch: &'a B, place: usize, now: Millis, arrival_before: Millis) -> Self {
        let next = (place < batch.len()).then(|| {
            let record = batch.record(place);
            (record.timestamp.unwrap_or(now).min(now).max(arrival_before), record)
        });
        Self { place, next }
    }
}

impl<'a, B: Batch> Iterator for Merge<'a, B> {
    type Item = Next<'a>;

    fn next(&mut self) -> Option<Next<'a>> {
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
        *head = Head::look(&self.batches[topic], head.place + 1, self.now, arrival);
        Some(Next { topic: topic as u16, arrival, record })
    }
}

#[cfg(test)]
mod tests;
