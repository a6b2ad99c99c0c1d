//! What this program itself computes, checked on small examples before each run: a comparison that cannot find a
//! difference would be worth nothing.

use crate::measure::Measured;
use crate::model::Model;
use crate::outcome::Outcome;
use crate::process::cpu_seconds_in;
use crate::report::{Spread, grouped};
use crate::stream::{DAY, Event, Kind, Shape, Stream, customer_of, id_of};

pub fn all() {
    time_alone_changes_values();
    audiences_follow_their_windows();
    the_comparison_finds_what_differs();
    the_stream_has_the_wanted_share_of_changes();
    events_are_json_of_some_200_bytes();
    figures_have_a_spread();
    processor_time_is_read_behind_any_name();
}

fn event(customer: u32, kind: Kind, time: i64, cents: u32) -> Event {
    Event { customer, kind, time, cents }
}

fn model_of(customers: u64, events: &[Event]) -> Model {
    let mut model = Model::new(customers);
    events.iter().for_each(|&event| model.push(event));
    model
}

/// One order: `new` for 30 days inclusive, then `at_risk`, then `dormant`. Another customer lets time pass.
fn time_alone_changes_values() {
    let after = |later: i64| {
        let events = [event(0, Kind::Purchase, 1, 1_000), event(1, Kind::Open, 1 + later, 0)];
        let expected = model_of(2, &events).play();
        (expected.values[0].expect("it had an event")[0], expected.changes)
    };
    // Two of the changes are the first segments.
    assert_eq!(after(30 * DAY), ("new", 2));
    assert_eq!(after(30 * DAY + 1), ("at_risk", 3));
    assert_eq!(after(45 * DAY), ("at_risk", 3));
    assert_eq!(after(45 * DAY + 1), ("dormant", 4));
}

fn audiences_follow_their_windows() {
    let mut events: Vec<Event> = (1..=5).map(|time| event(0, Kind::View, time, 0)).collect();
    events.push(event(0, Kind::Purchase, 6, 20_001));
    let values = |events: &[Event]| model_of(2, events).play().values[0];
    assert_eq!(values(&events), Some(["new", "in", "in"]));
    let at = |time: i64| [&events[..], &[event(1, Kind::Open, time, 0)]].concat();
    // The first of five views leaves the window exactly seven days after it.
    assert_eq!(values(&at(7 * DAY)), Some(["new", "in", "in"]));
    assert_eq!(values(&at(7 * DAY + 1)), Some(["new", "out", "in"]));
    events.push(event(0, Kind::Refund, 7, 1));
    assert_eq!(values(&events), Some(["new", "in", "out"]), "200.00 is not above 200");
    // Views and a segment, in and out of both audiences, and the other customer's segment.
    assert_eq!(model_of(2, &[&events[..], &[event(1, Kind::Open, 8 * DAY, 0)]].concat()).play().changes, 7);
}

fn the_comparison_finds_what_differs() {
    let expected = model_of(3, &[event(0, Kind::Open, 1, 0), event(1, Kind::Purchase, 2, 1_000)]).play();
    let mut outcome = Outcome::new(3);
    outcome.take(br#"{"customer_id":"c-00000000","segmentation":"lifecycle","from":null,"to":"prospect"}"#);
    outcome.take(br#"{"customer_id":"c-00000001","segmentation":"lifecycle","from":null,"to":"new"}"#);
    assert_eq!(outcome.compare(&expected).alike, 3, "the third has no event and no change");
    outcome.take(br#"{"customer_id":"c-00000001","segmentation":"high_value_30d","from":"out","to":"in"}"#);
    outcome.take(br#"{"customer_id":"c-00000002","segmentation":"lifecycle","from":null,"to":"prospect"}"#);
    let agreement = outcome.compare(&expected);
    assert_eq!((agreement.customers, agreement.alike), (3, 1));
    assert_eq!((agreement.changes, agreement.changes_expected), (4, 2));
    let differences: Vec<&str> = agreement.differences.keys().map(String::as_str).collect();
    assert_eq!(differences, ["high_value_30d in in place of out", "lifecycle prospect in place of none"]);
}

fn the_stream_has_the_wanted_share_of_changes() {
    let shape = Shape { customers: 500, events: 20_000, changes_percent: 22.0 };
    let mut model = Model::new(shape.customers);
    Stream::of(shape).for_each(|event| model.push(event));
    let percent = 100.0 * model.play().changes as f64 / shape.events as f64;
    assert!((percent - shape.changes_percent).abs() < 1.5, "{percent} % of the events cause a change");
}

fn events_are_json_of_some_200_bytes() {
    let mut text = String::new();
    for kind in [Kind::Purchase, Kind::View, Kind::Refund, Kind::Open] {
        event(7, kind, 1_709_251_200_000, 1_205).write_json(42, &mut text);
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(json["time"], "2024-03-01T00:00:00.000Z", "{text}");
        assert!((180..=220).contains(&text.len()), "{} bytes: {text}", text.len());
    }
    assert_eq!(customer_of(&id_of(7)), Some(7));
}

fn figures_have_a_spread() {
    assert_eq!(Spread::of([3.0, 1.0, 2.0]), Spread { median: 2.0, least: 1.0, greatest: 3.0 });
    assert_eq!(Spread::of([1.0, 2.0]).median, 1.5);
    assert_eq!(Spread::of([1.04, 1.0]).text(0), "1");
    assert_eq!(Spread::of([1.0, 2.0, 4.0]).text(1), "2.0 (1.0 to 4.0)");
    assert_eq!([7, 1_000, 1_234_567].map(grouped), ["7", "1,000", "1,234,567"]);
}

fn processor_time_is_read_behind_any_name() {
    let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194304 100 0 0 0 150 50 20 5 20 0 9 0 1 2 3";
    assert_eq!(cpu_seconds_in(stat), Some(2.25));
    assert_eq!(cpu_seconds_in("7 (cut) S 1"), None);
}

/// # Panics
/// If a system ended with other values or another number of changes than the model.
pub fn everybody_agrees(measured: &[Measured]) {
    for (system, runs) in measured.iter().flat_map(|measured| &measured.systems) {
        for agreement in runs.iter().filter_map(|run| run.agreement.as_ref()) {
            assert_eq!(agreement.alike, agreement.customers, "{}: {}", system.name, agreement.in_words());
            assert_eq!(agreement.changes, agreement.changes_expected, "{}: changes", system.name);
        }
    }
}
