//! Reading a rules file for the shell: its mistakes get the file's name.

use super::document::{Mistake, Mistakes, Place};
use crate::engine::rule::{self, Rules};
use anyhow::Context;
use std::path::Path;
use std::sync::Arc;

/// Reads and checks the file; all its mistakes come together as [`Mistakes`].
pub fn read(path: &Path) -> anyhow::Result<Arc<Rules>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read rules {}", path.display()))?;
    let file = path.display().to_string();
    let text = String::from_utf8(bytes).map_err(|error| {
        let words = format!("expected UTF-8, found another byte at {}", error.utf8_error().valid_up_to());
        Mistakes(vec![Mistake { place: Place::File(file.clone(), 1, 1), words, hint: None }])
    })?;
    Ok(parse(&file, &text)?)
}

/// Checks rules that stand in memory; `file` is what mistakes call them.
pub fn parse(file: &str, text: &str) -> Result<Arc<Rules>, Mistakes> {
    rule::read(text).map_err(|mistakes| Mistakes(mistakes.into_iter().map(|mistake| placed(file, mistake)).collect()))
}

fn placed(file: &str, mistake: rule::Mistake) -> Mistake {
    let place = Place::File(file.to_owned(), mistake.line, mistake.column);
    Mistake { place, words: mistake.what, hint: mistake.hint }
}
