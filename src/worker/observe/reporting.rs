//! What a worker reports: its own counters, and a [`Report`] that it writes once a second from what its parts counted.

use super::status::{
    AlertReport, DifferentRules, InputReport, Lag, Report, ShardReport, StateReport, Trouble, Unanswered, WorkDone,
    WorkerStatus,
};
use crate::engine::event::{DAY, HOUR, Millis};
use crate::engine::profile::HeldValue;
use crate::engine::rule::IN;
use crate::engine::rule::Rules;
use crate::engine::shard::Shard;
use crate::kafka::{Batch, Log, Moment, Topic};
use crate::worker::counters::histogram::Histogram;
use crate::worker::counters::tally::ValueName;
use crate::worker::input_buffer::InputBuffer;
use crate::worker::owned_shard::OwnedShard;
use crate::worker::transaction::publish::Published;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// Between two reports.
const INTERVAL_MS: u64 = 1_000;
/// A broker that has not answered a fetch for this long is reported, and logged once.
const UNANSWERED_MS_MAX: u64 = 60_000;

/// The counters of a worker, and where they are reported.
#[derive(Default)]
pub struct Reporting {
    pub done: WorkDone,
    /// Torn transactions that were repaired.
    pub torn_repaired: u64,
    /// Shards that were recovered.
    pub recoveries: u64,
    /// `None` if nothing reads the reports.
    writer: Option<StatusWriter>,
}

/// Where reports are written, and when the next one is due.
struct StatusWriter {
    status: Arc<WorkerStatus>,
    inputs: Vec<InputReport>,
    /// Version of the rules whose counters have begun at 0.
    announced: Option<String>,
    /// Monotonic milliseconds.
    due: u64,
    /// The group has assigned shards, or none, and those are among the shards.
    has_joined: bool,
    /// The monotonic millisecond of the last answer to a fetch of each input partition that runs, or of the first
    /// report of it.
    answered: BTreeMap<(u32, u16), u64>,
    /// That a broker does not answer has been logged.
    is_logged: bool,
}

/// What a report has from other parts of the worker.
pub struct Facts<'a> {
    pub partitions: u32,
    /// The newest rules of the control topic.
    pub rules: Option<&'a Arc<Rules>>,
    pub different_rules: Option<DifferentRules>,
    /// Seconds of stored snapshots, and the number of failed ones; `None` without snapshots.
    pub snapshots: Option<(Histogram, u64)>,
    /// What failed last and is tried again.
    pub trouble: Option<Trouble>,
    pub alerts: BTreeMap<String, AlertReport>,
    pub webhook: Option<[u64; 3]>,
}

impl Reporting {
    /// Writes reports to `status` from now on. `retention_ms`: the retention of each input, if it is known.
    pub fn report_to(
        &mut self,
        status: Arc<WorkerStatus>,
        inputs: &[String],
        retention_ms: &[Option<u64>],
        now: Millis,
    ) {
        let retention_ms = retention_ms.iter().copied().chain(std::iter::repeat(None));
        let input =
            |(name, retention_ms): (&String, _)| InputReport { name: name.clone(), applied_at: now, retention_ms };
        let inputs = inputs.iter().zip(retention_ms).map(input).collect();
        self.writer = Some(StatusWriter {
            status,
            inputs,
            announced: None,
            due: 0,
            has_joined: false,
            answered: BTreeMap::new(),
            is_logged: false,
        });
    }

    pub fn status(&self) -> Option<&WorkerStatus> {
        self.writer.as_ref().map(|writer| &*writer.status)
    }

    /// A shard's phase has changed: the next report is written at once.
    pub fn report_soon(&mut self) {
        if let Some(writer) = &mut self.writer {
            writer.due = 0;
        }
    }

    /// A transaction that was begun at this monotonic millisecond is committed.
    pub fn note_transaction<'a>(
        &mut self,
        shards: impl Iterator<Item = &'a mut OwnedShard>,
        began: u64,
        now: Moment,
        published: Published,
    ) {
        shards.for_each(|owned| owned.counters_mut().observe_committed(now.wall));
        self.done.seconds.observe_ms(now.monotonic.saturating_sub(began) as i64);
        self.done.outputs.observe(published.outputs as f64);
        self.done.bytes.observe(published.bytes as f64);
    }

    /// Whether a report is due at this monotonic millisecond.
    pub fn is_due(&self, now: u64) -> bool {
        self.writer.as_ref().is_some_and(|writer| now >= writer.due)
    }

    /// Begins a report with what the log knows. Shards are added next, then it is written.
    pub fn begin<L: Log>(&mut self, log: &L, facts: &Facts<'_>, now: Moment) -> Report {
        let client = log.client_report();
        if let Some(writer) = &mut self.writer {
            writer.due = now.monotonic + INTERVAL_MS;
            writer.has_joined = writer.has_joined || client.has_joined && !log.has_group_event();
        }
        Report {
            shards_expected: facts.partitions,
            rules_version: facts.rules.map(|rules| rules.version.clone()),
            different_rules: facts.different_rules.clone(),
            money_decimals: facts.rules.map_or(2, |rules| rules.event_settings.currency.decimals),
            snapshots: facts.snapshots.clone(),
            client,
            trouble: facts.trouble.clone(),
            alerts: facts.alerts.clone(),
            webhook: facts.webhook,
            at: now.wall,
            ..Report::default()
        }
    }

    /// Adds an assigned shard.
    pub fn add_shard<L: Log>(
        &mut self,
        report: &mut Report,
        log: &L,
        owned: &mut OwnedShard,
        buffer: &InputBuffer<L::Batch>,
        now: Moment,
    ) {
        self.collect(owned);
        for (topic, input) in (0..).zip(self.writer.iter_mut().flat_map(|writer| &mut writer.inputs)) {
            let applied_at = owned.counters_mut().applied_at(topic);
            input.applied_at = applied_at.map_or(input.applied_at, |at| at.max(input.applied_at));
        }
        let mut shard = shard_report(owned, now.wall);
        if let Some(writer) = &mut self.writer {
            writer.note_answers(log, owned, now.monotonic);
        }
        if owned.is_running() {
            shard.lag = lag(log, owned, buffer, now);
            owned.shard().into_iter().for_each(|shard| add_members(shard, &mut report.members));
        }
        report.shards.insert(owned.number(), shard);
    }

    /// Adds a revoked shard whose state is kept.
    pub fn add_kept(&mut self, report: &mut Report, owned: &mut OwnedShard, now: Millis) {
        self.collect(owned);
        let shard = ShardReport { since: now, ..ShardReport::in_phase(owned.phase()) };
        report.shards.insert(owned.number(), shard);
    }

    /// Adds what a shard counted since the last report.
    fn collect(&mut self, owned: &mut OwnedShard) {
        let (tally, examples) = (owned.counters_mut().drain(), owned.counters_mut().take_examples());
        if let Some(writer) = &self.writer {
            let records = tally.records.iter().sum();
            writer.status.rejects().add(Instant::now(), records, &tally.counts.rejected, examples);
        }
        self.done.tally.add(&tally);
    }

    /// Writes the report, with the counters, and logs the warnings that are due.
    pub fn write(&mut self, mut report: Report, facts: &Facts<'_>) {
        let Some(writer) = &mut self.writer else { return };
        if let Some(rules) = facts.rules.filter(|rules| writer.announced.as_ref() != Some(&rules.version)) {
            self.done.tally.announce(rules);
            writer.announced = Some(rules.version.clone());
        }
        report.has_joined = writer.has_joined;
        report.unanswered = writer.longest_unanswered(&report.shards);
        report.inputs.clone_from(&writer.inputs);
        report.done = self.done.clone();
        (report.torn_repaired, report.recoveries) = (self.torn_repaired, self.recoveries);
        let inputs: Vec<&str> = writer.inputs.iter().map(|input| input.name.as_str()).collect();
        writer.status.rejects().warn(Instant::now(), &inputs);
        writer.status.write(report);
    }
}

impl StatusWriter {
    fn note_answers<L: Log>(&mut self, log: &L, owned: &OwnedShard, now: u64) {
        let number = owned.number();
        for topic in 0..owned.positions().len() as u16 {
            let status = log.partition_status(Topic::Input(topic), number);
            match status.last_answer.filter(|_| owned.is_running()) {
                Some(answer) => _ = self.answered.insert((number, topic), answer),
                None if owned.is_running() => _ = self.answered.entry((number, topic)).or_insert(now),
                None => _ = self.answered.remove(&(number, topic)),
            }
        }
    }

    /// The partition of one of these shards whose last answer is the oldest, if it is too old.
    fn longest_unanswered(&mut self, shards: &BTreeMap<u32, ShardReport>) -> Option<Unanswered> {
        self.answered.retain(|(shard, _), _| shards.contains_key(shard));
        let now = self.due.saturating_sub(INTERVAL_MS);
        let (&(shard, topic), &answer) = self.answered.iter().min_by_key(|(_, answer)| **answer)?;
        let milliseconds = now.saturating_sub(answer);
        let topic = self.inputs.get(usize::from(topic)).map_or_else(String::new, |input| input.name.clone());
        let is_long = milliseconds >= UNANSWERED_MS_MAX;
        if is_long && !self.is_logged {
            let seconds = milliseconds / 1_000;
            tracing::warn!(
                topic,
                shard,
                seconds,
                "the broker of an input partition does not answer; time is held back"
            );
        }
        self.is_logged = is_long;
        is_long.then_some(Unanswered { shard, topic, milliseconds })
    }
}

fn shard_report(owned: &OwnedShard, now: Millis) -> ShardReport {
    let state = owned.shard().filter(|_| owned.is_running()).map(state_report);
    let (transaction, snapshots) = (owned.transaction(), owned.last_snapshots());
    ShardReport { since: now, transaction, state, snapshots, ..ShardReport::in_phase(owned.phase()) }
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

/// Adds the number of customers in each segment and audience.
fn add_members(shard: &Shard, members: &mut BTreeMap<ValueName, u64>) {
    shard.member_counts(|target, value, count| {
        let is_reported = if target.is_audience() { value == IN } else { value != HeldValue::NULL };
        if is_reported {
            let name = ValueName { segmentation: target.name.as_str().into(), value: target.value_name(value).into() };
            *members.entry(name).or_default() += u64::from(count);
        }
    });
}

/// The lag of each input of a shard.
fn lag<L: Log>(log: &L, owned: &OwnedShard, buffer: &InputBuffer<L::Batch>, now: Moment) -> Vec<Lag> {
    let of = |(topic, &position): (u16, &i64)| {
        let (input, batch) = (Topic::Input(topic), &buffer.batches()[usize::from(topic)]);
        if batch.is_empty() && log.partition_status(input, owned.number()).is_at_end {
            return Lag { records: Some(0), ms: 0 };
        }
        let records = log.known_end(input, owned.number()).map(|end| u64::try_from(end - position).unwrap_or(0));
        let next = (!batch.is_empty()).then(|| batch.record(0).timestamp).flatten();
        // A record that is not buffered yet arrived no earlier than the last one that was applied.
        let behind = || owned.last_arrival().filter(|_| records.is_some_and(|records| records > 0));
        let arrival = next.or_else(behind).unwrap_or(now.wall);
        Lag { records, ms: (now.wall - arrival).max(0) }
    };
    (0..).zip(owned.positions()).map(of).collect()
}
