//! Alerts in the worker that has shard 0: it follows what all shards tell, decides, and publishes with shard 0.
//!
//! Nothing is kept over a start: the last record of each alert and the census say where to go on. What is decided is due
//! until a transaction of shard 0 has taken it along; if that fails the shard is made again, and so is the decision.

pub mod decider;
pub mod record;

use super::board::AlertReport;
use super::census::{Told, definition_text};
use super::lifecycle::Phase;
use super::publish::Beside;
use super::tail::{Ended, read_all};
use super::webhook::WebhookQueue;
use super::work::Worker;
use crate::engine::event::{HOUR, MINUTE, Millis};
use crate::engine::rule::{Alert, Rules};
use crate::kafka::{Batch, Failure, Log, Own, Position, StartAt, Topic};
use decider::Decider;
use record::{AlertRecord, State};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Census records taken of one partition at once.
const RECORDS_MAX: usize = 1_024;
/// Records of alerts that are younger go to the webhook again when shard 0 comes.
const SENT_AGAIN: Millis = HOUR;

/// What the worker of shard 0 knows of alerts; nothing in every other.
pub struct Alerts<B> {
    /// The last record of each alert; `None` while shard 0 is elsewhere.
    last: Option<BTreeMap<String, AlertRecord>>,
    decider: Option<Decider>,
    /// Under which rules it decides, or has nothing to decide.
    rules_version: Option<String>,
    /// Everything that was in the census at the start has been taken.
    is_current: bool,
    batch: B,
    /// Decided and not yet published.
    due: Vec<DueAlert>,
    webhook: Option<WebhookQueue>,
    /// Names of the alerts of the rules that it decides under.
    names: Vec<String>,
    /// Records that this worker published.
    counts: BTreeMap<String, AlertReport>,
}

/// A record to be published.
struct DueAlert {
    record: AlertRecord,
    value: Vec<u8>,
}

impl<B: Batch> Default for Alerts<B> {
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

impl<B> Alerts<B> {
    /// Whether there is something to publish.
    pub fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// What goes with the next transaction of shard 0.
    pub fn beside(&self) -> Vec<Beside<'_>> {
        self.due
            .iter()
            .map(|due| Beside { topic: Own::Alerts, key: due.record.alert.as_bytes(), value: &due.value })
            .collect()
    }

    /// What was due is published.
    pub fn published(&mut self) {
        for DueAlert { record, .. } in self.due.drain(..) {
            let state = record.state.name();
            tracing::info!(alert = record.alert, state, count = record.count, at = record.at, "published an alert");
            if let Some(webhook) = &self.webhook {
                webhook.put(record.clone());
            }
            let counts = self.counts.entry(record.alert.clone()).or_default();
            match record.state {
                State::Firing => counts.firing += 1,
                State::Resolved => counts.resolved += 1,
            }
            if let Some(last) = &mut self.last {
                last.insert(record.alert.clone(), record);
            }
        }
    }

    /// Sends the last record of each alert again, if it is young: nobody knows whether its owner came to that.
    fn send_again(&self, last: &BTreeMap<String, AlertRecord>, now: Millis) {
        let is_young = |record: &&AlertRecord| now - record.mark * MINUTE < SENT_AGAIN;
        for record in last.values().filter(is_young) {
            if let Some(webhook) = &self.webhook {
                webhook.put(record.clone());
            }
        }
    }

    /// What is told of each alert: whether it fires, if shard 0 is here, and how many records there were.
    pub fn reports(&self) -> BTreeMap<String, AlertReport> {
        let mut reports = self.counts.clone();
        for name in &self.names {
            let last = self.last.as_ref().and_then(|last| last.get(name));
            let is_firing = last.is_some_and(|last| last.state == State::Firing);
            reports.entry(name.clone()).or_default().is_firing = is_firing;
        }
        reports
    }

    /// Requests that were delivered, given up, and never tried, of the whole process.
    pub fn webhook_counts(&self) -> Option<[u64; 3]> {
        self.webhook.as_ref().map(WebhookQueue::counts)
    }

    fn decide(&mut self, records: Vec<AlertRecord>) {
        for record in records {
            let value = serde_json::to_vec(&record).expect("plain data");
            self.due.push(DueAlert { record, value });
        }
    }
}

impl<L: Log> Worker<L> {
    /// Sends alerts that it publishes to a webhook too.
    pub fn with_webhook(mut self, queue: WebhookQueue) -> Self {
        self.alerts.webhook = Some(queue);
        self
    }

    /// Shard 0 has come: where its last owner left off.
    pub(super) fn begin_alerts(&mut self) -> Result<(), Ended> {
        self.leave_alerts();
        let mut last = BTreeMap::new();
        read_all(&mut self.log, (Topic::Own(Own::Alerts), 0), 0, &self.stop, |batch| {
            for place in 0..batch.len() {
                let record = batch.record(place);
                let Some(value) = record.value else {
                    last.remove(String::from_utf8_lossy(record.key.unwrap_or_default()).as_ref());
                    continue;
                };
                let read = serde_json::from_slice::<AlertRecord>(value).map_err(|error| {
                    Failure::Stop(format!("record {} of the topic of alerts cannot be read: {error}", record.offset))
                })?;
                last.insert(read.alert.clone(), read);
            }
            Ok(())
        })?;
        self.alerts.send_again(&last, self.log.now().wall);
        self.alerts.last = Some(last);
        Ok(())
    }

    /// Shard 0 is elsewhere, or is made again.
    pub(super) fn leave_alerts(&mut self) {
        if self.alerts.decider.is_some() {
            self.log.stop(&self.census_partitions());
        }
        let Alerts { webhook, counts, .. } = std::mem::take(&mut self.alerts);
        self.alerts = Alerts { webhook, counts, ..Alerts::default() };
    }

    /// Whether all that was read of the census, as far as is known, is decided and published.
    pub(super) fn has_decided_alerts(&self) -> bool {
        let is_at_end = |partition| self.log.partition_status(Topic::Own(Own::Census), partition).is_at_end;
        let is_followed = self.alerts.decider.is_some();
        !self.alerts.is_due() && (!is_followed || self.alerts.is_current && (0..self.job.partitions).all(is_at_end))
    }

    /// Decides on alerts, if shard 0 is here.
    pub(super) fn decide_alerts(&mut self) -> Result<(), Failure> {
        let running = self.places.get(&0).filter(|place| place.held.phase() == Phase::Running);
        let shard = running.and_then(|place| place.held.shard());
        let (Some(shard), false) = (shard, self.alerts.is_due() || self.alerts.last.is_none()) else { return Ok(()) };
        let (rules, watermark) = (Arc::clone(shard.rules()), shard.watermark());
        if self.alerts.rules_version.as_ref() != Some(&rules.version) {
            self.follow_census(&rules, watermark.div_euclid(MINUTE))?;
        }
        self.take_census()?;
        if let Some(decider) = self.alerts.decider.as_mut().filter(|_| self.alerts.is_current) {
            let records = decider.decide();
            self.alerts.decide(records);
        }
        Ok(())
    }

    /// Reads the census from its beginning under other rules; alerts that they do not have as they were are resolved at `mark`.
    fn follow_census(&mut self, rules: &Arc<Rules>, mark: i64) -> Result<(), Failure> {
        let Some(mut last) = self.alerts.last.clone() else { return Ok(()) };
        let is_same = |record: &AlertRecord, alert: &Alert| {
            alert.name == record.alert && definition_text(alert.definition) == record.definition
        };
        let is_gone = |record: &&AlertRecord| {
            record.state == State::Firing && !rules.alerts.iter().any(|alert| is_same(record, alert))
        };
        let gone: Vec<AlertRecord> = last.values().filter(is_gone).map(|record| record.ended(rules, mark)).collect();
        last.extend(gone.iter().map(|record| (record.alert.clone(), record.clone())));
        let decider = (!rules.alerts.is_empty()).then(|| Decider::new(rules, self.job.partitions, &last));
        if self.alerts.decider.is_some() {
            self.log.stop(&self.census_partitions());
        }
        if decider.is_some() {
            self.start_census()?;
        }
        self.alerts.decider = decider;
        self.alerts.names = rules.alerts.iter().map(|alert| alert.name.clone()).collect();
        self.alerts.rules_version = Some(rules.version.clone());
        self.alerts.is_current = false;
        self.alerts.decide(gone);
        Ok(())
    }

    fn census_partitions(&self) -> Vec<(Topic, u32)> {
        (0..self.job.partitions).map(|partition| (Topic::Own(Own::Census), partition)).collect()
    }

    /// Starts to fetch the census of all shards, each from its oldest record.
    fn start_census(&mut self) -> Result<(), Failure> {
        let mut positions = Vec::new();
        for (topic, partition) in self.census_partitions() {
            let offset = self.log.first_offset(topic, partition, StartAt::Earliest)?;
            positions.push(Position { topic, partition, offset });
        }
        self.log.start(&positions)
    }

    fn take_census(&mut self) -> Result<(), Failure> {
        let Some(decider) = &mut self.alerts.decider else { return Ok(()) };
        let census = Topic::Own(Own::Census);
        for partition in 0..self.job.partitions {
            self.log.read(census, partition, RECORDS_MAX, &mut self.alerts.batch)?;
            for place in 0..self.alerts.batch.len() {
                let record = self.alerts.batch.record(place);
                let Some(value) = record.value else { continue };
                let told = serde_json::from_slice::<Told>(value);
                let told = told.map_err(|error| {
                    let offset = record.offset;
                    Failure::Stop(format!("census record {offset} of partition {partition} cannot be read: {error}"))
                })?;
                decider.take(&told);
            }
            self.alerts.batch.clear();
        }
        let is_at_end = |partition| self.log.partition_status(census, partition).is_at_end;
        self.alerts.is_current |= (0..self.job.partitions).all(is_at_end);
        Ok(())
    }
}
