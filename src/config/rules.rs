//! Reading a rules file for the shell: its mistakes get the file's name.

use super::document::{Mistake, Mistakes, Place};
use crate::engine::meaning::Meaning;
use crate::engine::rule::{self, Rules};
use anyhow::Context;
use std::path::Path;
use std::sync::Arc;

/// Reads and checks the file; all its mistakes come together as [`Mistakes`].
pub fn read(path: &Path) -> anyhow::Result<Arc<Rules>> {
    read_following(path, None)
}

/// Reads and checks a file that was put in force after another, if there was one.
pub fn read_following(path: &Path, previous: Option<&Meaning>) -> anyhow::Result<Arc<Rules>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read rules {}", path.display()))?;
    let file = path.display().to_string();
    let text = String::from_utf8(bytes).map_err(|error| {
        let words = format!("expected UTF-8, found another byte at {}", error.utf8_error().valid_up_to());
        Mistakes(vec![Mistake { place: Place::File(file.clone(), 1, 1), words, hint: None }])
    })?;
    let read = rule::read_following(&text, previous);
    Ok(read.map_err(|mistakes| all_placed(&file, mistakes))?)
}

/// Checks rules that stand in memory; `file` is what mistakes call them.
pub fn parse(file: &str, text: &str) -> Result<Arc<Rules>, Mistakes> {
    rule::read(text).map_err(|mistakes| all_placed(file, mistakes))
}

fn all_placed(file: &str, mistakes: Vec<rule::Mistake>) -> Mistakes {
    Mistakes(mistakes.into_iter().map(|mistake| placed(file, mistake)).collect())
}

fn placed(file: &str, mistake: rule::Mistake) -> Mistake {
    let place = Place::File(file.to_owned(), mistake.line, mistake.column);
    Mistake { place, words: mistake.what, hint: mistake.hint }
}
