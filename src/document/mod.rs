//! Documents: the TOML files that people write (rules, settings, mappings), read with line and column.
//!
//! Every reader of such a file uses the same mistake, the same measure of the nearest known name and the same notation
//! of durations. [`table`] asks for keys by name; [`schema`] compares a file with the shipped example of it. The engine
//! reads rules with this module, so nothing here does I/O or imports another part of the crate.

pub mod mistake;

pub mod nearest;

pub mod duration;

pub mod table;

pub mod schema;

pub use mistake::{Mistake, MistakeCollector, Mistakes, Origin, TextPosition};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Parses TOML; what is not TOML is added to the mistakes, and the rest is still returned.
pub fn parse<'t>(text: &'t str, mistakes: &mut MistakeCollector<'_>) -> Spanned<DeTable<'t>> {
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let offset = error.span().map_or(0, |span| span.start);
        mistakes.add(offset, format!("not valid TOML: {}", error.message().replace('\n', ", ")), None);
    }
    root
}

/// Where the value of a key begins, if the text has the key.
pub fn position_of(text: &str, path: &[&str]) -> Option<TextPosition> {
    let (root, _) = DeTable::parse_recoverable(text);
    let (key, tables) = path.split_last()?;
    let mut table = root.get_ref();
    for name in tables {
        let Some(DeValue::Table(inner)) = table.get(*name).map(Spanned::get_ref) else { return None };
        table = inner;
    }
    Some(TextPosition::of(text, table.get(*key)?.span().start))
}
