//! Features of browsing and engagement, counted by hours (B1, B2, B5), and of the cart (B3).

use super::{Arguments, Value};
use crate::engine::event::{Millis, NEVER};
use crate::engine::profile::Customer;

pub fn fewer(arguments: &Arguments, customer: &Customer<'_>, now: Millis, n: u64) -> Millis {
    let nth = customer.nth_latest(arguments.event_type, arguments.after(now), n);
    nth.map_or(NEVER, |newest| arguments.leaves(newest))
}

pub fn events_between(arguments: &Arguments, customer: &Customer<'_>, _: Millis) -> Option<i64> {
    Some(customer.events_between(&arguments.interval()))
}

pub fn views_in(arguments: &Arguments, customer: &Customer<'_>, now: Millis, category: &str) -> i64 {
    customer.views_in_after(category, arguments.after(now)) as i64
}

pub fn view_in_leaves(arguments: &Arguments, customer: &Customer<'_>, now: Millis, category: &str) -> Millis {
    let next = customer.next_view_in(category, arguments.after(now));
    next.map_or(NEVER, |newest| arguments.leaves(newest))
}

pub fn top_viewed<'a>(arguments: &'a Arguments, customer: &Customer<'a>, now: Millis) -> Value<'a> {
    customer.top_viewed_after(arguments.after(now)).map_or(Value::Null, Value::Text)
}

pub fn view_of_any_leaves(arguments: &Arguments, customer: &Customer<'_>, now: Millis) -> Millis {
    let next = customer.next_view_of_any(arguments.after(now));
    next.map_or(NEVER, |newest| arguments.leaves(newest))
}

pub fn cart_open<'a>(_: &'a Arguments, customer: &Customer<'a>, now: Millis) -> Value<'a> {
    Value::Boolean(customer.cart_open(now))
}

pub fn cart_idle(_: &Arguments, customer: &Customer<'_>, now: Millis) -> Option<Millis> {
    customer.cart_open(now).then(|| customer.cart_last())
}

pub fn cart_value(_: &Arguments, customer: &Customer<'_>, now: Millis) -> Option<i64> {
    if customer.cart_open(now) { customer.cart_value() } else { None }
}

pub fn cart_closes(_: &Arguments, customer: &Customer<'_>, now: Millis) -> Millis {
    let until = customer.row().cart_until;
    if until > now { until } else { NEVER }
}
