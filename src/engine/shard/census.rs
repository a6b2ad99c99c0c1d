//! What is counted for alerts, as part of a shard's state: the published changes that an alert selects, by minute.
//!
//! Only fresh changes count, those detected within [`FRESH`] of their instant, and only those with a cause that
//! concerns what customers did or left undone; so a start, new rules and history count nothing. A change counts in the
//! minute of its instant, or in the minute in which its event arrived if that is later: so the result does not depend
//! on how the inputs were divided into steps. Once the watermark has passed a minute, the minute is reported and
//! forgotten.

use super::Shard;
use super::digest::Verdict;
use super::evaluation::EvaluationContext;
use crate::engine::effects::report::{Flow, FlowNames, Hour, InForce, Minute, Report};
use crate::engine::effects::{Cause, Effects, FRESH};
use crate::engine::event::{HOUR, MINUTE, Millis};
use crate::engine::profile::{HeldValue, RowNumber};
use crate::engine::rule::alert::CAUSES;
use crate::engine::rule::{Alert, Rules};
use std::hash::{Hash, Hasher};
use xxhash_rust::xxh3::Xxh3;

/// Flows counted at most between two reports, and in an hour.
const FLOWS_MAX: usize = 2_048;
/// Customers named at most between two reports.
const CUSTOMERS_MAX: usize = 512;
const MINUTES_PER_HOUR: i64 = HOUR / MINUTE;

/// What was counted and not reported yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Census {
    /// The minute up to which was reported last.
    pub reported: Option<i64>,
    /// Alerts that have been in force since then.
    pub alerts: Vec<InForce>,
    pub minutes: Vec<Minute>,
    /// Changes that were not counted since there was no room for another flow.
    pub lost: u64,
    /// The current hour.
    pub hour: Hour,
}

impl Census {
    /// The census of the first rules: their alerts count from the beginning, but the first hour will not be complete.
    pub(super) fn new(rules: &Rules) -> Self {
        Self { alerts: in_force(rules), ..Self::default() }
    }

    /// New rules come into force. An alert that is new or has changed only begins with the next report.
    pub(super) fn change_rules(&mut self, rules: &Rules) {
        let alerts = in_force(rules);
        if alerts.is_empty() {
            *self = Self::default();
        }
        self.alerts.retain(|alert| alerts.contains(alert));
        self.hour.alerts.retain(|alert| alerts.contains(alert));
    }

    /// The minute up to which a report is due.
    pub(super) fn due(&self, rules: &Rules, watermark: Millis) -> Option<i64> {
        let minute = watermark.div_euclid(MINUTE);
        let is_due = !rules.alerts.is_empty() && watermark != Millis::MIN;
        (is_due && self.reported.is_none_or(|reported| minute > reported)).then_some(minute)
    }

    /// Counts one change. At most `ids_max` customers of its flow are named per minute.
    fn count(&mut self, minute: i64, names: FlowNames<'_>, cause: usize, customer_id: &str, ids_max: usize) {
        let minute = self.reported.map_or(minute, |reported| minute.max(reported));
        let index = self.minutes.partition_point(|known| known.number < minute);
        if self.minutes.get(index).is_none_or(|known| known.number != minute) {
            self.minutes.insert(index, Minute { number: minute, flows: Vec::new() });
        }
        let flow = match find(&self.minutes[index].flows, names) {
            Ok(flow) => flow,
            Err(_) if self.flows().count() >= FLOWS_MAX => {
                self.lost += 1;
                return;
            }
            Err(flow) => {
                self.minutes[index].flows.insert(flow, Flow::new(names));
                flow
            }
        };
        let Flow { causes, customers, .. } = &mut self.minutes[index].flows[flow];
        causes[cause] += 1;
        let Some(id_index) = insertion_index(customers, customer_id, ids_max) else { return };
        if customers.len() == ids_max {
            customers.pop();
        } else if self.flows().map(|flow| flow.customers.len()).sum::<usize>() >= CUSTOMERS_MAX {
            return;
        }
        self.minutes[index].flows[flow].customers.insert(id_index, customer_id.into());
    }

    fn flows(&self) -> impl Iterator<Item = &Flow> {
        self.minutes.iter().flat_map(|minute| &minute.flows)
    }

    /// Removes and reports all minutes before `mark`.
    fn report(&mut self, mark: i64, rules: &Rules) -> Report {
        let later = self.minutes.split_off(self.minutes.partition_point(|minute| minute.number < mark));
        let minutes = std::mem::replace(&mut self.minutes, later);
        let hour = self.pass_hour(mark, &minutes, rules);
        self.reported = Some(mark);
        let alerts = std::mem::replace(&mut self.alerts, in_force(rules));
        let lost = std::mem::take(&mut self.lost);
        Report { mark, rules_version: rules.version.clone(), alerts, minutes, lost, hour }
    }

    /// Adds reported minutes to their hours. Returns the previous hour if it has ended and was counted from its
    /// beginning to its end.
    fn pass_hour(&mut self, mark: i64, minutes: &[Minute], rules: &Rules) -> Option<Hour> {
        let hour_of = |minute: i64| minute.div_euclid(MINUTES_PER_HOUR);
        let number = self.hour.number;
        minutes.iter().filter(|minute| hour_of(minute.number) == number).for_each(|minute| self.hour.add(minute));
        let current = hour_of(mark);
        let is_first = self.reported.is_none();
        if !is_first && current == number {
            return None;
        }
        let is_next = !is_first && current == number + 1;
        let alerts = if is_next { in_force(rules) } else { Vec::new() };
        let ended = std::mem::replace(&mut self.hour, Hour { number: current, alerts, flows: Vec::new() });
        minutes.iter().filter(|minute| hour_of(minute.number) == current).for_each(|minute| self.hour.add(minute));
        is_next.then_some(ended)
    }

    /// A hash of the whole census; 0 if nothing was ever counted.
    pub(super) fn fingerprint(&self) -> u64 {
        if *self == Self::default() {
            return 0;
        }
        let mut hasher = Xxh3::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

impl Hour {
    fn add(&mut self, minute: &Minute) {
        for flow in &minute.flows {
            let index = match find(&self.flows, flow.key.names()) {
                Ok(index) => index,
                Err(_) if self.flows.len() >= FLOWS_MAX => continue,
                Err(index) => {
                    self.flows.insert(index, Flow::new(flow.key.names()));
                    index
                }
            };
            self.flows[index].causes.iter_mut().zip(flow.causes).for_each(|(sum, count)| *sum += count);
        }
    }
}

/// The index of a flow, or the index at which to insert it.
fn find(flows: &[Flow], names: FlowNames<'_>) -> Result<usize, usize> {
    flows.binary_search_by(|flow| flow.key.names().cmp(&names))
}

/// The index at which to insert a customer that is among the first `ids_max` in byte order and is not named yet.
fn insertion_index(customers: &[Box<str>], id: &str, ids_max: usize) -> Option<usize> {
    let index = customers.binary_search_by(|known| (**known).cmp(id)).err()?;
    (index < ids_max).then_some(index)
}

fn in_force(rules: &Rules) -> Vec<InForce> {
    let of = |alert: &Alert| InForce { name: alert.name.clone(), definition: alert.definition };
    rules.alerts.iter().map(of).collect()
}

/// The index of a cause among those that alerts count.
fn cause_index(cause: Cause) -> Option<usize> {
    CAUSES.iter().position(|counted| *counted == cause.name())
}

/// Reports what was counted in the minutes before `mark`.
pub fn report(shard: &mut Shard, mark: i64, effects: &mut Effects) {
    let report = shard.census.report(mark, &shard.rules);
    shard.digest.input(mark, Verdict::Census, shard.time.watermark, 0);
    shard.digest.report(&report);
    effects.reports.push(report);
}

/// Counts a recorded change of a target between two values, if alerts select it.
pub fn count_change(
    shard: &mut Shard,
    row: RowNumber,
    context: &EvaluationContext<'_>,
    target: usize,
    (from, to): (u16, u16),
) {
    let EvaluationContext { rules, at, arrival, .. } = *context;
    if rules.alerts.is_empty() || shard.time.now.saturating_sub(at) > FRESH {
        return;
    }
    let Some(cause) = cause_index(context.cause) else { return };
    let changed = &rules.targets[target];
    let is_selected =
        |alert: &&Alert| usize::from(alert.target) == target && alert.causes[cause] && alert.selects(changed, from, to);
    let Some(ids_max) = rules.alerts.iter().filter(is_selected).map(|alert| alert.customer_ids).max() else { return };
    let from_name = (from != HeldValue::NULL).then(|| changed.value_name(from));
    let names = (changed.name.as_str(), from_name, changed.value_name(to));
    let minute = at.max(arrival.unwrap_or(Millis::MIN)).div_euclid(MINUTE);
    shard.census.count(minute, names, cause, shard.customers.profiles.id(row), ids_max);
}
