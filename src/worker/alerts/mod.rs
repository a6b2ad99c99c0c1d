//! Alerts in the worker that owns shard 0: it follows the census of all shards, decides, and publishes with shard 0.
//!
//! Nothing is stored for a restart: the last record of each alert and the census say where to go on. Decided records
//! are published with the next transaction of shard 0. If that fails, shard 0 is rebuilt and the decision is made again
//! from the same topics.

pub mod decider;
pub mod record;
pub mod webhook;

use super::observe::status::AlertReport;
use super::reading::{Aborted, read_all};
use super::transaction::census::{CensusRecord, definition_text};
use super::transaction::publish::ExtraRecord;
use crate::engine::event::{HOUR, MINUTE, Millis};
use crate::engine::rule::{Alert, Rules};
use crate::engine::shard::Shard;
use crate::kafka::{Batch, Failure, Log, Own, Position, StartAt, Topic};
use decider::Decider;
use record::{AlertRecord, AlertState};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use webhook::WebhookQueue;

const CENSUS: Topic = Topic::Own(Own::Census);
/// Census records read of one partition at once.
const RECORDS_MAX: usize = 1_024;
/// Alert records younger than this are sent to the webhook again when shard 0 is recovered.
const SENT_AGAIN: Millis = HOUR;

/// The alerts of the worker that owns shard 0; idle in every other worker.
pub struct Alerts<B> {
    /// The last record of each alert; `None` while shard 0 is elsewhere.
    last: Option<BTreeMap<String, AlertRecord>>,
    /// `None` if the rules have no alerts.
    decider: Option<Decider>,
    /// The rules of the decider.
    rules_version: Option<String>,
    /// All census records that were there at the start have been read.
    is_current: bool,
    batch: B,
    /// Decided, and not yet published.
    due: Vec<DueRecord>,
    webhook: Option<WebhookQueue>,
    /// Names of the alerts in the decider's rules.
    names: Vec<String>,
    /// Records that this worker published.
    counts: BTreeMap<String, AlertReport>,
}

/// A record to be published.
struct DueRecord {
    record: AlertRecord,
    value: Vec<u8>,
}

impl<B: Default> Default for Alerts<B> {
    fn default() -> Self {
        Self {
            last: None,
            decider: None,
            rules_version: None,
            is_current: false,
            batch: B::default(),
            due: Vec::new(),
            webhook: None,
            names: Vec::new(),
            counts: BTreeMap::new(),
        }
    }
}

impl<B: Batch> Alerts<B> {
    /// Also sends published alerts to a webhook.
    pub fn set_webhook(&mut self, queue: WebhookQueue) {
        self.webhook = Some(queue);
    }

    /// Whether there is something to publish.
    pub fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// The records that are published with the next transaction of shard 0.
    pub fn extra_records(&self) -> Vec<ExtraRecord<'_>> {
        self.due
            .iter()
            .map(|due| ExtraRecord { topic: Own::Alerts, key: due.record.alert.as_bytes(), value: &due.value })
            .collect()
    }

    /// The decided records are published.
    pub fn mark_published(&mut self) {
        for DueRecord { record, .. } in self.due.drain(..) {
            let state = record.state.name();
            tracing::info!(alert = record.alert, state, count = record.count, at = record.at, "published an alert");
            if let Some(webhook) = &self.webhook {
                webhook.send(record.clone());
            }
            let counts = self.counts.entry(record.alert.clone()).or_default();
            match record.state {
                AlertState::Firing => counts.firing += 1,
                AlertState::Resolved => counts.resolved += 1,
            }
            if let Some(last) = &mut self.last {
                last.insert(record.alert.clone(), record);
            }
        }
    }

    /// Of each alert, whether it fires, if shard 0 is here, and how many records this worker published.
    pub fn reports(&self) -> BTreeMap<String, AlertReport> {
        let mut reports = self.counts.clone();
        for name in &self.names {
            let last = self.last.as_ref().and_then(|last| last.get(name));
            let is_firing = last.is_some_and(|last| last.state == AlertState::Firing);
            reports.entry(name.clone()).or_default().is_firing = is_firing;
        }
        reports
    }

    /// Requests of the whole process that were delivered, failed for good, and dropped.
    pub fn webhook_counts(&self) -> Option<[u64; 3]> {
        self.webhook.as_ref().map(WebhookQueue::counts)
    }

    /// Shard 0 is recovered: reads the last record of each alert.
    pub fn begin<L: Log<Batch = B>>(&mut self, log: &mut L, stop: &AtomicBool) -> Result<(), Aborted> {
        let mut last = BTreeMap::new();
        read_all(log, (Topic::Own(Own::Alerts), 0), 0, stop, |batch| {
            for index in 0..batch.len() {
                let record = batch.record(index);
                let Some(value) = record.value else {
                    last.remove(String::from_utf8_lossy(record.key.unwrap_or_default()).as_ref());
                    continue;
                };
                let read = serde_json::from_slice::<AlertRecord>(value).map_err(|error| {
                    let offset = record.offset;
                    Failure::Stop(format!("the topic of alerts, offset {offset}: expected an alert record: {error}"))
                })?;
                last.insert(read.alert.clone(), read);
            }
            Ok(())
        })?;
        self.send_young_again(&last, log.now().wall);
        self.last = Some(last);
        Ok(())
    }

    /// Sends the last record of each alert to the webhook again if it is young: it is not known whether the last owner
    /// of shard 0 sent it.
    fn send_young_again(&self, last: &BTreeMap<String, AlertRecord>, now: Millis) {
        let is_young = |record: &&AlertRecord| now - record.mark * MINUTE < SENT_AGAIN;
        for record in last.values().filter(is_young) {
            if let Some(webhook) = &self.webhook {
                webhook.send(record.clone());
            }
        }
    }

    /// Shard 0 is revoked or rebuilt.
    pub fn leave<L: Log<Batch = B>>(&mut self, log: &mut L, partitions: u32) {
        if self.decider.is_some() {
            log.stop(&census_partitions(partitions));
        }
        let Self { webhook, counts, .. } = std::mem::take(self);
        *self = Self { webhook, counts, ..Self::default() };
    }

    /// Whether all census records, as far as is known, are decided and published.
    pub fn has_decided<L: Log<Batch = B>>(&self, log: &L, partitions: u32) -> bool {
        let is_followed = self.decider.is_some();
        !self.is_due() && (!is_followed || self.is_current && is_at_end(log, partitions))
    }

    /// Decides about alerts. `shard` is shard 0, if it is here and runs.
    pub fn decide<L: Log<Batch = B>>(
        &mut self,
        log: &mut L,
        partitions: u32,
        shard: Option<&Shard>,
    ) -> Result<(), Failure> {
        let Some(shard) = shard.filter(|_| !self.is_due() && self.last.is_some()) else { return Ok(()) };
        if self.rules_version.as_ref() != Some(&shard.rules().version) {
            self.follow_rules(log, partitions, shard.rules(), shard.watermark().div_euclid(MINUTE))?;
        }
        self.read_census(log, partitions)?;
        if let Some(decider) = self.decider.as_mut().filter(|_| self.is_current) {
            let records = decider.decide();
            self.add_due(records);
        }
        Ok(())
    }

    fn add_due(&mut self, records: Vec<AlertRecord>) {
        for record in records {
            let value = serde_json::to_vec(&record).expect("an alert record is plain data");
            self.due.push(DueRecord { record, value });
        }
    }

    /// Reads the census from its beginning under other rules. Firing alerts that these rules do not have unchanged are
    /// resolved at `mark`.
    fn follow_rules<L: Log<Batch = B>>(
        &mut self,
        log: &mut L,
        partitions: u32,
        rules: &Arc<Rules>,
        mark: i64,
    ) -> Result<(), Failure> {
        let Some(mut last) = self.last.clone() else { return Ok(()) };
        let is_same = |record: &AlertRecord, alert: &Alert| {
            alert.name == record.alert && definition_text(alert.definition) == record.definition
        };
        let is_gone = |record: &&AlertRecord| {
            record.state == AlertState::Firing && !rules.alerts.iter().any(|alert| is_same(record, alert))
        };
        let gone: Vec<AlertRecord> =
            last.values().filter(is_gone).map(|record| record.resolved_by_rules(rules, mark)).collect();
        last.extend(gone.iter().map(|record| (record.alert.clone(), record.clone())));
        let decider = (!rules.alerts.is_empty()).then(|| Decider::new(rules, partitions, &last));
        if self.decider.is_some() {
            log.stop(&census_partitions(partitions));
        }
        if decider.is_some() {
            start_census(log, partitions)?;
        }
        self.decider = decider;
        self.names = rules.alerts.iter().map(|alert| alert.name.clone()).collect();
        self.rules_version = Some(rules.version.clone());
        self.is_current = false;
        self.add_due(gone);
        Ok(())
    }

    fn read_census<L: Log<Batch = B>>(&mut self, log: &mut L, partitions: u32) -> Result<(), Failure> {
        let Some(decider) = &mut self.decider else { return Ok(()) };
        for partition in 0..partitions {
            log.read(CENSUS, partition, RECORDS_MAX, &mut self.batch)?;
            for index in 0..self.batch.len() {
                let record = self.batch.record(index);
                let Some(value) = record.value else { continue };
                let census = serde_json::from_slice::<CensusRecord>(value).map_err(|error| {
                    let offset = record.offset;
                    Failure::Stop(format!(
                        "the topic of the census, partition {partition}, offset {offset}: expected a census record: {error}"
                    ))
                })?;
                decider.add(&census);
            }
            self.batch.clear();
        }
        self.is_current |= is_at_end(log, partitions);
        Ok(())
    }
}

fn is_at_end<L: Log>(log: &L, partitions: u32) -> bool {
    (0..partitions).all(|partition| log.partition_status(CENSUS, partition).is_at_end)
}

fn census_partitions(partitions: u32) -> Vec<(Topic, u32)> {
    (0..partitions).map(|partition| (CENSUS, partition)).collect()
}

/// Starts to fetch the census of all shards, each from its oldest record.
fn start_census<L: Log>(log: &mut L, partitions: u32) -> Result<(), Failure> {
    let mut positions = Vec::new();
    for (topic, partition) in census_partitions(partitions) {
        let offset = log.first_offset(topic, partition, StartAt::Earliest)?;
        positions.push(Position { topic, partition, offset });
    }
    log.start(&positions)
}
