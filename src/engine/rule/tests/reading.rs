//! The truths before an event, told from the customer after it, are those that were there to read.

use super::random::{HEAD, comparison, populate};
use super::{World, event, rules};
use crate::engine::event::{DAY, EventType, HOUR, MINUTE};
use crate::engine::rule::AddedEvents;
use crate::random::Random;

#[test]
fn truths_before_an_event_are_told_afterwards() {
    let types = [
        EventType::VIEW,
        EventType::SEARCH,
        EventType::CART_ADD,
        EventType::CHECKOUT,
        EventType::CLICK,
        EventType::EXPOSURE,
        EventType::declared(0),
    ];
    let mut random = Random::of_test();
    let (mut told, mut flipped) = (0, 0);
    for _ in 0..100 {
        let conditions: Vec<_> = (0..12).map(|_| comparison(&mut random)).collect();
        let file = format!("{HEAD}[audience.a]\nwhen = {:?}\n", conditions.join(" OR "));
        let mut world = World::new(rules(&file));
        populate(&mut world, 10, &mut random);
        for _ in 0..30 {
            let rules = world.rules.clone();
            let now = world.clock + random.pick(&[0, 1, 7 * MINUTE, HOUR - 1, DAY]);
            let event_type = random.pick(&types);
            let is_browsing = rules.event_settings.is_browsing(event_type);
            let starts_session = is_browsing && world.customer().row().starts_session(now);
            let affected = rules.affected_comparisons(event_type);
            let (read, known, truths) = (rules.truths(), rules.truths(), rules.truths());
            rules.read_truths(affected, &world.customer(), now, &read);
            rules.read_truths_before_event(event_type, &world.customer(), now, &known);
            told += affected.iter().filter(|index| known.known(**index).is_none()).count();
            world.apply(&event(event_type, now));
            let customer = world.customer();
            let after = rules.reading(&customer, now, &truths);
            let added = AddedEvents { event_type, starts_session, own_counts: 0 };
            let is_same = rules.has_same_truths(added, &known, &after);
            for &index in affected {
                assert_eq!(known.get(index), read.get(index), "{} before {event_type:?}", rules.text(index));
            }
            let changed = affected.iter().filter(|index| read.get(**index) != after.get(**index)).count();
            assert_eq!(is_same, changed == 0);
            flipped += changed;
        }
    }
    println!("{told} truths told, {flipped} flips");
    assert!(told > 300 && flipped > 30, "{told} {flipped}");
}
