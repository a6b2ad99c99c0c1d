//! Counts of one's own (B8): declared properties, the conditions over one event, and what new rules do to a count.

use super::decode::{AttributeValue, Event};
use super::expression::{Condition, Scalar};
use super::feature::Feature;
use super::json::{Json, is_number};
use super::rules::{AttributeType, Rules};
use super::value::Value;
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;
use std::collections::BTreeMap;
use toml::Table;

const TEXT_BYTES_MAX: usize = 128;

#[derive(Clone, Debug)]
pub struct OwnCount {
    pub of: String,
    pub when: Option<Condition>,
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
        let mut types: Vec<String> = leaves
            .filter_map(|leaf| match leaf {
                Scalar::Feature(Feature::Attribute(name)) => Some(format!("{name} {:?}", properties.get(name)?)),
                _ => None,
            })
            .collect();
        types.sort();
        let definition = format!("{of} {printed:?} {types:?}");
        OwnCount { of, when, definition }
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

/// The declared properties of a record; what does not fit is left out (E5).
pub fn properties(object: &Json, rules: &Rules) -> BTreeMap<String, AttributeValue> {
    let Some(Json::Object(members)) = object.member("properties") else { return BTreeMap::new() };
    let declared = members.iter().filter_map(|(name, value)| Some((name, rules.properties.get(name)?, value)));
    declared.filter_map(|(name, kind, value)| Some((name.clone(), property(*kind, value)?))).collect()
}

fn property(kind: AttributeType, value: &Json) -> Option<AttributeValue> {
    match (kind, value) {
        (AttributeType::Text, Json::Text(text) | Json::Number(text)) => short(text).map(AttributeValue::Text),
        (AttributeType::Number, Json::Number(number)) => number_of(number),
        (AttributeType::Number, Json::Text(text)) if is_number(text) => number_of(text),
        (AttributeType::Boolean, Json::Boolean(boolean)) => Some(AttributeValue::Boolean(*boolean)),
        (AttributeType::Boolean, Json::Text(text)) => text.parse().ok().map(AttributeValue::Boolean),
        _ => None,
    }
}

fn number_of(text: &str) -> Option<AttributeValue> {
    text.parse().ok().filter(|number: &f64| number.is_finite()).map(AttributeValue::Number)
}

/// The coupon of an event whose type has one.
pub fn coupon(object: &Json, kind: &str) -> Option<String> {
    match object.member("coupon") {
        Some(Json::Text(text)) if ["purchase", "cart_add", "cart_remove", "checkout"].contains(&kind) => short(text),
        _ => None,
    }
}

/// As many whole characters as 128 bytes hold; nothing of an empty text.
fn short(text: &str) -> Option<String> {
    let mut kept = String::new();
    for letter in text.chars() {
        if kept.len() + letter.len_utf8() > TEXT_BYTES_MAX {
            break;
        }
        kept.push(letter);
    }
    (!kept.is_empty()).then_some(kept)
}
