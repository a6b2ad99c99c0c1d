//! Plays a scenario on shards driven directly: in batches of any size, over any number of partitions, with deadlines
//! and sweeps taken at once or item by item, and with a crash and recovery after any step.

use super::answer::Answer;
use super::outcome::Outcome;
use super::script::{Record, Scenario, Step};
use shoal::engine::decode::{Partitioner, Source, partition_of};
use shoal::engine::effects::Effects;
use shoal::engine::event::{self, Millis};
use shoal::engine::rule::{self, Rules};
use shoal::engine::shard::{Input, Settings, Shard};
use shoal::worker::transaction::outbox::{DetectedAt, Outbox};
use std::sync::Arc;

/// One way to play a scenario.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// Records per input at most.
    pub batch: usize,
    pub partitions: u32,
    /// Due deadlines and sweeps are taken at once; else one after each input.
    pub at_once: bool,
    /// After this number of steps all state is dropped and rebuilt from the inputs so far.
    pub crash_after: Option<usize>,
}

impl Way {
    pub const STRAIGHT: Self = Self { batch: Shard::CHUNK, partitions: 1, at_once: true, crash_after: None };
}

/// The inputs of a shard, kept for a rebuild.
#[derive(Clone)]
enum Given {
    Records { now: Millis, first_offset: i64, records: Vec<Record> },
    Tick(Millis),
    Rules(Arc<Rules>),
    Sweep(Millis, u32),
    Fire(u32),
}

struct Player<'a> {
    scenario: &'a Scenario,
    way: Way,
    rules: Vec<Arc<Rules>>,
    shards: Vec<Driven>,
    now: Millis,
    outcome: Outcome,
}

/// A shard with its waiting records and all its inputs so far.
struct Driven {
    partition: u32,
    shard: Shard,
    outbox: Outbox,
    effects: Effects,
    waiting: Vec<Record>,
    /// Numbers of the scenario's records by offset.
    numbers: Vec<usize>,
    history: Vec<Given>,
}

/// Plays the scenario from its first step to the end of time.
pub fn play(scenario: &Scenario, way: Way) -> Result<Answer, String> {
    let rules: Vec<Arc<Rules>> = read_rules(scenario)?;
    let shards = (0..way.partitions).map(|partition| Driven::new(scenario, partition, way, &rules[0])).collect();
    let now = scenario.now.unwrap_or(Millis::MIN);
    let mut player = Player { scenario, way, rules, shards, now, outcome: Outcome::default() };
    let mut number = 0;
    for (index, step) in scenario.steps.iter().enumerate() {
        match step {
            Step::Record(record) => {
                number += 1;
                player.record(record, number);
            }
            Step::Tick(moment) => player.tick(*moment),
            Step::Rules(index) => player.new_rules(*index),
        }
        if way.crash_after == Some(index + 1) {
            player.crash();
        }
    }
    player.end();
    Ok(player.answer())
}

/// Reads and checks all rules files of a scenario, each as one that follows the file before it.
pub fn read_rules(scenario: &Scenario) -> Result<Vec<Arc<Rules>>, String> {
    let mut all: Vec<Arc<Rules>> = Vec::new();
    for (name, text) in &scenario.rules {
        let previous = all.last().map(|rules| &rules.event_settings);
        let rules = rule::read_following(text, previous);
        all.push(rules.map_err(|mistakes| format!("--- rules {name}: {mistakes:#?}"))?);
    }
    Ok(all)
}

impl Player<'_> {
    fn record(&mut self, record: &Record, number: usize) {
        let key = record.key.as_deref().unwrap_or_default();
        let index = partition_of(Partitioner::Murmur2, key.as_bytes(), self.way.partitions) as usize;
        if self.scenario.now.is_none() {
            self.now = self.now.max(record.arrival);
        }
        let driven = &mut self.shards[index];
        driven.numbers.push(number);
        driven.waiting.push(record.clone());
        if driven.waiting.len() >= self.way.batch {
            self.flush(index);
        }
    }

    fn tick(&mut self, moment: Millis) {
        self.now = self.now.max(moment);
        self.flush_all();
        for index in 0..self.shards.len() {
            self.give(index, Given::Tick(moment));
            self.take_slices(index, self.way.at_once);
        }
    }

    fn new_rules(&mut self, rules: usize) {
        self.flush_all();
        for index in 0..self.shards.len() {
            while self.shards[index].shard.sweeping() {
                self.give(index, Given::Sweep(self.now, 1));
            }
            self.give(index, Given::Rules(self.rules[rules].clone()));
            self.take_slices(index, self.way.at_once);
        }
    }

    /// Advances the watermark to the end of the scenario (R10).
    fn end(&mut self) {
        self.flush_all();
        let latest = self.shards.iter().filter_map(|driven| driven.shard.latest_event()).max();
        if let Some(until) = self.scenario.until.or(latest) {
            let grace = self.shards[0].shard.rules().event_settings.grace;
            self.tick(until + grace);
        }
        (0..self.shards.len()).for_each(|index| self.take_slices(index, true));
    }

    /// Drops all state and rebuilds it; published changes are not published again.
    fn crash(&mut self) {
        for driven in &mut self.shards {
            let before = driven.shard.digest();
            driven.shard = Shard::new(settings(self.scenario, self.way), self.rules[0].clone());
            for given in &driven.history {
                driven.effects.clear();
                apply(&mut driven.shard, driven.partition, given, &mut driven.effects, None);
            }
            assert_eq!(driven.shard.digest(), before, "shard {} is not what it was before the crash", driven.partition);
        }
    }

    fn flush_all(&mut self) {
        (0..self.shards.len()).for_each(|index| self.flush(index));
    }

    fn flush(&mut self, index: usize) {
        let driven = &mut self.shards[index];
        let records = std::mem::take(&mut driven.waiting);
        if records.is_empty() {
            return;
        }
        let first_offset = (driven.numbers.len() - records.len()) as i64;
        let now = self.now;
        self.give(index, Given::Records { now, first_offset, records });
        self.take_slices(index, self.way.at_once);
    }

    /// Processes due deadlines and sweeps in slices: all of them, or one item of each kind.
    fn take_slices(&mut self, index: usize, all: bool) {
        loop {
            let (sweeping, due) = (self.shards[index].shard.sweeping(), self.shards[index].shard.has_due());
            if sweeping {
                self.give(index, Given::Sweep(self.now, 1));
            }
            if due {
                self.give(index, Given::Fire(1));
            }
            if !all || !(sweeping || due) {
                return;
            }
        }
    }

    /// Applies one input to a shard and collects its outputs, as one transaction.
    fn give(&mut self, index: usize, given: Given) {
        let driven = &mut self.shards[index];
        driven.effects.clear();
        apply(&mut driven.shard, driven.partition, &given, &mut driven.effects, Some(&mut driven.outbox));
        driven.history.push(given);
        driven.outbox.encode_memberships(&driven.shard);
        for output in driven.outbox.outputs() {
            self.outcome.add(output.topic, output.key, output.value);
        }
        driven.outbox.clear();
        self.outcome.counts.add(&driven.effects.counts);
    }

    fn answer(self) -> Answer {
        let number = |partition: u64, offset: i64| self.shards[partition as usize].numbers[offset as usize];
        self.outcome.answer(self.scenario, &self.rules, &number)
    }
}

impl Driven {
    fn new(scenario: &Scenario, partition: u32, way: Way, rules: &Arc<Rules>) -> Self {
        Self {
            partition,
            shard: Shard::new(settings(scenario, way), rules.clone()),
            outbox: Outbox::new(vec!["events".to_owned()], "/shoal", DetectedAt::WallClock),
            effects: Effects::default(),
            waiting: Vec::new(),
            numbers: Vec::new(),
            history: Vec::new(),
        }
    }
}

/// The settings of a scenario's shards.
pub fn settings(scenario: &Scenario, way: Way) -> Settings {
    Settings {
        source: Source::Kafka { partitioner: Partitioner::Murmur2, partitions: way.partitions },
        publish_from: scenario.publish_from,
        bootstrap: scenario.bootstrap,
    }
}

/// Applies one input; without an outbox its effects are muted.
fn apply(shard: &mut Shard, partition: u32, given: &Given, effects: &mut Effects, outbox: Option<&mut Outbox>) {
    let mut borrowed = Vec::new();
    match given {
        Given::Records { now, first_offset, records } => {
            borrowed.extend(records.iter().zip(*first_offset..).map(|(record, offset)| event::Record {
                topic: 0,
                partition,
                offset,
                arrival: Some(record.arrival),
                key: record.key.as_deref().map(str::as_bytes),
                value: &record.value,
            }));
            shard.apply(Input::Records { now: *now, records: &borrowed }, effects);
        }
        Given::Tick(moment) => shard.apply(Input::Tick(*moment), effects),
        Given::Rules(rules) => shard.apply(Input::Rules(rules.clone()), effects),
        &Given::Sweep(now, customers) => shard.apply(Input::Sweep { now, customers }, effects),
        Given::Fire(deadlines) => shard.apply(Input::Fire(*deadlines), effects),
    }
    if let Some(outbox) = outbox {
        outbox.encode(effects, &borrowed);
    }
}
