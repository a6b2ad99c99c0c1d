//! Functions of the rule language and their arguments.

use super::comparison::DURATIONS;
use super::shape::{arguments, is_condition};
use super::term::{
    MOMENTS_IN_TEXT, Term, ValueType, example, feature_term, later, midnight, moment_in_range, utc_moment,
};
use super::{Checker, INTERVALS_MAX, Scope};
use crate::document::nearest::{nearest, nearest_or_all};
use crate::document::table::quoted;
use crate::engine::event::{DAY, EventType, HOUR, Millis};
use crate::engine::event_settings::AttributeType;
use crate::engine::feature::find;
use crate::engine::feature::table::{self, FEATURES};
use crate::engine::feature::{Arguments, Feature, Parameters, TextSource, WINDOW_DAYS_MAX};
use crate::engine::rule::compiled::scalar::{Decimal, Scalar};
use sqlparser::ast::{Expr, Function, ObjectNamePart};

/// Buckets of bucket() at most.
const BUCKETS_MAX: i64 = 1_000_000;

impl Checker<'_, '_> {
    pub fn function(&mut self, function: &Function, expression: &Expr) -> Option<Term> {
        let name = match &function.name.0[..] {
            [ObjectNamePart::Identifier(name)] if name.quote_style.is_none() => name.value.to_lowercase(),
            _ => String::new(),
        };
        let Some(arguments) = arguments(function) else {
            let message = format!("expected a function with plain arguments, found `{expression}`");
            return self.refuse(expression, message, None);
        };
        if name == "coalesce" {
            return self.coalesce(&arguments, expression);
        }
        if self.scope == Scope::Event {
            return self.event_function(&name, &arguments, expression);
        }
        if table::RESERVED.contains(&&*name) {
            let (message, hint) = later(&name);
            return self.refuse(expression, message, hint);
        }
        let functions = || FEATURES.iter().filter(|feature| is_function(feature.parameters));
        match functions().find(|feature| feature.name == name) {
            Some(feature) => self.call(feature, &arguments, expression),
            None => {
                let message = format!("expected a function of the rule language, found `{}`", function.name);
                let plain =
                    find::by_name(&name).map(|feature| format!("`{}` is written without parentheses", feature.name));
                let known = functions().map(|feature| feature.name).chain(["COALESCE"]);
                let hint = plain.unwrap_or_else(|| nearest_or_all(&name, known));
                self.refuse(expression, message, Some(hint))
            }
        }
    }

    fn coalesce(&mut self, arguments: &[&Expr], expression: &Expr) -> Option<Term> {
        if is_condition(expression) {
            let message = format!("expected a value, found the condition `{expression}`");
            let hint = "COALESCE of conditions is a condition: an operand of AND, OR, NOT, IS, COALESCE, = and <> only";
            return self.refuse(expression, message, Some(hint.into()));
        }
        let terms: Vec<_> = arguments.iter().map(|argument| self.term(argument)).collect();
        let terms = terms.into_iter().collect::<Option<Vec<_>>>()?;
        if terms.is_empty() {
            return self.refuse(expression, "expected values within COALESCE, found none".into(), None);
        }
        let value_type = terms.iter().map(|term| term.value_type).find(|value_type| *value_type != ValueType::Null);
        let value_type = value_type.unwrap_or(ValueType::Null);
        for (term, argument) in terms.iter().zip(arguments) {
            let expected = format!("{} like the values before it in COALESCE", value_type.described());
            self.expect(term, argument, value_type, &expected)?;
        }
        Some(Term { scalar: Scalar::Coalesce(terms.into_iter().map(|term| term.scalar).collect()), value_type })
    }

    fn call(&mut self, feature: &'static Feature, given: &[&Expr], expression: &Expr) -> Option<Term> {
        let mut arguments = Arguments::none(self.event_settings);
        arguments.event_type = find::counted_type(feature.name).unwrap_or(arguments.event_type);
        match (feature.parameters, given) {
            (Parameters::AnyType, [event_type]) => arguments.event_type = self.event_type(event_type, false)?,
            (Parameters::CountedTypeAndDays, [event_type, days]) => {
                let (event_type, days) = (self.event_type(event_type, true), self.days(days));
                arguments.event_type = event_type?;
                arguments.window = Some(days?);
            }
            (Parameters::TextAndDays, [text, days]) => {
                let (text, days) = (self.text_or_source(text), self.days(days));
                (arguments.text, arguments.source) = text?;
                arguments.window = Some(days?);
            }
            (Parameters::Interval, [from, to]) => {
                arguments.between = self.interval(from, to, expression)?;
                arguments.text = format!("{from}, {to}").into();
            }
            (Parameters::CountedTypeAndInterval, [event_type, from, to]) => {
                let counted = self.event_type(event_type, true);
                arguments.between = self.interval(from, to, expression)?;
                for (moment, written) in arguments.between.into_iter().zip([from, to]) {
                    if moment % HOUR != 0 {
                        let message = format!("expected a whole UTC hour, found `{written}`");
                        let hint = "events are counted by the hour".to_string();
                        return self.refuse(written, message, Some(hint));
                    }
                }
                arguments.event_type = counted?;
                arguments.text = format!("{event_type}, {from}, {to}").into();
            }
            (Parameters::SaltAndCount, [salt, count]) => {
                let salt = self.text(salt, "a salt in single quotes");
                let count = self.integer(count, BUCKETS_MAX, "the number of buckets");
                arguments.text = salt?;
                arguments.modulus = count? as u32;
            }
            (Parameters::TimeAttribute, [attribute]) => arguments.attribute = self.time_attribute(attribute)?,
            (Parameters::TextsAttributeAndText, [attribute, text]) => {
                let attribute = self.typed_attribute(attribute, AttributeType::Texts, "texts");
                let text = self.text(text, "a text in single quotes");
                arguments.attribute = attribute?;
                arguments.text = text?;
            }
            (Parameters::Segmentation | Parameters::Audience, [name]) => return self.target(feature, name),
            _ => {
                let message = format!("expected `{}`, found `{expression}`", example(feature));
                return self.refuse(expression, message, None);
            }
        }
        Some(feature_term(feature, arguments))
    }

    pub fn text(&mut self, expression: &Expr, expected: &str) -> Option<Box<str>> {
        match self.term(expression)?.scalar {
            Scalar::Text(text) => Some(text),
            _ => self.refuse(expression, format!("expected {expected}, found `{expression}`"), None),
        }
    }

    /// The bounds of an absolute interval. A file has a bounded number of different ones.
    fn interval(&mut self, from: &Expr, to: &Expr, expression: &Expr) -> Option<[Millis; 2]> {
        let (from, to) = (self.bound(from), self.bound(to));
        let between = [from?, to?];
        if between[0] >= between[1] {
            let message = format!("expected an interval that ends after it begins, found `{expression}`");
            return self.refuse(expression, message, None);
        }
        if !self.intervals.contains(&between) {
            if self.intervals.len() == INTERVALS_MAX {
                let message = format!("expected at most {INTERVALS_MAX} different intervals in the file, found more");
                return self.refuse(expression, message, None);
            }
            self.intervals.push(between);
        }
        Some(between)
    }

    /// A moment as text.
    fn bound(&mut self, expression: &Expr) -> Option<Millis> {
        let moment = match self.term(expression)?.scalar {
            Scalar::Text(text) => midnight(&text).or_else(|| utc_moment(&text)).filter(moment_in_range),
            Scalar::Time(moment) => Some(moment),
            _ => None,
        };
        if moment.is_none() {
            let message = format!("expected a moment from 1900 to 2100, found `{expression}`");
            return self.refuse(expression, message, Some(MOMENTS_IN_TEXT.into()));
        }
        moment
    }

    /// A category or channel as it is written, or what gives it.
    fn text_or_source(&mut self, expression: &Expr) -> Option<(Box<str>, Option<TextSource>)> {
        let Term { scalar, value_type } = self.term(expression)?;
        match scalar {
            Scalar::Text(text) => Some((text, None)),
            Scalar::Feature(call) if value_type == ValueType::Text => {
                Some(("".into(), Some(TextSource::Feature(call, expression.to_string().into()))))
            }
            Scalar::Target { index, is_audience: false } => Some(("".into(), Some(TextSource::Segment(index)))),
            _ => {
                let message = format!("expected a category or channel, found `{expression}`");
                let hint = "write it in single quotes, or a text feature or segment('…') in its place";
                self.refuse(expression, message, Some(hint.into()))
            }
        }
    }

    fn integer(&mut self, expression: &Expr, max: i64, expected: &str) -> Option<i64> {
        match self.term(expression)?.scalar {
            Scalar::Decimal(Decimal { digits, decimals: 0, .. }) if (1..=max).contains(&digits) => Some(digits),
            _ => {
                let message = format!("expected {expected} from 1 to {max}, found `{expression}`");
                self.refuse(expression, message, None)
            }
        }
    }

    fn days(&mut self, expression: &Expr) -> Option<Millis> {
        Some(self.integer(expression, WINDOW_DAYS_MAX, "a number of days")? * DAY)
    }

    /// An event type: one that is counted (B1), or any that a profile remembers.
    fn event_type(&mut self, expression: &Expr, counted: bool) -> Option<EventType> {
        let text = self.text(expression, "a type of events in single quotes")?;
        let built_in = EventType::BUILT_IN.iter().map(|(name, event_type)| (*name, *event_type));
        let event_settings = self.event_settings;
        let marks = [EventType::ERASE, EventType::OPT_OUT, EventType::OPT_IN];
        let known: Vec<_> = built_in
            .chain(event_settings.declared_types())
            .filter(
                |(_, event_type)| {
                    if counted { event_settings.is_counted(*event_type) } else { !marks.contains(event_type) }
                },
            )
            .chain(event_settings.own_counts())
            .collect();
        match known.iter().find(|(name, _)| *name == &*text) {
            Some((_, event_type)) => Some(*event_type),
            None => {
                let message = format!("expected a type of events, found {}", quoted(&text));
                let hint = nearest_or_all(&text, known.iter().map(|(name, _)| *name));
                self.refuse(expression, message, Some(hint))
            }
        }
    }

    fn time_attribute(&mut self, expression: &Expr) -> Option<u8> {
        self.typed_attribute(expression, AttributeType::Time, "time")
    }

    /// The index of a declared attribute of this type.
    fn typed_attribute(&mut self, expression: &Expr, kind: AttributeType, type_name: &str) -> Option<u8> {
        let Expr::Identifier(name) = expression else {
            let message = format!("expected the name of an attribute of type {type_name}, found `{expression}`");
            return self.refuse(expression, message, None);
        };
        let lower = name.value.to_lowercase();
        let event_settings = self.event_settings;
        match event_settings.declared_attributes().find(|(_, attribute)| attribute.name == lower) {
            Some((index, attribute)) if attribute.kind == kind => Some(index),
            Some(_) => {
                let message = format!("expected an attribute of type {type_name}, found `{lower}` of another type");
                self.refuse(expression, message, None)
            }
            None => {
                let message = format!("expected an attribute of type {type_name}, found `{}`", name.value);
                let moment = DURATIONS.iter().find(|(moment, _)| *moment == lower);
                if let (AttributeType::Time, Some((_, days))) = (kind, moment) {
                    return self.refuse(expression, message, Some(format!("the days since then are `{days}`")));
                }
                let known = event_settings.declared_attributes().filter(|(_, attribute)| attribute.kind == kind);
                let hint = nearest(&lower, known.map(|(_, attribute)| attribute.name.as_str()));
                self.refuse(expression, message, hint.or(Some("declare it under [attributes]".into())))
            }
        }
    }

    fn target(&mut self, feature: &'static Feature, expression: &Expr) -> Option<Term> {
        let is_audience = feature.parameters == Parameters::Audience;
        let (value_type, expected) =
            if is_audience { (ValueType::Boolean, "audience") } else { (ValueType::Text, "segmentation") };
        let text = self.text(expression, &format!("the name of {expected} in single quotes"))?;
        let declared = self.targets;
        match declared.iter().position(|target| *target.name == *text) {
            Some(index) if declared[index].segments.is_none() == is_audience => {
                Some(Term { scalar: Scalar::Target { index: index as u16, is_audience }, value_type })
            }
            Some(_) => {
                let (is, other) = if is_audience { ("segmentation", "segment") } else { ("audience", "audience") };
                let message = format!("expected the name of a declared {expected}, found the {is} {text:?}");
                self.refuse(expression, message, Some(format!("write {other}('{text}')")))
            }
            None if self.retired.iter().any(|retired| *retired.name == *text) => {
                let message = format!("expected the name of a declared {expected}, found {text:?}, which is retired");
                self.refuse(expression, message, Some("remove it here, or `retired` there".into()))
            }
            None => {
                let message = format!("expected the name of a declared {expected}, found {}", quoted(&text));
                let known = declared.iter().filter(|target| target.segments.is_none() == is_audience);
                self.refuse(expression, message, nearest(&text, known.map(|target| target.name.as_str())))
            }
        }
    }
}

fn is_function(parameters: Parameters) -> bool {
    !matches!(parameters, Parameters::None | Parameters::Window | Parameters::OptionalWindow | Parameters::Attribute)
}
