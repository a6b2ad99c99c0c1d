//! A change as a sentence for people: `c-17850 active → at_risk: 60 days without an order`.
//!
//! Only the JSON of the change is used, so any consumer of the `changes` topic can do the same. The reason is taken
//! from `because`: known features are described by a phrase, any other comparison is shown as it is in the rules.

use serde::Deserialize;
use serde_json::{Map, Value};

/// A change as its consumers see it.
#[derive(Clone, Debug, Deserialize)]
pub struct ChangeRecord {
    pub customer_id: String,
    pub segmentation: String,
    pub from: Option<String>,
    pub to: Option<String>,
    pub cause: String,
    pub effective_at: String,
    pub trigger: Option<Trigger>,
    pub because: Vec<Because>,
    pub features: Map<String, Value>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Trigger {
    #[serde(rename = "type")]
    pub event_type: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Because {
    pub rule: String,
    pub value: Value,
    pub now: Option<bool>,
}

/// Maximum number of reasons per change.
const REASONS_MAX: usize = 2;
/// Features that follow from the event itself. They are described only if time caused the change.
const IMPLIED_BY_EVENTS: [&str; 6] =
    ["recency_days", "inactive_days", "since", "cart_idle_minutes", "cart_open", "overdue_ratio"];

/// One line about a change.
pub fn describe(change: &ChangeRecord) -> String {
    let (id, name) = (&change.customer_id, &change.segmentation);
    let what = match (change.from.as_deref(), change.to.as_deref()) {
        (Some("out"), Some("in")) => format!("{id} joins {name}"),
        (Some("in"), Some("out")) => format!("{id} leaves {name}"),
        (None, Some(to)) => format!("{id} → {to} ({name})"),
        (Some(from), Some(to)) => format!("{id} {from} → {to}"),
        (Some(from), None) => format!("{id} {from} → nothing"),
        (None, None) => id.clone(),
    };
    format!("{what}: {}", why(change))
}

fn why(change: &ChangeRecord) -> String {
    let reasons = reasons(change);
    let event = || change.trigger.as_ref().map_or("an event".to_owned(), |trigger| describe_event(trigger, change));
    let is_order = change.trigger.as_ref().is_some_and(|trigger| trigger.event_type == "purchase");
    match change.cause.as_str() {
        "event" if is_order && reasons.is_empty() => event(),
        "event" if is_order => format!("{}, {reasons}", event()),
        "event" | "time" if !reasons.is_empty() => reasons,
        "event" => event(),
        "late" => format!("late, {}", if reasons.is_empty() { event() } else { reasons }),
        "time" => "a deadline passed".into(),
        "rules" => "new rules".into(),
        "erase" => "erased".into(),
        "opt_out" => "opted out".into(),
        "forgotten" => "no room for more customers".into(),
        other => other.replace('_', " "),
    }
}

/// The comparisons that changed, each feature once.
fn reasons(change: &ChangeRecord) -> String {
    let is_order = change.trigger.as_ref().is_some_and(|trigger| trigger.event_type == "purchase");
    let (mut reasons, mut features): (Vec<String>, Vec<Feature<'_>>) = (Vec::new(), Vec::new());
    for because in &change.because {
        let feature = Feature::of(&because.rule);
        if features.contains(&feature) {
            continue;
        }
        let is_implied = IMPLIED_BY_EVENTS.contains(&feature.name)
            || feature.name == "orders" && feature.window.is_none() && is_order;
        if is_implied && change.trigger.is_some() {
            continue;
        }
        let reason = feature.describe(because);
        if reasons.len() < REASONS_MAX && !reason.is_empty() {
            reasons.push(reason);
            features.push(feature);
        }
    }
    reasons.join(", ")
}

fn describe_event(trigger: &Trigger, change: &ChangeRecord) -> String {
    let feature = |name: &str| change.features.get(name).filter(|value| !value.is_null());
    let counted = change.because.iter().find(|because| Feature::of(&because.rule).name == "orders");
    match trigger.event_type.as_str() {
        "purchase" => {
            let orders = feature("orders").or(counted.map(|because| &because.value)).and_then(Value::as_u64);
            let order = match orders {
                Some(1) => "first order".to_owned(),
                Some(2) => "second order".to_owned(),
                Some(3) => "third order".to_owned(),
                Some(n) if n > 3 => format!("order no. {n}"),
                _ => "an order".to_owned(),
            };
            feature("last_order_value").map_or(order.clone(), |value| format!("{order} of {}", plain(value)))
        }
        "refund" => "a refund".into(),
        "cancel" => "a cancelled order".into(),
        "amend" => "an amended order".into(),
        "view" => "a page view".into(),
        "search" => "a search".into(),
        "cart_add" => "an item added to the cart".into(),
        "cart_remove" => "an item removed from the cart".into(),
        "checkout" => "a checkout".into(),
        "open" => "an opened e-mail".into(),
        "click" => "a click".into(),
        "exposure" => "a campaign exposure".into(),
        "profile" => "a profile update".into(),
        other => other.replace('_', " "),
    }
}

/// The left side of a comparison: `views_7d`, `since('checkout')`, `orders_in('shoes', 90)`. The name is empty if it is
/// more than one feature.
#[derive(PartialEq)]
struct Feature<'a> {
    name: &'a str,
    /// The window as ` in 7 days`.
    window: Option<String>,
    arguments: Vec<&'a str>,
}

impl<'a> Feature<'a> {
    fn of(rule: &'a str) -> Self {
        let end = rule.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rule.len());
        let (whole, rest) = rule.split_at(end);
        let (inside, rest) = match rest.strip_prefix('(').and_then(split_at_closing) {
            Some((inside, rest)) => (Some(inside), rest),
            None => (None, rest),
        };
        if rest.trim_start().starts_with(['+', '-', '*', '/', '(']) {
            return Self { name: "", window: None, arguments: vec![rule] };
        }
        let arguments = inside.map_or(Vec::new(), |inside| {
            inside.split(',').map(|argument| argument.trim().trim_matches('\'')).collect()
        });
        let (name, window) = match whole.rsplit_once('_') {
            Some((name, window)) => match describe_window(window) {
                Some(window) => (name, Some(window)),
                None => (whole, None),
            },
            None => (whole, None),
        };
        Self { name, window, arguments }
    }

    fn describe(&self, because: &Because) -> String {
        let value = &because.value;
        let number = value.as_f64();
        let window = self.window.as_deref().unwrap_or("");
        let argument = self.arguments.first().copied().unwrap_or("");
        let days = || number.map(|days| duration(days * 1_440.0));
        let in_days = || self.arguments.get(1).map_or(String::new(), |days| format!(" in {days} days"));
        let described = match self.name {
            "recency_days" => days().map(|days| format!("{days} without an order")),
            "inactive_days" => days().map(|days| format!("{days} without activity")),
            "tenure_days" => days().map(|days| format!("a customer for {days}")),
            "since" => days().map(|days| format!("{days} since the last {argument}")),
            "days_since" => days().map(|days| format!("{days} since {argument}")),
            "gap_days" => days().map(|days| format!("an order every {days}")),
            "cart_idle_minutes" => number.map(|minutes| format!("cart left alone for {}", duration(minutes))),
            "overdue_ratio" => number.map(|ratio| format!("{ratio:.1} times the usual gap without an order")),
            "cart_open" => {
                value.as_bool().map(|open| if open { "a cart is open" } else { "the cart is closed" }.into())
            }
            "cart_value" => some(value, |value| format!("a cart of {value}")),
            "revenue" => some(value, |value| format!("revenue of {value}{window}")),
            "revenue_in" => some(value, |value| format!("revenue of {value} in {argument}{}", in_days())),
            "largest_order" => some(value, |value| format!("a largest order of {value}{window}")),
            "refunded" => some(value, |value| format!("{value} refunded{window}")),
            "avg_order_value" => some(value, |value| format!("an average order of {value}{window}")),
            "last_order_value" => some(value, |value| format!("a last order of {value}")),
            "sessions" => number.map(|n| counted(n, "visit", window)),
            "opens" => number.map(|n| counted(n, "mail", " opened") + window),
            "orders_placed" => number.map(|n| counted(n, "order", " placed") + window),
            "orders_returned" => number.map(|n| counted(n, "order", " sent back") + window),
            "orders" | "discounted_orders" | "views" | "searches" | "clicks" | "exposures" | "checkouts" => {
                let one = if self.name == "searches" { "search" } else { self.name.trim_end_matches('s') };
                number.map(|n| counted(n, &one.replace('_', " "), window))
            }
            "orders_in" => number.map(|n| counted(n, "order", &format!(" in {argument}")) + &in_days()),
            "views_in" => number.map(|n| counted(n, "view", &format!(" in {argument}")) + &in_days()),
            "orders_via" => number.map(|n| counted(n, "order", &format!(" via {argument}")) + &in_days()),
            "events" => number.map(|n| counted(n, argument, &in_days())),
            "segment" => value.as_str().map(|value| format!("now {value}")),
            "audience" => value.as_bool().map(|is| format!("{} {argument}", if is { "in" } else { "not in" })),
            "min_dwell" => number.map(|held| format!("held for {}", duration(held / 60_000.0))),
            _ => Some(match because.now {
                Some(true) => because.rule.clone(),
                Some(false) => format!("no longer {}", because.rule),
                None => format!("{} is unknown", because.rule),
            }),
        };
        described.unwrap_or_default()
    }
}

/// What is before and behind the parenthesis that closes one before the text: `segment('shelf'), 7) >= 2`.
fn split_at_closing(text: &str) -> Option<(&str, &str)> {
    let mut open = 1;
    let closing = text.find(|letter| {
        open += i32::from(letter == '(') - i32::from(letter == ')');
        open == 0
    })?;
    Some((&text[..closing], &text[closing + 1..]))
}

fn describe_window(window: &str) -> Option<String> {
    let (number, unit) = match window.strip_suffix('d') {
        Some(number) => (number, "day"),
        None => (window.strip_suffix('h')?, "hour"),
    };
    let number: u32 = number.parse().ok()?;
    Some(format!(" in {}", counted(f64::from(number), unit, "")))
}

fn some(value: &Value, describe: impl Fn(String) -> String) -> Option<String> {
    (!value.is_null()).then(|| describe(plain(value)))
}

fn counted(number: f64, one: &str, behind: &str) -> String {
    let plural = match one.strip_suffix("ch") {
        Some(_) => "es",
        None => "s",
    };
    let ending = if number == 1.0 { "" } else { plural };
    format!("{number} {one}{ending}{behind}")
}

/// A value without quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Minutes in a readable unit, rounded down, so that the duration has passed.
fn duration(minutes: f64) -> String {
    let (number, unit) = match minutes {
        minutes if minutes >= 2.0 * 1_440.0 => (minutes / 1_440.0, "day"),
        minutes if minutes >= 120.0 => (minutes / 60.0, "hour"),
        minutes => (minutes, "minute"),
    };
    counted((number + 1e-9).floor(), unit, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn described(mut change: Value) -> String {
        let defaults = json!({"customer_id": "c-1", "segmentation": "lifecycle", "from": null, "to": null,
            "effective_at": "2011-01-01T00:00:00.000Z", "trigger": null, "because": [], "features": {}});
        for (key, value) in defaults.as_object().unwrap() {
            change.as_object_mut().unwrap().entry(key).or_insert(value.clone());
        }
        describe(&serde_json::from_value(change).unwrap())
    }

    fn because(rule: &str, value: Value, was: Value, now: Value) -> Value {
        json!({"rule": rule, "value": value, "was": was, "now": now})
    }

    #[test]
    fn changes_by_time_name_the_duration() {
        let change = |rule: &str, value: f64, now: bool| {
            described(
                json!({"from": "active", "to": "at_risk", "cause": "time", "because": [because(rule, json!(value), json!(!now), json!(now))]}),
            )
        };
        assert_eq!(
            change("recency_days <= 60", 60.00000001157407, false),
            "c-1 active → at_risk: 60 days without an order"
        );
        assert_eq!(change("recency_days >= 60", 60.0, true), "c-1 active → at_risk: 60 days without an order");
        assert_eq!(change("inactive_days > 0.5", 0.5000001, true), "c-1 active → at_risk: 12 hours without activity");
        assert_eq!(change("since('checkout') >= 7", 7.0, true), "c-1 active → at_risk: 7 days since the last checkout");
        assert_eq!(change("views_7d >= 5", 4.0, false), "c-1 active → at_risk: 4 views in 7 days");
        assert_eq!(
            change("orders_in('shoes', 90) > 0", 1.0, true),
            "c-1 active → at_risk: 1 order in shoes in 90 days"
        );
        assert_eq!(
            change("views_in(segment('shelf'), 7) >= 2", 2.0, true),
            "c-1 active → at_risk: 2 views in segment('shelf') in 7 days"
        );
        assert_eq!(change("min_dwell", 604_800_000.0, true), "c-1 active → at_risk: held for 7 days");
        assert_eq!(change("age > 30", 31.0, false), "c-1 active → at_risk: no longer age > 30");
    }

    #[test]
    fn a_feature_is_named_once_and_arithmetic_is_shown_as_it_is() {
        let both =
            described(json!({"segmentation": "returns", "from": "out", "to": "in", "cause": "time", "because": [
            because("refunded_90d >= 100", json!("120.00"), json!(false), json!(true)),
            because("refunded_90d < 500", json!("120.00"), json!(false), json!(true)),
            because("refunded_90d * 4 >= revenue_90d", json!(480.0), json!(false), json!(true))]}));
        assert_eq!(both, "c-1 joins returns: 120.00 refunded in 90 days, refunded_90d * 4 >= revenue_90d");
    }

    #[test]
    fn orders_have_their_number_and_amount() {
        let purchase = json!({"type": "purchase", "topic": "t", "partition": 0, "offset": 1, "event_id": null});
        let first = described(json!({"from": "prospect", "to": "new", "cause": "event", "trigger": purchase,
            "because": [because("orders = 0", json!(1), json!(true), json!(false)), because("recency_days <= 30", json!(0.0), json!(null), json!(true))],
            "features": {"orders": 1, "last_order_value": "37.40"}}));
        assert_eq!(first, "c-1 prospect → new: first order of 37.40");
        let vip = described(
            json!({"segmentation": "vip", "from": "out", "to": "in", "cause": "event", "trigger": purchase,
            "because": [because("revenue_365d >= 1000", json!("1200.50"), json!(false), json!(true))], "features": {"orders": 12}}),
        );
        assert_eq!(vip, "c-1 joins vip: order no. 12, revenue of 1200.50 in 365 days");
        let closed =
            described(json!({"segmentation": "cart", "from": "in", "to": "out", "cause": "event", "trigger": purchase,
            "because": [because("cart_open", json!(false), json!(true), json!(false))]}));
        assert_eq!(closed, "c-1 leaves cart: an order");
        let cart_add = json!({"type": "cart_add", "topic": "t", "partition": 0, "offset": 1, "event_id": null});
        let touched =
            described(json!({"segmentation": "cart", "from": "in", "to": "out", "cause": "event", "trigger": cart_add,
            "because": [because("cart_idle_minutes >= 30", json!(0.0), json!(true), json!(false))]}));
        assert_eq!(touched, "c-1 leaves cart: an item added to the cart");
    }

    #[test]
    fn other_causes() {
        let view = json!({"type": "view", "topic": "t", "partition": 0, "offset": 1, "event_id": null});
        assert_eq!(
            described(json!({"to": "prospect", "cause": "event", "trigger": view})),
            "c-1 → prospect (lifecycle): a page view"
        );
        assert_eq!(described(json!({"from": "new", "cause": "erase"})), "c-1 new → nothing: erased");
        assert_eq!(
            described(json!({"from": "a", "to": "b", "cause": "late", "trigger": view})),
            "c-1 a → b: late, a page view"
        );
        assert_eq!(described(json!({"from": "a", "to": "b", "cause": "rules"})), "c-1 a → b: new rules");
    }
}
