//! `[properties]` and `[count.<name>]`: what is looked at in events besides their fields, and counts of one's own (B8).

use super::identifier;
use super::targets::{WrittenSql, sql};
use crate::document::MistakeCollector;
use crate::document::nearest::nearest_or_all;
use crate::document::table::{self, Section, choice, quoted};
use crate::engine::event::EventType;
use crate::engine::event_settings::{AttributeType, EventSettings, OwnCount, Property};
use crate::engine::rule::check::sql::{self as syntax, SqlText};
use crate::engine::rule::check::{Checker, Scope, is_column};
use crate::engine::rule::compiled::event_column::EventColumn;
use crate::engine::rule::compiled::own_counts::EventCondition;

/// Reads the declared properties.
pub fn properties(file: &mut Section<'_>, event_settings: &mut EventSettings, mistakes: &mut MistakeCollector<'_>) {
    const KINDS: [(&str, AttributeType); 3] =
        [("text", AttributeType::Text), ("number", AttributeType::Number), ("boolean", AttributeType::Boolean)];
    let Some(section) = file.section("properties", "[properties]", mistakes) else { return };
    for (name, offset, item) in section.entries() {
        identifier::check(name, offset, "a property", mistakes);
        let taken = if is_column(name) {
            Some("a column of every event")
        } else {
            (!syntax::is_name(name)).then_some("a word of SQL")
        };
        if let Some(taken) = taken {
            let message = format!("expected the name of a property, found `{name}`, which is {taken}");
            mistakes.add(offset, message, Some("choose another name".into()));
        }
        if let Some(kind) = choice(item, name, &KINDS, mistakes) {
            event_settings.properties.push(Property { name: name.into(), kind });
        }
    }
    let (max, count) = (EventSettings::PROPERTIES_MAX, event_settings.properties.len());
    if count > max {
        mistakes.add(section.offset, format!("expected at most {max} properties, found {count}"), None);
        event_settings.properties.truncate(max);
    }
}

/// Reads the counts into the settings, and returns their conditions in the same order.
pub fn read(
    file: &mut Section<'_>,
    text: &str,
    event_settings: &mut EventSettings,
    mistakes: &mut MistakeCollector<'_>,
) -> Vec<Option<EventCondition>> {
    let mut conditions = Vec::new();
    let Some(section) = file.section("count", "[count.<name>]", mistakes) else { return conditions };
    let entries = section.entries();
    let names: Vec<&str> = entries.iter().map(|(name, _, _)| *name).collect();
    if names.len() > EventType::OWN_COUNTS_MAX {
        let message = format!("expected at most {} counts, found {}", EventType::OWN_COUNTS_MAX, names.len());
        mistakes.add(entries[EventType::OWN_COUNTS_MAX].1, message, None);
    }
    for (name, offset, item) in entries.into_iter().take(EventType::OWN_COUNTS_MAX) {
        check_name(name, offset, event_settings, mistakes);
        let Some(mut section) = table::section(item, &format!("[count.{name}]"), mistakes) else { continue };
        let of = of(name, offset, &mut section, &names, event_settings, mistakes);
        let written = sql(&mut section, "where", mistakes);
        section.finish(mistakes);
        let condition = written.map(|written| condition(&written, text, event_settings, mistakes));
        let (Some(of), Some(condition)) = (of, condition.map_or(Some(None), |condition| condition.map(Some))) else {
            continue;
        };
        let (sql, condition) = condition.map_or((String::new(), None), |(sql, of)| (sql, Some(of)));
        let properties = condition.as_ref().map_or(0, properties_read);
        let used = event_settings.properties.iter().enumerate().filter(|(index, _)| properties >> index & 1 != 0);
        let types: String = used.map(|(_, property)| format!("\n{}: {:?}", property.name, property.kind)).collect();
        event_settings.counts.push(OwnCount {
            name: name.into(),
            of: of.into(),
            definition: format!("{of}\n{sql}{types}"),
            properties,
            index: event_settings.counts.len() as u8,
        });
        conditions.push(condition);
    }
    conditions
}

fn check_name(name: &str, offset: usize, event_settings: &EventSettings, mistakes: &mut MistakeCollector<'_>) {
    identifier::check(name, offset, "a count", mistakes);
    if event_settings.type_named(name).is_some() {
        let message = format!("expected the name of a count, found `{name}`, which is a type of events");
        mistakes.add(offset, message, Some("choose another name: events('…') reads both".into()));
    }
}

/// The type of events that a count counts.
fn of<'d>(
    name: &str,
    offset: usize,
    section: &mut Section<'d>,
    counts: &[&str],
    event_settings: &EventSettings,
    mistakes: &mut MistakeCollector<'_>,
) -> Option<&'d str> {
    if section.get("of").is_none() {
        let message = format!("expected `of` in [count.{name}], found none");
        mistakes.add(offset, message, Some("name the type of the events to count, such as of = \"purchase\"".into()));
    }
    let (of, offset) = section.text("of", mistakes)?;
    const MARKS: [EventType; 3] = [EventType::ERASE, EventType::OPT_OUT, EventType::OPT_IN];
    let known = EventType::BUILT_IN.into_iter().chain(event_settings.declared_types());
    let known = known.filter(|(_, event_type)| !MARKS.contains(event_type)).map(|(name, _)| name);
    let known: Vec<&str> = known.collect();
    if known.contains(&of) {
        return Some(of);
    }
    let message = format!("expected a type of events for `of`, found {}", quoted(of));
    let hint = match counts.contains(&of) {
        true => {
            format!("`{of}` is a count, and counts do not count each other: name the type of events that it counts")
        }
        false => nearest_or_all(of, known),
    };
    mistakes.add(offset, message, Some(hint));
    None
}

/// The condition of a count, and its text as the parser prints it: blanks do not matter. `None` after a mistake.
fn condition(
    written: &WrittenSql<'_>,
    file: &str,
    event_settings: &EventSettings,
    mistakes: &mut MistakeCollector<'_>,
) -> Option<(String, EventCondition)> {
    let sql = SqlText::new(written.text, file, written.span.clone());
    let expression = sql.parse(mistakes)?;
    let mut comparisons = Vec::new();
    let mut checker = Checker {
        event_settings,
        targets: &[],
        retired: &[],
        mistakes,
        comparisons: &mut comparisons,
        intervals: &mut Vec::new(),
        scope: Scope::Event,
        sql: &sql,
    };
    let condition = checker.condition(&expression)?;
    Some((expression.to_string(), EventCondition { condition, comparisons }))
}

/// The declared properties that a condition reads, one bit each.
fn properties_read(condition: &EventCondition) -> u32 {
    let mut properties = 0;
    for comparison in &condition.comparisons {
        comparison.predicate.for_each_operand(|operand| {
            operand.for_each_column(&mut |column| {
                if let EventColumn::Property(index) = column {
                    properties |= 1 << index;
                }
            });
        });
    }
    properties
}
