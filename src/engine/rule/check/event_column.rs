//! Names and functions in the condition of a count of one's own (B8), which mean the event's columns and declared
//! properties and not the customer's features.

use super::Checker;
use super::term::{Term, ValueType};
use crate::document::nearest::nearest;
use crate::engine::event_settings::{AttributeType, EventSettings};
use crate::engine::feature::find::{self, Found};
use crate::engine::rule::compiled::event_column::EventColumn;
use crate::engine::rule::compiled::scalar::Scalar;
use sqlparser::ast::{Expr, Ident};

/// The function of this name has one argument: a category.
pub const HAS_CATEGORY: &str = "has_category";

/// A column of every event, with the type of its values.
fn built_in(name: &str, decimals: u32) -> Option<(EventColumn, ValueType)> {
    Some(match name {
        "amount" => (EventColumn::Amount(decimals), ValueType::Number),
        "discount" => (EventColumn::Discount(decimals), ValueType::Number),
        "cart_total" => (EventColumn::CartTotal(decimals), ValueType::Number),
        "cost" => (EventColumn::Cost(decimals), ValueType::Number),
        "category" => (EventColumn::Category, ValueType::Text),
        "channel" => (EventColumn::Channel, ValueType::Text),
        "campaign" => (EventColumn::Campaign, ValueType::Text),
        "coupon" => (EventColumn::Coupon, ValueType::Text),
        "order_id" => (EventColumn::OrderId, ValueType::Text),
        _ => return None,
    })
}

/// The names of the columns that every event has.
const BUILT_IN: [&str; 9] =
    ["amount", "discount", "cart_total", "cost", "category", "channel", "campaign", "coupon", "order_id"];

/// Whether a condition on an event would read the name as one of its columns.
pub fn is_column(name: &str) -> bool {
    BUILT_IN.contains(&name)
}

fn column(name: &str, event_settings: &EventSettings) -> Option<(EventColumn, ValueType)> {
    built_in(name, event_settings.currency.decimals).or_else(|| {
        let index = event_settings.properties.iter().position(|property| property.name == name)?;
        let value_type = match event_settings.properties[index].kind {
            AttributeType::Number => ValueType::Number,
            AttributeType::Boolean => ValueType::Boolean,
            _ => ValueType::Text,
        };
        Some((EventColumn::Property(index as u8), value_type))
    })
}

impl Checker<'_, '_> {
    /// Whether a name in lower case is a column of the event or a declared property.
    pub fn is_event_column(&self, name: &str) -> bool {
        column(name, self.event_settings).is_some()
    }

    /// A name without parentheses in a condition on an event.
    pub fn event_column(&mut self, name: &Ident, expression: &Expr) -> Option<Term> {
        let lower = name.value.to_lowercase();
        if let Some((column, value_type)) = column(&lower, self.event_settings) {
            return Some(Term { scalar: Scalar::Column(column), value_type });
        }
        let properties = self.event_settings.properties.iter().map(|property| property.name.as_str());
        let hint = nearest(&lower, BUILT_IN.into_iter().chain([HAS_CATEGORY]).chain(properties)).unwrap_or_else(|| {
            match find::find(&lower) {
                Found::Unknown => "declare it under [properties]".into(),
                _ => "features of the customer are for segments and audiences; a count sees one event".into(),
            }
        });
        let message = format!("expected a column of the event or a declared property, found `{}`", name.value);
        self.refuse(expression, message, Some(hint))
    }

    /// A function in a condition on an event. `name` is in lower case.
    pub fn event_function(&mut self, name: &str, arguments: &[&Expr], expression: &Expr) -> Option<Term> {
        match (name, arguments) {
            (HAS_CATEGORY, [category]) => {
                let category = self.text(category, "a category in single quotes")?;
                Some(Term {
                    scalar: Scalar::Column(EventColumn::HasCategory(category)),
                    value_type: ValueType::Boolean,
                })
            }
            (HAS_CATEGORY, _) => {
                let message = format!("expected `{HAS_CATEGORY}('shoes')`, found `{expression}`");
                self.refuse(expression, message, None)
            }
            _ => {
                let message = format!("expected a function of an event, found `{expression}`");
                let hint = nearest(name, [HAS_CATEGORY, "coalesce"]).unwrap_or_else(|| {
                    "a count sees one event: its columns, declared properties, has_category('shoes') and COALESCE"
                        .into()
                });
                self.refuse(expression, message, Some(hint))
            }
        }
    }
}
