//! The behaviour at the bounds, and the memory that a customer takes.

use super::event;
use crate::engine::event::{DAY, EventType, HOUR, REMEMBERED};
use crate::engine::event_settings::EventSettings;
use crate::engine::profile::storage::Section;
use crate::engine::profile::{
    CategoryHour, HeldValue, NONE, Order, Profiles, Refund, ReturnId, Row, RowNumber, Totals, Waiting,
};

/// The start of an hour and of no day.
const START: i64 = 472_222 * HOUR;

impl Profiles {
    /// The categories of the pairs of a customer: for tests.
    pub(super) fn category_hours(&self, row: RowNumber) -> impl Iterator<Item = &str> {
        let pairs: &[CategoryHour] = self.blocks.records(self.row(row).block, Section::CategoryHours);
        pairs.iter().map(|pair| self.texts.get(pair.category))
    }
}

fn one() -> (Profiles, RowNumber, EventSettings) {
    let mut profiles = Profiles::new();
    let row = profiles.create(Profiles::hash(b"c"), "c", 3);
    (profiles, row, EventSettings::default())
}

#[test]
fn the_oldest_of_4097_orders_is_folded() {
    let (mut profiles, row, event_settings) = one();
    let mut folded = 0;
    for n in 0..5_000 {
        let mut purchase = event(EventType::PURCHASE, START + n * 1_000);
        purchase.amount = Some(100);
        purchase.order_id = Some(n.to_string().into());
        folded += profiles.update(row, &purchase, purchase.time, &event_settings).orders;
    }
    let customer = profiles.customer(row);
    assert_eq!((folded, customer.orders().len(), customer.totals().placed), (904, 4_096, 904));
    assert_eq!((customer.row().orders, customer.row().revenue), (5_000, 500_000));
    assert_eq!((customer.row().first_order, customer.orders()[0].time()), (START, START + 904_000));
    profiles.remove(row);
    let bytes = profiles.bytes();
    assert_eq!(bytes.blocks, bytes.blocks_free);
}

#[test]
fn the_oldest_of_4097_refunds_is_removed() {
    let (mut profiles, row, event_settings) = one();
    let mut cut = 0;
    for n in 0..5_000 {
        let mut refund = event(EventType::REFUND, START + n);
        refund.amount = Some(1);
        cut += profiles.update(row, &refund, refund.time, &event_settings).refunds;
    }
    let customer = profiles.customer(row);
    assert_eq!((cut, customer.refunds().len(), customer.refunds()[0].time()), (904, 4_096, START + 904));
    assert_eq!((customer.totals().refunded, customer.row().revenue), (5_000, -5_000));
}

#[test]
fn the_first_of_65_ids_of_returns_is_forgotten_and_others_with_their_order() {
    let (mut profiles, row, event_settings) = one();
    let return_of = |order: &'static str, n: i64| {
        let mut refund = event(EventType::REFUND, START + n);
        (refund.amount, refund.order_id) = (Some(1), Some(order.into()));
        refund.event_id = Some(n.to_string().into());
        refund
    };
    let mut purchase = event(EventType::PURCHASE, START);
    (purchase.amount, purchase.order_id) = (Some(100), Some("o".into()));
    profiles.update(row, &purchase, START, &event_settings);
    let mut dropped = 0;
    for n in 0..70 {
        let refund = return_of("o", n);
        assert!(!profiles.is_duplicate_return(row, &refund, refund.time));
        dropped += profiles.update(row, &refund, refund.time, &event_settings).return_ids;
        assert!(profiles.is_duplicate_return(row, &refund, refund.time));
    }
    let known = |profiles: &Profiles, at| {
        (0..70).filter(|n| profiles.is_duplicate_return(row, &return_of("o", *n), at)).count()
    };
    assert_eq!((dropped, known(&profiles, START + 70)), (6, 64));
    assert!(!profiles.is_duplicate_return(row, &return_of("o", 5), START + 70));
    assert!(!profiles.is_duplicate_return(row, &return_of("p", 6), START + 70), "of another order");
    assert_eq!((known(&profiles, START + REMEMBERED), known(&profiles, START + REMEMBERED + 1)), (64, 0));
    // The same order id again, for a new order: what was known of the old one does not come back.
    let mut again = event(EventType::PURCHASE, START + REMEMBERED + 1);
    (again.amount, again.order_id) = (Some(100), Some("o".into()));
    profiles.update(row, &again, again.time, &event_settings);
    assert_eq!(known(&profiles, again.time), 0);
    assert_eq!(profiles.blocks.count(profiles.row(row).block, Section::ReturnIds), 0);
}

#[test]
fn the_oldest_of_2049_hours_goes() {
    let (mut profiles, row, event_settings) = one();
    let mut cut = 0;
    for n in 0..3_000 {
        for event_type in [EventType::VIEW, EventType::OPEN] {
            let time = START + n * HOUR;
            if event_type == EventType::VIEW || n % 2 == 0 {
                cut += profiles.update(row, &event(event_type, time), time, &event_settings).hours;
            }
        }
    }
    let customer = profiles.customer(row);
    let kept = |event_type| customer.count_after(event_type, i64::MIN);
    assert_eq!((kept(EventType::VIEW), kept(EventType::SESSION), kept(EventType::OPEN)), (2_048, 2_048, 1_500));
    assert_eq!(cut, 2 * (3_000 - 2_048));
    assert_eq!(customer.next_newest(EventType::VIEW, i64::MIN), Some(START + (3_000 - 2_048) * HOUR));
    assert_eq!(customer.next_newest(EventType::OPEN, i64::MIN), Some(START));
    let late = event(EventType::VIEW, START);
    assert_eq!(profiles.update(row, &late, START + 3_000 * HOUR, &event_settings).hours, 1);
    assert_eq!(profiles.customer(row).count_after(EventType::VIEW, i64::MIN), 2_048);
}

#[test]
fn hours_that_no_window_reaches_are_forgotten() {
    let (mut profiles, row, event_settings) = one();
    for n in 0..4_000 {
        let time = START + n * DAY;
        profiles.update(row, &event(EventType::VIEW, time), time, &event_settings);
    }
    let kept = profiles.customer(row).count_after(EventType::VIEW, i64::MIN);
    assert!((400..=411).contains(&kept), "{kept} days");
}

#[test]
fn many_events_of_one_hour_are_counted() {
    let (mut profiles, row, event_settings) = one();
    for n in 1..=70_000u64 {
        let time = START + (n % 60_000) as i64;
        profiles.update(row, &event(EventType::CLICK, time), time, &event_settings);
        assert_eq!(profiles.customer(row).count_after(EventType::CLICK, 0), n);
    }
}

#[test]
fn of_65_category_hours_the_oldest_and_smallest_goes() {
    let (mut profiles, row, event_settings) = one();
    for n in 0..64 {
        let mut view = event(EventType::VIEW, START + n / 2 * HOUR);
        view.categories.add(format!("{}", 1 - n % 2).into());
        assert_eq!(profiles.update(row, &view, view.time, &event_settings).categories, 0);
    }
    let mut view = event(EventType::VIEW, START + 100 * HOUR);
    view.categories.add("2".into());
    assert_eq!(profiles.update(row, &view, view.time, &event_settings).categories, 1);
    let customer = profiles.customer(row);
    let count = |category| customer.views_in_after(category, 0);
    assert_eq!((count("0"), count("1"), count("2")), (31, 32, 1));
}

#[test]
fn the_oldest_of_65_cart_events_goes() {
    let (mut profiles, row, event_settings) = one();
    let mut cut = 0;
    for n in 0..100 {
        let add = event(EventType::CART_ADD, START + n * 1_000);
        cut += profiles.update(row, &add, add.time, &event_settings).cart;
    }
    assert_eq!((cut, profiles.customer(row).cart_last()), (36, START + 99_000));
}

#[test]
fn held_values_are_kept() {
    let (mut profiles, row, _) = one();
    let mut held = Vec::new();
    profiles.held(row, &mut held);
    assert_eq!(held, [HeldValue::NONE; 3]);
    let values = [
        HeldValue { before: 248, ..HeldValue::new(249, START, true) },
        HeldValue::new(0, 70_000_000_000_000, false),
        HeldValue::NONE,
        HeldValue { before: 0, ..HeldValue::new(1, -1, true) },
    ];
    profiles.set_held(row, &values);
    profiles.held(row, &mut held);
    assert_eq!(held, values);
}

#[test]
fn a_customer_that_is_not_known_has_nothing() {
    let unknown = crate::engine::profile::Customer::unknown("x");
    assert_eq!((unknown.id(), unknown.row().orders, unknown.row().last_order), ("x", 0, NONE));
    assert!(unknown.orders().is_empty() && unknown.refunds().is_empty() && !unknown.cart_open(START));
    assert_eq!((unknown.totals(), unknown.cart_value(), unknown.attribute(0)), (&Totals::EMPTY, None, None));
    assert_eq!((unknown.count_after(EventType::VIEW, 0), unknown.latest(EventType::REFUND)), (0, None));
    assert_eq!(unknown.views_in_after("a", 0), 0);
}

#[test]
fn parts_cost_what_the_table_says() {
    assert_eq!((size_of::<Row>(), align_of::<Row>()), (128, 64));
    assert_eq!((size_of::<Order>(), size_of::<Refund>(), size_of::<Totals>()), (32, 16, 72));
    assert_eq!((size_of::<Waiting>(), size_of::<CategoryHour>(), size_of::<ReturnId>()), (32, 16, 8));
}

/// 16-byte id, four targets, two orders in two categories, ten hours with view, search, cart_add and session.
#[test]
fn a_usual_customer_costs_what_the_table_says() {
    let (mut profiles, event_settings) = (Profiles::new(), EventSettings::default());
    let id = "0123456789abcdef";
    let row = profiles.create(Profiles::hash(id.as_bytes()), id, 4);
    for n in 0..10 {
        for (minute, event_type) in [EventType::VIEW, EventType::SEARCH, EventType::CART_ADD].into_iter().enumerate() {
            let time = START + n * 5 * DAY + minute as i64 * 60_000;
            profiles.update(row, &event(event_type, time), time, &event_settings);
        }
    }
    for n in 0..2 {
        let mut purchase = event(EventType::PURCHASE, START + 60 * DAY + n);
        purchase.amount = Some(100);
        purchase.categories.add("shoes".into());
        purchase.categories.add("bags".into());
        profiles.update(row, &purchase, purchase.time, &event_settings);
    }
    let block = profiles.row(row).block;
    let words = |section| profiles.blocks.section(block, section).len() * 8;
    assert_eq!(profiles.customer(row).count_after(EventType::SESSION, 0), 10);
    assert_eq!(profiles.blocks.hours(block).len(), 10 * (4 + 3 * 3));
    assert_eq!((words(Section::HeldValues), words(Section::Orders), words(Section::Cart)), (4 * 8, 2 * 32, 8));
    assert_eq!(profiles.blocks.bytes_of(block), 256);
}
