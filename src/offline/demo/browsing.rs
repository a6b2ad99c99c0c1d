//! Generates the events that the real export of orders does not contain: visits before and between orders, abandoned
//! carts, and newsletters.
//!
//! The events follow from a seed; the id of every generated event starts with `generated-`.

use super::dice::Dice;
use crate::engine::calendar::rfc3339_text;
use crate::engine::event::{DAY, HOUR, MINUTE, Millis};
use std::io::Write;
use xxhash_rust::xxh3::xxh3_64_with_seed;

const SECOND: Millis = 1_000;
const CATEGORIES: &[&str] = &["candles", "christmas", "garden", "kitchen", "stationery", "toys"];
/// A newsletter is sent every second week.
const MAIL_EVERY: Millis = 14 * DAY;
/// After this time without an order, a customer visits less often.
const COOLING: Millis = 60 * DAY;

/// A real order.
pub struct Bought {
    pub time: Millis,
    pub amount: f64,
}

/// The behaviour of a customer, drawn once.
struct Customer<'a> {
    id: &'a str,
    dice: Dice,
    visit_every: Millis,
    abandons_cart: f64,
    opens_mail: f64,
    clicks_mail: f64,
    category: &'a str,
    number: u32,
    out: &'a mut Vec<u8>,
}

/// Appends the events around a customer's orders, unordered.
pub fn around(seed: u64, id: &str, orders: &[Bought], end: Millis, out: &mut Vec<u8>) {
    let Some(first) = orders.first() else { return };
    let mut dice = Dice::new(xxh3_64_with_seed(id.as_bytes(), seed));
    let reads_mail = dice.happens(0.6);
    let mut customer = Customer {
        id,
        visit_every: dice.between(8, 60) * DAY,
        abandons_cart: 0.05 + 0.25 * dice.share(),
        opens_mail: if reads_mail { 0.2 + 0.5 * dice.share() } else { 0.0 },
        clicks_mail: 0.1 + 0.3 * dice.share(),
        category: dice.pick(CATEGORIES),
        dice,
        number: 0,
        out,
    };
    let mut since = first.time;
    if customer.dice.happens(0.7) {
        since -= customer.dice.between(DAY, 25 * DAY);
        customer.visit(since);
    }
    for order in orders {
        customer.before_order(order);
    }
    customer.visits_between(orders, since, end);
    if reads_mail {
        customer.mails(first.time, end);
    }
}

impl Customer<'_> {
    /// The visit that leads to an order, and sometimes one a few days before that ends with an abandoned cart.
    fn before_order(&mut self, order: &Bought) {
        if self.dice.happens(self.abandons_cart) {
            let left = order.time - self.dice.between(6 * HOUR, 3 * DAY);
            let (time, views) = (self.views(left, 4), self.dice.share());
            self.cart_add(time, order.amount * (0.3 + 0.5 * views));
        }
        let views = self.dice.between(1, 7);
        let come = order.time - views * 2 * MINUTE - self.dice.between(4 * MINUTE, 20 * MINUTE);
        let time = self.views(come, views).min(order.time - 3 * MINUTE);
        self.cart_add(time, order.amount);
        let checkout = order.time - self.dice.between(30, 150) * SECOND;
        self.event("checkout", checkout, "");
    }

    /// Visits without an order.
    fn visits_between(&mut self, orders: &[Bought], since: Millis, end: Millis) {
        let mut time = since;
        loop {
            let last_order = orders.iter().map(|order| order.time).take_while(|order| *order <= time).last();
            let cold = last_order.is_some_and(|last| time - last > COOLING);
            time += self.dice.wait(if cold { 3 * self.visit_every } else { self.visit_every });
            if time >= end {
                return;
            }
            self.visit(time);
        }
    }

    fn visit(&mut self, time: Millis) {
        let views = self.dice.between(1, 9);
        let mut time = self.views(time, views);
        if self.dice.happens(0.2) {
            time += 40 * SECOND;
            self.event("search", time, "");
        }
        if self.dice.happens(self.abandons_cart) {
            let total = 20.0 + 300.0 * self.dice.share();
            self.cart_add(time + MINUTE, total);
        }
    }

    /// This number of views from `time` on, mostly in the customer's favourite category. Returns the time of the last
    /// one.
    fn views(&mut self, mut time: Millis, views: i64) -> Millis {
        for _ in 0..views {
            let category = if self.dice.happens(0.6) { self.category } else { self.dice.pick(CATEGORIES) };
            self.event("view", time, &format!(",\"category\":\"{category}\""));
            time += self.dice.between(20, 100) * SECOND;
        }
        time
    }

    fn cart_add(&mut self, time: Millis, total: f64) {
        self.event("cart_add", time, &format!(",\"cart_total\":\"{total:.2}\""));
    }

    fn mails(&mut self, since: Millis, end: Millis) {
        let mut sent = since.div_euclid(MAIL_EVERY) * MAIL_EVERY + MAIL_EVERY + 9 * HOUR;
        while sent < end {
            let time = sent + self.dice.between(0, 10 * MINUTE);
            self.event("exposure", time, ",\"campaign\":\"newsletter\",\"cost\":\"0.01\"");
            let opened = time + self.dice.between(5 * MINUTE, 30 * HOUR);
            if opened < end && self.dice.happens(self.opens_mail) {
                self.event("open", opened, ",\"campaign\":\"newsletter\"");
                if self.dice.happens(self.clicks_mail) {
                    self.event("click", opened + 30 * SECOND, ",\"campaign\":\"newsletter\"");
                    self.visit(opened + 45 * SECOND);
                }
            }
            sent += MAIL_EVERY;
        }
    }

    /// Writes an event; `more` are further fields.
    fn event(&mut self, event_type: &str, time: Millis, more: &str) {
        self.number += 1;
        let (id, number) = (self.id, self.number);
        let moment = rfc3339_text(time);
        let moment = String::from_utf8_lossy(&moment);
        let head =
            format!("{{\"event_id\":\"generated-{id}-{number}\",\"customer_id\":\"{id}\",\"type\":\"{event_type}\"");
        writeln!(self.out, "{head},\"time\":\"{moment}\"{more}}}").expect("memory");
    }
}
