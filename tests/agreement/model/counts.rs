//! Counts of one's own (B8): declared properties, the conditions over one event, and what new rules do to a count.

use super::decode::{AttributeValue, Event, Unfit, fitting, plainly};
use super::expression::{Condition, Scalar};
use super::feature::Feature;
use super::json::Json;
use super::rules::{AttributeType, Rules};
use super::value::Value;
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;
use std::collections::BTreeMap;
use toml::Table;

#[derive(Clone, Debug)]
pub struct OwnCount {
    pub of: String,
    pub when: Option<Condition>,
    /// The declared properties that the condition reads.
    pub properties: Vec<String>,
    /// What it counts, blanks apart; with another definition it begins anew.
    pub definition: String,
}

/// `[count.…]` by name.
pub fn counts(section: &Table, properties: &BTreeMap<String, AttributeType>) -> BTreeMap<String, OwnCount> {
    let count = |table: &toml::Value| {
        let of = table["of"].as_str().expect("a text").to_string();
        let when = table.get("where").map(|when| when.as_str().expect("a text"));
        let mut parser = when.map(|when| Parser::new(&GenericDialect {}).try_with_sql(when).expect("SQL"));
        let printed = parser.as_mut().map(|parser| parser.parse_expr().expect("an expression").to_string());
        let when = when.map(Condition::parse);
        let leaves =
            when.iter().flat_map(Condition::comparisons).flat_map(|one| one.scalars()).flat_map(Scalar::leaves);
        let read: Vec<String> = leaves
            .filter_map(|leaf| match leaf {
                Scalar::Feature(Feature::Attribute(name)) if properties.contains_key(name) => Some(name.clone()),
                _ => None,
            })
            .collect();
        let mut types: Vec<String> = read.iter().map(|name| format!("{name} {:?}", properties[name])).collect();
        types.sort();
        let definition = format!("{of} {printed:?} {types:?}");
        OwnCount { of, when, properties: read, definition }
    };
    section.iter().map(|(name, table)| (name.clone(), count(table))).collect()
}

/// The value of a column of an event, or of a declared property.
pub fn column(event: &Event, decimals: u32, column: &Feature) -> Option<Value> {
    let money = |minor: Option<i64>| minor.map(|minor| Value::Money { minor, decimals });
    let text = |text: &Option<String>| text.clone().map(Value::Text);
    let name = match column {
        Feature::HasCategory(category) => return Some(Value::Boolean(event.categories.contains(category))),
        Feature::Attribute(name) => name.as_str(),
        other => panic!("no column: {other:?}"),
    };
    match name {
        "amount" => money(event.amount),
        "discount" => money(event.discount),
        "cart_total" => money(event.cart_total),
        "cost" => money(event.cost),
        "category" => event.categories.first().cloned().map(Value::Text),
        "channel" => text(&event.channel),
        "campaign" => text(&event.campaign),
        "coupon" => text(&event.coupon),
        "order_id" => text(&event.order_id),
        property => match event.properties.get(property)? {
            AttributeValue::Text(text) => Some(Value::Text(text.clone())),
            AttributeValue::Number(number) => Some(Value::Double(*number)),
            AttributeValue::Boolean(boolean) => Some(Value::Boolean(*boolean)),
            other => panic!("no property: {other:?}"),
        },
    }
}

/// The declared properties of a record; what does not fit is left out (E5), and counted where a count of the type
/// reads it.
pub fn properties(object: &Json, kind: &str, rules: &Rules, unfit: &mut Unfit) -> BTreeMap<String, AttributeValue> {
    let mut found = BTreeMap::new();
    let read_by: Vec<&OwnCount> = rules.counts.values().filter(|count| count.of == kind).collect();
    let Some(written) = object.member("properties") else { return found };
    let Json::Object(members) = written else {
        if read_by.iter().any(|count| !count.properties.is_empty()) {
            unfit.leave_out("properties");
        }
        return found;
    };
    for (name, value) in members {
        let Some(declared) = rules.properties.get(name) else { continue };
        let mut ignored = Unfit::default();
        let is_read = read_by.iter().any(|count| count.properties.contains(name));
        let counted = if is_read { &mut *unfit } else { &mut ignored };
        match value {
            Json::Null => {}
            value => match plainly(*declared, value, "properties", counted) {
                Some(value) => drop(found.insert(name.clone(), value)),
                None => counted.leave_out("properties"),
            },
        }
    }
    found
}

/// The coupon of an event whose type has one.
pub fn coupon(object: &Json, kind: &str, unfit: &mut Unfit) -> Option<String> {
    let has_coupon = ["purchase", "cart_add", "cart_remove", "checkout"].contains(&kind);
    object.member("coupon").filter(|_| has_coupon).and_then(|coupon| fitting(coupon, "coupon", unfit))
}
