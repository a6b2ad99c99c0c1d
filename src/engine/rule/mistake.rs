//! What is wrong in a file people write: where, what was expected, what was found, what to do.

use std::fmt;

/// Something wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What was expected, what was found.
    pub what: String,
    /// What to do: the nearest known name, another way to write it.
    pub hint: Option<String>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.what)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// All mistakes of one file.
#[derive(Debug)]
pub struct Mistakes<'t> {
    text: &'t str,
    /// With the place in bytes, so that they can be put in order.
    found: Vec<(usize, Mistake)>,
}

impl<'t> Mistakes<'t> {
    /// Mistakes shown at most: a file of another kind should not flood the screen.
    pub const MAX: usize = 100;

    pub fn new(text: &'t str) -> Self {
        Self { text, found: Vec::new() }
    }

    /// Notes a mistake at a place given in bytes; one mistake per place and words.
    pub fn add(&mut self, place: usize, what: impl Into<String>, hint: Option<String>) {
        let (line, column) = self.line_and_column(place);
        let mistake = Mistake { line, column, what: what.into(), hint };
        let known = self.found.iter().any(|(_, known)| *known == mistake);
        if !known && self.found.len() < Self::MAX {
            self.found.push((place, mistake));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// In order of the text.
    pub fn into_sorted(mut self) -> Vec<Mistake> {
        self.found.sort_by_key(|(place, _)| *place);
        self.found.into_iter().map(|(_, mistake)| mistake).collect()
    }

    fn line_and_column(&self, place: usize) -> (usize, usize) {
        let before = &self.text.as_bytes()[..place.min(self.text.len())];
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        // Bytes that continue a character do not count.
        let column = before[line_start..].iter().filter(|byte| (**byte as i8) >= -64).count() + 1;
        (line, column)
    }
}

/// "did you mean ...?" with the known name nearest to what was written, if one is near.
pub fn nearest<'n>(written: &str, known: impl IntoIterator<Item = &'n str>) -> Option<String> {
    let lower = written.to_lowercase();
    let distances = known.into_iter().map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase()), name));
    let (distance, name) = distances.min()?;
    let near = distance <= (lower.chars().count().max(name.chars().count()) / 3).max(1);
    near.then(|| format!("did you mean `{name}`?"))
}

/// Names for a sentence: `a`, `b` or `c`.
pub fn one_of<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let names: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        None => String::from("nothing"),
        Some((only, [])) => only.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}
