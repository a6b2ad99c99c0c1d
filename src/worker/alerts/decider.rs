//! Decides which alerts fire, from what all shards told and from the last record of each alert: nothing else is known.
//!
//! At a mark every minute before it is complete, since every shard has told of it. Whether an alert fires at a mark follows
//! from the counts alone, so whoever decides after a crash comes to the same; a record is due where that differs from the
//! mark before. Counts of a shard are those of minutes in which it had the very alert that is asked about.

use super::record::{AlertRecord, SCHEMA, State, by_name};
use crate::document::duration;
use crate::engine::event::MINUTE;
use crate::engine::profile::HeldValue;
use crate::engine::rule::alert::CAUSES;
use crate::engine::rule::{Alert, Direction, Rules, Target};
use crate::worker::census::{Told, ToldFlow, ToldHour, ToldMinutes, definition_text, moment_of};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Marks that are older than this when they can be decided are passed over: nobody wants to be told of them any more.
pub const LATE_MARKS_MAX: i64 = 60;
const HOURS_OF_BASELINE: i64 = 7 * 24;
/// Hours that must be known before there is a baseline.
const HOURS_KNOWN_MIN: usize = 24;
const MINUTES_PER_HOUR: i64 = 60;

pub struct Decider {
    rules: Arc<Rules>,
    /// The last mark that each shard told of.
    marks: Vec<Option<i64>>,
    /// As the rules list them.
    watched: Vec<Watched>,
    /// The mark up to which it has decided.
    decided: Option<i64>,
}

/// What is known of one alert.
#[derive(Default)]
struct Watched {
    minutes: BTreeMap<i64, Counted>,
    /// Of each hour what each shard told.
    hours: BTreeMap<i64, BTreeMap<u32, u64>>,
    /// The last mark that was decided, by whomever; and the last that was looked at here.
    decided: Option<i64>,
    looked_at: Option<i64>,
    /// The mark from which on the count has been above.
    above_since: Option<i64>,
    state: State,
    /// When it began to fire, if it does.
    fired_at: Option<i64>,
}

#[derive(Clone, Default)]
struct Counted {
    causes: [u64; CAUSES.len()],
    customers: Vec<String>,
}

impl Counted {
    fn number(&self) -> u64 {
        self.causes.iter().sum()
    }

    /// Adds to it; so many customers are kept, the first in byte order.
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
            Watched {
                decided: last.map(|last| last.mark),
                state: last.map_or(State::Resolved, |last| last.state),
                fired_at: last.filter(|last| last.state == State::Firing).map(|last| last.mark),
                ..Watched::default()
            }
        };
        Self {
            rules: Arc::clone(rules),
            marks: vec![None; shards as usize],
            watched: rules.alerts.iter().map(watched).collect(),
            decided: None,
        }
    }

    /// The mark up to which every shard has told everything.
    pub fn complete(&self) -> Option<i64> {
        self.marks.iter().copied().min().flatten()
    }

    /// Takes what a shard told. Records come in the order in which they were written.
    pub fn take(&mut self, told: &Told) {
        match told {
            Told::Minutes(minutes) => self.take_minutes(minutes),
            Told::Hour(hour) => self.take_hour(hour),
        }
    }

    fn take_minutes(&mut self, told: &ToldMinutes) {
        let Some(mark) = self.marks.get_mut(told.shard as usize) else { return };
        *mark = (*mark).max(Some(told.mark));
        let rules = Arc::clone(&self.rules);
        for (alert, watched) in in_force(&rules, &mut self.watched, &told.alerts) {
            for minute in &told.minutes {
                let counted = counted(alert, &rules, &minute.flows);
                if counted.number() > 0 {
                    watched.minutes.entry(minute.minute).or_default().add(&counted, alert.customer_ids);
                }
            }
        }
    }

    fn take_hour(&mut self, told: &ToldHour) {
        let rules = Arc::clone(&self.rules);
        for (alert, watched) in in_force(&rules, &mut self.watched, &told.alerts) {
            let count = counted(alert, &rules, &told.flows).number();
            watched.hours.entry(told.hour).or_default().insert(told.shard, count);
        }
    }

    /// What has changed at marks that were not decided yet, in order; all that was written until now must have been taken.
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

impl Watched {
    fn decide(&mut self, alert: &Alert, rules: &Rules, complete: i64, shards: usize) -> Vec<AlertRecord> {
        let first = self.decided.map_or(i64::MIN, |decided| decided + 1).max(complete - LATE_MARKS_MAX);
        let mut begin = first;
        if self.looked_at.is_none_or(|looked_at| looked_at + 1 != first) {
            // Whether the count was above before is not known: so that is looked at again.
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
            if mark >= first && fires != (self.state == State::Firing) {
                records.push(self.turn(alert, rules, mark, shards));
            }
        }
        self.decided = self.decided.max(Some(complete));
        self.looked_at = Some(complete);
        self.forget(alert, complete);
        records
    }

    /// What was counted in the window that ends at a mark.
    fn window(&self, alert: &Alert, mark: i64) -> impl Iterator<Item = (&i64, &Counted)> {
        self.minutes.range(mark - i64::from(alert.window_minutes)..mark)
    }

    /// The alert begins to fire at this mark, or is resolved.
    fn turn(&mut self, alert: &Alert, rules: &Rules, mark: i64, shards: usize) -> AlertRecord {
        let mut sum = Counted::default();
        self.window(alert, mark).for_each(|(_, counted)| sum.add(counted, alert.customer_ids));
        let since = match self.state {
            State::Resolved => self.above_since,
            State::Firing => self.fired_at,
        };
        (self.state, self.fired_at) = match self.state {
            State::Resolved => (State::Firing, Some(mark)),
            State::Firing => (State::Resolved, None),
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

    /// The mean of the window over the hours of the last seven days that all shards told of; none before a day of them.
    fn baseline(&self, alert: &Alert, mark: i64, shards: usize) -> Option<f64> {
        let hour = mark.div_euclid(MINUTES_PER_HOUR);
        let known = self.hours.range(hour - HOURS_OF_BASELINE..hour).filter(|(_, told)| told.len() == shards);
        let counts: Vec<u64> = known.map(|(_, told)| told.values().sum()).collect();
        let per_hour = counts.iter().sum::<u64>() as f64 / counts.len() as f64;
        let mean = per_hour * f64::from(alert.window_minutes) / MINUTES_PER_HOUR as f64;
        (counts.len() >= HOURS_KNOWN_MIN).then(|| (mean * 1_000.0).round() / 1_000.0)
    }

    /// Lets go of what no window will look at again.
    fn forget(&mut self, alert: &Alert, complete: i64) {
        let reach = i64::from(alert.window_minutes + alert.for_minutes) + LATE_MARKS_MAX;
        self.minutes = self.minutes.split_off(&(complete - reach));
        self.hours = self.hours.split_off(&(complete.div_euclid(MINUTES_PER_HOUR) - HOURS_OF_BASELINE - 1));
    }
}

/// The alerts that a shard had while it counted.
fn in_force<'a>(
    rules: &'a Rules,
    watched: &'a mut [Watched],
    told: &BTreeMap<String, String>,
) -> impl Iterator<Item = (&'a Alert, &'a mut Watched)> {
    let is_told = |alert: &Alert| told.get(&alert.name) == Some(&definition_text(alert.definition));
    rules.alerts.iter().zip(watched).filter(move |(alert, _)| is_told(alert))
}

/// What an alert counts of some flows.
fn counted(alert: &Alert, rules: &Rules, flows: &[ToldFlow]) -> Counted {
    let target = &rules.targets[usize::from(alert.target)];
    let mut sum = Counted::default();
    for flow in flows.iter().filter(|flow| flow.segmentation == target.name && is_selected(alert, target, flow)) {
        let of = |place: usize| flow.causes.get(CAUSES[place]).copied().filter(|_| alert.causes[place]).unwrap_or(0);
        let counted = Counted { causes: std::array::from_fn(of), customers: flow.customers.clone() };
        sum.add(&counted, alert.customer_ids);
    }
    sum
}

/// By names: a segment that was counted may not be there any more.
fn is_selected(alert: &Alert, target: &Target, flow: &ToldFlow) -> bool {
    let is_named = |wanted: Option<u16>, name: Option<&str>| {
        wanted.is_none_or(|wanted| name.is_some_and(|name| name == target.value_name(wanted)))
    };
    let is_way = |direction: Direction| {
        let from = flow.from.as_ref().map_or(Some(HeldValue::NULL), |from| target.value_named(from));
        from.zip(target.value_named(&flow.to)).is_some_and(|(from, to)| target.direction(from, to) == direction)
    };
    is_named(alert.from, flow.from.as_deref())
        && is_named(alert.to, Some(&flow.to))
        && alert.direction.is_none_or(is_way)
}

#[cfg(test)]
mod tests;
