//! SQL inside TOML: parses an expression and finds the place in the file of anything in it.

use super::mistake::Mistakes;
use sqlparser::ast::Expr;
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, Tokenizer};

/// Bytes of one condition at most.
pub const LENGTH_MAX: usize = 8_192;

/// A text of the file that is SQL.
pub struct SqlText<'t> {
    sql: &'t str,
    /// Place in the file of each character of the SQL, and of its end.
    places: Vec<usize>,
}

impl<'t> SqlText<'t> {
    /// `sql` is what the TOML string that stands at `span` in `file` means.
    pub fn new(sql: &'t str, file: &str, span: std::ops::Range<usize>) -> Self {
        let places = character_places(&file[span.clone()], span.start);
        let exact = places.len() == sql.chars().count() + 1;
        // Should the two ever disagree, the string itself is near enough.
        let places = if exact { places } else { vec![span.start; sql.chars().count() + 1] };
        Self { sql, places }
    }

    /// The place in the file of a place in the SQL.
    pub fn place(&self, location: Location) -> usize {
        let line_start = match location.line {
            0 | 1 => 0,
            line => {
                let newlines = self.sql.chars().enumerate().filter(|(_, letter)| *letter == '\n');
                newlines.map(|(place, _)| place + 1).nth(line as usize - 2).unwrap_or(0)
            }
        };
        let character = line_start + (location.column as usize).saturating_sub(1);
        self.places[character.min(self.places.len() - 1)]
    }

    /// The place in the file where the SQL begins.
    pub fn start(&self) -> usize {
        self.places[0]
    }

    /// The expression, if it is one and nothing follows it.
    pub fn parse(&self, mistakes: &mut Mistakes<'_>) -> Option<Expr> {
        if self.sql.len() > LENGTH_MAX {
            let what = format!("expected at most {LENGTH_MAX} bytes of SQL, found {}", self.sql.len());
            mistakes.add(self.places[0], what, None);
            return None;
        }
        let dialect = GenericDialect {};
        let tokens = match Tokenizer::new(&dialect, self.sql).tokenize_with_location() {
            Ok(tokens) => tokens,
            Err(error) => {
                mistakes.add(self.place(error.location), format!("expected SQL, found: {}", error.message), None);
                return None;
            }
        };
        let mut parser = Parser::new(&dialect).with_tokens_with_locations(tokens);
        let expression = match parser.parse_expr() {
            Ok(expression) => expression,
            Err(error) => {
                self.report(&error, mistakes);
                return None;
            }
        };
        let next = parser.peek_token();
        if next.token != Token::EOF {
            let what = format!("expected the end of the condition, found `{}`", next.token);
            mistakes.add(self.place(next.span.start), what, None);
            return None;
        }
        Some(expression)
    }

    fn report(&self, error: &ParserError, mistakes: &mut Mistakes<'_>) {
        let message = match error {
            ParserError::RecursionLimitExceeded => {
                let what = "in SQL: expected fewer parentheses within each other, found more";
                mistakes.add(self.start(), what, None);
                return;
            }
            ParserError::ParserError(message) | ParserError::TokenizerError(message) => message,
        };
        let (what, location) = split_location(message);
        // At the end of the text the parser names no place.
        let place = location.map_or(self.places[self.places.len() - 1], |location| self.place(location));
        let words = what.strip_prefix("Expected: ").and_then(|what| what.split_once(", found: "));
        let what = match words {
            Some((expected, "EOF")) => format!("in SQL: expected {expected}, found the end"),
            Some((expected, found)) => format!("in SQL: expected {expected}, found `{found}`"),
            None => format!("in SQL: {what}"),
        };
        mistakes.add(place, what, None);
    }
}

/// Whether SQL reads a word as a name, wherever it stands.
pub fn is_name(word: &str) -> bool {
    let parse =
        |sql: &str| Parser::new(&GenericDialect {}).try_with_sql(sql).and_then(|mut parser| parser.parse_expr());
    let is_word = |side: &Expr| matches!(side, Expr::Identifier(_));
    let both = parse(&format!("{word} = {word}"));
    matches!(both, Ok(Expr::BinaryOp { left, right, .. }) if is_word(&left) && is_word(&right))
}

/// Splits " at Line: 1, Column: 5" off a message of the parser.
fn split_location(message: &str) -> (&str, Option<Location>) {
    let parse = |place: &str| {
        let (line, column) = place.split_once(", Column: ")?;
        Some(Location { line: line.parse().ok()?, column: column.parse().ok()? })
    };
    match message.rsplit_once(" at Line: ") {
        Some((what, place)) => (what, parse(place)),
        None => (message, None),
    }
}

/// Place in the file of each character that a TOML string means, and of the closing quote.
fn character_places(raw: &str, start: usize) -> Vec<usize> {
    let quote = if raw.starts_with('\'') { "'" } else { "\"" };
    let long = raw.starts_with(&quote.repeat(3)) && raw.len() >= 6;
    let width = if long { 3 } else { 1 };
    let inside = &raw[width..raw.len().saturating_sub(width).max(width)];
    let mut letters = inside.char_indices().map(|(place, letter)| (start + width + place, letter)).peekable();
    if long {
        // A newline right after the opening quotes does not count.
        letters.next_if(|(_, letter)| *letter == '\r');
        letters.next_if(|(_, letter)| *letter == '\n');
    }
    let mut places = Vec::new();
    while let Some((place, letter)) = letters.next() {
        if letter != '\\' || quote == "'" {
            places.push(place);
            continue;
        }
        let digits = match letters.peek() {
            Some((_, 'x')) => 2,
            Some((_, 'u')) => 4,
            Some((_, 'U')) => 8,
            Some((_, ' ' | '\t' | '\r' | '\n')) => {
                // A backslash at the end of a line: white space up to the next character does not count.
                while letters.next_if(|(_, letter)| letter.is_ascii_whitespace()).is_some() {}
                continue;
            }
            _ => 0,
        };
        places.push(place);
        letters.nth(digits);
    }
    places.push(start + raw.len().saturating_sub(width));
    places
}
