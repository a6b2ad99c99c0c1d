//! A mistake in something that a person wrote: where it is, what was expected and found, what to do.

use std::fmt;

/// A line and a column of a text, both counted from 1; a column is a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextPosition {
    pub line: usize,
    pub column: usize,
}

/// Where a mistake is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In a text that has no file: rules that came through the control topic.
    Text(TextPosition),
    /// In the file of this name.
    File(String, TextPosition),
    EnvironmentVariable(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    pub origin: Origin,
    /// What was expected, what was found.
    pub message: String,
    /// What to do: the nearest known name, another way to write it.
    pub hint: Option<String>,
}

/// All mistakes of what was read. As an error of a command they end the process with status 78.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl TextPosition {
    pub const START: Self = Self { line: 1, column: 1 };

    /// The position of a byte of the text; the end of the text if the offset is beyond it.
    pub fn of(text: &str, offset: usize) -> Self {
        let before = &text.as_bytes()[..offset.min(text.len())];
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        // Bytes that continue a character do not count.
        let column = before[line_start..].iter().filter(|byte| (**byte as i8) >= -64).count() + 1;
        Self { line, column }
    }
}

impl fmt::Display for TextPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(position) => write!(f, "{position}"),
            Self::File(file, position) => write!(f, "{file}:{position}"),
            Self::EnvironmentVariable(name) => write!(f, "environment variable {name}"),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

impl Mistakes {
    /// Names the file of mistakes that were found in a text without one.
    pub fn in_file(mut self, file: &str) -> Self {
        for mistake in &mut self.0 {
            if let Origin::Text(position) = mistake.origin {
                mistake.origin = Origin::File(file.to_owned(), position);
            }
        }
        self
    }

    /// All messages in one line, with the line of each, for logs and errors.
    pub fn in_one_line(&self) -> String {
        let messages = self.0.iter().map(|mistake| match &mistake.origin {
            Origin::Text(position) | Origin::File(_, position) => {
                format!("line {}: {}", position.line, mistake.message)
            }
            Origin::EnvironmentVariable(name) => format!("{name}: {}", mistake.message),
        });
        messages.collect::<Vec<_>>().join("; ")
    }
}

/// One mistake a line.
impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            write!(f, "{}{mistake}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// Collects the mistakes of one text while it is read.
#[derive(Debug)]
pub struct MistakeCollector<'t> {
    text: &'t str,
    /// With the offset in bytes, by which they are sorted.
    found: Vec<(usize, Mistake)>,
}

impl<'t> MistakeCollector<'t> {
    /// Mistakes kept at most: a file of another format must not flood the screen.
    pub const MAX: usize = 100;

    pub fn new(text: &'t str) -> Self {
        Self { text, found: Vec::new() }
    }

    /// Adds a mistake at an offset in bytes, unless the same one is known already.
    pub fn add(&mut self, offset: usize, message: impl Into<String>, hint: Option<String>) {
        let origin = Origin::Text(self.position(offset));
        let mistake = Mistake { origin, message: message.into(), hint };
        let is_known = self.found.iter().any(|(_, known)| *known == mistake);
        if !is_known && self.found.len() < Self::MAX {
            self.found.push((offset, mistake));
        }
    }

    pub fn position(&self, offset: usize) -> TextPosition {
        TextPosition::of(self.text, offset)
    }

    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// All of them in the order of the text.
    pub fn finish(mut self) -> Mistakes {
        self.found.sort_by_key(|(offset, _)| *offset);
        Mistakes(self.found.into_iter().map(|(_, mistake)| mistake).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        let text = "a\näöü = 1\n";
        let position = |offset| TextPosition::of(text, offset).to_string();
        assert_eq!(
            [position(0), position(1), position(2), position(8), position(999)],
            ["1:1", "1:2", "2:1", "2:4", "3:1"]
        );
    }

    #[test]
    fn mistakes_are_sorted_and_each_is_kept_once() {
        let mut mistakes = MistakeCollector::new("a\nb\n");
        mistakes.add(2, "second", None);
        mistakes.add(0, "first", Some("do it".into()));
        mistakes.add(2, "second", None);
        let mistakes = mistakes.finish();
        assert_eq!(mistakes.to_string(), "1:1: first; do it\n2:1: second");
        assert_eq!(mistakes.in_one_line(), "line 1: first; line 2: second");
        assert_eq!(mistakes.in_file("x.toml").to_string(), "x.toml:1:1: first; do it\nx.toml:2:1: second");
    }
}
