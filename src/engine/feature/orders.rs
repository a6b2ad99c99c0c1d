//! Features of orders and money (O1-O9): windows read the stored orders, lifetime values add the totals of folded ones.

use super::{Arguments, Value};
use crate::engine::event::{DAY, Millis, NEVER, REMEMBERED};
use crate::engine::profile::{Customer, NONE, Order};
use std::cmp::Reverse;

/// The orders after `after` that count, latest first.
fn counting<'a>(customer: &Customer<'a>, after: Millis) -> impl Iterator<Item = &'a Order> {
    recent(customer, after).filter(|order| order.counts())
}

/// All accepted orders after `after`, latest first.
fn recent<'a>(customer: &Customer<'a>, after: Millis) -> impl Iterator<Item = &'a Order> {
    customer.orders().iter().rev().take_while(move |order| order.time() > after)
}

/// When the n-th latest of the orders in the window leaves it.
fn nth_leaves<'a>(arguments: &Arguments, mut orders: impl Iterator<Item = &'a Order>, n: u64) -> Millis {
    let nth = usize::try_from(n - 1).ok().and_then(|skipped| orders.nth(skipped));
    nth.map_or(NEVER, |order| arguments.leaves(order.time()))
}

/// When the oldest order in the window that counts leaves it.
fn next_counting_leaves(customer: &Customer<'_>, window: Millis, now: Millis) -> Millis {
    let orders = customer.orders();
    let first = orders.partition_point(|order| order.time() <= now - window);
    orders[first..].iter().find(|order| order.counts()).map_or(NEVER, |order| order.time() + window)
}

pub fn orders(arguments: &Arguments, customer: &Customer<'_>, now: Millis) -> Option<i64> {
    Some(match arguments.window {
        None => i64::from(customer.row().orders),
        Some(window) => counting(customer, now - window).count() as i64,
    })
}

pub fn fewer_orders(arguments: &Arguments, customer: &Customer<'_>, now: Millis, n: u64) -> Millis {
    nth_leaves(arguments, counting(customer, arguments.after(now)), n)
}

pub fn placed(arguments: &Arguments, customer: &Customer<'_>, now: Millis) -> Option<i64> {
    Some(match arguments.window {
        None => i64::from(customer.row().placed),
        Some(window) => recent(customer, now - window).count() as i64,
    })
}

pub fn fewer_placed(arguments: &Arguments, customer: &Customer<'_>, now: Millis, n: u64) -> Millis {
    nth_leaves(arguments, recent(customer, arguments.after(now)), n)
}

pub fn returned(arguments: &Arguments, customer: &Customer<'_>, now: Millis) -> Option<i64> {
    let folded = if arguments.window.is_none() { i64::from(customer.totals().returned) } else { 0 };
    let remembered = recent(customer, arguments.after(now)).filter(|order| order.returned()).count();
    Some(folded + remembered as i64)
}

pub fn fewer_returned(arguments: &Arguments, customer: &Customer<'_>, now: Millis, n: u64) -> Millis {
    nth_leaves(arguments, recent(customer, arguments.after(now)).filter(|order| order.returned()), n)
}

pub fn discounted(arguments: &Arguments, customer: &Customer<'_>, now: Millis) -> Option<i64> {
    let folded = if arguments.window.is_none() { i64::from(customer.totals().discounted) } else { 0 };
    let remembered = counting(customer, arguments.after(now)).filter(|order| order.discounted()).count();
    Some(folded + remembered as i64)
}

pub fn fewer_discounted(arguments: &Arguments, customer: &Customer<'_>, now: Millis, n: u64) -> Millis {
    nth_leaves(arguments, counting(customer, arguments.after(now)).filter(|order| order.discounted()), n)
}

/// The remembered orders in an absolute interval that count.
fn counting_between<'a>(arguments: &Arguments, customer: &Customer<'a>) -> impl Iterator<Item = &'a Order> {
    let (orders, [from, to]) = (customer.orders(), arguments.between);
    let place = |time: Millis| orders.partition_point(|order| order.time() < time);
    orders[place(from)..place(to)].iter().filter(|order| order.counts())
}

pub fn orders_between(arguments: &Arguments, customer: &Customer<'_>, _: Millis) -> Option<i64> {
    let remembered = counting_between(arguments, customer).count() as i64;
    Some(remembered + customer.folded_interval(&arguments.interval()).0)
}

pub fn revenue_between(arguments: &Arguments, customer: &Customer<'_>, _: Millis) -> Option<i64> {
    let remembered: i64 = counting_between(arguments, customer).map(Order::net).sum();
    Some(remembered + customer.folded_interval(&arguments.interval()).1)
}

pub fn in_category(arguments: &Arguments, customer: &Customer<'_>, now: Millis, category: &str) -> i64 {
    in_the_category(customer, arguments.after(now), category).count() as i64
}

pub fn fewer_in_category(
    arguments: &Arguments,
    customer: &Customer<'_>,
    now: Millis,
    category: &str,
    n: u64,
) -> Millis {
    nth_leaves(arguments, in_the_category(customer, arguments.after(now), category), n)
}

pub fn via_channel(arguments: &Arguments, customer: &Customer<'_>, now: Millis, channel: &str) -> i64 {
    let orders = counting(customer, arguments.after(now));
    orders.filter(|order| customer.channel(order) == Some(channel)).count() as i64
}

pub fn fewer_via_channel(arguments: &Arguments, customer: &Customer<'_>, now: Millis, channel: &str, n: u64) -> Millis {
    let orders = counting(customer, arguments.after(now));
    nth_leaves(arguments, orders.filter(|order| customer.channel(order) == Some(channel)), n)
}

pub fn last_value(_: &Arguments, customer: &Customer<'_>, _: Millis) -> Option<i64> {
    let totals = customer.totals();
    let remembered = counting(customer, Millis::MIN).next().map(|order| order.net());
    remembered.or((totals.last != NONE).then_some(totals.last_value))
}

pub fn largest(arguments: &Arguments, customer: &Customer<'_>, now: Millis) -> Option<i64> {
    let totals = customer.totals();
    let folded = (arguments.window.is_none() && totals.counting > 0).then_some(totals.largest);
    counting(customer, arguments.after(now)).map(Order::net).max().max(folded)
}

/// When the latest of the largest orders in the window leaves it: until then others that leave change nothing.
pub fn largest_leaves(arguments: &Arguments, customer: &Customer<'_>, now: Millis) -> Millis {
    let largest = counting(customer, arguments.after(now)).map(|order| (order.net(), order.time()));
    largest.max().map_or(NEVER, |(_, time)| arguments.leaves(time))
}

pub fn revenue_in_category(arguments: &Arguments, customer: &Customer<'_>, now: Millis, category: &str) -> i64 {
    in_the_category(customer, arguments.after(now), category).map(Order::net).sum()
}

/// When the oldest order of the category in the window leaves it.
pub fn order_in_category_leaves(arguments: &Arguments, customer: &Customer<'_>, now: Millis, category: &str) -> Millis {
    let oldest = in_the_category(customer, arguments.after(now), category).last();
    oldest.map_or(NEVER, |order| arguments.leaves(order.time()))
}

/// The orders after `after` that count and have the category, latest first.
fn in_the_category<'a>(customer: &Customer<'a>, after: Millis, category: &str) -> impl Iterator<Item = &'a Order> {
    counting(customer, after).filter(move |order| customer.has_category(order, category))
}

pub fn revenue(arguments: &Arguments, customer: &Customer<'_>, now: Millis) -> Option<i64> {
    let Some(window) = arguments.window else { return Some(customer.row().revenue) };
    let earned: i64 = counting(customer, now - window).map(Order::net).sum();
    let refunds = customer.refunds().iter().rev().take_while(|refund| refund.time() > now - window);
    let unlinked: i64 = refunds.filter(|refund| refund.unlinked()).map(|refund| refund.given()).sum();
    Some(earned - unlinked)
}

pub fn revenue_steps(arguments: &Arguments, customer: &Customer<'_>, now: Millis) -> Millis {
    let Some(window) = arguments.window else { return NEVER };
    let refunds = customer.refunds();
    let first = refunds.partition_point(|refund| refund.time() <= now - window);
    let unlinked = refunds[first..].iter().find(|refund| refund.unlinked());
    let refund_leaves = unlinked.map_or(NEVER, |refund| refund.time() + window);
    refund_leaves.min(next_counting_leaves(customer, window, now))
}

/// In one division: minor units by the number of orders times the minor units of one major unit.
pub fn average_value<'a>(arguments: &'a Arguments, customer: &Customer<'a>, now: Millis) -> Value<'a> {
    let (net, count) = match arguments.window {
        // Lifetime revenue is reduced by refunds without an order, which do not belong to any order.
        None => {
            let row = customer.row();
            (row.revenue + customer.totals().unlinked, i64::from(row.orders))
        }
        Some(window) => {
            counting(customer, now - window).fold((0, 0), |(net, count), order| (net + order.net(), count + 1))
        }
    };
    if count == 0 {
        return Value::Null;
    }
    Value::Double(net as f64 / (10_i64.pow(arguments.decimals) * count) as f64)
}

pub fn order_leaves(arguments: &Arguments, customer: &Customer<'_>, now: Millis) -> Millis {
    arguments.window.map_or(NEVER, |window| next_counting_leaves(customer, window, now))
}

pub fn refunded(arguments: &Arguments, customer: &Customer<'_>, now: Millis) -> Option<i64> {
    let Some(window) = arguments.window else { return Some(customer.totals().refunded) };
    let refunds = customer.refunds().iter().rev().take_while(|refund| refund.time() > now - window);
    Some(refunds.map(|refund| refund.given()).sum())
}

pub fn refund_leaves(arguments: &Arguments, customer: &Customer<'_>, now: Millis) -> Millis {
    let Some(window) = arguments.window else { return NEVER };
    let refunds = customer.refunds();
    let first = refunds.partition_point(|refund| refund.time() <= now - window);
    refunds.get(first).map_or(NEVER, |refund| refund.time() + window)
}

pub fn latest(_: &Arguments, customer: &Customer<'_>, _: Millis) -> Option<Millis> {
    let row = customer.row();
    (row.orders > 0).then_some(row.last_order)
}

pub fn earliest(_: &Arguments, customer: &Customer<'_>, _: Millis) -> Option<Millis> {
    let row = customer.row();
    (row.orders > 0).then_some(row.first_order)
}

pub fn first_at<'a>(arguments: &'a Arguments, customer: &Customer<'a>, now: Millis) -> Value<'a> {
    earliest(arguments, customer, now).map_or(Value::Null, Value::Time)
}

pub fn last_at<'a>(arguments: &'a Arguments, customer: &Customer<'a>, now: Millis) -> Value<'a> {
    latest(arguments, customer, now).map_or(Value::Null, Value::Time)
}

/// The time between the earliest and the latest order, and the number of gaps between orders.
fn span(customer: &Customer<'_>) -> Option<(Millis, i64)> {
    let row = customer.row();
    (row.orders >= 2).then(|| (row.last_order - row.first_order, i64::from(row.orders) - 1))
}

pub fn gap<'a>(_: &'a Arguments, customer: &Customer<'a>, _: Millis) -> Value<'a> {
    span(customer).map_or(Value::Null, |(span, gaps)| Value::Double(span as f64 / (DAY * gaps) as f64))
}

pub fn overdue<'a>(_: &'a Arguments, customer: &Customer<'a>, now: Millis) -> Value<'a> {
    match span(customer) {
        Some((span, gaps)) if span > 0 => {
            let recency = i128::from(now - customer.row().last_order);
            Value::Double((recency * i128::from(gaps)) as f64 / span as f64)
        }
        _ => Value::Null,
    }
}

pub fn top_category<'a>(_: &'a Arguments, customer: &Customer<'a>, now: Millis) -> Value<'a> {
    let orders = counting(customer, now - REMEMBERED);
    top(orders.flat_map(|order| customer.categories(order).map(|category| (category, order.time()))).collect())
}

pub fn top_channel<'a>(_: &'a Arguments, customer: &Customer<'a>, now: Millis) -> Value<'a> {
    let orders = counting(customer, now - REMEMBERED);
    top(orders.filter_map(|order| customer.channel(order).map(|channel| (channel, order.time()))).collect())
}

/// The text of most orders; of several, the one with the latest time of such an order, then the one with the smallest
/// bytes. Each text comes with the time of its order.
fn top(mut texts: Vec<(&str, Millis)>) -> Value<'_> {
    texts.sort_unstable();
    let runs = texts.chunk_by(|one, other| one.0 == other.0);
    let best = runs.min_by_key(|run| (Reverse(run.len()), Reverse(run[run.len() - 1].1), run[0].0));
    best.map_or(Value::Null, |run| Value::Text(run[0].0))
}

pub fn remembered_order_leaves(_: &Arguments, customer: &Customer<'_>, now: Millis) -> Millis {
    next_counting_leaves(customer, REMEMBERED, now)
}
