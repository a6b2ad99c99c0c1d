//! Declared properties of an event (B8), as far as a count of its type reads them, and its coupon. Neither ever costs
//! the event: what does not fit is left out (E5).

use super::attributes;
use super::fields::{CHECKED, Field, Fields};
use super::value::JsonKind;
use crate::engine::event::{AttributeValue, DescriptiveField, EventType, Unfit};
use crate::engine::event_settings::{EventSettings, Property};

/// The declared properties, and which of them are read in events of each type.
pub struct Properties {
    declared: Vec<Property>,
    /// By event type: one bit for each property that a count of the type reads.
    read_in: Vec<u32>,
}

impl Properties {
    pub fn new(event_settings: &EventSettings) -> Self {
        let mut read_in = vec![0; EventType::COUNT];
        for count in &event_settings.counts {
            let of = event_settings.type_named(&count.of).expect("checked: a count is of a known type");
            read_in[of.index()] |= count.properties;
        }
        Self { declared: event_settings.properties.clone(), read_in }
    }

    /// Whether a count reads a property of the events of a type.
    #[inline(always)]
    pub fn are_read_in(&self, event_type: EventType) -> bool {
        self.read_in[event_type.index()] != 0
    }

    /// The properties of an event, each with its index.
    #[inline(never)]
    pub fn read<'a>(
        &self,
        event_type: EventType,
        fields: &Fields<'a>,
        unfit: &mut Unfit,
    ) -> Vec<(u8, AttributeValue<'a>)> {
        let wanted = self.read_in[event_type.index()];
        let mut properties = Vec::new();
        let object = fields.value(Field::Properties);
        if object.is_absent() {
            return properties;
        }
        if !object.is(JsonKind::Object) {
            unfit.leave_out(DescriptiveField::Properties);
            return properties;
        }
        let mut members = fields.members(object);
        while let Some(member) = members.next_member().expect(CHECKED) {
            let name = member.name.text(fields.text);
            let index = self.declared.iter().position(|property| property.name == name);
            let Some(index) = index.filter(|index| wanted >> index & 1 != 0 && !member.value.is_absent()) else {
                continue;
            };
            match attributes::value(
                self.declared[index].kind,
                fields,
                member.value,
                DescriptiveField::Properties,
                unfit,
            ) {
                Some(value) => properties.push((index as u8, value)),
                None => unfit.leave_out(DescriptiveField::Properties),
            }
        }
        properties
    }
}

/// Whether events of a type have a coupon.
#[inline]
pub fn has_coupon(event_type: EventType) -> bool {
    matches!(event_type, EventType::PURCHASE | EventType::CART_ADD | EventType::CART_REMOVE | EventType::CHECKOUT)
}

#[cfg(test)]
mod tests {
    use crate::engine::decode::{Decoder, Source};
    use crate::engine::event::{AttributeValue, Event, Record};
    use crate::engine::event_settings::{AttributeType, EventSettings, OwnCount, Property};

    /// Rules with three properties; a count of views reads all of them, one of purchases the first.
    fn event_settings() -> EventSettings {
        let kinds = [("size", AttributeType::Text), ("n", AttributeType::Number), ("b", AttributeType::Boolean)];
        let count = |of: &str, properties: u32, index: u8| OwnCount {
            name: format!("count_{of}"),
            of: of.into(),
            definition: String::new(),
            properties,
            index,
        };
        EventSettings {
            properties: kinds.map(|(name, kind)| Property { name: name.into(), kind }).into(),
            counts: vec![count("view", 0b111, 0), count("purchase", 0b001, 1)],
            ..EventSettings::default()
        }
    }

    fn decode(value: &str) -> Event<'_> {
        let value = value.as_bytes();
        let record = Record { topic: 0, partition: 0, offset: 0, arrival: None, key: None, value };
        Decoder::new(&event_settings()).decode(&record, &Source::File, 1_763_806_251_000).expect("a valid event")
    }

    fn line(event_type: &str, rest: &str) -> String {
        format!(r#"{{"customer_id":"c","type":"{event_type}","time":1763806251000,"amount":1,{rest}}}"#)
    }

    #[test]
    fn what_is_plainly_of_the_declared_type_is_taken() {
        let long = "é".repeat(65);
        let text = |text: &str| Some(AttributeValue::Text(text.to_owned().into()));
        let number = |number: f64| Some(AttributeValue::Number(number));
        let boolean = |boolean: bool| Some(AttributeValue::Boolean(boolean));
        let cases = [
            (0, r#""M""#.to_owned(), text("M")),
            (0, r#""\u004d""#.to_owned(), text("M")),
            (0, "1.50".to_owned(), text("1.50")),
            (0, format!("\"{long}\""), text(&"é".repeat(64))),
            (0, r#""""#.to_owned(), None),
            (0, "true".to_owned(), None),
            (0, "null".to_owned(), None),
            (1, "31".to_owned(), number(31.0)),
            (1, r#""3e1""#.to_owned(), number(30.0)),
            (1, r#""3 ""#.to_owned(), None),
            (1, "1e999".to_owned(), None),
            (1, "[1]".to_owned(), None),
            (2, "false".to_owned(), boolean(false)),
            (2, r#""true""#.to_owned(), boolean(true)),
            (2, r#""True""#.to_owned(), None),
            (2, "1".to_owned(), None),
        ];
        for (index, written, expected) in cases {
            let name = ["size", "n", "b"][usize::from(index)];
            let line = line("view", &format!(r#""properties":{{"other":[{{}}],"{name}":{written}}}"#));
            let expected: Vec<_> = expected.into_iter().map(|value| (index, value)).collect();
            assert_eq!(decode(&line).properties, expected, "{written}");
        }
    }

    #[test]
    fn only_what_a_count_of_the_type_reads_is_looked_at() {
        let both = r#""properties":{"size":"M","n":1}"#;
        assert_eq!(decode(&line("purchase", both)).properties, [(0, AttributeValue::Text("M".into()))]);
        assert_eq!(decode(&line("open", both)).properties, []);
        for strange in [r#""properties":[]"#, r#""properties":"M""#, r#""properties":null"#] {
            assert_eq!(decode(&line("view", strange)).properties, []);
        }
    }

    #[test]
    fn a_coupon_belongs_to_what_is_bought() {
        for event_type in ["purchase", "cart_add", "cart_remove", "checkout"] {
            assert_eq!(decode(&line(event_type, r#""coupon":"SUMMER""#)).coupon.as_deref(), Some("SUMMER"));
        }
        assert_eq!(decode(&line("view", r#""coupon":"SUMMER""#)).coupon, None);
        for strange in ["7", "\"\"", "[]", "null"] {
            assert_eq!(decode(&line("purchase", &format!(r#""coupon":{strange}"#))).coupon, None);
        }
    }
}
