//! Metrics from the reports of all workers: counters and states are added up, ages are computed from the current time.

use super::LogCounts;
use super::families::Families;
use crate::engine::effects::Counts;
use crate::engine::event::{DescriptiveField, Millis, Reason};
use crate::engine::profile::Overflow;
use crate::kafka::{ClientReport, TRANSACTION_STEPS};
use crate::worker::Phase;
use crate::worker::counters::histogram::{DURATIONS, Histogram};
use crate::worker::counters::tally::ValueName;
use crate::worker::observe::status::{InputReport, Report, ShardReport, StateReport, WorkDone};
use prometheus::proto::MetricFamily;
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

/// The reports of all workers.
pub struct Gathered {
    reports: Vec<Report>,
    /// The wall clock.
    now: Millis,
}

fn seconds(ms: Millis) -> f64 {
    ms.max(0) as f64 / 1_000.0
}

fn known<'a>(value: impl Iterator<Item = &'a Millis>) -> Option<Millis> {
    value.copied().min()
}

impl Gathered {
    pub fn of(reports: impl Iterator<Item = Report>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as Millis);
        Self { reports: reports.collect(), now }
    }

    /// All metrics with their current values.
    pub fn families(&self, logs: &LogCounts) -> Vec<MetricFamily> {
        let mut out = Families::default();
        self.information(&mut out);
        self.stream(&mut out);
        self.shards(&mut out);
        self.state(&mut out);
        self.segments(&mut out);
        self.snapshots(&mut out);
        self.client(&mut out);
        self.alerts(&mut out);
        out.count("shoal_log_messages_total", &[("level", "error")], logs.errors());
        out.count("shoal_log_messages_total", &[("level", "warn")], logs.warnings());
        out.finish()
    }

    /// The reports of the workers that have started.
    fn started(&self) -> impl Iterator<Item = &Report> {
        self.reports.iter().filter(|report| report.at > 0)
    }

    fn done(&self) -> WorkDone {
        let mut all = WorkDone::default();
        for done in self.started().map(|report| &report.done) {
            all.tally.add(&done.tally);
            all.seconds.add(&done.seconds);
            all.outputs.add(&done.outputs);
            all.bytes.add(&done.bytes);
            all.producers += done.producers.saturating_sub(1);
            all.assigned += done.assigned;
            all.revoked += done.revoked;
            all.lost += done.lost;
        }
        all
    }

    fn shard_reports(&self) -> impl Iterator<Item = (u32, &ShardReport)> {
        self.started().flat_map(|report| &report.shards).map(|(number, shard)| (*number, shard))
    }

    fn states(&self) -> impl Iterator<Item = &StateReport> {
        self.shard_reports().filter_map(|(_, shard)| shard.state.as_ref())
    }

    fn information(&self, out: &mut Families) {
        out.count("shoal_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        let versions = self.started().filter_map(|report| report.rules_version.as_deref());
        for version in versions.collect::<std::collections::BTreeSet<_>>() {
            out.count("shoal_rules_info", &[("version", version)], 1);
        }
        let is_in_force = |report: &Report| report.rules_version.is_some() && report.different_rules.is_none();
        out.count("shoal_rules_file_in_force", &[], u64::from(self.started().any(is_in_force)));
    }

    fn stream(&self, out: &mut Families) {
        let all = self.done();
        let names: Vec<&str> = self.inputs().map(|input| input.name.as_str()).collect();
        for (topic, name) in names.iter().enumerate() {
            let records = all.tally.records.get(topic).copied().unwrap_or(0);
            out.count("shoal_input_records_total", &[("topic", name)], records);
            let read_at =
                self.started().filter_map(|report| report.inputs.get(topic)).map(|input| input.applied_at).max();
            out.number(
                "shoal_input_silent_seconds",
                &[("topic", name)],
                read_at.map_or(0.0, |read_at| seconds(self.now - read_at)),
            );
        }
        events(&all.tally.counts, out);
        let decimals = self.started().map(|report| report.money_decimals).max().unwrap_or(2);
        changes(&all, decimals, out);
        out.histogram("shoal_apply_delay_seconds", &[], &all.tally.applied);
        out.histogram("shoal_commit_delay_seconds", &[], &all.tally.committed);
        out.histogram("shoal_transaction_seconds", &[], &all.seconds);
        out.histogram("shoal_transaction_outputs", &[], &all.outputs);
        out.histogram("shoal_transaction_bytes", &[], &all.bytes);
        out.count("shoal_transactions_total", &[], all.seconds.count());
        out.count("shoal_producers_replaced_total", &[], all.producers);
        for (kind, count) in [("assigned", all.assigned), ("revoked", all.revoked), ("lost", all.lost)] {
            out.count("shoal_rebalances_total", &[("kind", kind)], count);
        }
        let sum = |of: fn(&Report) -> u64| self.started().map(of).sum();
        out.count("shoal_torn_transactions_total", &[], sum(|report| report.torn_repaired));
        out.count("shoal_recoveries_total", &[], sum(|report| report.recoveries));
        self.lag(&names, out);
    }

    fn inputs(&self) -> impl Iterator<Item = &InputReport> {
        self.started().next().into_iter().flat_map(|report| &report.inputs)
    }

    fn lag(&self, names: &[&str], out: &mut Families) {
        for (number, shard) in self.shard_reports() {
            for (name, lag) in names.iter().zip(&shard.lag) {
                let partition = number.to_string();
                let labels = [("topic", *name), ("partition", partition.as_str())];
                if let Some(records) = lag.records {
                    out.count("shoal_input_lag_records", &labels, records);
                }
                out.number("shoal_input_lag_seconds", &labels, seconds(lag.ms));
            }
        }
    }

    fn shards(&self, out: &mut Families) {
        let expected = self.started().map(|report| report.shards_expected).max().unwrap_or(0);
        out.count("shoal_shards_expected", &[], u64::from(expected));
        for phase in Phase::ALL {
            let count = self.shard_reports().filter(|(_, shard)| shard.phase == phase).count();
            out.count("shoal_shards", &[("phase", phase.label())], count as u64);
        }
        for (number, shard) in self.shard_reports() {
            let Some(advance) = shard.progress else { continue };
            let ratio = if advance.all == 0 { 0.0 } else { advance.done as f64 / advance.all as f64 };
            out.number("shoal_replay_progress_ratio", &[("shard", &number.to_string())], ratio);
        }
        if let Some(watermark) = known(self.states().filter_map(|state| state.watermark.as_ref())) {
            out.number("shoal_watermark_lag_seconds", &[], seconds(self.now - watermark));
        }
        if let Some(hours) = self.states().map(|state| state.dedup_horizon_hours).min() {
            out.number("shoal_dedup_horizon_seconds", &[], f64::from(hours) * 3_600.0);
        }
    }

    fn state(&self, out: &mut Families) {
        let sum = |of: fn(&StateReport) -> u64| self.states().map(of).sum();
        out.count("shoal_customers", &[], sum(|state| state.customers));
        out.count("shoal_customers_limit", &[], sum(|state| state.customers_limit));
        out.count("shoal_texts", &[], sum(|state| state.texts));
        out.count("shoal_timers", &[], sum(|state| state.timers));
        let mut bytes: BTreeMap<&str, u64> = BTreeMap::new();
        for (kind, count) in self.states().flat_map(|state| state.bytes) {
            *bytes.entry(kind).or_default() += count;
        }
        for (kind, bytes) in bytes {
            out.count("shoal_state_bytes", &[("kind", kind)], bytes);
        }
        for (index, within) in ["1h", "1d", "7d"].into_iter().enumerate() {
            let due = self.states().map(|state| state.due[index]).sum();
            out.count("shoal_deadlines_due", &[("within", within)], due);
        }
    }

    fn segments(&self, out: &mut Families) {
        let mut members: BTreeMap<&ValueName, u64> = BTreeMap::new();
        for (value, count) in self.started().flat_map(|report| &report.members) {
            *members.entry(value).or_default() += count;
        }
        for (value, count) in members {
            out.count("shoal_members", &labels_of(value), count);
        }
    }

    fn snapshots(&self, out: &mut Families) {
        let mut all: Option<(Histogram, u64)> = None;
        for (seconds, failed) in self.started().filter_map(|report| report.snapshots.as_ref()) {
            let (sum, failures) = all.get_or_insert_with(|| (Histogram::new(DURATIONS), 0));
            sum.add(seconds);
            *failures += failed;
        }
        let Some((stored, failed)) = all else { return };
        out.histogram("shoal_snapshot_seconds", &[], &stored);
        out.count("shoal_snapshots_total", &[("outcome", "stored")], stored.count());
        out.count("shoal_snapshots_total", &[("outcome", "failed")], failed);
        for (number, shard) in self.shard_reports() {
            let Some(last) = shard.snapshots.last else { continue };
            let number = number.to_string();
            out.number("shoal_snapshot_age_seconds", &[("shard", &number)], seconds(self.now - last));
            out.count("shoal_snapshot_bytes", &[("shard", &number)], shard.snapshots.bytes);
        }
        self.retention(out);
    }

    /// The time until the inputs no longer reach back to the older of the two latest snapshots.
    fn retention(&self, out: &mut Families) {
        let older = self.shard_reports().map(|(_, shard)| &shard.snapshots);
        let Some(older) = older.filter_map(|known| known.before.or(known.last)).min() else { return };
        for input in self.inputs() {
            let margin = input
                .retention_ms
                .map_or(f64::INFINITY, |kept| (kept as f64 - (self.now - older).max(0) as f64) / 1_000.0);
            out.number("shoal_retention_margin_seconds", &[("topic", &input.name)], margin);
        }
    }

    fn alerts(&self, out: &mut Families) {
        for (alert, report) in self.started().flat_map(|report| &report.alerts) {
            out.count("shoal_alert_firing", &[("alert", alert)], u64::from(report.is_firing));
            for (state, count) in [("firing", report.firing), ("resolved", report.resolved)] {
                out.count("shoal_alert_records_total", &[("alert", alert), ("state", state)], count);
            }
        }
        // The process has one queue: all workers that report it report the same.
        let Some(requests) = self.started().find_map(|report| report.webhook) else { return };
        for (outcome, count) in ["delivered", "failed", "dropped"].into_iter().zip(requests) {
            out.count("shoal_webhook_requests_total", &[("outcome", outcome)], count);
        }
    }

    fn client(&self, out: &mut Families) {
        let clients = || self.started().map(|report| &report.client);
        let sum = |of: fn(&ClientReport) -> u64| clients().map(of).sum();
        out.count("shoal_kafka_brokers_up", &[], clients().map(|client| client.brokers_up).min().unwrap_or(0));
        out.count("shoal_kafka_request_timeouts_total", &[], sum(|client| client.request_timeouts));
        out.count("shoal_kafka_request_errors_total", &[], sum(|client| client.request_errors));
        out.count("shoal_kafka_reconnects_total", &[], sum(|client| client.reconnects));
        let slowest = |index: usize| clients().filter_map(|client| client.round_trip).map(move |trip| trip[index]);
        for (index, percentile) in ["50", "99"].into_iter().enumerate() {
            if let Some(trip) = slowest(index).max_by(f64::total_cmp) {
                out.number("shoal_kafka_round_trip_seconds", &[("percentile", percentile)], trip);
            }
        }
        let throttle = clients().map(|client| client.throttle).fold(0.0, f64::max);
        out.number("shoal_kafka_throttle_seconds", &[], throttle);
        for (index, reason) in TRANSACTION_STEPS.into_iter().enumerate() {
            let failures = clients().map(|client| client.transaction_failures[index]).sum();
            out.count("shoal_transaction_failures_total", &[("reason", reason)], failures);
        }
    }
}

fn labels_of(value: &ValueName) -> [(&'static str, &str); 2] {
    [("segmentation", &*value.segmentation), ("segment", &*value.value)]
}

fn events(counts: &Counts, out: &mut Families) {
    let outcomes = [
        ("accepted", counts.accepted),
        ("duplicate", counts.duplicates),
        ("duplicate_order", counts.duplicate_orders),
        ("erased", counts.erased),
        ("opted_out", counts.opted_out),
    ];
    for (outcome, count) in outcomes {
        out.count("shoal_events_total", &[("outcome", outcome)], count);
    }
    out.count("shoal_events_late_total", &[], counts.late);
    for (reason, name) in Reason::ALL {
        out.count("shoal_rejected_total", &[("reason", name)], counts.rejected[reason as usize]);
    }
    for (field, name) in DescriptiveField::ALL {
        for (treatment, counts) in [("left_out", &counts.left_out), ("cut", &counts.cut)] {
            let labels = [("field", name), ("treatment", treatment)];
            out.count("shoal_unfit_fields_total", &labels, counts[field as usize]);
        }
    }
    out.count("shoal_customers_forgotten_total", &[], counts.forgotten);
    let Overflow { orders, waiting, refunds, excess_refunds, return_ids, hours, categories, cart } = counts.overflow;
    let bounds = [
        ("orders", orders),
        ("waiting", waiting),
        ("refunds", refunds),
        ("excess_refunds", excess_refunds),
        ("return_ids", return_ids),
        ("hours", hours),
        ("categories", categories),
        ("cart", cart),
    ];
    for (bound, count) in bounds {
        out.count("shoal_bound_reached_total", &[("bound", bound)], u64::from(count));
    }
}

/// Changes, and the actions of customers by the segment that they were in before.
fn changes(all: &WorkDone, decimals: u32, out: &mut Families) {
    let tally = &all.tally;
    // The power of ten is exact.
    let units = |minor: i64| minor as f64 / 10_u32.pow(decimals) as f64;
    for (flow, &count) in &tally.changes {
        let labels = [
            ("segmentation", &*flow.segmentation),
            ("from", &*flow.from),
            ("to", &*flow.to),
            ("cause", flow.cause.name()),
            ("direction", flow.direction.name()),
            ("fresh", if flow.is_fresh { "true" } else { "false" }),
        ];
        out.count("shoal_changes_total", &labels, count);
    }
    for (segmentation, &count) in &tally.returned {
        out.count("shoal_changes_returned_total", &[("segmentation", segmentation)], count);
    }
    for (value, dwells) in &tally.dwells {
        out.histogram("shoal_segment_dwell_seconds", &labels_of(value), dwells);
    }
    out.histogram("shoal_time_change_delay_seconds", &[], &tally.time_changes);
    for (value, deeds) in &tally.actions {
        let labels = labels_of(value);
        out.count("shoal_segment_orders_total", &labels, deeds.orders);
        out.number("shoal_segment_revenue_total", &labels, units(deeds.revenue));
        out.count("shoal_segment_sessions_total", &labels, deeds.sessions);
        out.count("shoal_segment_exposures_total", &labels, deeds.exposures);
        out.number("shoal_segment_exposure_cost_total", &labels, units(deeds.cost));
    }
}
