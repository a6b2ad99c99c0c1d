//! What is counted for alerts, part of a shard's state: published changes of the ways that some alert selects, by minute.
//!
//! Only fresh changes count, which were detected within [`FRESH`] of their instant, and only those of causes that tell
//! something of customers: so what a start, new rules or history bring is never counted. A change counts in the minute of
//! its instant, or in that in which its event came if that is later: so it does not matter how the inputs were cut into
//! steps. Once the watermark has passed a minute it is handed out and forgotten.

use super::digest::Verdict;
use super::{Effects, Shard};
use crate::engine::effects::report::{Flow, Hour, InForce, Minute, Report, WayNames};
use crate::engine::effects::{Cause, FRESH};
use crate::engine::event::{HOUR, MINUTE, Millis};
use crate::engine::profile::{HeldValue, RowNumber};
use crate::engine::rule::alert::CAUSES;
use crate::engine::rule::{Alert, Rules};
use std::hash::{Hash, Hasher};
use xxhash_rust::xxh3::Xxh3;

/// Flows that are counted between two reports, and in an hour.
const FLOWS_MAX: usize = 2_048;
/// Customers named between two reports.
const CUSTOMERS_MAX: usize = 512;
const MINUTES_PER_HOUR: i64 = HOUR / MINUTE;

/// What was counted and not reported yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Census {
    /// The mark of the last report.
    pub reported: Option<i64>,
    /// Alerts that have been in force since then.
    pub alerts: Vec<InForce>,
    pub minutes: Vec<Minute>,
    pub lost: u64,
    /// The hour that goes on.
    pub hour: Hour,
}

impl Census {
    /// The first rules: their alerts count from the beginning. Of the hour only a part will be seen.
    pub(super) fn new(rules: &Rules) -> Self {
        Self { alerts: in_force(rules), ..Self::default() }
    }

    /// New rules: an alert that was not there, or was another, has yet to begin.
    pub(super) fn take_rules(&mut self, rules: &Rules) {
        let alerts = in_force(rules);
        if alerts.is_empty() {
            *self = Self::default();
        }
        self.alerts.retain(|alert| alerts.contains(alert));
        self.hour.alerts.retain(|alert| alerts.contains(alert));
    }

    /// The mark of the report that is due.
    fn due(&self, rules: &Rules, watermark: Millis) -> Option<i64> {
        let mark = watermark.div_euclid(MINUTE);
        let is_due = !rules.alerts.is_empty() && watermark != Millis::MIN;
        (is_due && self.reported.is_none_or(|reported| mark > reported)).then_some(mark)
    }

    /// Counts one change; `ids_max` customers of its flow are named in one minute.
    fn count(&mut self, minute: i64, way: WayNames<'_>, cause: usize, customer_id: &str, ids_max: usize) {
        let minute = self.reported.map_or(minute, |reported| minute.max(reported));
        let place = self.minutes.partition_point(|known| known.number < minute);
        if self.minutes.get(place).is_none_or(|known| known.number != minute) {
            self.minutes.insert(place, Minute { number: minute, flows: Vec::new() });
        }
        let flow = match find(&self.minutes[place].flows, way) {
            Ok(flow) => flow,
            Err(_) if self.flows().count() >= FLOWS_MAX => {
                self.lost += 1;
                return;
            }
            Err(flow) => {
                self.minutes[place].flows.insert(flow, Flow::new(way));
                flow
            }
        };
        let Flow { causes, customers, .. } = &mut self.minutes[place].flows[flow];
        causes[cause] += 1;
        let Some(before) = place_among(customers, customer_id, ids_max) else { return };
        if customers.len() == ids_max {
            customers.pop();
        } else if self.flows().map(|flow| flow.customers.len()).sum::<usize>() >= CUSTOMERS_MAX {
            return;
        }
        self.minutes[place].flows[flow].customers.insert(before, customer_id.into());
    }

    fn flows(&self) -> impl Iterator<Item = &Flow> {
        self.minutes.iter().flat_map(|minute| &minute.flows)
    }

    /// Hands out all minutes before the mark.
    fn report(&mut self, mark: i64, rules: &Rules) -> Report {
        let later = self.minutes.split_off(self.minutes.partition_point(|minute| minute.number < mark));
        let minutes = std::mem::replace(&mut self.minutes, later);
        let hour = self.pass_hour(mark, &minutes, rules);
        self.reported = Some(mark);
        let alerts = std::mem::replace(&mut self.alerts, in_force(rules));
        let lost = std::mem::take(&mut self.lost);
        Report { mark, rules_version: rules.version.clone(), alerts, minutes, lost, hour }
    }

    /// Adds minutes to their hour; the hour before if it has ended. One that was not watched from its beginning to its end
    /// tells nothing.
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

    /// A hash of all of it; 0 if nothing was ever counted.
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
            let place = match find(&self.flows, flow.way.names()) {
                Ok(place) => place,
                Err(_) if self.flows.len() >= FLOWS_MAX => continue,
                Err(place) => {
                    self.flows.insert(place, Flow::new(flow.way.names()));
                    place
                }
            };
            self.flows[place].causes.iter_mut().zip(flow.causes).for_each(|(sum, count)| *sum += count);
        }
    }
}

/// Where the flow of a way is, or belongs.
fn find(flows: &[Flow], way: WayNames<'_>) -> Result<usize, usize> {
    flows.binary_search_by(|flow| flow.way.names().cmp(&way))
}

/// Where a customer is to be named who is among the first `ids_max` in byte order and is not named yet.
fn place_among(customers: &[Box<str>], id: &str, ids_max: usize) -> Option<usize> {
    let place = customers.binary_search_by(|known| (**known).cmp(id)).err()?;
    (place < ids_max).then_some(place)
}

fn in_force(rules: &Rules) -> Vec<InForce> {
    let of = |alert: &Alert| InForce { name: alert.name.clone(), definition: alert.definition };
    rules.alerts.iter().map(of).collect()
}

/// The place of a cause among those that alerts count.
fn counted(cause: Cause) -> Option<usize> {
    CAUSES.iter().position(|counted| *counted == cause.name())
}

impl Shard {
    /// The mark of the report that is to be made now ([`super::Input::Census`]): once a minute of the watermark, after
    /// all deadlines before it have fired.
    pub fn census_due(&self) -> Option<i64> {
        if self.has_due() { None } else { self.census.due(&self.rules, self.watermark) }
    }

    pub(super) fn make_report(&mut self, mark: i64, effects: &mut Effects) {
        let report = self.census.report(mark, &self.rules);
        self.digest.input(mark, Verdict::Census, self.watermark, 0);
        self.digest.report(&report);
        effects.reports.push(report);
    }

    /// Counts a change that is published, if alerts select it.
    pub(super) fn count_change(&mut self, row: RowNumber, target: usize, cause: Cause, at: Millis, to: u16) {
        let Self { rules, profiles, census, scratch, now, .. } = self;
        let Some(cause) = counted(cause).filter(|_| now.saturating_sub(at) <= FRESH) else { return };
        let (changed, from) = (&rules.targets[target], scratch.held[target].value);
        let is_meant = |alert: &&Alert| {
            usize::from(alert.target) == target && alert.causes[cause] && alert.selects(changed, from, to)
        };
        let Some(ids_max) = rules.alerts.iter().filter(is_meant).map(|alert| alert.customer_ids).max() else { return };
        let from_name = (from != HeldValue::NULL).then(|| changed.value_name(from));
        let way = (changed.name.as_str(), from_name, changed.value_name(to));
        let minute = at.max(scratch.arrived).div_euclid(MINUTE);
        census.count(minute, way, cause, profiles.id(row), ids_max);
    }
}
