//! Declarations that no condition and no other setting uses.
//!
//! A name counts as used wherever a text of the file has it as a word: rather too often than too seldom.

use crate::document::MistakeCollector;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Sections whose keys are declarations, with what they declare.
const SECTIONS: [(&str, &str); 4] =
    [("attributes", "attribute"), ("properties", "property"), ("events", "event type"), ("count", "count")];
/// Features that events of kind `browsing` and `activity` change without being named.
const BY_ACTIVITY: [&str; 2] = ["inactive_days", "last_seen_at"];
const BY_BROWSING: [&str; 1] = ["sessions"];

/// Adds a warning for each attribute, property, event type and count that nothing in the file uses.
pub fn unused_declarations(file: &DeTable<'_>, warnings: &mut MistakeCollector<'_>) {
    for (section, what) in SECTIONS {
        let Some(DeValue::Table(declared)) = file.get(section).map(Spanned::get_ref) else { continue };
        for (name, value) in declared {
            let (name, offset) = (&**name.get_ref(), name.span().start);
            let mut words = Words { texts: Vec::new() };
            words.add_table(file, &[section, name]);
            // Declared from the start: writing it down does no harm.
            let is_built_in = section == "attributes" && name == "country";
            if is_built_in || words.have(name) || (section == "events" && words.have_what_kind_changes(value)) {
                continue;
            }
            let hint = match section {
                "attributes" => "remove it, or use it in a condition or in `include`".to_owned(),
                "events" => format!(
                    "use it, such as in events('{name}', 30) or since('{name}'); without the declaration its events are rejected"
                ),
                "count" => format!("remove it, or use it, such as in events('{name}', 30)"),
                _ => "remove it, or use it in the `where` of a count".to_owned(),
            };
            warnings.add(offset, format!("the {what} `{name}` is declared, and nothing uses it"), Some(hint));
        }
    }
}

/// All texts of a file but those of one declaration.
struct Words<'d> {
    texts: Vec<&'d str>,
}

impl<'d> Words<'d> {
    fn add_table(&mut self, table: &'d DeTable<'_>, without: &[&str]) {
        for (key, value) in table {
            match without {
                [only] if *only == key.get_ref() => {}
                [first, rest @ ..] if *first == key.get_ref() => self.add(value, rest),
                _ => self.add(value, &[]),
            }
        }
    }

    fn add(&mut self, value: &'d Spanned<DeValue<'_>>, without: &[&str]) {
        match value.get_ref() {
            DeValue::String(text) => self.texts.push(text),
            DeValue::Array(items) => items.iter().for_each(|item| self.add(item, &[])),
            DeValue::Table(table) => self.add_table(table, without),
            _ => {}
        }
    }

    /// Whether a text has the word, with or without the suffix of a window.
    fn have(&self, word: &str) -> bool {
        let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
        let is_it = |found: &str| {
            found.strip_prefix(word).is_some_and(|suffix| {
                suffix.is_empty()
                    || suffix.starts_with('_') && suffix[1..].starts_with(|digit: char| digit.is_ascii_digit())
            })
        };
        self.texts.iter().any(|text| text.to_lowercase().split(|letter| !is_part(letter)).any(is_it))
    }

    /// Whether a text has a feature that events of this kind change.
    fn have_what_kind_changes(&self, kind: &Spanned<DeValue<'_>>) -> bool {
        let have_one = |names: &[&str]| names.iter().any(|name| self.have(name));
        match kind.get_ref().as_str() {
            Some("activity") => have_one(&BY_ACTIVITY),
            Some("browsing") => have_one(&BY_ACTIVITY) || have_one(&BY_BROWSING),
            _ => false,
        }
    }
}
