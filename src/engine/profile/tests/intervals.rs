//! Absolute intervals: what leaves the memory stays counted in the intervals in force, whatever it leaves for.

use super::event;
use crate::engine::event::{DAY, EventType, HOUR, Millis};
use crate::engine::event_settings::{EventSettings, Interval};
use crate::engine::profile::{Customer, Profiles, RowNumber};

/// The start of an hour and of no day.
const START: Millis = 472_222 * HOUR;

const fn interval(counted: EventType, from: Millis, to: Millis) -> Interval {
    Interval { counted, from: START + from, to: START + to }
}

fn one(intervals: &[Interval]) -> (Profiles, RowNumber, EventSettings) {
    let mut profiles = Profiles::new();
    let row = profiles.create(Profiles::hash(b"c"), "c", 3);
    (profiles, row, EventSettings { intervals: intervals.to_vec(), ..EventSettings::default() })
}

fn order(profiles: &mut Profiles, row: RowNumber, settings: &EventSettings, time: Millis, at: Millis) {
    let mut purchase = event(EventType::PURCHASE, START + time);
    purchase.amount = Some(100);
    profiles.update(row, &purchase, START + at, settings);
}

/// Orders and their net amount.
fn orders(customer: Customer<'_>, interval: &Interval) -> (i64, i64) {
    let inside = customer.orders().iter().filter(|order| order.counts() && interval.contains(order.time()));
    let (count, net) = customer.folded_interval(interval);
    inside.fold((count, net), |(count, net), order| (count + 1, net + order.net()))
}

#[test]
fn orders_beyond_the_bound_stay_counted() {
    let interval = interval(EventType::PURCHASE, 100_000, 1_200_000);
    let (mut profiles, row, settings) = one(&[interval]);
    for n in 0..5_000 {
        order(&mut profiles, row, &settings, n * 1_000, n * 1_000);
    }
    assert_eq!(profiles.customer(row).folded_interval(&interval), (804, 80_400));
    assert_eq!(orders(profiles.customer(row), &interval), (1_100, 110_000));
    profiles.remove(row);
    assert_eq!(profiles.folded_intervals.of(row), []);
}

#[test]
fn hours_beyond_the_bound_and_past_ones_stay_counted() {
    let views = interval(EventType::VIEW, 10 * HOUR, 1_000 * HOUR);
    let opens = interval(EventType::OPEN, 0, 1_000 * HOUR);
    let (mut profiles, row, settings) = one(&[views, opens]);
    for n in 0..3_000 {
        for event_type in [EventType::VIEW, EventType::OPEN] {
            let time = START + n * HOUR;
            profiles.update(row, &event(event_type, time), time, &settings);
        }
    }
    let between = |profiles: &Profiles, interval| profiles.customer(row).events_between(interval);
    assert_eq!((between(&profiles, &views), between(&profiles, &opens)), (990, 1_000));
    assert_eq!(profiles.customer(row).folded_interval(&views), (942, 0));
    // Too old to be stored, and an hour that was removed at the bound.
    for (time, at) in [(20, 20_000), (30, 3_000)] {
        profiles.update(row, &event(EventType::VIEW, START + time * HOUR), START + at * HOUR, &settings);
    }
    profiles.update(row, &event(EventType::SEARCH, START + 20_000 * HOUR), START + 20_000 * HOUR, &settings);
    assert_eq!((between(&profiles, &views), between(&profiles, &opens)), (992, 1_000));
    assert_eq!(profiles.customer(row).count_after(EventType::VIEW, i64::MIN), 0);
}

#[test]
fn a_new_interval_counts_what_is_remembered() {
    let orders_of = |from, to| interval(EventType::PURCHASE, from, to);
    let (old, gone) = (orders_of(0, 10 * DAY), orders_of(0, 20 * DAY));
    let new = orders_of(0, 30 * DAY);
    let views = interval(EventType::VIEW, 0, 10 * DAY);
    let (mut profiles, row, settings) = one(&[old, gone]);
    for day in [0, 1, 5, 15] {
        order(&mut profiles, row, &settings, day * DAY, day * DAY);
        profiles.update(row, &event(EventType::VIEW, START + day * DAY), START + day * DAY, &settings);
    }
    let at = START + 401 * DAY;
    profiles.change_intervals(row, at, &settings.intervals, &[old, new, views]);
    let customer = profiles.customer(row);
    assert_eq!((orders(customer, &old), orders(customer, &new)), ((3, 300), (3, 300)));
    assert_eq!(customer.folded_interval(&gone), (0, 0));
    assert_eq!(customer.events_between(&views), 2);
    // What comes late counts, however old it is.
    let settings = EventSettings { intervals: vec![old, new, views], ..settings };
    order(&mut profiles, row, &settings, 2 * DAY, 405 * DAY);
    profiles.update(row, &event(EventType::VIEW, START), START + 405 * DAY, &settings);
    let customer = profiles.customer(row);
    assert_eq!((orders(customer, &old), orders(customer, &new)), ((4, 400), (4, 400)));
    assert_eq!(customer.events_between(&views), 3);
}
