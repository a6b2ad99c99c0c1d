//! A strict reader of TOML: keys are asked for by name, and those nobody asked for are mistakes.

use super::duration;
use super::mistake::{Mistakes, nearest, one_of};
use crate::engine::event::Millis;
use std::ops::RangeInclusive;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value with its place in the file.
pub type Item<'d> = Spanned<DeValue<'d>>;

/// One table of a document.
pub struct Section<'d> {
    /// As messages name it: `[time]`.
    name: String,
    table: &'d DeTable<'d>,
    /// Place of its header or opening bracket.
    pub place: usize,
    asked: Vec<&'static str>,
    /// Keys of later releases: known, but not offered.
    later: Vec<&'static str>,
}

impl<'d> Section<'d> {
    pub fn new(name: impl Into<String>, table: &'d DeTable<'d>, place: usize) -> Self {
        Self { name: name.into(), table, place, asked: Vec::new(), later: Vec::new() }
    }

    /// The value of a key, if it is there.
    pub fn get(&mut self, key: &'static str) -> Option<&'d Item<'d>> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        self.table.get(key)
    }

    /// Refuses a key that a later release takes; whether it is there.
    pub fn refuse_later(
        &mut self,
        key: &'static str,
        expected: &str,
        what_comes: &str,
        mistakes: &mut Mistakes<'_>,
    ) -> bool {
        self.later.push(key);
        let Some((_, place, _)) = self.entries().into_iter().find(|(known, _, _)| *known == key) else { return false };
        let hint = format!("{what_comes} come in a later release");
        mistakes.add(place, format!("expected {expected}, found `{key}`"), Some(hint));
        true
    }

    /// A sub-table, if it is there.
    pub fn section(&mut self, key: &'static str, name: &str, mistakes: &mut Mistakes<'_>) -> Option<Section<'d>> {
        let item = self.get(key)?;
        section(item, name, mistakes)
    }

    pub fn text(&mut self, key: &'static str, mistakes: &mut Mistakes<'_>) -> Option<(&'d str, usize)> {
        let item = self.get(key)?;
        Some((text(item, &format!("text for `{key}`"), mistakes)?, item.span().start))
    }

    /// A duration within bounds.
    pub fn duration(
        &mut self,
        key: &'static str,
        bounds: RangeInclusive<Millis>,
        mistakes: &mut Mistakes<'_>,
    ) -> Option<Millis> {
        let item = self.get(key)?;
        duration_of(item, key, bounds, mistakes)
    }

    /// A whole number within bounds.
    pub fn integer(
        &mut self,
        key: &'static str,
        bounds: RangeInclusive<i64>,
        mistakes: &mut Mistakes<'_>,
    ) -> Option<i64> {
        let item = self.get(key)?;
        let number = match item.get_ref() {
            DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix()).ok(),
            _ => None,
        };
        let number = number.filter(|number| bounds.contains(number));
        if number.is_none() {
            let what = format!(
                "expected an integer from {} to {} for `{key}`, found {}",
                bounds.start(),
                bounds.end(),
                found(item)
            );
            mistakes.add(item.span().start, what, None);
        }
        number
    }

    /// All keys with their values in order of the file, for tables whose keys are names people choose.
    pub fn entries(&self) -> Vec<(&'d str, usize, &'d Item<'d>)> {
        let mut entries: Vec<_> =
            self.table.iter().map(|(key, item)| (&**key.get_ref(), key.span().start, item)).collect();
        entries.sort_by_key(|(_, place, _)| *place);
        entries
    }

    /// Keys that were not asked for are mistakes.
    pub fn finish(self, mistakes: &mut Mistakes<'_>) {
        for (key, place, _) in self.entries() {
            if !self.asked.contains(&key) && !self.later.contains(&key) {
                let known = self.asked.iter().copied();
                let what =
                    format!("expected {} in {}, found the unknown key `{key}`", one_of(known.clone()), self.name);
                mistakes.add(place, what, nearest(key, known));
            }
        }
    }
}

/// The value as a table.
pub fn section<'d>(item: &'d Item<'d>, name: &str, mistakes: &mut Mistakes<'_>) -> Option<Section<'d>> {
    let place = item.span().start;
    match item.get_ref() {
        DeValue::Table(table) => Some(Section::new(name, table, place)),
        _ => {
            mistakes.add(place, format!("expected a table for {name}, found {}", found(item)), None);
            None
        }
    }
}

/// The value as text.
pub fn text<'d>(item: &'d Item<'d>, expected: &str, mistakes: &mut Mistakes<'_>) -> Option<&'d str> {
    let value = item.get_ref().as_str();
    if value.is_none() {
        mistakes.add(item.span().start, format!("expected {expected}, found {}", found(item)), None);
    }
    value
}

/// The value as a list.
pub fn list<'d>(item: &'d Item<'d>, expected: &str, mistakes: &mut Mistakes<'_>) -> Option<&'d [Item<'d>]> {
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
    bounds: RangeInclusive<Millis>,
    mistakes: &mut Mistakes<'_>,
) -> Option<Millis> {
    let millis = item.get_ref().as_str().and_then(duration::parse).filter(|millis| bounds.contains(millis));
    if millis.is_none() {
        let (shortest, longest) = (duration::print(*bounds.start()), duration::print(*bounds.end()));
        let what = format!("expected a duration from {shortest} to {longest} for `{key}`, found {}", found(item));
        mistakes.add(
            item.span().start,
            what,
            Some("write it like \"90s\" or \"1h30m\"; units are ms, s, m, h, d".into()),
        );
    }
    millis
}

/// A value in words.
pub fn found(item: &Item<'_>) -> String {
    match item.get_ref() {
        DeValue::String(text) => format!("the text {}", quoted(text)),
        DeValue::Integer(integer) => format!("the integer {integer}"),
        DeValue::Float(float) => format!("the number {float}"),
        DeValue::Boolean(boolean) => format!("{boolean}"),
        DeValue::Datetime(moment) => format!("the date {moment}"),
        DeValue::Array(_) => "a list".into(),
        DeValue::Table(_) => "a table".into(),
    }
}

/// Text in quotes, cut to what fits a message.
pub fn quoted(text: &str) -> String {
    const SHOWN_MAX: usize = 60;
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}
