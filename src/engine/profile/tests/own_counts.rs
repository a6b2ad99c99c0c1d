//! Counts of one's own among the hours, compared with a list of all counted events.

use super::event;
use crate::engine::event::{EventType, HOUR, Millis};
use crate::engine::event_settings::EventSettings;
use crate::engine::profile::{Profiles, RowNumber};
use crate::random::Random;

/// The start of an hour.
const START: i64 = 472_222 * HOUR;
const BUILT_IN: [EventType; 4] = [EventType::VIEW, EventType::CLICK, EventType::CHECKOUT, EventType::OPEN];

/// Number of events in the hours whose newest one is after `after`.
fn count(times: &[Millis], after: Millis) -> u64 {
    let newest = |of: Millis| times.iter().filter(|time| *time / HOUR == of / HOUR).max().copied().unwrap_or(of);
    times.iter().filter(|time| newest(**time) > after).count() as u64
}

fn compare(profiles: &Profiles, row: RowNumber, all: &[(EventType, Vec<Millis>)], random: &mut Random) {
    let customer = profiles.customer(row);
    for (event_type, times) in all {
        let after = START + random.between(-1, 50 * HOUR);
        assert_eq!(customer.count_after(*event_type, after), count(times, after), "{event_type:?} after {after}");
        assert_eq!(customer.latest(*event_type), times.iter().max().copied());
    }
}

#[test]
fn counts_are_those_of_a_list() {
    let mut random = Random::of_test();
    let event_settings = EventSettings::default();
    for _ in 0..8 {
        let mut profiles = Profiles::new();
        let row = profiles.create(Profiles::hash(b"c"), "c", 1);
        let own = (0..32).map(EventType::own_count);
        let mut all: Vec<(EventType, Vec<Millis>)> = BUILT_IN.into_iter().chain(own).map(|of| (of, vec![])).collect();
        let hours = random.between(1, 50);
        for _ in 0..random.between(1, 300) {
            let time = START + random.below(hours as u64) as i64 * HOUR + random.between(0, HOUR - 1);
            let at = START + 60 * HOUR;
            let counts = random.draw() as u32 & random.draw() as u32;
            let kind = random.below(BUILT_IN.len() as u64) as usize;
            profiles.update(row, &event(BUILT_IN[kind], time), at, &event_settings);
            profiles.count_own(row, counts, time, at, &[]);
            all[kind].1.push(time);
            for index in (0..32).filter(|index| counts >> index & 1 != 0) {
                all[BUILT_IN.len() + index].1.push(time);
            }
            if random.one_in(100) {
                let dropped = random.draw() as u32;
                profiles.drop_own_counts(row, dropped);
                for index in (0..32).filter(|index| dropped >> index & 1 != 0) {
                    all[BUILT_IN.len() + index].1.clear();
                }
            }
            compare(&profiles, row, &all, &mut random);
        }
        profiles.drop_own_counts(row, u32::MAX);
        all.truncate(BUILT_IN.len());
        compare(&profiles, row, &all, &mut random);
        assert_eq!(profiles.customer(row).latest(EventType::own_count(3)), None);
    }
}

/// Their hours are shared: the oldest goes, with all that is counted in it, and what else is in it stays.
#[test]
fn the_oldest_of_2049_hours_of_all_counts_goes() {
    let mut profiles = Profiles::new();
    let row = profiles.create(Profiles::hash(b"c"), "c", 1);
    let mut removed = 0;
    for n in 0..2_100 {
        let time = START + n * HOUR;
        profiles.update(row, &event(EventType::OPEN, START), time, &EventSettings::default());
        removed += profiles.count_own(row, if n % 2 == 0 { 0b11 } else { 0b100 }, time, time, &[]);
    }
    let customer = profiles.customer(row);
    let kept = |event_type| customer.count_after(event_type, i64::MIN);
    assert_eq!(removed, 2_100 - 2_048);
    assert_eq!([0, 1, 2].map(|index| kept(EventType::own_count(index))), [1_024; 3]);
    assert_eq!(kept(EventType::OPEN), 2_100);
    assert_eq!(customer.next_newest(EventType::own_count(0), i64::MIN), Some(START + 52 * HOUR));
}
