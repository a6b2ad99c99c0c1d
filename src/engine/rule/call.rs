//! Functions of the rule language and their arguments.

use super::check::Checker;
use super::document::quoted;
use super::mistake::{nearest, one_of};
use super::scalar::{Decimal, Scalar};
use super::term::{Kind, Term, example, feature_term, later};
use crate::engine::event::{DAY, EventType, Millis};
use crate::engine::feature::find;
use crate::engine::feature::table::{self, FEATURES};
use crate::engine::feature::{Feature, Parameters, WINDOW_DAYS_MAX};
use crate::engine::meaning::AttributeType;
use sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectNamePart};

/// What bucket() divides into at most.
const BUCKETS_MAX: i64 = 1_000_000;

impl Checker<'_, '_> {
    pub(super) fn function(&mut self, function: &Function, expression: &Expr) -> Option<Term> {
        let name = match &function.name.0[..] {
            [ObjectNamePart::Identifier(name)] if name.quote_style.is_none() => name.value.to_lowercase(),
            _ => String::new(),
        };
        let Some(arguments) = arguments(function) else {
            let what = format!("expected a function with plain arguments, found `{expression}`");
            return self.refuse(expression, what, None);
        };
        if name == "coalesce" {
            return self.coalesce(&arguments, expression);
        }
        if table::LATER.contains(&&*name) {
            let (what, hint) = later(&name);
            return self.refuse(expression, what, hint);
        }
        let functions = || FEATURES.iter().filter(|feature| is_function(feature.parameters));
        match functions().find(|feature| feature.name == name) {
            Some(feature) => self.call(feature, &arguments, expression),
            None => {
                let what = format!("expected a function of the rule language, found `{}`", function.name);
                let plain =
                    find::by_name(&name).map(|feature| format!("`{}` is written without parentheses", feature.name));
                let hint = plain
                    .or_else(|| nearest(&name, functions().map(|feature| feature.name).chain(["COALESCE"])))
                    .unwrap_or_else(|| {
                        format!("functions are {}", one_of(functions().map(|feature| feature.name).chain(["COALESCE"])))
                    });
                self.refuse(expression, what, Some(hint))
            }
        }
    }

    fn coalesce(&mut self, arguments: &[&Expr], expression: &Expr) -> Option<Term> {
        let terms: Vec<_> = arguments.iter().map(|argument| self.term(argument)).collect();
        let terms = terms.into_iter().collect::<Option<Vec<_>>>()?;
        if terms.is_empty() {
            return self.refuse(expression, "expected values within COALESCE, found none".into(), None);
        }
        let kind = terms.iter().map(|term| term.kind).find(|kind| *kind != Kind::Null).unwrap_or(Kind::Null);
        for (term, argument) in terms.iter().zip(arguments) {
            self.expect(term, argument, kind, &format!("{} like the values before it in COALESCE", kind.words()))?;
        }
        Some(Term { scalar: Scalar::Coalesce(terms.into_iter().map(|term| term.scalar).collect()), kind })
    }

    fn call(&mut self, feature: &'static Feature, given: &[&Expr], expression: &Expr) -> Option<Term> {
        let mut arguments = self.arguments();
        arguments.event_type = find::counted_type(feature.name).unwrap_or(arguments.event_type);
        match (feature.parameters, given) {
            (Parameters::AnyType, [event_type]) => arguments.event_type = self.event_type(event_type, false)?,
            (Parameters::CountedTypeAndDays, [event_type, days]) => {
                let (event_type, days) = (self.event_type(event_type, true), self.days(days));
                arguments.event_type = event_type?;
                arguments.window = Some(days?);
            }
            (Parameters::TextAndDays, [text, days]) => {
                let (text, days) = (self.text(text, "a category or channel in single quotes"), self.days(days));
                arguments.text = text?;
                arguments.window = Some(days?);
            }
            (Parameters::SaltAndCount, [salt, count]) => {
                let salt = self.text(salt, "a salt in single quotes");
                let count = self.integer(count, BUCKETS_MAX, "the number of buckets");
                arguments.text = salt?;
                arguments.modulus = count? as u32;
            }
            (Parameters::TimeAttribute, [attribute]) => arguments.attribute = self.time_attribute(attribute)?,
            (Parameters::Segmentation | Parameters::Audience, [name]) => return self.target(feature, name),
            _ => {
                let what = format!("expected `{}`, found `{expression}`", example(feature));
                return self.refuse(expression, what, None);
            }
        }
        Some(feature_term(feature, arguments))
    }

    fn text(&mut self, expression: &Expr, expected: &str) -> Option<Box<str>> {
        match self.term(expression)?.scalar {
            Scalar::Text(text) => Some(text),
            _ => self.refuse(expression, format!("expected {expected}, found `{expression}`"), None),
        }
    }

    fn integer(&mut self, expression: &Expr, max: i64, expected: &str) -> Option<i64> {
        match self.term(expression)?.scalar {
            Scalar::Decimal(Decimal { digits, decimals: 0, .. }) if (1..=max).contains(&digits) => Some(digits),
            _ => {
                let what = format!("expected {expected} from 1 to {max}, found `{expression}`");
                self.refuse(expression, what, None)
            }
        }
    }

    fn days(&mut self, expression: &Expr) -> Option<Millis> {
        Some(self.integer(expression, WINDOW_DAYS_MAX, "a number of days")? * DAY)
    }

    /// A type of events that leave something, or one that is counted (B1).
    fn event_type(&mut self, expression: &Expr, counted: bool) -> Option<EventType> {
        let text = self.text(expression, "a type of events in single quotes")?;
        let built_in = EventType::BUILT_IN.iter().map(|(name, event_type)| (*name, *event_type));
        let meaning = self.meaning;
        let marks = [EventType::ERASE, EventType::OPT_OUT, EventType::OPT_IN];
        let known: Vec<_> = built_in
            .chain(meaning.declared_types())
            .filter(
                |(_, event_type)| if counted { meaning.is_counted(*event_type) } else { !marks.contains(event_type) },
            )
            .collect();
        match known.iter().find(|(name, _)| *name == &*text) {
            Some((_, event_type)) => Some(*event_type),
            None => {
                let what = format!("expected a type of events, found {}", quoted(&text));
                let names = || known.iter().map(|(name, _)| *name);
                let hint = nearest(&text, names()).unwrap_or_else(|| format!("types here are {}", one_of(names())));
                self.refuse(expression, what, Some(hint))
            }
        }
    }

    fn time_attribute(&mut self, expression: &Expr) -> Option<u8> {
        let Expr::Identifier(name) = expression else {
            let what = format!("expected the name of an attribute of type time, found `{expression}`");
            return self.refuse(expression, what, None);
        };
        let lower = name.value.to_lowercase();
        let meaning = self.meaning;
        match meaning.declared_attributes().find(|(_, attribute)| attribute.name == lower) {
            Some((place, attribute)) if attribute.kind == AttributeType::Time => Some(place),
            Some(_) => {
                let what = format!("expected an attribute of type time, found `{lower}` of another type");
                self.refuse(expression, what, None)
            }
            None => {
                let what = format!("expected an attribute of type time, found `{}`", name.value);
                let moments = meaning.declared_attributes().filter(|(_, moment)| moment.kind == AttributeType::Time);
                let hint = nearest(&lower, moments.map(|(_, moment)| moment.name.as_str()));
                self.refuse(expression, what, hint.or(Some("declare it under [attributes]".into())))
            }
        }
    }

    fn target(&mut self, feature: &'static Feature, expression: &Expr) -> Option<Term> {
        let is_audience = feature.parameters == Parameters::Audience;
        let (kind, expected) = if is_audience { (Kind::Boolean, "audience") } else { (Kind::Text, "segmentation") };
        let text = self.text(expression, &format!("the name of {expected} in single quotes"))?;
        let names = self.names;
        match names.iter().position(|name| *name.name == *text) {
            Some(place) if names[place].segments.is_none() == is_audience => {
                Some(Term { scalar: Scalar::Target { place: place as u16, is_audience }, kind })
            }
            Some(_) => {
                let (is, other) = if is_audience { ("segmentation", "segment") } else { ("audience", "audience") };
                let what = format!("expected the name of a declared {expected}, found the {is} {text:?}");
                self.refuse(expression, what, Some(format!("write {other}('{text}')")))
            }
            None => {
                let what = format!("expected the name of a declared {expected}, found {}", quoted(&text));
                let known = names.iter().filter(|name| name.segments.is_none() == is_audience);
                self.refuse(expression, what, nearest(&text, known.map(|name| name.name.as_str())))
            }
        }
    }
}

/// The plain arguments of a function; `None` if it has anything beside them.
pub fn arguments(function: &Function) -> Option<Vec<&Expr>> {
    let plain = !function.uses_odbc_syntax
        && matches!(function.parameters, FunctionArguments::None)
        && function.within_group.is_empty()
        && function.filter.is_none()
        && function.null_treatment.is_none()
        && function.over.is_none();
    match &function.args {
        FunctionArguments::List(list) if plain && list.duplicate_treatment.is_none() && list.clauses.is_empty() => {
            let arguments = list.args.iter().map(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => Some(expression),
                _ => None,
            });
            arguments.collect()
        }
        _ => None,
    }
}

fn is_function(parameters: Parameters) -> bool {
    !matches!(parameters, Parameters::None | Parameters::Window | Parameters::OptionalWindow | Parameters::Attribute)
}
