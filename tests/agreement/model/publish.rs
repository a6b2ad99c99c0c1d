//! From the values of an evaluation to changes and membership values.

use super::change::{Because, Change, features_json, membership_json};
use super::customer::{BECAUSE_MAX, Customer};
use super::evaluate::{HeldValue, Values, View};
use super::facts::Facts;
use super::shard::{Cause, Model};

impl Model {
    /// Sets the values of an evaluation and publishes those that changed, in order of the names (R4).
    pub fn publish(&mut self, id: &str, at: i64, values: Values, cause: Cause, facts_before: Option<&Facts>) {
        let customer = self.customers.get_mut(id).expect("the customer exists");
        let old = std::mem::replace(&mut customer.values, values);
        let changed: Vec<String> = old
            .iter()
            .filter(|(name, held)| held.value != customer.values[*name].value)
            .map(|(name, _)| name.clone())
            .collect();
        if changed.is_empty() {
            return;
        }
        customer.clock = customer.clock.max(at);
        if !self.customers[id].published {
            return;
        }
        if changed.len() > 1 {
            self.note("R4");
        }
        for name in &changed {
            let to = self.customers[id].values[name].value.clone();
            let because = self.because(id, at, name, &old, cause, facts_before);
            let mut change = self.change(id, name, &old[name], to.as_deref(), cause.name, at);
            change.trigger = cause.trigger;
            change.fill = self.is_fill(name, &old[name], cause);
            change.because = if change.fill { Vec::new() } else { because };
            let is_fill = change.fill;
            self.send(id, change);
            for (rule, is_met) in [("R13", self.rules.retired.contains(name)), ("R14", is_fill)] {
                if is_met {
                    self.note(rule);
                }
            }
        }
        self.send_membership(id, at);
    }

    /// R14: new rules give a first value, or an audience that came with them.
    fn is_fill(&self, name: &str, old: &HeldValue, cause: Cause) -> bool {
        cause.name == "rules" && (old.value.is_none() || self.new_audiences.contains(name))
    }

    fn because(
        &self,
        id: &str,
        at: i64,
        name: &str,
        old: &Values,
        cause: Cause,
        before: Option<&Facts>,
    ) -> Vec<Because> {
        let customer = &self.customers[id];
        let Some(target) = self.rules.targets.get(name) else { return Vec::new() };
        let (instant, facts) = match cause.name {
            "time" => (at - 1, &customer.facts),
            "event" | "late" => (at, before.expect("an event has a before")),
            "rules" => return customer.because_of_value(target, &customer.values[name], customer.view(at)),
            _ => return Vec::new(),
        };
        let was = View { facts, id, now: instant, held: old, event: None };
        let mut found = customer.because(target, &old[name], &customer.values[name], was, customer.view(at));
        if cause.name == "time" {
            let held = Customer { values: old.clone(), ..customer.clone() };
            found.extend(held.because_of_dwell(target, &old[name], at));
            found.truncate(BECAUSE_MAX);
        }
        found
    }

    /// A change without trigger and reasons.
    pub fn change<'a>(
        &self,
        id: &str,
        name: &'a str,
        from: &'a HeldValue,
        to: Option<&'a str>,
        cause: &'a str,
        at: i64,
    ) -> Change<'a> {
        let customer = &self.customers[id];
        let is_known = self.rules.targets.contains_key(name);
        let next = if is_known && to.is_some() { customer.forecast(&self.rules, name, at) } else { None };
        let features = features_json(&self.rules, customer.view(at));
        Change {
            name,
            from,
            to,
            cause,
            fill: cause == "bootstrap",
            effective_at: at,
            detected_at: at,
            trigger: None,
            because: Vec::new(),
            next,
            features,
        }
    }

    pub fn send(&mut self, id: &str, change: Change) {
        let customer = self.customers.get_mut(id).expect("the customer exists");
        customer.sequence += 1;
        let text = change.json(customer, &self.rules);
        self.outcome.changes.entry(id.to_string()).or_default().push(text);
    }

    pub fn send_membership(&mut self, id: &str, at: i64) {
        let customer = &self.customers[id];
        let text = membership_json(customer, &customer.values, &self.rules, at);
        self.outcome.membership.insert(id.to_string(), Some(text));
        self.note("R12");
    }
}
