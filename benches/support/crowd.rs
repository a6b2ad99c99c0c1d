//! A shard full of customers: the bench's rules, and events of the stream driven through a shard.

use super::cpu;
use super::stream::Stream;
use shoal::engine::decode::Source;
use shoal::engine::effects::Effects;
use shoal::engine::event::{Millis, Record};
use shoal::engine::rule::{self, Rules};
use shoal::engine::shard::{Bootstrap, Input, Settings, Shard};
use std::sync::Arc;

pub const RULES: &str = include_str!("../rules.toml");
/// Any moment after all events.
pub const NOW: Millis = 4_000_000_000_000;

/// Events per customer before anything is measured, besides the first.
const HISTORY_PER_CUSTOMER: u64 = 4;
/// Deadlines fired at once.
pub const FIRE: Input<'static> = Input::Fire(1_024);

pub fn rules() -> Arc<Rules> {
    rule::read(RULES).expect("the bench's rules are right")
}

pub fn settings() -> Settings {
    Settings { source: Source::File, publish_from: None, bootstrap: Bootstrap::Changes }
}

pub fn shard(rules: Arc<Rules>) -> Shard {
    Shard::new(settings(), rules)
}

/// A shard with this number of customers, each with some history, and the stream of their further events.
pub fn with_history(customers: u64, effects: &mut Effects) -> (Shard, Stream) {
    let mut shard = shard(rules());
    let mut stream = Stream::new(customers);
    stream.introduce_all();
    drive(&mut shard, &mut stream, customers, effects, |_, _| {});
    stream.mix();
    drive(&mut shard, &mut stream, HISTORY_PER_CUSTOMER * customers, effects, |_, _| {});
    (shard, stream)
}

/// Applies events in chunks; gives CPU nanoseconds spent inside of the engine.
pub fn drive(
    shard: &mut Shard,
    stream: &mut Stream,
    events: u64,
    effects: &mut Effects,
    mut after: impl FnMut(&Shard, &Effects),
) -> f64 {
    const PREPARED: u64 = 65_536;
    let mut nanoseconds = 0.0;
    let mut left = events;
    while left > 0 {
        let lines = stream.prepare(left.min(PREPARED) as usize);
        left -= lines.len() as u64;
        let records: Vec<Record<'_>> = lines
            .iter()
            .map(|line| Record { topic: 0, partition: 0, offset: 0, arrival: None, key: None, value: line })
            .collect();
        let start = cpu::nanoseconds();
        for chunk in records.chunks(Shard::CHUNK) {
            effects.clear();
            shard.apply(Input::Records { now: NOW, records: chunk }, effects);
            after(shard, effects);
            if shard.has_due() {
                effects.clear();
                shard.apply(FIRE, effects);
                after(shard, effects);
            }
        }
        while shard.has_due() {
            effects.clear();
            shard.apply(FIRE, effects);
            after(shard, effects);
        }
        nanoseconds += cpu::nanoseconds() - start;
    }
    nanoseconds
}
