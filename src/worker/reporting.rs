//! What a worker writes on its board: gathered where nothing is under way, from what its parts counted.

use super::board::{Board, InputReport, Lag, Report, ShardReport, StateReport};
use super::held::HeldShard;
use super::lifecycle::Phase;
use super::merge::Feed;
use super::publish::Published;
use super::tally::ValueName;
use super::work::Worker;
use crate::engine::event::{DAY, HOUR, Millis};
use crate::engine::profile::HeldValue;
use crate::engine::rule::IN;
use crate::engine::shard::Shard;
use crate::kafka::{Batch, Log, Moment, Topic};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Between two reports.
const INTERVAL_MS: u64 = 1_000;

/// The board of a worker, and when it is written next.
pub struct Reporting {
    pub board: Arc<Board>,
    inputs: Vec<InputReport>,
    /// Version of the rules whose counters have begun.
    announced: Option<String>,
    /// Monotonic milliseconds.
    due: u64,
    /// The group has answered, and what it gave is among the shards.
    has_joined: bool,
}

impl<L: Log> Worker<L> {
    /// Writes on `board` while it works. `retention_ms`: how long each input keeps its records, if that is known.
    pub fn on_board(mut self, board: Arc<Board>, retention_ms: &[Option<u64>]) -> Self {
        let taken = self.log.now().wall;
        let retention_ms = retention_ms.iter().copied().chain(std::iter::repeat(None));
        let input = |(name, retention_ms): (&String, _)| InputReport { name: name.clone(), taken, retention_ms };
        let inputs = self.job.inputs.iter().zip(retention_ms).map(input).collect();
        self.reporting = Some(Reporting { board, inputs, announced: None, due: 0, has_joined: false });
        self
    }

    /// A shard's phase has changed: the next report does not wait.
    pub(super) fn report_soon(&mut self) {
        if let Some(reporting) = &mut self.reporting {
            reporting.due = 0;
        }
    }

    /// A transaction that was begun at this monotonic millisecond is committed.
    pub(super) fn note_transaction(&mut self, began: u64, published: Published) {
        let now = self.log.now();
        self.places.values_mut().for_each(|place| place.held.note_committed(now.wall));
        self.work_done.seconds.observe_ms(now.monotonic.saturating_sub(began) as i64);
        self.work_done.outputs.observe(published.outputs as f64);
        self.work_done.bytes.observe(published.bytes as f64);
        self.next_transaction = published.next_transaction;
    }

    /// Writes a report if one is due.
    pub(super) fn report(&mut self) {
        let now = self.log.now();
        let Some(reporting) = self.reporting.as_mut().filter(|reporting| now.monotonic >= reporting.due) else {
            return;
        };
        reporting.due = now.monotonic + INTERVAL_MS;
        let client = self.log.client_report();
        reporting.has_joined = reporting.has_joined || client.has_joined && !self.log.has_group_event();
        let mut shards = BTreeMap::new();
        let mut members = BTreeMap::new();
        for place in self.places.values_mut() {
            let held = &mut place.held;
            self.work_done.tally.add(&held.take_tally());
            for (topic, input) in reporting.inputs.iter_mut().enumerate() {
                input.taken = held.counting.taken(topic as u16).map_or(input.taken, |taken| taken.max(input.taken));
            }
            let mut report = shard_report(held, now.wall);
            if held.phase() == Phase::Running {
                report.lag = lag(&self.log, held, &place.feed, now);
                held.shard().into_iter().for_each(|shard| add_members(shard, &mut members));
            }
            shards.insert(held.number(), report);
        }
        for held in self.kept.held() {
            self.work_done.tally.add(&held.take_tally());
            shards.insert(held.number(), ShardReport { since: now.wall, ..ShardReport::in_phase(held.phase()) });
        }
        let rules = self.control.newest_rules();
        if let Some(rules) = rules.filter(|rules| reporting.announced.as_ref() != Some(&rules.version)) {
            self.work_done.tally.announce(rules);
            reporting.announced = Some(rules.version.clone());
        }
        reporting.board.write(Report {
            has_joined: reporting.has_joined,
            shards_expected: self.job.partitions,
            rules_version: rules.map(|rules| rules.version.clone()),
            money_decimals: rules.map_or(2, |rules| rules.event_settings.currency.decimals),
            shards,
            members,
            inputs: reporting.inputs.clone(),
            done: self.work_done.clone(),
            torn_repaired: self.torn_repaired,
            recoveries: self.recoveries,
            snapshots: self.snapshots.as_ref().map(|snapshots| (snapshots.seconds.clone(), snapshots.failed)),
            client,
            alerts: self.alerts.reports(),
            webhook: self.alerts.webhook_counts(),
            at: now.wall,
        });
    }
}

fn shard_report(held: &HeldShard, now: Millis) -> ShardReport {
    let state = held.shard().filter(|_| held.phase() == Phase::Running).map(state_report);
    let (transaction, snapshots) = (held.transaction(), *held.snapshots());
    ShardReport { since: now, transaction, state, snapshots, ..ShardReport::in_phase(held.phase()) }
}

fn state_report(shard: &Shard) -> StateReport {
    let (profiles, duplicates) = (shard.profiles(), shard.duplicates());
    let (bytes, (timers, timer_bytes)) = (profiles.bytes(), shard.timers());
    let bytes = [
        ("rows", bytes.rows),
        ("index", bytes.index),
        ("blocks", bytes.blocks - bytes.blocks_free),
        ("blocks_free", bytes.blocks_free),
        ("texts", bytes.texts),
        ("dedup", duplicates.bytes()),
        ("timers", timer_bytes),
    ];
    StateReport {
        customers: profiles.len() as u64,
        customers_limit: u64::from(shard.rules().event_settings.max_customers),
        bytes: bytes.map(|(kind, bytes)| (kind, bytes as u64)),
        texts: profiles.texts() as u64,
        timers: timers as u64,
        due: [HOUR, DAY, 7 * DAY].map(|ms| shard.due_within(ms)),
        watermark: (shard.watermark() != Millis::MIN).then(|| shard.watermark()),
        dedup_horizon_hours: duplicates.horizon_held(),
    }
}

/// Adds who is in which segment or audience.
fn add_members(shard: &Shard, members: &mut BTreeMap<ValueName, u64>) {
    shard.members(|target, value, count| {
        let is_told = if target.is_audience() { value == IN } else { value != HeldValue::NULL };
        if is_told {
            let name = ValueName { segmentation: target.name.as_str().into(), value: target.value_name(value).into() };
            *members.entry(name).or_default() += u64::from(count);
        }
    });
}

/// What is left of each input of a shard.
fn lag<L: Log>(log: &L, held: &HeldShard, feed: &Feed<L::Batch>, now: Moment) -> Vec<Lag> {
    let of = |(topic, &position): (u16, &i64)| {
        let (input, batch) = (Topic::Input(topic), &feed.batches()[usize::from(topic)]);
        if batch.is_empty() && log.partition_status(input, held.number()).is_at_end {
            return Lag { records: Some(0), ms: 0 };
        }
        let records = log.known_end(input, held.number()).map(|end| u64::try_from(end - position).unwrap_or(0));
        let next = (!batch.is_empty()).then(|| batch.record(0).timestamp).flatten();
        // What is not here yet arrived no earlier than the last that was.
        let behind = || held.last_arrival().filter(|_| records.is_some_and(|records| records > 0));
        let arrival = next.or_else(behind).unwrap_or(now.wall);
        Lag { records, ms: (now.wall - arrival).max(0) }
    };
    (0..).zip(held.positions()).map(of).collect()
}
