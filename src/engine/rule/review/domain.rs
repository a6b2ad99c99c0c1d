//! The values that features can have, as far as their definitions tell (docs/semantics.md).
//!
//! What is not listed here may have any value and may be null: then nothing is claimed about it.

use super::search::FACTS;
use crate::engine::event::{DAY, Millis, REMEMBERED};
use crate::engine::feature::Call;
use crate::engine::rule::compiled::scalar::Operand;

/// How long a cart stays open after its latest event (B3).
const CART_OPEN: Millis = 30 * DAY;

/// The customer has an order that counts.
const HAS_ORDER: usize = 0;
/// The cart is open.
const CART_IS_OPEN: usize = 1;

/// What is known of a value.
#[derive(Clone, Copy, Debug)]
pub enum Known<'a> {
    Null,
    Is(Operand<'a>),
    /// Not null, and none of the constants.
    Other,
}

/// The whole numbers of a feature (a count, minor units, milliseconds), ends included, and whether it can be null.
#[derive(Clone, Copy, Debug)]
pub struct Domain {
    pub low: i64,
    pub high: i64,
    pub nullable: bool,
}

impl Domain {
    pub fn of(call: &Call) -> Self {
        let domain = |low, high, nullable| Self { low, high, nullable };
        match call.feature.name {
            "orders" | "orders_placed" | "orders_returned" | "discounted_orders" | "views" | "searches"
            | "cart_adds" | "cart_removes" | "checkouts" | "sessions" | "opens" | "clicks" | "exposures" | "events"
            | "refunded" => domain(0, i64::MAX, false),
            "revenue" => domain(i64::MIN, i64::MAX, false),
            "cart_open" => domain(0, 1, false),
            "bucket" => domain(0, i64::from(call.arguments.modulus) - 1, false),
            "last_order_value" | "avg_order_value" | "cart_value" | "largest_order" | "recency_days"
            | "inactive_days" | "tenure_days" | "first_order_days" | "gap_days" | "overdue_ratio" | "orders_in"
            | "views_in" | "orders_via" | "orders_between" | "events_between" => domain(0, i64::MAX, true),
            "since" => domain(0, REMEMBERED - 1, true),
            "cart_idle_minutes" => domain(0, CART_OPEN - 1, true),
            _ => domain(i64::MIN, i64::MAX, true),
        }
    }
}

/// Numbers at which a feature says something else about the facts.
pub fn extra_borders(call: &Call) -> &'static [i64] {
    if call.feature.name == "orders" { &[0] } else { &[] }
}

/// What a value of a feature says about the facts that features share.
pub fn facts(call: &Call, value: Known<'_>) -> [Option<bool>; FACTS] {
    let mut facts = [None; FACTS];
    let is_null = matches!(value, Known::Null);
    let is_lifetime = call.arguments.window.is_none();
    match (call.feature.name, value) {
        ("orders", Known::Is(Operand::Integer(0))) if is_lifetime => facts[HAS_ORDER] = Some(false),
        ("orders", Known::Is(Operand::Integer(1..))) => facts[HAS_ORDER] = Some(true),
        ("recency_days" | "last_order_value" | "first_order_days", _) => facts[HAS_ORDER] = Some(!is_null),
        ("avg_order_value", _) if is_lifetime => facts[HAS_ORDER] = Some(!is_null),
        ("avg_order_value" | "gap_days" | "overdue_ratio" | "top_category" | "top_channel", _) if !is_null => {
            facts[HAS_ORDER] = Some(true);
        }
        ("cart_open", Known::Is(Operand::Boolean(is_open))) => facts[CART_IS_OPEN] = Some(is_open),
        ("cart_idle_minutes", _) => facts[CART_IS_OPEN] = Some(!is_null),
        ("cart_value", _) if !is_null => facts[CART_IS_OPEN] = Some(true),
        _ => {}
    }
    facts
}
