//! The features of a customer as columns of a table: all features, with the windows and arguments that the rules use.
//!
//! A column has the name that rules write, with the window as these rules spell it, so that a condition of the file can
//! be run as SQL on the table without changes.

use super::Rules;
use super::compiled::scalar::Scalar;
use crate::engine::event::{DAY, EventType, Millis};
use crate::engine::event_settings::AttributeType;
use crate::engine::feature::find::{self, Found};
use crate::engine::feature::table::FEATURES;
use crate::engine::feature::{Arguments, Call, Feature, Parameters, TextSource, attribute_unit};
use std::collections::BTreeSet;

/// The window of features that need one, if the rules use none.
const DEFAULT_WINDOW: (Millis, &str) = (30 * DAY, "30d");

/// A feature with its arguments, and the name that rules write for it.
#[derive(Clone, Debug)]
pub struct Column {
    pub name: String,
    pub call: Call,
}

impl Rules {
    /// A column for every feature of the table: a feature with a window has one for each window in these rules, a
    /// feature with a text argument one for each use in them. Segmentations and audiences are not included.
    pub fn columns(&self) -> Vec<Column> {
        let used = self.calls();
        let windows = self.windows();
        FEATURES.iter().flat_map(|feature| self.columns_of(feature, &windows, &used)).collect()
    }

    fn columns_of(&self, feature: &'static Feature, windows: &[(Millis, String)], used: &[Call]) -> Vec<Column> {
        let (name, event_settings, defaults) = (feature.name, &self.event_settings, self.default_arguments(feature));
        let column =
            |name: String, arguments: Arguments| Column { name, call: Call::new(feature, feature.unit, arguments) };
        let windowed = || {
            let of = |(window, suffix): &(Millis, String)| {
                column(format!("{name}_{suffix}"), Arguments { window: Some(*window), ..defaults.clone() })
            };
            windows.iter().map(of)
        };
        let of_type = |(of, event_type): (&str, EventType)| {
            column(format!("{name}('{of}')"), Arguments { event_type, ..defaults.clone() })
        };
        match feature.parameters {
            Parameters::None => vec![column(name.into(), defaults.clone())],
            Parameters::OptionalWindow => {
                [column(name.into(), defaults.clone())].into_iter().chain(windowed()).collect()
            }
            Parameters::Window => windowed().collect(),
            Parameters::AnyType => {
                let marks = [EventType::ERASE, EventType::OPT_OUT, EventType::OPT_IN];
                let types = EventType::BUILT_IN.iter().map(|(name, event_type)| (*name, *event_type));
                let types = types.chain(event_settings.declared_types()).chain(event_settings.own_counts());
                types.filter(|(_, event_type)| !marks.contains(event_type)).map(of_type).collect()
            }
            Parameters::CountedTypeAndDays => {
                let days = windows.iter().filter(|(window, _)| window % DAY == 0);
                let of = |window: Millis| {
                    let named = event_settings.declared_types().chain(event_settings.own_counts());
                    let named = named.map(move |(of, event_type)| (of, event_type, window));
                    named.map(|(of, event_type, window)| {
                        let arguments = Arguments { event_type, window: Some(window), ..defaults.clone() };
                        column(format!("{name}('{of}', {})", window / DAY), arguments)
                    })
                };
                days.flat_map(|(window, _)| of(*window)).chain(self.as_used(feature, used)).fold(Vec::new(), add_new)
            }
            Parameters::TimeAttribute => {
                let moments =
                    event_settings.declared_attributes().filter(|(_, known)| known.kind == AttributeType::Time);
                let of = |(attribute, known): (u8, &crate::engine::event_settings::Attribute)| {
                    column(format!("{name}({})", known.name), Arguments { attribute, ..defaults.clone() })
                };
                moments.map(of).collect()
            }
            Parameters::TextAndDays
            | Parameters::SaltAndCount
            | Parameters::TextsAttributeAndText
            | Parameters::Interval
            | Parameters::CountedTypeAndInterval => self.as_used(feature, used).fold(Vec::new(), add_new),
            Parameters::Attribute => {
                let of = |(attribute, known): (u8, &crate::engine::event_settings::Attribute)| Column {
                    name: known.name.clone(),
                    call: Call::new(feature, attribute_unit(known.kind), Arguments { attribute, ..defaults.clone() }),
                };
                event_settings.declared_attributes().map(of).collect()
            }
            Parameters::Segmentation | Parameters::Audience => Vec::new(),
        }
    }

    fn default_arguments(&self, feature: &Feature) -> Arguments {
        let event_type = find::counted_type(feature.name).unwrap_or(EventType::PURCHASE);
        Arguments { event_type, ..Arguments::none(&self.event_settings) }
    }

    /// The calls of a function in the rules, each under its own name.
    fn as_used<'a>(&'a self, feature: &'static Feature, used: &'a [Call]) -> impl Iterator<Item = Column> + 'a {
        // Values of segmentations are in a table of their own.
        let is_column = move |call: &&Call| call.feature.name == feature.name && call.source_segment().is_none();
        let calls = used.iter().filter(is_column);
        calls.map(|call| {
            let Arguments { text, window, event_type, modulus, attribute, .. } = &call.arguments;
            if call.feature.parameters == Parameters::TextsAttributeAndText {
                let attribute = &self.event_settings.attributes[usize::from(*attribute)].name;
                let name = format!("{}({attribute}, '{}')", call.feature.name, text.replace('\'', "''"));
                return Column { name, call: call.clone() };
            }
            let text = match call.feature.parameters {
                Parameters::CountedTypeAndDays => self.event_settings.type_name(*event_type),
                _ => text,
            };
            if matches!(call.feature.parameters, Parameters::Interval | Parameters::CountedTypeAndInterval) {
                return Column { name: format!("{}({text})", call.feature.name), call: call.clone() };
            }
            let number = window.map_or(i64::from(*modulus), |window| window / DAY);
            let text = match &call.arguments.source {
                Some(TextSource::Feature(_, written)) => written.to_string(),
                _ => format!("'{}'", text.replace('\'', "''")),
            };
            let name = format!("{}({text}, {number})", call.feature.name);
            Column { name, call: call.clone() }
        })
    }

    /// Every feature that a condition or `include` uses.
    fn calls(&self) -> Vec<Call> {
        let mut calls = Vec::new();
        let mut add = |scalar: &Scalar| scalar.for_each_feature(&mut |call| calls.push(call.clone()));
        self.include.iter().for_each(|(_, scalar)| add(scalar));
        self.comparisons.iter().for_each(|comparison| comparison.predicate.for_each_operand(&mut add));
        calls
    }

    /// The windows in the names that the rules use, the shortest first, with their spelling.
    fn windows(&self) -> Vec<(Millis, String)> {
        let texts = self.include.iter().map(|(name, _)| name).chain(self.comparisons.iter().map(|known| &known.text));
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let mut windows = BTreeSet::new();
        for word in texts.flat_map(|text| text.split(|letter| !is_part(letter))) {
            let word = word.to_lowercase();
            if let Found::Feature(_, Some(window)) = find::find(&word)
                && let Some((_, suffix)) = word.rsplit_once('_')
            {
                windows.insert((window, suffix.to_owned()));
            }
        }
        if windows.is_empty() {
            windows.insert((DEFAULT_WINDOW.0, DEFAULT_WINDOW.1.into()));
        }
        windows.into_iter().collect()
    }
}

/// Adds a column unless there is one of its name.
fn add_new(mut columns: Vec<Column>, new: Column) -> Vec<Column> {
    if columns.iter().all(|known| known.name != new.name) {
        columns.push(new);
    }
    columns
}

#[cfg(test)]
mod tests {
    use crate::engine::rule;

    fn names(rules: &str) -> Vec<String> {
        let rules = rule::read(rules).expect("the rules are valid");
        rules.columns().into_iter().map(|column| column.name).collect()
    }

    #[test]
    fn there_is_a_column_for_every_feature_with_the_windows_in_use() {
        let names = names(
            r#"
            include = ["Views_24h", "bucket('it''s', 10)"]
            [attributes]
            plan = "text"
            joined = "time"
            [events]
            survey = "other"
            [count.big]
            of = "view"
            [audience.busy]
            when = "orders_30d >= 2 AND orders_in('shoes', 90) > 0 AND segment('life') = 'old'"
            [segmentation.life]
            segments = [{ name = "new", when = "events('survey', 7) > 0 AND orders_in('shoes', 90) > 0" }, { name = "old" }]
            "#,
        );
        for expected in [
            "orders",
            "orders_24h",
            "orders_30d",
            "last_order_value",
            "recency_days",
            "views_24h",
            "sessions_30d",
            "since('purchase')",
            "since('survey')",
            "since('big')",
            "events('big', 30)",
            "days_since(joined)",
            "events('survey', 30)",
            "events('survey', 7)",
            "orders_in('shoes', 90)",
            "bucket('it''s', 10)",
            "cart_open",
            "top_channel",
            "country",
            "plan",
            "joined",
        ] {
            let found = names.iter().filter(|name| *name == expected).count();
            assert_eq!(found, 1, "{expected} in {names:?}");
        }
        for missing in ["views", "views_90d", "since('erase')", "segment('life')", "events('view', 30)"] {
            assert!(!names.iter().any(|name| name == missing), "{missing} in {names:?}");
        }
    }

    #[test]
    fn without_a_window_in_the_rules_there_is_the_default_one() {
        let names = names("[audience.buyer]\nwhen = \"orders > 0\"");
        assert!(names.iter().any(|name| name == "sessions_30d"), "{names:?}");
    }
}
