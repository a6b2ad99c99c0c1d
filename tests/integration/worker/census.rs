//! The census of a shard, compared with a naive count of its published changes, on random streams with random steps.

use crate::support::rules::loyalty;
use shoal::engine::decode::{Partitioner, Source};
use shoal::engine::effects::report::Report;
use shoal::engine::effects::{Cause, Effects};
use shoal::engine::event::{Millis, Record};
use shoal::engine::rule;
use shoal::engine::shard::{Bootstrap, Input, Settings, Shard};
use shoal::random::Random;
use std::collections::{BTreeMap, BTreeSet};

const MINUTE: Millis = 60_000;
const GRACE: Millis = 1_000;
/// 2026-06-01T09:57:00Z.
const BEGIN: Millis = 1_780_307_820_000;
const NAMED: usize = 3;

const MORE_RULES: &str = r#"
[time]
clock = "wall"
[audience.looking]
when = "views_1h >= 2"
[alert.lost]
segmentation = "lifecycle"
from = "loyal"
to = "at_risk"
above = 1
window = "1m"
customer_ids = 3
[alert.down]
segmentation = "lifecycle"
direction = "down"
above = 1
window = "1h"
causes = ["event", "late"]
[alert.looking]
segmentation = "looking"
to = "in"
above = 1
window = "1h"
causes = ["event"]
"#;

/// Whether some alert counts the change.
fn is_counted(segmentation: &str, from: Option<&str>, to: Option<&str>, cause: Cause) -> bool {
    match (segmentation, from, to) {
        ("lifecycle", Some("loyal"), Some("at_risk")) => matches!(cause, Cause::Event | Cause::Time | Cause::Late),
        ("lifecycle", Some("loyal" | "at_risk"), Some("none")) => matches!(cause, Cause::Event | Cause::Late),
        ("looking", _, Some("in")) => cause == Cause::Event,
        _ => false,
    }
}

/// Minute, segmentation, from and to.
type Way = (i64, String, String, String);

#[derive(Debug, Default, PartialEq)]
struct Counted {
    causes: BTreeMap<Way, [u64; 3]>,
    customers: BTreeMap<Way, BTreeSet<String>>,
}

impl Counted {
    /// The first customers of each flow in byte order.
    fn cut(mut self) -> Self {
        self.customers.retain(|(_, segmentation, from, _), _| segmentation == "lifecycle" && from == "loyal");
        self.customers.retain(|(.., to), _| to == "at_risk");
        for customers in self.customers.values_mut() {
            *customers = std::mem::take(customers).into_iter().take(NAMED).collect();
        }
        self
    }

    fn count(&mut self, minute: i64, effects: &Effects, change: &shoal::engine::effects::Change) {
        let text = |span: Option<_>| span.map_or("", |span| effects.text(span)).to_owned();
        let way = (minute, text(Some(change.segmentation)), text(change.from), text(change.to));
        self.causes.entry(way.clone()).or_default()[change.cause as usize] += 1;
        self.customers.entry(way).or_default().insert(text(Some(change.customer_id)));
    }

    fn take(&mut self, report: &Report) {
        for minute in &report.minutes {
            assert!(minute.number < report.mark);
            for flow in &minute.flows {
                let from = flow.key.from.as_deref().unwrap_or_default().to_owned();
                let way = (minute.number, flow.key.segmentation.to_string(), from, flow.key.to.to_string());
                assert!(self.causes.insert(way.clone(), flow.causes).is_none(), "{way:?} is reported twice");
                if !flow.customers.is_empty() {
                    self.customers.insert(way, flow.customers.iter().map(ToString::to_string).collect());
                }
            }
        }
    }
}

struct Event {
    arrival: Millis,
    offset: i64,
    key: String,
    value: String,
}

impl Event {
    fn record(&self) -> Record<'_> {
        Record {
            topic: 0,
            partition: 0,
            offset: self.offset,
            arrival: Some(self.arrival),
            key: Some(self.key.as_bytes()),
            value: self.value.as_bytes(),
        }
    }
}

/// Events that arrive within the grace, sometimes one that is half an hour late; many cancellations.
fn draw(random: &mut Random) -> Vec<Event> {
    let mut arrival = BEGIN;
    let mut events = Vec::new();
    let mut last_orders = BTreeMap::new();
    for offset in 0..1_500 {
        arrival += random.between(1, 2_500);
        let late = if random.one_in(30) { 30 * MINUTE } else { random.between(0, 900) };
        let time = arrival - late;
        let customer = random.below(60);
        let value = match random.below(8) {
            0..4 => {
                last_orders.insert(customer, offset);
                format!(r#"{{"type":"purchase","time":{time},"order_id":"o-{offset}","amount":"3"}}"#)
            }
            4 => {
                let order = last_orders.get(&customer).unwrap_or(&0);
                format!(r#"{{"type":"cancel","time":{time},"order_id":"o-{order}"}}"#)
            }
            5 => format!(r#"{{"type":"erase","time":{time}}}"#),
            _ => format!(r#"{{"type":"view","time":{time}}}"#),
        };
        events.push(Event { arrival, offset, key: format!("c-{customer:02}"), value });
    }
    events
}

fn shard() -> Shard {
    let settings = Settings {
        source: Source::Kafka { partitioner: Partitioner::Any, partitions: 1 },
        publish_from: None,
        bootstrap: Bootstrap::Nothing,
    };
    Shard::new(
        settings,
        rule::read(&(loyalty("orders >= 2 AND recency_days <= 0.001", "orders >= 1") + MORE_RULES)).unwrap(),
    )
}

fn records(events: &[Event]) -> Vec<Record<'_>> {
    events.iter().map(Event::record).collect()
}

fn fire_all(shard: &mut Shard, effects: &mut Effects) {
    while shard.has_due() {
        shard.apply(Input::Fire(7), effects);
    }
}

/// The census of the shard if each event is applied separately, and the expected census.
fn live(events: &[Event]) -> (Counted, Counted) {
    let (mut shard, mut effects) = (shard(), Effects::default());
    let (mut counted, mut naive) = (Counted::default(), Counted::default());
    let note = |effects: &mut Effects, arrival: Millis, naive: &mut Counted| {
        for change in &effects.changes {
            let text = |span: Option<_>| span.map(|span| effects.text(span));
            let (from, to) = (text(change.from), text(change.to));
            let is_fresh = change.detected_at - change.effective_at <= 5 * MINUTE;
            if is_fresh && is_counted(effects.text(change.segmentation), from, to, change.cause) {
                naive.count(change.effective_at.max(arrival - GRACE).div_euclid(MINUTE), effects, change);
            }
        }
        effects.clear();
    };
    for (event, record) in events.iter().zip(records(events)) {
        shard.apply(Input::Tick(event.arrival), &mut effects);
        fire_all(&mut shard, &mut effects);
        note(&mut effects, Millis::MIN / 2, &mut naive);
        count_report(&mut shard, &mut effects, &mut counted);
        shard.apply(Input::Records { now: event.arrival, records: &[record] }, &mut effects);
        fire_all(&mut shard, &mut effects);
        note(&mut effects, event.arrival, &mut naive);
    }
    shard.apply(Input::Tick(events.last().unwrap().arrival + 3 * MINUTE), &mut effects);
    fire_all(&mut shard, &mut effects);
    note(&mut effects, Millis::MIN / 2, &mut naive);
    count_report(&mut shard, &mut effects, &mut counted);
    (counted, naive.cut())
}

fn count_report(shard: &mut Shard, effects: &mut Effects, counted: &mut Counted) {
    if let Some(mark) = shard.census_due() {
        shard.apply(Input::Census(mark), effects);
        assert_eq!(shard.census_due(), None);
        let report = effects.reports.pop().expect("a report");
        assert_eq!((report.mark, report.alerts.len(), report.lost), (mark, 3, 0));
        counted.take(&report);
    }
}

#[test]
fn what_is_told_is_what_was_published() {
    let mut by_cause = [0; 3];
    for seed in 1..=20 {
        let events = draw(&mut Random(seed));
        let (counted, naive) = live(&events);
        let sum: u64 = counted.causes.values().flatten().sum();
        assert!(sum > 50, "seed {seed}: {sum} changes");
        counted.causes.values().for_each(|causes| (0..3).for_each(|cause| by_cause[cause] += causes[cause]));
        assert_eq!(counted, naive, "seed {seed}");
    }
    assert!(by_cause.iter().all(|count| *count > 5), "event, time and late: {by_cause:?}");
}

#[test]
fn how_the_inputs_are_cut_into_steps_does_not_matter() {
    for seed in 21..=30 {
        let mut random = Random(seed);
        let events = draw(&mut random);
        let expected = live(&events).0;
        let (mut shard, mut effects, mut counted) = (shard(), Effects::default(), Counted::default());
        let (mut rest, mut is_put_off) = (&events[..], false);
        while !rest.is_empty() {
            let (step, after) = rest.split_at(rest.len().min(1 + random.below(60) as usize));
            rest = after;
            let now = step.last().unwrap().arrival;
            shard.apply(Input::Records { now, records: &records(step) }, &mut effects);
            // Never so late that changes by time are no longer fresh.
            is_put_off = !is_put_off && random.one_in(2);
            if !is_put_off {
                fire_all(&mut shard, &mut effects);
            }
            count_report(&mut shard, &mut effects, &mut counted);
            effects.clear();
        }
        shard.apply(Input::Tick(events.last().unwrap().arrival + 3 * MINUTE), &mut effects);
        fire_all(&mut shard, &mut effects);
        count_report(&mut shard, &mut effects, &mut counted);
        assert_eq!(counted, expected, "seed {seed}");
    }
}
