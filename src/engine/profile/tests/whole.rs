//! Whole customers against the naive model: random events, late and at boundaries, with all reads after each event.

use super::event;
use super::naive::Naive;
use crate::engine::event::{AttributeValue, DAY, Event, EventType, HOUR, MINUTE, Millis, REMEMBERED};
use crate::engine::event_settings::{DeclaredKind, DeclaredType, EventSettings};
use crate::engine::profile::{Customer, NONE, Profiles, RowNumber, StoredValue, split_set};
use crate::random::Random;
use std::collections::BTreeMap;

const CATEGORIES: [&str; 5] = ["shoes", "bags", "hats", "a", "ä"];
const CHANNELS: [&str; 3] = ["web", "store", "app"];
const START: Millis = 1_600_000_000_000;

fn event_settings() -> EventSettings {
    let kinds = [DeclaredKind::Browsing, DeclaredKind::Activity, DeclaredKind::Other];
    let events = kinds.into_iter().enumerate().map(|(n, kind)| DeclaredType {
        name: format!("declared_{n}"),
        kind,
        retired: false,
    });
    EventSettings { events: events.collect(), ..EventSettings::default() }
}

/// Steps that hit the boundaries of sessions, hours, carts, memories.
fn step(random: &mut Random) -> Millis {
    let scale = [0, 1, 1_000, 5 * MINUTE, 30 * MINUTE, HOUR, 5 * HOUR, DAY, 10 * DAY, 30 * DAY, 200 * DAY, REMEMBERED];
    let sizes = if random.below(8) == 0 { 12 } else { 9 };
    let size = scale[random.below(sizes) as usize];
    match random.below(3) {
        0 => (size + random.below(3) as i64 - 1).max(0),
        _ => random.below(size as u64 + 1) as i64,
    }
}

fn amount(random: &mut Random) -> i64 {
    [0, 1, 4, 500, 503, 505, 1_000, 10_000][random.below(8) as usize]
}

fn categories(random: &mut Random, event: &mut Event<'static>) {
    for _ in 0..random.below(4) {
        event.categories.add(CATEGORIES[random.below(5) as usize].into());
    }
}

fn random_event(random: &mut Random, time: Millis, profile: u64) -> Event<'static> {
    let cart = [5, 5, 6, 7, 0, 2, 1];
    let orders = [0, 0, 0, 1, 1, 2, 3, 48, 48];
    let all = [0, 0, 1, 2, 48, 3, 3, 4, 5, 5, 6, 7, 8, 9, 10, 11, 14, 16, 17, 18];
    let pick = |types: &[u8], random: &mut Random| EventType(types[random.below(types.len() as u64) as usize]);
    let event_type = match profile {
        0 => pick(&cart, random),
        1 => pick(&orders, random),
        _ => pick(&all, random),
    };
    let mut event = event(event_type, time);
    match event_type {
        EventType::PURCHASE => {
            event.amount = Some(amount(random));
            event.discount = (random.below(3) == 0).then_some(1);
            categories(random, &mut event);
            event.channel = [None, Some(CHANNELS[random.below(3) as usize].into())][random.below(2) as usize].clone();
        }
        EventType::REFUND => event.amount = Some(amount(random).max(1)),
        EventType::AMEND => event.amount = Some(amount(random)),
        EventType::CART_ADD | EventType::CART_REMOVE => {
            event.cart_total = [None, None, Some(amount(random))][random.below(3) as usize];
        }
        EventType::VIEW => categories(random, &mut event),
        EventType::PROFILE => {
            for index in 0..3 {
                let text = AttributeValue::Text(CATEGORIES[random.below(5) as usize].into());
                let number = AttributeValue::Number(random.below(9) as f64);
                let skipped = random.below(CATEGORIES.len() as u64 + 1) as usize;
                let texts = CATEGORIES.iter().skip(skipped).map(|text| (*text).into());
                let values = [
                    AttributeValue::Removed,
                    text,
                    number,
                    AttributeValue::Boolean(true),
                    AttributeValue::Time(-5),
                    AttributeValue::Texts(texts.collect()),
                ];
                event.attributes.push((index * 20, values[random.below(6) as usize].clone()));
            }
        }
        _ => {}
    }
    let has_id = matches!(event_type, EventType::PURCHASE | EventType::REFUND) && random.below(5) > 0;
    if has_id || matches!(event_type, EventType::CANCEL | EventType::AMEND) {
        event.order_id = Some(format!("order {}", random.below(if profile == 1 { 80 } else { 12 })).into());
        if event_type == EventType::REFUND && random.below(3) == 0 {
            event.amount = None;
        }
    }
    if event_type.is_about_orders() && random.below(3) > 0 {
        event.event_id = Some(format!("event {}", random.below(if profile == 1 { 400 } else { 6 })).into());
    }
    event.foreign = event_type.is_about_orders() && event.amount.is_some() && random.below(4) == 0;
    event
}

fn check_orders(customer: &Customer<'_>, naive: &Naive, now: Millis) {
    let (row, totals, sorted) = (customer.row(), customer.totals(), naive.sorted());
    let counting: Vec<_> = sorted.iter().filter(|order| order.counts()).collect();
    let remembered = customer.orders();
    assert_eq!(row.placed as usize, sorted.len());
    assert_eq!(row.orders as usize, counting.len());
    assert_eq!(row.first_order, counting.first().map_or(NONE, |order| order.time));
    assert_eq!(row.last_order, counting.last().map_or(NONE, |order| order.time));
    let unlinked: i64 = naive.refunds.iter().filter(|refund| refund.2).map(|refund| refund.1).sum();
    assert_eq!(row.revenue, counting.iter().map(|order| order.net()).sum::<i64>() - unlinked);
    assert_eq!(totals.unlinked, unlinked);
    assert_eq!(totals.refunded, naive.refunds.iter().map(|refund| refund.1).sum::<i64>());
    assert_eq!(totals.placed as usize + remembered.len(), sorted.len());
    let returned = sorted.iter().filter(|order| order.cancelled || order.returned).count();
    assert_eq!(totals.returned as usize + remembered.iter().filter(|order| order.returned()).count(), returned);
    let discounted = counting.iter().filter(|order| order.discounted).count();
    let known = remembered.iter().filter(|order| order.counts() && order.discounted()).count();
    assert_eq!(totals.discounted as usize + known, discounted);
    let last_value = remembered.iter().rev().find(|order| order.counts()).map(|order| order.net());
    let last_value = last_value.or((totals.counting > 0).then_some(totals.last_value));
    assert_eq!(last_value, counting.last().map(|order| order.net()));
    let largest = remembered.iter().filter(|order| order.counts()).map(|order| order.net()).max();
    let largest = largest.max((totals.counting > 0).then_some(totals.largest));
    assert_eq!(largest, counting.iter().map(|order| order.net()).max());
    let begin = now - REMEMBERED;
    let young: Vec<_> = sorted.iter().filter(|order| order.time >= begin).collect();
    let known: Vec<_> = remembered.iter().filter(|order| order.time() >= begin).collect();
    assert_eq!(young.len(), known.len());
    for (known, order) in known.into_iter().zip(young) {
        assert_eq!((known.time(), known.amount(), known.given()), (order.time, order.amount(), order.given));
        assert_eq!((known.cancelled(), known.counts()), (order.cancelled, order.counts()));
        assert_eq!((known.parts().foreign, known.amended()), (order.foreign, !order.amendments.is_empty()));
        let mut categories = order.categories.clone();
        categories.sort();
        assert_eq!(customer.categories(known).collect::<Vec<_>>(), categories);
        assert_eq!(customer.channel(known), order.channel.as_deref());
    }
    let mut refunds: Vec<_> = naive.refunds.iter().filter(|refund| refund.0 > begin && refund.1 > 0).collect();
    refunds.sort_by_key(|refund| refund.0);
    let known: Vec<_> = customer.refunds().iter().filter(|refund| refund.time() > begin).collect();
    assert!(known.is_sorted_by_key(|refund| refund.time()));
    let known: Vec<_> = known.iter().map(|refund| (refund.time(), refund.given(), refund.unlinked())).collect();
    assert_eq!(known, refunds.into_iter().copied().collect::<Vec<_>>());
}

fn check_counts(customer: &Customer<'_>, naive: &Naive, now: Millis, random: &mut Random) {
    let window = [HOUR, DAY, 7 * DAY, 30 * DAY, REMEMBERED][random.below(5) as usize];
    let after = now - window;
    for event_type in (3..=10).chain([15, 16, 17, 18]).map(EventType) {
        let hours = naive.hours_after(event_type, after);
        assert_eq!(customer.hours_after(event_type, after).collect::<Vec<_>>(), hours, "{event_type:?}");
        let events = hours.iter().map(|hour| hour.1).sum::<u64>();
        assert_eq!(customer.count_after(event_type, after), events);
        let enough = random.below(12);
        assert_eq!(customer.count_up_to(event_type, after, enough).min(enough), events.min(enough));
        assert_eq!(customer.next_newest(event_type, after), hours.last().map(|hour| hour.0));
        let n = 1 + random.below(8);
        let mut seen = 0;
        let nth = hours.iter().find(|hour| {
            seen += hour.1;
            seen >= n
        });
        assert_eq!(customer.nth_latest(event_type, after, n), nth.map(|hour| hour.0));
    }
    for event_type in (0..=2).chain(3..=11).chain(16..=18).chain([48]).map(EventType) {
        let recent = |time: &Millis| *time > now - REMEMBERED;
        assert_eq!(customer.latest(event_type).filter(recent), naive.latest(event_type).filter(recent));
    }
    for category in CATEGORIES {
        let hours = naive.views_in(category, after);
        assert_eq!(customer.views_in_after(category, after), hours.iter().map(|hour| hour.1).sum::<u64>());
        assert_eq!(customer.next_view_in(category, after), hours.last().map(|hour| hour.0));
    }
}

fn check_rest(customer: &Customer<'_>, naive: &Naive, now: Millis, event_settings: &EventSettings) {
    let row = customer.row();
    assert_eq!(row.first_event, naive.events.iter().map(|event| event.time).min().unwrap());
    let last_event = naive.events.iter().map(|event| event.time).max().unwrap();
    assert_eq!(i64::from(row.last_event_day), last_event / DAY);
    let active = naive.events.iter().filter(|event| event_settings.is_activity(event.event_type));
    assert_eq!(row.last_activity, active.map(|event| event.time).max().unwrap_or(NONE));
    for index in [0, 20, 40, 60] {
        let value = match customer.attribute(index) {
            None => None,
            Some(StoredValue::Text(text)) => Some(AttributeValue::Text(text.to_string().into())),
            Some(StoredValue::Number(number)) => Some(AttributeValue::Number(number)),
            Some(StoredValue::Boolean(is)) => Some(AttributeValue::Boolean(is)),
            Some(StoredValue::Time(time)) => Some(AttributeValue::Time(time)),
            Some(StoredValue::Texts(set)) => {
                Some(AttributeValue::Texts(split_set(set).map(|text| text.to_string().into()).collect()))
            }
        };
        let mut expected = naive.attribute(index);
        if let Some(AttributeValue::Texts(texts)) = &mut expected {
            texts.sort();
        }
        assert_eq!(value, expected);
    }
    let cart = naive.open_cart(now);
    assert_eq!(customer.cart_open(now), cart.is_some());
    if let Some((reached, value)) = cart {
        assert_eq!((customer.cart_last(), customer.cart_value()), (reached, value));
    }
}

fn check(customer: &Customer<'_>, naive: &Naive, now: Millis, event_settings: &EventSettings, random: &mut Random) {
    check_orders(customer, naive, now);
    check_counts(customer, naive, now, random);
    check_rest(customer, naive, now, event_settings);
}

/// One customer of the test: its row and its clock.
struct TestCustomer {
    row: RowNumber,
    clock: Millis,
    naive: Naive,
    /// Refunds, cancellations and amendments that were recognised as repeated.
    repeated: u32,
}

fn live(
    random: &mut Random,
    profiles: &mut Profiles,
    known: &mut TestCustomer,
    event_settings: &EventSettings,
    profile: u64,
) {
    let late = random.below(4) == 0;
    let time = if late { (known.clock - step(random)).max(START) } else { known.clock + step(random) };
    let event = random_event(random, time, profile);
    let at = known.clock.max(time);
    let duplicate = event.event_type == EventType::PURCHASE && known.naive.is_duplicate(&event, at);
    assert_eq!(profiles.is_duplicate_order(known.row, &event, at), duplicate);
    let repeated = known.naive.is_duplicate_return(&event, at);
    assert_eq!(profiles.is_duplicate_return(known.row, &event, at), repeated);
    known.repeated += u32::from(repeated);
    if duplicate || repeated {
        return;
    }
    let dropped = profiles.update(known.row, &event, at, event_settings).return_ids;
    let before = known.naive.ids_dropped;
    known.naive.add(&event, at, event_settings);
    assert_eq!(dropped, known.naive.ids_dropped - before);
    known.clock = at;
    let customer = profiles.customer(known.row);
    check(&customer, &known.naive, at, event_settings, random);
    let later = at + step(random);
    check(&customer, &known.naive, later, event_settings, random);
}

fn uses(all: &BTreeMap<usize, TestCustomer>, profiles: &Profiles) -> BTreeMap<String, u32> {
    let mut uses = BTreeMap::new();
    for known in all.values() {
        let customer = profiles.customer(known.row);
        for order in customer.orders() {
            let set: Vec<&str> = customer.categories(order).collect();
            let joined: String = set.iter().map(|text| format!("{}{text}", text.len() as u8 as char)).collect();
            for text in
                customer.channel(order).map(String::from).into_iter().chain(Some(joined).filter(|set| !set.is_empty()))
            {
                *uses.entry(text).or_default() += 1;
            }
        }
        for index in [0, 20, 40] {
            if let Some(StoredValue::Text(text) | StoredValue::Texts(text)) = customer.attribute(index)
                && !text.is_empty()
            {
                *uses.entry(text.into()).or_default() += 1;
            }
        }
        for pair in profiles.category_hours(known.row) {
            *uses.entry(pair.into()).or_default() += 1;
        }
    }
    uses
}

#[test]
fn customers_agree_with_the_naive_model() {
    let mut random = Random::of_test();
    let event_settings = event_settings();
    let mut repeated = 0;
    for _ in 0..40 {
        let mut profiles = Profiles::new();
        let mut all: BTreeMap<usize, TestCustomer> = BTreeMap::new();
        let profile = random.below(3);
        for _ in 0..600 {
            let who = random.below(6) as usize;
            let id = format!("{}{who}", "customer ".repeat(who));
            let hash = Profiles::hash(id.as_bytes());
            assert_eq!(profiles.find(hash, &id), all.get(&who).map(|known| known.row));
            if random.below(300) == 0
                && let Some(known) = all.remove(&who)
            {
                profiles.remove(known.row);
                continue;
            }
            let known = all.entry(who).or_insert_with(|| {
                let row = profiles.create(hash, &id, 4);
                TestCustomer {
                    row,
                    clock: START + random.below(DAY as u64) as i64,
                    naive: Naive::default(),
                    repeated: 0,
                }
            });
            live(&mut random, &mut profiles, known, &event_settings, profile);
            assert_eq!(profiles.customer(known.row).id(), id);
        }
        assert_eq!(profiles.len(), all.len());
        assert_eq!(profiles.texts.uses(), uses(&all, &profiles));
        for known in all.into_values() {
            repeated += known.repeated;
            profiles.remove(known.row);
        }
        assert_eq!(profiles.texts.uses(), BTreeMap::new());
        let bytes = profiles.bytes();
        assert_eq!(bytes.blocks, bytes.blocks_free);
    }
    assert!(repeated > 50, "{repeated} refunds, cancellations and amendments were recognised as repeated");
}

#[test]
fn blocks_that_move_lose_nothing() {
    let mut random = Random::of_test();
    let (mut profiles, event_settings) = (Profiles::new(), event_settings());
    let id = |who: usize| format!("{}{who}", "long ".repeat(who % 7));
    let mut naive = vec![(0u64, 0usize, START); 1_500];
    for who in 0..naive.len() {
        profiles.create(Profiles::hash(id(who).as_bytes()), &id(who), 2);
    }
    for _ in 0..60_000 {
        let who = random.below(naive.len() as u64) as usize;
        let (views, orders, clock) = &mut naive[who];
        let row = profiles.find(Profiles::hash(id(who).as_bytes()), &id(who)).expect("a known customer");
        if random.below(200) == 0 {
            profiles.remove(row);
            profiles.create(Profiles::hash(id(who).as_bytes()), &id(who), 2);
            (*views, *orders) = (0, 0);
            continue;
        }
        *clock += random.below(6 * HOUR as u64) as i64;
        let is_view = random.below(5) > 0;
        let mut event = event(if is_view { EventType::VIEW } else { EventType::PURCHASE }, *clock);
        event.amount = Some(5);
        profiles.update(row, &event, *clock, &event_settings);
        *views += u64::from(is_view);
        *orders += usize::from(!is_view);
    }
    for (who, (views, orders, _)) in naive.iter().enumerate() {
        let row = profiles.find(Profiles::hash(id(who).as_bytes()), &id(who)).expect("a known customer");
        let customer = profiles.customer(row);
        assert_eq!((customer.count_after(EventType::VIEW, 0), customer.orders().len()), (*views, *orders));
    }
    let bytes = profiles.bytes();
    let whole_chunks = 2 * 65_536;
    assert!(bytes.blocks_free < bytes.blocks / 10 + whole_chunks, "{bytes:?}");
}
