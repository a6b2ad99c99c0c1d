//! Finds the columns that a mapping names in the header line of a file.

use crate::document::nearest::nearest_or_all;
use std::collections::BTreeSet;

/// Finds the mapped columns in a header line.
pub struct ColumnFinder<'h> {
    pub names: &'h [String],
    /// The indices that were found.
    pub used: BTreeSet<usize>,
    pub mistakes: Vec<String>,
}

impl ColumnFinder<'_> {
    /// The index of a column; 0 with a mistake if it is missing or there twice.
    pub fn find(&mut self, name: &str) -> usize {
        let found: Vec<usize> =
            self.names.iter().enumerate().filter(|(_, known)| *known == name).map(|(index, _)| index).collect();
        let mistake = match found[..] {
            [index] => {
                self.used.insert(index);
                return index;
            }
            [] => format!("no column `{name}`; {}", nearest_or_all(name, self.names.iter().map(String::as_str))),
            [first, second, ..] => format!(
                "two columns have the name `{name}`, number {} and number {}; rename one of them in the file",
                first + 1,
                second + 1
            ),
        };
        if !self.mistakes.contains(&mistake) {
            self.mistakes.push(mistake);
        }
        0
    }

    pub fn optional(&mut self, name: Option<&String>) -> Option<usize> {
        name.map(|name| self.find(name))
    }
}

/// What to do about a header with one column that contains another delimiter.
pub fn delimiter_hint(names: &[String]) -> Option<String> {
    let [only] = names else { return None };
    let delimiter = [";", "\t", "|", ","].into_iter().find(|delimiter| only.contains(*delimiter))?;
    Some(format!("the header line is one column; is the delimiter {delimiter:?}? Set [file] delimiter"))
}
