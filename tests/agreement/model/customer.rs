//! One customer: its events, clock and values, and the evaluations that time causes.

use super::change::{Because, Next};
use super::evaluate::{HeldValue, Values, View, evaluate};
use super::expression::{Comparison, Condition, Scalar};
use super::facts::{Accepted, Facts, Known};
use super::feature::Feature;
use super::instants::{flips, flips_of_target};
use super::rules::{Kind, Rules, Target};
use super::value::DAY;
use std::collections::BTreeSet;

/// How far a forecast looks ahead, and how many instants it evaluates (R9).
const FORECAST: i64 = 400 * DAY;
const FORECAST_INSTANTS: usize = 64;
/// The same where a text feature or segment() stands in the place of a category or channel.
const FORECAST_INSTANTS_WITH_SOURCES: usize = 16;
/// Comparisons that a change lists at most (R9).
pub const BECAUSE_MAX: usize = 8;

#[derive(Clone, Debug)]
pub struct Customer {
    pub id: String,
    pub facts: Facts,
    /// T2.
    pub clock: i64,
    /// Everything that time causes up to this instant has been processed.
    pub looked_until: i64,
    /// The instant of the first evaluation.
    pub life: i64,
    pub sequence: u64,
    pub values: Values,
    /// Whether changes are published: always, or from the bootstrap on (R11).
    pub published: bool,
}

impl Customer {
    /// A customer just before its first event, which is at `life`.
    pub fn new(id: &str, life: i64, rules: &Rules) -> Customer {
        let facts = Facts::of(Vec::new(), rules.decimals);
        let mut customer = Customer {
            id: id.into(),
            facts,
            clock: life,
            looked_until: life,
            life,
            sequence: 0,
            values: Values::new(),
            published: true,
        };
        customer.adopt(rules, life);
        customer
    }

    /// Adds values of targets that are new: none for segmentations, `out` for audiences (R3, R6).
    pub fn adopt(&mut self, rules: &Rules, at: i64) {
        self.facts.utc_offset = rules.utc_offset;
        let known = std::mem::take(&mut self.facts.intervals);
        let new = Known { events: self.facts.events.len(), at };
        let keep = |interval| (known.get(&interval).copied().unwrap_or(new), interval);
        self.facts.intervals =
            rules.intervals().into_iter().map(keep).map(|(known, interval)| (interval, known)).collect();
        for (name, target) in &rules.targets {
            let start = if target.is_audience() {
                HeldValue { value: Some("out".into()), since: Some(at), dwells: false }
            } else {
                HeldValue { value: None, since: None, dwells: false }
            };
            self.values.entry(name.clone()).or_insert(start);
        }
    }

    pub fn accept(&mut self, accepted: Accepted, decimals: u32) {
        let mut events = std::mem::take(&mut self.facts.events);
        events.push(accepted);
        let before = std::mem::replace(&mut self.facts, Facts::of(events, decimals));
        (self.facts.utc_offset, self.facts.intervals) = (before.utc_offset, before.intervals);
    }

    /// Forgets what counts of one's own have counted that do not go on with new rules (B8).
    pub fn keep_counts(&mut self, old: &Rules, new: &Rules) -> bool {
        let definition = |rules: &Rules, name: &String| rules.counts.get(name).map(|count| count.definition.clone());
        let mut events = std::mem::take(&mut self.facts.events);
        let before: usize = events.iter().map(|accepted| accepted.counts.len()).sum();
        for accepted in &mut events {
            accepted.counts.retain(|name| definition(old, name) == definition(new, name));
        }
        let after: usize = events.iter().map(|accepted| accepted.counts.len()).sum();
        let intervals = std::mem::take(&mut self.facts.intervals);
        self.facts = Facts::of(events, new.decimals);
        self.facts.intervals = intervals;
        after < before
    }

    pub fn view(&self, now: i64) -> View<'_> {
        View { facts: &self.facts, id: &self.id, now, held: &self.values, event: None }
    }

    /// The first instant after `looked_until`, at most `until`, at which time changes a value, with the values then.
    pub fn first_change_by_time(&self, rules: &Rules, until: i64) -> Option<(i64, Values)> {
        let mut instants = BTreeSet::new();
        for (name, target) in &rules.targets {
            instants.extend(flips_of_target(target, self.view(self.looked_until), self.looked_until, until));
            instants.extend(self.values[name].held_until(target));
        }
        instants.retain(|instant| (self.looked_until + 1..=until).contains(instant));
        let evaluated = instants.into_iter().map(|instant| (instant, evaluate(rules, self.view(instant), true)));
        evaluated.into_iter().find(|(_, values)| *values != self.values)
    }

    /// The first end of a dwell after `now` that keeps a value which the rules no longer want at `now`.
    pub fn held_back_until(&self, rules: &Rules, now: i64) -> Option<i64> {
        let view = self.view(now);
        let ends = rules.targets.iter().filter_map(|(name, target)| {
            let held = &self.values[name];
            held.held_until(target).filter(|end| *end > now && view.wants_other(target, held))
        });
        ends.min()
    }

    /// `next` of a change (R9): the first change of one target if nothing happens after `now`.
    pub fn forecast(&self, rules: &Rules, name: &str, now: i64) -> Option<Next> {
        let horizon = now + FORECAST;
        let mut simulated = self.clone();
        let mut tried = 0;
        let mut from = now;
        let mut step = DAY;
        while from < horizon {
            let until = horizon.min(from + step);
            match simulated.forecast_within(rules, name, from, until, &mut tried) {
                Forecast::Next(next) => return Some(next),
                Forecast::TooMany => return None,
                Forecast::Unchanged => {}
            }
            from = until;
            step *= 2;
        }
        None
    }

    fn forecast_within(&mut self, rules: &Rules, name: &str, from: i64, until: i64, tried: &mut usize) -> Forecast {
        let involved = involved(rules, name);
        let target = &rules.targets[name];
        let flips_from = |customer: &Customer, from: i64| -> BTreeSet<i64> {
            let flips = |other| flips_of_target(&rules.targets[other], customer.view(from), from, until);
            involved.iter().flat_map(flips).collect()
        };
        let mut by_time = flips_from(self, from);
        let instants_max = if has_source(target) { FORECAST_INSTANTS_WITH_SOURCES } else { FORECAST_INSTANTS };
        let reads_segments = involved.iter().any(|other| has_source(&rules.targets[other]));
        let mut now = from;
        loop {
            let expiries = involved.iter().filter_map(|other| self.values[other].held_until(&rules.targets[other]));
            let instants =
                by_time.iter().copied().chain(expiries).filter(|instant| (now + 1..=until).contains(instant));
            let Some(instant) = instants.min() else { return Forecast::Unchanged };
            let after = evaluate(rules, self.view(instant), true);
            let own_flip = comparisons(target).iter().any(|comparison| {
                let before = self.view(instant - 1).comparison(comparison);
                before != View { held: &after, ..self.view(instant) }.comparison(comparison)
            });
            *tried += usize::from(own_flip || self.values[name].held_until(target) == Some(instant));
            if *tried > instants_max {
                return Forecast::TooMany;
            }
            if after[name].value != self.values[name].value {
                let to = after[name].value.clone().expect("an evaluation gives values");
                return Forecast::Next(Next { to, at: instant });
            }
            let is_other = after != self.values;
            self.values = after;
            now = instant;
            if is_other && reads_segments {
                by_time = flips_from(self, now);
            }
        }
    }

    /// The reasons that a change lists: comparisons of both values whose truths differ in `before` and `after`.
    pub fn because(
        &self,
        target: &Target,
        old: &HeldValue,
        new: &HeldValue,
        before: View,
        after: View,
    ) -> Vec<Because> {
        let names = [old.value.as_deref(), new.value.as_deref()];
        let mut found: Vec<Because> = Vec::new();
        for (name, condition) in target.conditions() {
            if name.is_some() && !names.contains(&name) {
                continue;
            }
            for comparison in condition.comparisons() {
                let (was, now) = (before.comparison(comparison), after.comparison(comparison));
                if was != now && found.iter().all(|other| other.rule != comparison.text) {
                    let value = after.scalar(&comparison.left).map_or("null".into(), |value| value.json());
                    found.push(Because { rule: comparison.text.clone(), value, was, now });
                }
            }
        }
        found.truncate(BECAUSE_MAX);
        found
    }

    /// The reasons that new rules give for a value: the comparisons in its own condition as they are now; those of
    /// `out` are all of the audience's.
    pub fn because_of_value(&self, target: &Target, new: &HeldValue, now: View) -> Vec<Because> {
        let value = new.value.as_deref();
        let own: Vec<&Condition> = match &target.kind {
            Kind::Segmentation(segments) => segments
                .iter()
                .filter(|(name, _)| Some(name.as_str()) == value)
                .filter_map(|(_, when)| when.as_ref())
                .collect(),
            Kind::Audience { when, .. } if value == Some("in") => vec![when],
            Kind::Audience { when, exit } => [Some(when), exit.as_ref()].into_iter().flatten().collect(),
        };
        let mut found: Vec<Because> = Vec::new();
        for comparison in own.into_iter().flat_map(Condition::comparisons) {
            if found.iter().all(|other| other.rule != comparison.text) {
                let value = now.scalar(&comparison.left).map_or("null".into(), |value| value.json());
                let truth = now.comparison(comparison);
                found.push(Because { rule: comparison.text.clone(), value, was: None, now: truth });
            }
        }
        found.truncate(BECAUSE_MAX);
        found
    }

    /// The reason for a value whose dwell ends at exactly this instant.
    pub fn because_of_dwell(&self, target: &Target, old: &HeldValue, instant: i64) -> Option<Because> {
        let since = old.since?;
        let expired = old.held_until(target) == Some(instant);
        let value = (instant - since).to_string();
        expired.then(|| Because { rule: "min_dwell".into(), value, was: Some(false), now: Some(true) })
    }

    /// A check of [`flips`]: whether the truths at an instant follow from those at the flips before it.
    pub fn flips_explain(&self, rules: &Rules, from: i64, instant: i64) -> bool {
        let view = self.view(from);
        rules.targets.values().flat_map(comparisons).all(|comparison| {
            let latest = flips(comparison, view, from, instant).last().copied().unwrap_or(from);
            view.at(latest).comparison(comparison) == view.at(instant).comparison(comparison)
        })
    }
}

enum Forecast {
    Next(Next),
    Unchanged,
    TooMany,
}

/// Whether a text feature or segment() stands in the place of a category or channel in its conditions.
fn has_source(target: &Target) -> bool {
    let scalars = comparisons(target).into_iter().flat_map(Comparison::scalars);
    scalars.flat_map(Scalar::leaves).any(|leaf| matches!(leaf, Scalar::Feature(Feature::Of { .. })))
}

fn comparisons(target: &Target) -> Vec<&Comparison> {
    target.conditions().into_iter().flat_map(|(_, condition)| condition.comparisons()).collect()
}

/// A target and all that it refers to, directly or indirectly.
fn involved(rules: &Rules, name: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::from([name.to_string()]);
    loop {
        let more: Vec<String> = found.iter().flat_map(|one| rules.targets[one].refers_to()).collect();
        let before = found.len();
        found.extend(more);
        if found.len() == before {
            return found;
        }
    }
}
