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

/// Reads and checks the file, and warns of what is valid and hardly meant.
pub fn review(path: &Path) -> anyhow::Result<(Result<Arc<Rules>, Mistakes>, Mistakes)> {
    let file = path.display().to_string();
    match text(path) {
        Ok(text) => {
            let (read, warnings) = rule::review_file(&text);
            Ok((read.map_err(|mistakes| mistakes.in_file(&file)), warnings.in_file(&file)))
        }
        Err(error) => Ok((Err(error.downcast::<Mistakes>()?), Mistakes::default())),
    }
}

/// Reads and checks a file that follows others, if `previous` is what they declared.
pub fn read_following(path: &Path, previous: Option<&EventSettings>) -> anyhow::Result<Arc<Rules>> {
    let text = text(path)?;
    Ok(rule::read_following(&text, previous).map_err(|mistakes| mistakes.in_file(&path.display().to_string()))?)
}

fn text(path: &Path) -> anyhow::Result<String> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read rules {}", path.display()))?;
    Ok(String::from_utf8(bytes).map_err(|error| {
        let message = format!("expected UTF-8, found another byte at {}", error.utf8_error().valid_up_to());
        let origin = Origin::File(path.display().to_string(), TextPosition::START);
        Mistakes(vec![Mistake { origin, message, hint: None }])
    })?)
}

/// Checks rules that are compiled in; `file` is the name for mistakes.
pub fn parse(file: &str, text: &str) -> Result<Arc<Rules>, Mistakes> {
    rule::read(text).map_err(|mistakes| mistakes.in_file(file))
}
