//! Reads a rules file from the disk; its mistakes name the file.
//!
//! The engine checks the text itself and knows nothing of files.

use crate::document::{Mistake, Mistakes, Origin, TextPosition};
use crate::engine::event_settings::EventSettings;
use crate::engine::rule::{self, Rules};
use anyhow::Context;
use std::path::Path;
use std::sync::Arc;

/// Reads and checks the file. All its mistakes come in one error, [`Mistakes`].
pub fn read(path: &Path) -> anyhow::Result<Arc<Rules>> {
    read_following(path, None)
}

/// Reads and checks a file that follows others, if `previous` is what they declared.
pub fn read_following(path: &Path, previous: Option<&EventSettings>) -> anyhow::Result<Arc<Rules>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read rules {}", path.display()))?;
    let file = path.display().to_string();
    let text = String::from_utf8(bytes).map_err(|error| {
        let message = format!("expected UTF-8, found another byte at {}", error.utf8_error().valid_up_to());
        Mistakes(vec![Mistake { origin: Origin::File(file.clone(), TextPosition::START), message, hint: None }])
    })?;
    Ok(rule::read_following(&text, previous).map_err(|mistakes| mistakes.in_file(&file))?)
}

/// Checks rules that are compiled in; `file` is the name for mistakes.
pub fn parse(file: &str, text: &str) -> Result<Arc<Rules>, Mistakes> {
    rule::read(text).map_err(|mistakes| mistakes.in_file(file))
}
