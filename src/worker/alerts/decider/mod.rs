//! Decides which alerts fire, from the census of all shards and the last record of each alert, and from nothing else.
//!
//! A *mark* is a whole minute. At a mark all minutes before it are complete, because every shard has reported them.
//! Whether an alert fires at a mark follows from the counts alone, so a worker that decides again after a crash comes
//! to the same result; a record is due where the result differs from that at the mark before. A shard's counts are used
//! only for minutes in which it had exactly this definition of the alert.

use super::record::{AlertRecord, AlertState, SCHEMA, by_name};
use crate::document::duration;
use crate::engine::event::MINUTE;
use crate::engine::profile::HeldValue;
use crate::engine::rule::alert::CAUSES;
use crate::engine::rule::{Alert, Direction, Rules, Target};
use crate::worker::transaction::census::{
    CensusRecord, FlowCount, HourRecord, MinutesRecord, definition_text, moment_of,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Marks that are older than this when they can be decided are passed over: the alert would come too late.
pub const LATE_MARKS_MAX: i64 = 60;
const HOURS_OF_BASELINE: i64 = 7 * 24;
/// Hours that must be reported before there is a baseline.
const HOURS_KNOWN_MIN: usize = 24;
const MINUTES_PER_HOUR: i64 = 60;

/// See the module.
pub struct Decider {
    rules: Arc<Rules>,
    /// The last mark that each shard reported.
    marks: Vec<Option<i64>>,
    /// The alerts, in the order of the rules.
    watched: Vec<WatchedAlert>,
    /// The mark up to which it has decided.
    decided: Option<i64>,
}

/// The counts and the state of one alert.
#[derive(Default)]
struct WatchedAlert {
    minutes: BTreeMap<i64, FlowCounts>,
    /// The counts of each hour, by shard.
    hours: BTreeMap<i64, BTreeMap<u32, u64>>,
    /// The last mark that was decided by any worker, and the last that was decided here.
    decided: Option<i64>,
    decided_here: Option<i64>,
    /// The mark since which the count has been above the bound.
    above_since: Option<i64>,
    state: AlertState,
    /// The mark at which it began to fire, if it fires.
    fired_at: Option<i64>,
}

#[derive(Clone, Default)]
struct FlowCounts {
    causes: [u64; CAUSES.len()],
    customers: Vec<String>,
}

impl FlowCounts {
    fn number(&self) -> u64 {
        self.causes.iter().sum()
    }

    /// Adds other counts. The first `customers_max` customers in byte order are kept.
    fn add(&mut self, other: &Self, customers_max: usize) {
        self.causes.iter_mut().zip(other.causes).for_each(|(sum, count)| *sum += count);
        self.customers.extend(other.customers.iter().cloned());
        self.customers.sort_unstable();
        self.customers.dedup();
        self.customers.truncate(customers_max);
    }
}

impl Decider {
    /// `last` are the last records of the topic `alerts`, by the names of the alerts.
    pub fn new(rules: &Arc<Rules>, shards: u32, last: &BTreeMap<String, AlertRecord>) -> Self {
        let watched = |alert: &Alert| {
            let last = last.get(&alert.name);
            WatchedAlert {
                decided: last.map(|last| last.mark),
                state: last.map_or(AlertState::Resolved, |last| last.state),
                fired_at: last.filter(|last| last.state == AlertState::Firing).map(|last| last.mark),
                ..WatchedAlert::default()
            }
        };
        Self {
            rules: Arc::clone(rules),
            marks: vec![None; shards as usize],
            watched: rules.alerts.iter().map(watched).collect(),
            decided: None,
        }
    }

    /// The mark up to which every shard has reported.
    pub fn complete(&self) -> Option<i64> {
        self.marks.iter().copied().min().flatten()
    }

    /// Adds a census record. Records of a shard are added in the order of their offsets.
    pub fn add(&mut self, record: &CensusRecord) {
        match record {
            CensusRecord::Minutes(minutes) => self.add_minutes(minutes),
            CensusRecord::Hour(hour) => self.add_hour(hour),
        }
    }

    fn add_minutes(&mut self, record: &MinutesRecord) {
        let Some(mark) = self.marks.get_mut(record.shard as usize) else { return };
        *mark = (*mark).max(Some(record.mark));
        let rules = Arc::clone(&self.rules);
        for (alert, watched) in in_force(&rules, &mut self.watched, &record.alerts) {
            for minute in &record.minutes {
                let counted = selected(alert, &rules, &minute.flows);
                if counted.number() > 0 {
                    watched.minutes.entry(minute.minute).or_default().add(&counted, alert.customer_ids);
                }
            }
        }
    }

    fn add_hour(&mut self, record: &HourRecord) {
        let rules = Arc::clone(&self.rules);
        for (alert, watched) in in_force(&rules, &mut self.watched, &record.alerts) {
            let count = selected(alert, &rules, &record.flows).number();
            watched.hours.entry(record.hour).or_default().insert(record.shard, count);
        }
    }

    /// Decides the marks that are complete and not decided yet; the records that are due, in order. All census records
    /// that were written until now must have been added.
    pub fn decide(&mut self) -> Vec<AlertRecord> {
        let Some(complete) = self.complete().filter(|complete| self.decided != Some(*complete)) else {
            return Vec::new();
        };
        self.decided = Some(complete);
        let (rules, shards) = (Arc::clone(&self.rules), self.marks.len());
        let mut records = Vec::new();
        for (alert, watched) in rules.alerts.iter().zip(&mut self.watched) {
            records.extend(watched.decide(alert, &rules, complete, shards));
        }
        records.sort_by(|one, other| (one.mark, &one.alert).cmp(&(other.mark, &other.alert)));
        records
    }
}

impl WatchedAlert {
    fn decide(&mut self, alert: &Alert, rules: &Rules, complete: i64, shards: usize) -> Vec<AlertRecord> {
        let first = self.decided.map_or(i64::MIN, |decided| decided + 1).max(complete - LATE_MARKS_MAX);
        let mut begin = first;
        if self.decided_here.is_none_or(|decided_here| decided_here + 1 != first) {
            // It is not known since when the count was above, so earlier marks are evaluated again.
            begin -= i64::from(alert.for_minutes);
            self.above_since = None;
        }
        let mut records = Vec::new();
        for mark in begin..=complete {
            if self.window(alert, mark).map(|(_, counted)| counted.number()).sum::<u64>() <= alert.above {
                self.above_since = None;
            } else if self.above_since.is_none() {
                self.above_since = Some(mark);
            }
            let fires = self.above_since.is_some_and(|since| mark - since >= i64::from(alert.for_minutes));
            if mark >= first && fires != (self.state == AlertState::Firing) {
                records.push(self.change_state(alert, rules, mark, shards));
            }
        }
        self.decided = self.decided.max(Some(complete));
        self.decided_here = Some(complete);
        self.forget(alert, complete);
        records
    }

    /// The counts of the window that ends at a mark.
    fn window(&self, alert: &Alert, mark: i64) -> impl Iterator<Item = (&i64, &FlowCounts)> {
        self.minutes.range(mark - i64::from(alert.window_minutes)..mark)
    }

    /// The alert begins to fire at this mark, or is resolved; its record.
    fn change_state(&mut self, alert: &Alert, rules: &Rules, mark: i64, shards: usize) -> AlertRecord {
        let mut sum = FlowCounts::default();
        self.window(alert, mark).for_each(|(_, counted)| sum.add(counted, alert.customer_ids));
        let since = match self.state {
            AlertState::Resolved => self.above_since,
            AlertState::Firing => self.fired_at,
        };
        (self.state, self.fired_at) = match self.state {
            AlertState::Resolved => (AlertState::Firing, Some(mark)),
            AlertState::Firing => (AlertState::Resolved, None),
        };
        let target = &rules.targets[usize::from(alert.target)];
        let value = |value: Option<u16>| value.map(|value| target.value_name(value).to_owned());
        AlertRecord {
            schema: SCHEMA,
            alert: alert.name.clone(),
            state: self.state,
            segmentation: target.name.clone(),
            from: value(alert.from),
            to: value(alert.to),
            direction: alert.direction.map(|direction| direction.name().to_owned()),
            count: sum.number(),
            above: alert.above,
            baseline: self.baseline(alert, mark, shards),
            window: duration::print(i64::from(alert.window_minutes) * MINUTE),
            since: moment_of(since.unwrap_or(mark)),
            at: moment_of(mark),
            causes: by_name(sum.causes),
            customers: sum.customers,
            rules_version: rules.version.clone(),
            mark,
            definition: definition_text(alert.definition),
        }
    }

    /// The mean count of such a window over the hours of the last seven days that all shards reported; `None` before 24
    /// of them.
    fn baseline(&self, alert: &Alert, mark: i64, shards: usize) -> Option<f64> {
        let hour = mark.div_euclid(MINUTES_PER_HOUR);
        let known = self.hours.range(hour - HOURS_OF_BASELINE..hour).filter(|(_, counts)| counts.len() == shards);
        let counts: Vec<u64> = known.map(|(_, counts)| counts.values().sum()).collect();
        let per_hour = counts.iter().sum::<u64>() as f64 / counts.len() as f64;
        let mean = per_hour * f64::from(alert.window_minutes) / MINUTES_PER_HOUR as f64;
        (counts.len() >= HOURS_KNOWN_MIN).then(|| (mean * 1_000.0).round() / 1_000.0)
    }

    /// Drops counts that no window needs any more.
    fn forget(&mut self, alert: &Alert, complete: i64) {
        let reach = i64::from(alert.window_minutes + alert.for_minutes) + LATE_MARKS_MAX;
        self.minutes = self.minutes.split_off(&(complete - reach));
        self.hours = self.hours.split_off(&(complete.div_euclid(MINUTES_PER_HOUR) - HOURS_OF_BASELINE - 1));
    }
}

/// The alerts that a shard had, unchanged, while it counted.
fn in_force<'a>(
    rules: &'a Rules,
    watched: &'a mut [WatchedAlert],
    alerts: &BTreeMap<String, String>,
) -> impl Iterator<Item = (&'a Alert, &'a mut WatchedAlert)> {
    let is_unchanged = |alert: &Alert| alerts.get(&alert.name) == Some(&definition_text(alert.definition));
    rules.alerts.iter().zip(watched).filter(move |(alert, _)| is_unchanged(alert))
}

/// The counts of flows that an alert selects.
fn selected(alert: &Alert, rules: &Rules, flows: &[FlowCount]) -> FlowCounts {
    let target = &rules.targets[usize::from(alert.target)];
    let mut sum = FlowCounts::default();
    for flow in flows.iter().filter(|flow| flow.segmentation == target.name && is_selected(alert, target, flow)) {
        let of = |index: usize| flow.causes.get(CAUSES[index]).copied().filter(|_| alert.causes[index]).unwrap_or(0);
        let counted = FlowCounts { causes: std::array::from_fn(of), customers: flow.customers.clone() };
        sum.add(&counted, alert.customer_ids);
    }
    sum
}

/// Compares names, because a segment that was counted may not exist any more.
fn is_selected(alert: &Alert, target: &Target, flow: &FlowCount) -> bool {
    let is_named = |wanted: Option<u16>, name: Option<&str>| {
        wanted.is_none_or(|wanted| name.is_some_and(|name| name == target.value_name(wanted)))
    };
    let has_direction = |direction: Direction| {
        let from = flow.from.as_ref().map_or(Some(HeldValue::NULL), |from| target.value_named(from));
        from.zip(target.value_named(&flow.to)).is_some_and(|(from, to)| target.direction(from, to) == direction)
    };
    is_named(alert.from, flow.from.as_deref())
        && is_named(alert.to, Some(&flow.to))
        && alert.direction.is_none_or(has_direction)
}

#[cfg(test)]
mod tests;
