//! The engine on the same scenario: every input goes through `Shard::apply`, every output comes out of the outbox as
//! bytes.
//!
//! Inputs are grouped and sliced at random, captures are taken and restored in between, and counts are verified.

use crate::capture::Follower;
use crate::model::partition::{self, Partitioner};
use crate::model::shard::{Input, Outcome, Scenario};
use crate::random::Random;
use crate::tallies;
use shoal::engine::decode::{self, Source};
use shoal::engine::effects::Effects;
use shoal::engine::event::{self, DescriptiveField};
use shoal::engine::rule;
use shoal::engine::shard::{self, Bootstrap, Settings, Shard};
use shoal::worker::transaction::outbox::{DetectedAt, Outbox, Topic};
use std::sync::atomic::{AtomicU64, Ordering};

/// Captures that were restored and compared, in all scenarios.
pub static RESTORED: AtomicU64 = AtomicU64::new(0);

/// Runs a scenario. `random` decides how records are grouped, and in which slices deadlines fire and new rules are
/// swept; this must not matter.
pub fn run(scenario: &Scenario, random: &mut Random) -> Result<Outcome, String> {
    let rules = rule::read(&scenario.rules).map_err(|mistakes| format!("the rules are refused: {mistakes:#?}"))?;
    let settings = Settings {
        source: source(scenario.source),
        publish_from: scenario.publish_from.map(|from| from.at),
        bootstrap: match scenario.publish_from {
            Some(from) if !from.changes => Bootstrap::Membership,
            _ => Bootstrap::Changes,
        },
    };
    let mut run = Run {
        shard: Shard::new(settings.clone(), rules),
        settings,
        follower: Follower::default(),
        effects: Effects::default(),
        outcome: Outcome::default(),
        orders: 0,
        topic: topic(scenario),
    };
    let mut rest = scenario.inputs.as_slice();
    while !rest.is_empty() {
        let applied = run.step(rest, random)?;
        rest = &rest[applied..];
    }
    run.finish(scenario.until, random);
    run.follower.finish(&run.shard);
    tallies::compare_orders(&run.shard, run.orders);
    RESTORED.fetch_add(run.follower.restored, Ordering::Relaxed);
    Ok(run.outcome)
}

struct Run {
    shard: Shard,
    settings: Settings,
    follower: Follower,
    effects: Effects,
    outcome: Outcome,
    /// Orders counted by the values that customers held.
    orders: u64,
    topic: String,
}

impl Run {
    /// Applies the first input, or several records with the same wall clock at once. Returns how many inputs were
    /// applied.
    fn step(&mut self, inputs: &[Input], random: &mut Random) -> Result<usize, String> {
        match &inputs[0] {
            Input::Record(first) => {
                let together = inputs.iter().map_while(|input| match input {
                    Input::Record(record) if record.now == first.now => Some(record),
                    _ => None,
                });
                let records: Vec<event::Record> = together.take(1 + random.below(12)).map(record).collect();
                self.apply(shard::Input::Records { now: first.now, records: &records }, &records);
                self.follower.between(&mut self.shard, &self.settings, random);
                self.work_off(random, false);
                Ok(records.len())
            }
            Input::Tick(tick) => {
                self.apply(shard::Input::Tick(*tick), &[]);
                self.work_off(random, false);
                Ok(1)
            }
            Input::Rules(text) => {
                self.work_off(random, true);
                let rules = rule::read_following(text, Some(&self.shard.rules().event_settings));
                let rules = rules.map_err(|mistakes| format!("new rules are refused: {mistakes:#?}"))?;
                self.apply(shard::Input::Rules(rules), &[]);
                self.work_off(random, false);
                Ok(1)
            }
        }
    }

    /// Raises the watermark to its end, and completes all work.
    fn finish(&mut self, until: Option<i64>, random: &mut Random) {
        self.work_off(random, true);
        if let Some(until) = until.or(self.shard.latest_event()) {
            self.apply(shard::Input::Tick(until + self.shard.rules().event_settings.grace), &[]);
        }
        self.work_off(random, true);
    }

    /// Fires due deadlines and sweeps customers with new rules: some of them, or all.
    fn work_off(&mut self, random: &mut Random, all: bool) {
        while self.shard.has_due() || self.shard.sweeping() {
            if !all && random.chance(40) {
                return;
            }
            self.follower.between(&mut self.shard, &self.settings, random);
            let slice = 1 + random.below(3) as u32;
            if self.shard.sweeping() && random.chance(50) {
                self.apply(shard::Input::Sweep { now: i64::MIN, customers: slice }, &[]);
            } else if self.shard.has_due() {
                self.apply(shard::Input::Fire(slice), &[]);
            } else {
                self.apply(shard::Input::Sweep { now: i64::MIN, customers: slice }, &[]);
            }
        }
    }

    fn apply(&mut self, input: shard::Input, records: &[event::Record]) {
        self.effects.clear();
        self.follower.follow(&self.shard, &input);
        self.shard.apply(input, &mut self.effects);
        tallies::compare(&self.shard);
        self.orders += tallies::take_orders(&mut self.shard);
        for rejected in &self.effects.rejected {
            self.outcome.rejected.push((rejected.offset, rejected.reason.name().to_string()));
        }
        let counts = &self.effects.counts;
        for (kind, count) in [
            ("duplicate", counts.duplicates),
            ("duplicate_order", counts.duplicate_orders),
            ("erased", counts.erased),
            ("opted_out", counts.opted_out),
        ] {
            if count > 0 {
                *self.outcome.dropped.entry(kind).or_default() += count;
            }
        }
        for (field, name) in DescriptiveField::ALL {
            for (treatment, counts) in [("left_out", &counts.left_out), ("cut", &counts.cut)] {
                if counts[field as usize] > 0 {
                    *self.outcome.unfit.entry(format!("{name} {treatment}")).or_default() += counts[field as usize];
                }
            }
        }
        let mut outbox = Outbox::new(vec![self.topic.clone()], "tests", DetectedAt::Effective);
        outbox.encode(&self.effects, records);
        outbox.encode_memberships(&self.shard);
        for output in outbox.outputs() {
            let id = String::from_utf8_lossy(output.key).to_string();
            let value = output.value.map(|value| String::from_utf8(value.to_vec()).expect("outputs are text"));
            match output.topic {
                Topic::Changes => {
                    self.outcome.changes.entry(id).or_default().push(value.expect("a change has a value"));
                }
                Topic::Membership => drop(self.outcome.membership.insert(id, value)),
                Topic::Rejected | Topic::Census => {}
            }
        }
    }
}

pub fn source(source: partition::Source) -> Source {
    match source {
        partition::Source::Files => Source::File,
        partition::Source::Log { partitioner, partitions } => Source::Kafka {
            partitions,
            partitioner: match partitioner {
                Partitioner::Murmur2 => decode::Partitioner::Murmur2,
                Partitioner::Crc32 => decode::Partitioner::Crc32,
                Partitioner::Any => decode::Partitioner::Any,
            },
        },
    }
}

/// The topic of a scenario.
fn topic(scenario: &Scenario) -> String {
    let name = scenario.inputs.iter().find_map(|input| match input {
        Input::Record(record) => Some(record.topic.clone()),
        _ => None,
    });
    name.unwrap_or_default()
}

pub fn record(record: &crate::model::decode::Record) -> event::Record<'_> {
    event::Record {
        topic: 0,
        partition: record.partition,
        offset: record.offset,
        arrival: record.arrival,
        key: record.key.as_deref(),
        value: &record.value,
    }
}
