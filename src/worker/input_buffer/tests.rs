//! The merged order compared with sorting all records by its definition, and steps of any size with their replay.

use super::*;
use crate::kafka::Record;
use crate::random::Random;
use std::collections::VecDeque;

/// Records that are only an offset and an arrival.
#[derive(Clone, Debug, Default)]
struct Buffer(VecDeque<(i64, Option<i64>)>);

impl Batch for Buffer {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn record(&self, index: usize) -> Record<'_> {
        let (offset, timestamp) = self.0[index];
        Record { offset, timestamp, key: None, value: None }
    }

    fn header(&self, _place: usize, _name: &str) -> Option<&[u8]> {
        None
    }

    fn discard(&mut self, count: usize) {
        self.0.drain(..count);
    }
}

/// T7 to the letter: every record with its key, sorted.
fn naive(batches: &[Buffer], now: Millis) -> Vec<MergedRecord<'_>> {
    let mut all = Vec::new();
    for (topic, batch) in batches.iter().enumerate() {
        let mut latest = Millis::MIN;
        for index in 0..batch.len() {
            latest = latest.max(batch.0[index].1.unwrap_or(now).min(now));
            all.push(MergedRecord { topic: topic as u16, arrival: latest, record: batch.record(index) });
        }
    }
    all.sort_by_key(|next| (next.arrival, next.topic, next.record.offset));
    all
}

fn buffer(random: &mut Random, now: Millis) -> InputBuffer<Buffer> {
    let mut buffer: InputBuffer<Buffer> = InputBuffer::new(1 + random.below(4) as usize);
    for (topic, batch) in buffer.batches.iter_mut().enumerate() {
        let mut arrival = random.below(50) as i64;
        for offset in 0..random.below(30) as i64 {
            arrival += random.below(9) as i64 - 3;
            batch.0.push_back((offset, (random.below(20) > 0).then_some(arrival)));
        }
        assert!(now < 60, "arrivals are beyond `now` too");
        buffer.waits[topic] = random.below(2) == 0;
    }
    buffer
}

#[test]
fn the_order_is_that_of_the_definition() {
    for seed in 0..2_000 {
        let buffer = buffer(&mut Random(seed), 40);
        let merged: Vec<MergedRecord<'_>> = buffer.merge_all(40).collect();
        assert_eq!(merged, naive(&buffer.batches, 40), "seed {seed}");
    }
}

#[test]
fn a_lagging_topic_is_waited_for_and_an_idle_one_is_not() {
    for seed in 0..2_000 {
        let buffer = buffer(&mut Random(seed), 40);
        let all = naive(&buffer.batches, 40);
        let live: Vec<MergedRecord<'_>> = buffer.merge(40).collect();
        assert_eq!(live, all[..live.len()], "seed {seed}: a beginning of the whole order");
        // It ends after the last record of the first topic that is waited for, and nowhere else.
        let left = |topic: usize, taken: &[MergedRecord<'_>]| {
            buffer.batches[topic].len() - taken.iter().filter(|next| usize::from(next.topic) == topic).count()
        };
        let stops = |taken: &[MergedRecord<'_>]| {
            (0..buffer.batches.len()).any(|topic| buffer.waits[topic] && left(topic, taken) == 0)
        };
        let expected = (0..all.len()).find(|&count| stops(&all[..count])).unwrap_or(all.len());
        assert_eq!(live.len(), expected, "seed {seed}");
    }
}

#[test]
fn a_step_that_is_done_again_has_the_same_order() {
    for seed in 0..2_000 {
        let mut random = Random(seed);
        let buffer = buffer(&mut random, 40);
        let live: Vec<MergedRecord<'_>> = buffer.merge(40).collect();
        let step = &live[..random.below(live.len() as u64 + 1) as usize];
        let mut again: InputBuffer<Buffer> = InputBuffer::new(buffer.batches.len());
        for (topic, batch) in buffer.batches.iter().enumerate() {
            let taken = step.iter().filter(|next| usize::from(next.topic) == topic).count();
            again.batches[topic].0 = batch.0.iter().take(taken).copied().collect();
        }
        assert_eq!(again.merge_all(40).collect::<Vec<_>>(), step, "seed {seed}");
    }
}
