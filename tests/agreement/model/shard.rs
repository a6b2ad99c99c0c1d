//! One shard from its first input to its last: watermark, marks, duplicates, customers, and what it publishes.

use super::change::Trigger;
use super::customer::Customer;
use super::decode::{Event, Record, decode};
use super::duplicates::Ids;
use super::evaluate::{HeldValue, View, evaluate};
use super::facts::Accepted;
use super::marks::{Mark, Verdict};
use super::partition::Source;
use super::rules::Rules;
use super::value::DAY;
use std::collections::{BTreeMap, BTreeSet};

/// All inputs of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// The first `rules.toml`.
    pub rules: String,
    pub source: Source,
    pub inputs: Vec<Input>,
    /// Where the watermark ends; `None`: at the latest accepted event (R10).
    pub until: Option<i64>,
    pub publish_from: Option<PublishFrom>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    Record(Record),
    Tick(i64),
    /// Another `rules.toml`, from here on (R6).
    Rules(String),
}

/// R11.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PublishFrom {
    pub at: i64,
    /// Whether the bootstrap publishes changes, or only membership.
    pub changes: bool,
}

/// All results of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Changes of each customer in their order.
    pub changes: BTreeMap<String, Vec<String>>,
    /// The last membership value of each customer; `None` is a tombstone.
    pub membership: BTreeMap<String, Option<String>>,
    /// Offset and reason.
    pub rejected: Vec<(i64, String)>,
    /// Dropped events by kind.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Accepted events by fields of which something was left out or cut (E5).
    pub unfit: BTreeMap<String, u64>,
}

pub struct Model {
    pub rules: Rules,
    source: Source,
    publish_from: Option<PublishFrom>,
    pub customers: BTreeMap<String, Customer>,
    marks: BTreeMap<String, Mark>,
    ids: Ids,
    watermark: Option<i64>,
    latest_accepted: Option<i64>,
    /// Audiences that the latest rules brought.
    pub new_audiences: BTreeSet<String>,
    pub outcome: Outcome,
    /// How often each numbered rule decided something.
    pub seen: BTreeMap<&'static str, u64>,
}

/// The cause and trigger of the changes of one evaluation.
#[derive(Clone, Copy)]
pub struct Cause<'a> {
    pub name: &'a str,
    pub trigger: Option<&'a Trigger>,
}

impl Model {
    pub fn run(scenario: &Scenario) -> (Outcome, BTreeMap<&'static str, u64>) {
        let model = Model::play(scenario);
        (model.outcome, model.seen)
    }

    /// A model after the whole scenario.
    pub fn play(scenario: &Scenario) -> Model {
        let mut model = Model::new(scenario);
        for input in &scenario.inputs {
            match input {
                Input::Record(record) => model.record(record),
                Input::Tick(tick) => model.tick(*tick),
                Input::Rules(text) => model.new_rules(text),
            }
        }
        model.end(scenario.until);
        model
    }

    fn new(scenario: &Scenario) -> Model {
        Model {
            rules: Rules::parse(&scenario.rules),
            source: scenario.source,
            publish_from: scenario.publish_from,
            customers: BTreeMap::new(),
            marks: BTreeMap::new(),
            ids: Ids::default(),
            watermark: None,
            latest_accepted: None,
            new_audiences: BTreeSet::new(),
            outcome: Outcome::default(),
            seen: BTreeMap::new(),
        }
    }

    /// Whether the truths of all rules at a random instant follow from the flips that the model finds before it.
    pub fn flips_explain(&self, random_instant: &mut impl FnMut(&Customer) -> i64) -> bool {
        self.customers.values().all(|customer| {
            customer.flips_explain(&self.rules, customer.clock, random_instant(customer).max(customer.clock + 1))
        })
    }

    /// Adds what the events of a customer covered, once at its end.
    fn note_facts(&mut self, id: &str) {
        let facts = &self.customers[id].facts;
        for (rule, count) in facts.seen.clone().into_iter().chain(facts.seen_in_intervals(self.customers[id].clock)) {
            *self.seen.entry(rule).or_default() += count;
        }
    }

    pub fn note(&mut self, rule: &'static str) {
        *self.seen.entry(rule).or_default() += 1;
    }

    /// R10.
    fn end(&mut self, until: Option<i64>) {
        if let Some(until) = until.or(self.latest_accepted) {
            self.note("R10");
            self.raise(until);
        }
        for id in self.customers.keys().cloned().collect::<Vec<_>>() {
            self.note_facts(&id);
        }
    }

    fn tick(&mut self, tick: i64) {
        let watermark = tick - self.rules.grace;
        for customer in self.customers.values() {
            if customer.held_back_until(&self.rules, customer.clock).is_some_and(|end| end <= watermark) {
                *self.seen.entry("dwell-tick").or_default() += 1;
            }
        }
        self.raise(watermark);
    }

    fn record(&mut self, record: &Record) {
        let event = match decode(record, self.source, &self.rules) {
            Ok(event) => event,
            Err(reason) => {
                self.note("E4");
                return self.outcome.rejected.push((record.offset, reason.into()));
            }
        };
        self.let_arrival_pass(record, &event);
        if let Some(kind) = self.drops(&event) {
            self.note("E4");
            return *self.outcome.dropped.entry(kind).or_default() += 1;
        }
        self.note_record(record, &event);
        for field in &event.unfit.0 {
            *self.outcome.unfit.entry(field.clone()).or_default() += 1;
        }
        let trigger = Trigger {
            topic: record.topic.clone(),
            partition: record.partition,
            offset: record.offset,
            event_id: event.event_id.clone(),
            kind: event.kind.clone(),
            time: event.time,
        };
        match event.kind.as_str() {
            "erase" | "opt_out" => self.erase(&event, &trigger),
            "opt_in" if !self.customers.contains_key(&event.customer) => self.opt_in_of_unknown(&event),
            _ => self.apply(&event, &trigger),
        }
        self.latest_accepted = self.latest_accepted.max(Some(event.time));
        let arrival = record.arrival.unwrap_or(event.time).min(record.now);
        let raised = self.watermark.max(Some(event.time.min(arrival) - self.rules.grace)).expect("a watermark");
        // `erase`, `opt_out` and `opt_in` leave nothing but their marks: their ids are not remembered.
        if let (Some(id), false) = (&event.event_id, is_about_consent(&event)) {
            let (horizon, ids_max) = (self.rules.horizon_hours, self.rules.ids_max);
            if self.ids.keep(&event.customer, id, raised, horizon, ids_max) {
                self.note("E3 max_ids");
            }
        }
        self.raise(raised);
    }

    /// T3, a record that waits: time passes for its customer up to its arrival.
    fn let_arrival_pass(&mut self, record: &Record, event: &Event) {
        if let Some(arrival) = record.arrival.filter(|_| self.rules.has_wall_clock)
            && self.customers.contains_key(&event.customer)
        {
            self.fire(&event.customer, arrival.min(record.now) - self.rules.grace);
        }
    }

    fn note_record(&mut self, record: &Record, event: &Event) {
        let text = String::from_utf8_lossy(&record.value);
        let others = self.customers.values().filter(|customer| customer.id != event.customer);
        let clock = self.customers.get(&event.customer).map_or(event.time, |customer| customer.clock);
        let is_behind_others = others.into_iter().any(|customer| customer.clock > event.time);
        for (rule, is_met) in [
            ("T1", !text.contains("T")),
            ("T2", is_behind_others && event.time >= clock),
            ("T3", record.arrival.is_some_and(|arrival| arrival.min(record.now) < event.time)),
            ("E2", text.contains(":null") || text.contains("unknown")),
            ("O1", text.contains("currency")),
            ("E5", !event.unfit.0.is_empty()),
            (
                "E6",
                event.kind != "cancel"
                    && ["event_id", "order_id"].into_iter().any(|name| {
                        text.contains(&format!("\"{name}\":"))
                            && !text.contains(&format!("\"{name}\":null"))
                            && (if name == "event_id" { &event.event_id } else { &event.order_id }).is_none()
                    }),
            ),
            ("B7", self.rules.events.contains_key(&event.kind)),
        ] {
            if is_met {
                self.note(rule);
            }
        }
    }

    /// Why an event is dropped, if it is. Marks are checked first, then ids, then orders.
    fn drops(&mut self, event: &Event) -> Option<&'static str> {
        let verdict = self.marks.get(&event.customer).map(|mark| mark.judge(&event.kind, event.time, self.watermark));
        match verdict {
            Some(Verdict::Erased) => return Some("erased"),
            Some(Verdict::OptedOut) => return Some("opted_out"),
            Some(Verdict::Lifts | Verdict::Pass) | None => {}
        }
        let is_known = |id: &String| self.ids.is_known(&event.customer, id, self.watermark, self.rules.horizon_hours);
        if !is_about_consent(event) && event.event_id.as_ref().is_some_and(is_known) {
            return Some("duplicate");
        }
        let customer = self.customers.get(&event.customer)?;
        let (order_id, at) = (event.order_id.as_ref()?, customer.clock.max(event.time));
        if event.kind == "purchase" {
            return customer.facts.is_known_order(order_id, at).then_some("duplicate_order");
        }
        let is_known = customer.facts.is_known_return(order_id, event.event_id.as_ref()?, at);
        if is_known {
            self.note("E3-returns");
        }
        is_known.then_some("duplicate")
    }

    fn opt_in_of_unknown(&mut self, event: &Event) {
        if let Some(Mark::OptedOut { until, .. }) = self.marks.get(&event.customer) {
            let lifted = Mark::Lifted { until: *until, from: event.time };
            self.marks.insert(event.customer.clone(), lifted);
            self.note("R7 opt_in");
        }
    }

    /// T4 and T5.
    fn apply(&mut self, event: &Event, trigger: &Trigger) {
        let id = event.customer.clone();
        if !self.customers.contains_key(&id) {
            self.make_room();
            let mut customer = Customer::new(&id, event.time, &self.rules);
            customer.published = self.publish_from.is_none_or(|from| event.time >= from.at);
            self.customers.insert(id.clone(), customer);
            self.note("R3");
        }
        self.fire(&id, event.time);
        let counts = self.counted_for(&self.customers[&id], event);
        let customer = self.customers.get_mut(&id).expect("the customer exists");
        let is_late = event.time < customer.clock;
        let at = customer.clock.max(event.time);
        let before = customer.facts.clone();
        let was_held_back = customer.held_back_until(&self.rules, at).is_some();
        let watermark = self.watermark;
        customer.clock = at;
        customer.looked_until = at;
        customer.accept(Accepted { event: event.clone(), at, counts }, self.rules.decimals);
        let values = evaluate(&self.rules, customer.view(at), true);
        let held_back_until = customer.held_back_until(&self.rules, at).filter(|_| values == customer.values);
        if is_late && was_held_back && held_back_until.is_some() {
            self.note("dwell-late");
        }
        if is_late && was_held_back && held_back_until <= watermark && held_back_until.is_some() {
            self.note("dwell-passed-late");
        }
        let name = if is_late { "late" } else { "event" };
        self.note(if is_late { "T5" } else { "T4" });
        self.publish(&id, at, values, Cause { name, trigger: Some(trigger) }, Some(&before));
    }

    /// The counts of one's own for which an event is counted (B8).
    fn counted_for(&self, customer: &Customer, event: &Event) -> Vec<String> {
        let view = View { event: Some(event), ..customer.view(event.time) };
        let counts = self.rules.counts.iter().filter(|(_, count)| {
            count.of == event.kind && count.when.as_ref().is_none_or(|when| view.condition(when) == Some(true))
        });
        counts.map(|(name, _)| name.clone()).collect()
    }

    /// Raises the watermark and lets every customer's deadlines up to it fire (T6).
    fn raise(&mut self, watermark: i64) {
        let watermark = self.watermark.max(Some(watermark)).expect("a watermark");
        self.watermark = Some(watermark);
        for id in self.customers.keys().cloned().collect::<Vec<_>>() {
            self.fire(&id, watermark);
        }
    }

    /// Everything that time causes for one customer up to an instant, including the bootstrap of R11.
    fn fire(&mut self, id: &str, until: i64) {
        loop {
            let customer = &self.customers[id];
            let bootstrap = self.publish_from.map(|from| from.at).filter(|at| !customer.published && *at <= until);
            // Time may change a value at the very moment from which changes are published: it is still to begin then.
            if until <= customer.looked_until && bootstrap.is_none() {
                return;
            }
            let Some((instant, values)) = customer.first_change_by_time(&self.rules, bootstrap.unwrap_or(until)) else {
                let Some(at) = bootstrap else { break };
                self.bootstrap(id, at);
                continue;
            };
            self.publish(id, instant, values, Cause { name: "time", trigger: None }, None);
            let customer = self.customers.get_mut(id).expect("the customer exists");
            (customer.clock, customer.looked_until) = (instant, instant);
            self.note("T6");
        }
        self.customers.get_mut(id).expect("the customer exists").looked_until = until;
    }

    /// R11: the values as they are, from null.
    fn bootstrap(&mut self, id: &str, at: i64) {
        let customer = self.customers.get_mut(id).expect("the customer exists");
        customer.published = true;
        (customer.clock, customer.looked_until) = (at, at);
        let values = customer.values.clone();
        let is_new = |(name, held): &(&String, &HeldValue)| {
            !self.rules.targets[*name].is_audience() || held.value.as_deref() == Some("in")
        };
        let names: Vec<String> = values.iter().filter(is_new).map(|(name, _)| name.clone()).collect();
        if self.publish_from.is_some_and(|from| from.changes) {
            for name in &names {
                let from = HeldValue { value: None, since: None, dwells: false };
                let change = self.change(id, name, &from, values[name].value.as_deref(), "bootstrap", at);
                self.send(id, change);
            }
        }
        self.send_membership(id, at);
        self.note("R11");
    }

    /// R6.
    fn new_rules(&mut self, text: &str) {
        let old = std::mem::replace(&mut self.rules, Rules::parse(text));
        let audiences = self.rules.targets.iter().filter(|(_, target)| target.is_audience()).map(|(name, _)| name);
        self.new_audiences = audiences.filter(|name| !old.targets.contains_key(*name)).cloned().collect();
        for id in self.customers.keys().cloned().collect::<Vec<_>>() {
            let customer = self.customers.get_mut(&id).expect("the customer exists");
            let at = self.watermark.map_or(customer.clock, |watermark| customer.clock.max(watermark));
            if customer.held_back_until(&old, at).is_some() {
                *self.seen.entry("dwell-sweep").or_default() += 1;
            }
            if customer.keep_counts(&old, &self.rules) {
                *self.seen.entry("B8 anew").or_default() += 1;
            }
            customer.adopt(&self.rules, at);
            (customer.clock, customer.looked_until) = (at, at);
            let mut values = evaluate(&self.rules, customer.view(at), false);
            for (name, target) in &old.targets {
                if !self.rules.targets.contains_key(name) {
                    let value = target.is_audience().then(|| "out".to_string());
                    let held = values.get_mut(name).expect("an old target has a value");
                    if held.value != value {
                        held.value = value;
                    }
                }
            }
            self.publish(&id, at, values, Cause { name: "rules", trigger: None }, None);
            let known = &self.rules.targets;
            let customer = self.customers.get_mut(&id).expect("the customer exists");
            customer.values.retain(|name, _| known.contains_key(name));
        }
        self.note("R6");
    }

    /// R7 `erase` and `opt_out`.
    fn erase(&mut self, event: &Event, trigger: &Trigger) {
        let id = &event.customer;
        let mut until = event.time;
        if self.customers.contains_key(id) {
            self.fire(id, event.time);
            until = until.max(self.customers[id].clock);
            if self.customers[id].held_back_until(&self.rules, until).is_some() {
                self.note("dwell-erase");
            }
            self.forget(id, until, Cause { name: &event.kind, trigger: Some(trigger) });
        }
        let mark = match event.kind.as_str() {
            "erase" => Mark::Erased { until },
            _ => Mark::OptedOut { until, own_time: event.time },
        };
        self.marks.insert(id.clone(), mark);
        self.note("R7");
    }

    /// R7 `max_customers`: makes room for one new customer.
    fn make_room(&mut self) {
        while self.customers.len() >= self.rules.customers_max {
            let rank = |customer: &Customer| {
                let events = &customer.facts.events;
                let has_orders = events.iter().any(|one| one.event.kind == "purchase");
                let latest = events.iter().map(|one| one.event.time).max().expect("a customer has events");
                (has_orders, latest.div_euclid(DAY), customer.id.clone())
            };
            let first = self.customers.values().min_by_key(|customer| rank(customer)).expect("there are customers");
            let (id, at) = (first.id.clone(), first.clock.max(self.watermark.unwrap_or(first.clock)));
            self.forget(&id, at, Cause { name: "forgotten", trigger: None });
        }
    }

    /// Every segmentation to null, every audience out, and nothing remains.
    fn forget(&mut self, id: &str, at: i64, cause: Cause) {
        let customer = &self.customers[id];
        let published = customer.published;
        for (name, held) in customer.values.clone() {
            let to = self.rules.targets[&name].is_audience().then_some("out");
            if published && held.value.as_deref() != to {
                let mut change = self.change(id, &name, &held, to, cause.name, at);
                change.trigger = cause.trigger;
                change.features = "{}".into();
                change.next = None;
                self.send(id, change);
            }
        }
        if published {
            self.outcome.membership.insert(id.to_string(), None);
        }
        self.note_facts(id);
        self.customers.remove(id);
        self.ids.forget(id);
    }
}

fn is_about_consent(event: &Event) -> bool {
    ["erase", "opt_out", "opt_in"].contains(&event.kind.as_str())
}
