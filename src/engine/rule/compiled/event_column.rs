//! Columns of one event, which the conditions of counts of one's own read (B8) where other conditions read features.

use crate::engine::event::{AttributeValue, Event};
use crate::engine::feature::Value;

/// A column of an event. Amounts have the decimals of the base currency.
#[derive(Clone, Debug, PartialEq)]
pub enum EventColumn {
    Amount(u32),
    Discount(u32),
    CartTotal(u32),
    Cost(u32),
    /// The first category.
    Category,
    HasCategory(Box<str>),
    Channel,
    Campaign,
    Coupon,
    OrderId,
    /// Index in the list of declared properties.
    Property(u8),
}

impl EventColumn {
    pub fn read<'a>(&'a self, event: &'a Event<'a>) -> Value<'a> {
        let money =
            |minor: Option<i64>, decimals: u32| minor.map_or(Value::Null, |minor| Value::Money(minor, decimals));
        let text = |text: Option<&'a str>| text.map_or(Value::Null, Value::Text);
        match self {
            Self::Amount(decimals) => money(event.amount, *decimals),
            Self::Discount(decimals) => money(event.discount, *decimals),
            Self::CartTotal(decimals) => money(event.cart_total, *decimals),
            Self::Cost(decimals) => money(event.cost, *decimals),
            Self::Category => text(event.categories.iter().next()),
            Self::HasCategory(category) => Value::Boolean(event.categories.iter().any(|known| *known == **category)),
            Self::Channel => text(event.channel.as_deref()),
            Self::Campaign => text(event.campaign.as_deref()),
            Self::Coupon => text(event.coupon.as_deref()),
            Self::OrderId => text(event.order_id.as_deref()),
            Self::Property(index) => {
                let found = event.properties.iter().find(|(of, _)| of == index);
                found.map_or(Value::Null, |(_, value)| property(value))
            }
        }
    }
}

fn property<'a>(value: &'a AttributeValue<'a>) -> Value<'a> {
    match value {
        AttributeValue::Removed => Value::Null,
        AttributeValue::Text(text) => Value::Text(text),
        AttributeValue::Number(number) => Value::Double(*number),
        AttributeValue::Boolean(boolean) => Value::Boolean(*boolean),
        AttributeValue::Time(moment) => Value::Time(*moment),
        AttributeValue::Texts(_) => unreachable!("no property has the type texts"),
    }
}
