//! Plays a scenario through the real worker on a log: in memory or on a broker. A crash drops the worker with all its
//! state; the next one recovers from the journal. New rules are put into force by a worker that is started with
//! them.

use super::answer::Answer;
use super::outcome::Outcome;
use super::play::{Way, settings};
use super::script::{Record, Scenario, Step};
use shoal::engine::decode::{Partitioner, partition_of};
use shoal::engine::event::Millis;
use shoal::engine::rule::{self, Rules};
use shoal::kafka::{Log, Own, StartAt};
use shoal::worker::transaction::outbox;
use shoal::worker::{OutputSettings, OwnedShard, Worker, WorkerConfig};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Maximum time for the worker to process its records.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a worker runs.
pub trait World {
    type Log: Log;

    /// The rules as this world uses them.
    fn rules(&self, text: &str) -> String {
        text.to_owned()
    }
    fn log(&self, way: Way) -> Self::Log;
    fn append(&self, partition: u32, record: &Record);
    /// Sets the wall clock to this time, or does something with the same effect. Returns the number of records that it
    /// appended to each partition for that.
    fn set_clock(&mut self, moment: Millis, is_tick: bool) -> usize;
    /// Key and value of all published records, in order for each partition.
    fn published(&self, own: Own) -> Vec<(Vec<u8>, Option<Vec<u8>>)>;
}

struct Player<'a, W: World> {
    scenario: &'a Scenario,
    way: Way,
    world: W,
    rules: Vec<Arc<Rules>>,
    current_rules: usize,
    worker: Worker<W::Log>,
    /// Numbers of the scenario's records by partition and offset; 0 for those that stand for ticks.
    numbers: Vec<Vec<usize>>,
    /// Records appended since the worker was last let run.
    waiting: usize,
    now: Millis,
}

/// Plays the scenario in this world.
pub fn play_in<W: World>(scenario: &Scenario, way: Way, world: W) -> Result<Answer, String> {
    let read = |(name, text): &(String, String)| {
        rule::read(&world.rules(text)).map_err(|mistakes| format!("--- rules {name}: {mistakes:#?}"))
    };
    let rules: Vec<Arc<Rules>> = scenario.rules.iter().map(read).collect::<Result<_, _>>()?;
    let worker = Worker::new(world.log(way), config(scenario, way, &rules[0]));
    let numbers = vec![Vec::new(); way.partitions as usize];
    let now = scenario.now.unwrap_or(0);
    let mut player = Player { scenario, way, world, rules, current_rules: 0, worker, numbers, waiting: 0, now };
    player.advance_clock(now, false);
    let mut number = 0;
    for (index, step) in scenario.steps.iter().enumerate() {
        match step {
            Step::Record(record) => {
                number += 1;
                player.record(record, number);
            }
            Step::Tick(moment) => player.tick(*moment),
            Step::Rules(rules) => {
                player.run();
                player.current_rules = *rules;
                player.restart();
                player.run();
            }
        }
        if way.crash_after == Some(index + 1) {
            // What was appended last is read by the next worker, or by this one without its transaction being closed.
            player.worker.turn().map_err(|failure| failure.to_string())?;
            player.restart();
        }
    }
    player.end();
    Ok(player.answer())
}

fn config(scenario: &Scenario, way: Way, rules: &Arc<Rules>) -> WorkerConfig {
    WorkerConfig {
        inputs: vec!["events".to_owned()],
        partitions: way.partitions,
        shard: settings(scenario, way),
        source: "/shoal/scenario".to_owned(),
        output: OutputSettings::default(),
        start: StartAt::Earliest,
        rules: rules.clone(),
        group: "test".into(),
        force_rules: false,
        commit_interval_ms: if way.at_once { 50 } else { 0 },
        max_changes_per_minute: 0,
    }
}

impl<W: World> Player<'_, W> {
    fn record(&mut self, record: &Record, number: usize) {
        if self.scenario.now.is_none() && record.arrival > self.now {
            self.advance_clock(record.arrival, false);
        }
        let key = record.key.as_deref().unwrap_or_default();
        let partition = partition_of(Partitioner::Murmur2, key.as_bytes(), self.way.partitions);
        self.world.append(partition, record);
        self.numbers[partition as usize].push(number);
        self.waiting += 1;
        if self.waiting >= self.way.batch {
            self.run();
        }
    }

    fn tick(&mut self, moment: Millis) {
        self.run();
        if moment > self.now {
            self.advance_clock(moment, true);
            self.run();
        }
    }

    fn advance_clock(&mut self, moment: Millis, is_tick: bool) {
        self.now = moment;
        let appended = self.world.set_clock(moment, is_tick);
        self.numbers.iter_mut().for_each(|numbers| numbers.extend(std::iter::repeat_n(0, appended)));
    }

    /// Drops the worker; another one takes over.
    fn restart(&mut self) {
        let config = config(self.scenario, self.way, &self.rules[self.current_rules]);
        self.worker = Worker::new(self.world.log(self.way), config);
    }

    /// Runs the worker until it has nothing left to do.
    fn run(&mut self) {
        self.waiting = 0;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            self.worker.turn().unwrap_or_else(|failure| panic!("{}: {failure}", self.scenario.path.display()));
            if self.worker.is_idle() && self.has_read_all() {
                return;
            }
            if !self.worker.shards().any(OwnedShard::has_slices) {
                self.worker.finish().unwrap_or_else(|failure| panic!("{}: {failure}", self.scenario.path.display()));
            }
        }
        panic!("{}: the worker does not come to an end within {PATIENCE:?}", self.scenario.path.display());
    }

    fn has_read_all(&self) -> bool {
        let ends = |held: &OwnedShard| self.numbers[held.number() as usize].len() as i64;
        self.worker.shards().count() == self.numbers.len()
            && self.worker.shards().all(|held| held.positions() == [ends(held)])
    }

    fn end(&mut self) {
        self.run();
        let latest = self.worker.shards().filter_map(|held| held.shard()?.latest_event()).max();
        if let Some(until) = self.scenario.until.or(latest) {
            let grace = self.rules[self.current_rules].event_settings.grace;
            self.tick(until + grace);
        }
    }

    fn answer(self) -> Answer {
        let mut outcome = Outcome { counts: self.worker.counts(), ..Outcome::default() };
        let topics = [
            (Own::Changes, outbox::Topic::Changes),
            (Own::Membership, outbox::Topic::Membership),
            (Own::Rejected, outbox::Topic::Rejected),
        ];
        for (own, topic) in topics {
            for (key, value) in self.world.published(own) {
                if !key.starts_with(PACEMAKER.as_bytes()) {
                    outcome.add(topic, &key, value.as_deref());
                }
            }
        }
        let number = |partition: u64, offset: i64| self.numbers[partition as usize][offset as usize];
        outcome.answer(self.scenario, &self.rules, &number)
    }
}

/// How the ids of customers begin whose events stand for ticks in a world with a clock of its own.
pub const PACEMAKER: &str = "pacemaker-";
