//! TOML read table by table with typed getters: keys are asked for by name, and a key that was not asked for is a
//! mistake.

use super::duration;
use super::mistake::MistakeCollector;
use super::nearest::{nearest, nearest_or_all, one_of};
use std::ops::RangeInclusive;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value with its span in the text, in bytes.
pub type Item<'d> = Spanned<DeValue<'d>>;

/// One table of a document.
pub struct Section<'d> {
    /// As messages name it: `[time]`.
    name: String,
    table: &'d DeTable<'d>,
    /// Offset in bytes of its header or opening bracket.
    pub offset: usize,
    asked: Vec<&'static str>,
    /// Keys of later releases: known, but not offered.
    later: Vec<&'static str>,
}

impl<'d> Section<'d> {
    pub fn new(name: impl Into<String>, table: &'d DeTable<'d>, offset: usize) -> Self {
        Self { name: name.into(), table, offset, asked: Vec::new(), later: Vec::new() }
    }

    /// The value of a key, if the table has it.
    pub fn get(&mut self, key: &'static str) -> Option<&'d Item<'d>> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        self.table.get(key)
    }

    /// Refuses a key that a later release will read; returns whether it is there.
    pub fn refuse_later(
        &mut self,
        key: &'static str,
        expected: &str,
        announced: &str,
        mistakes: &mut MistakeCollector<'_>,
    ) -> bool {
        self.later.push(key);
        let Some((_, offset, _)) = self.entries().into_iter().find(|(known, _, _)| *known == key) else { return false };
        let hint = format!("{announced} come in a later release");
        mistakes.add(offset, format!("expected {expected}, found `{key}`"), Some(hint));
        true
    }

    /// A table within this one, if it is there.
    pub fn section(
        &mut self,
        key: &'static str,
        name: &str,
        mistakes: &mut MistakeCollector<'_>,
    ) -> Option<Section<'d>> {
        let item = self.get(key)?;
        section(item, name, mistakes)
    }

    /// A text, with its offset in bytes.
    pub fn text(&mut self, key: &'static str, mistakes: &mut MistakeCollector<'_>) -> Option<(&'d str, usize)> {
        let item = self.get(key)?;
        Some((text(item, &format!("text for `{key}`"), mistakes)?, item.span().start))
    }

    /// A duration within bounds.
    pub fn duration(
        &mut self,
        key: &'static str,
        bounds: RangeInclusive<i64>,
        mistakes: &mut MistakeCollector<'_>,
    ) -> Option<i64> {
        let item = self.get(key)?;
        duration_of(item, key, bounds, mistakes)
    }

    /// A duration within bounds that is a whole number of units, in these units.
    pub fn duration_in(
        &mut self,
        key: &'static str,
        (unit, name): (i64, &str),
        bounds: RangeInclusive<i64>,
        mistakes: &mut MistakeCollector<'_>,
    ) -> Option<u32> {
        let item = self.get(key)?;
        let millis = duration_of(item, key, bounds, mistakes)?;
        if millis % unit != 0 {
            let message = format!("expected whole {name} for `{key}`, found {}", found(item));
            mistakes.add(item.span().start, message, None);
        }
        Some((millis / unit) as u32)
    }

    /// A whole number within bounds.
    pub fn integer(
        &mut self,
        key: &'static str,
        bounds: RangeInclusive<i64>,
        mistakes: &mut MistakeCollector<'_>,
    ) -> Option<i64> {
        let item = self.get(key)?;
        let number = match item.get_ref() {
            DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix()).ok(),
            _ => None,
        };
        let number = number.filter(|number| bounds.contains(number));
        if number.is_none() {
            let message = format!(
                "expected an integer from {} to {} for `{key}`, found {}",
                bounds.start(),
                bounds.end(),
                found(item)
            );
            mistakes.add(item.span().start, message, None);
        }
        number
    }

    /// True or false.
    pub fn boolean(&mut self, key: &'static str, mistakes: &mut MistakeCollector<'_>) -> Option<bool> {
        let item = self.get(key)?;
        let boolean = match item.get_ref() {
            DeValue::Boolean(boolean) => Some(*boolean),
            _ => None,
        };
        if boolean.is_none() {
            mistakes.add(item.span().start, format!("expected true or false for `{key}`, found {}", found(item)), None);
        }
        boolean
    }

    /// All keys with their offsets and values in the order of the file, for tables whose keys are chosen by people.
    pub fn entries(&self) -> Vec<(&'d str, usize, &'d Item<'d>)> {
        let mut entries: Vec<_> =
            self.table.iter().map(|(key, item)| (&**key.get_ref(), key.span().start, item)).collect();
        entries.sort_by_key(|(_, offset, _)| *offset);
        entries
    }

    /// Keys that were not asked for are mistakes.
    pub fn finish(self, mistakes: &mut MistakeCollector<'_>) {
        for (key, offset, _) in self.entries() {
            if !self.asked.contains(&key) && !self.later.contains(&key) {
                let hint = nearest_or_all(key, self.asked.iter().copied());
                mistakes.add(offset, format!("unknown key `{key}` in {}", self.name), Some(hint));
            }
        }
    }
}

/// The value as a table.
pub fn section<'d>(item: &'d Item<'d>, name: &str, mistakes: &mut MistakeCollector<'_>) -> Option<Section<'d>> {
    let offset = item.span().start;
    match item.get_ref() {
        DeValue::Table(table) => Some(Section::new(name, table, offset)),
        _ => {
            mistakes.add(offset, format!("expected a table for {name}, found {}", found(item)), None);
            None
        }
    }
}

/// The value as text.
pub fn text<'d>(item: &'d Item<'d>, expected: &str, mistakes: &mut MistakeCollector<'_>) -> Option<&'d str> {
    let value = item.get_ref().as_str();
    if value.is_none() {
        mistakes.add(item.span().start, format!("expected {expected}, found {}", found(item)), None);
    }
    value
}

/// The value as a list.
pub fn list<'d>(item: &'d Item<'d>, expected: &str, mistakes: &mut MistakeCollector<'_>) -> Option<&'d [Item<'d>]> {
    let value = item.get_ref().as_array();
    if value.is_none() {
        mistakes.add(item.span().start, format!("expected {expected}, found {}", found(item)), None);
    }
    value.map(|list| &list[..])
}

/// The value as a duration within bounds.
pub fn duration_of(
    item: &Item<'_>,
    key: &str,
    bounds: RangeInclusive<i64>,
    mistakes: &mut MistakeCollector<'_>,
) -> Option<i64> {
    let millis = item.get_ref().as_str().and_then(duration::parse).filter(|millis| bounds.contains(millis));
    if millis.is_none() {
        let (shortest, longest) = (duration::print(*bounds.start()), duration::print(*bounds.end()));
        let message = format!("expected a duration from {shortest} to {longest} for `{key}`, found {}", found(item));
        mistakes.add(
            item.span().start,
            message,
            Some("write it like \"90s\" or \"1h30m\"; units are ms, s, m, h, d".into()),
        );
    }
    millis
}

/// One of a fixed set of texts.
pub fn choice<T: Copy>(
    item: &Item<'_>,
    key: &str,
    known: &[(&str, T)],
    mistakes: &mut MistakeCollector<'_>,
) -> Option<T> {
    let text = item.get_ref().as_str();
    let chosen = known.iter().find(|(name, _)| Some(*name) == text);
    if chosen.is_none() {
        let names = || known.iter().map(|(name, _)| *name);
        let message = format!("expected {} for `{key}`, found {}", one_of(names()), found(item));
        mistakes.add(item.span().start, message, text.and_then(|text| nearest(text, names())));
    }
    chosen.map(|(_, value)| *value)
}

/// Describes a value for a message.
pub fn found(item: &Item<'_>) -> String {
    match item.get_ref() {
        DeValue::String(text) => format!("the text {}", quoted(text)),
        DeValue::Integer(integer) => format!("the integer {integer}"),
        DeValue::Float(float) => format!("the number {float}"),
        DeValue::Boolean(boolean) => format!("{boolean}"),
        DeValue::Datetime(date) => format!("the date {date}"),
        DeValue::Array(_) => "a list".into(),
        DeValue::Table(_) => "a table".into(),
    }
}

/// Text in quotes, cut to a length that fits a message.
pub fn quoted(text: &str) -> String {
    const SHOWN_MAX: usize = 60;
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}
