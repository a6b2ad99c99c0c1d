//! SQL inside TOML: parses an expression and maps its parts to offsets in the file.

use super::foreign::{self, Foreign};
use crate::document::MistakeCollector;
use sqlparser::ast::Expr;
use sqlparser::dialect::GenericDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Span, Token, Tokenizer};

/// Bytes of one condition at most.
pub const LENGTH_MAX: usize = 8_192;

/// A text of the file that is SQL.
pub struct SqlText<'t> {
    sql: &'t str,
    /// Offset in the file of each character of the SQL, and of its end.
    offsets: Vec<usize>,
    /// Where it has SQL that the rule language does not have: offsets of the first and the last token in the file.
    foreign: Vec<(usize, usize, Foreign)>,
}

impl<'t> SqlText<'t> {
    /// `sql` is the value of the TOML string at `span` of `file`.
    pub fn new(sql: &'t str, file: &str, span: std::ops::Range<usize>) -> Self {
        let offsets = character_offsets(&file[span.clone()], span.start);
        let is_exact = offsets.len() == sql.chars().count() + 1;
        // Should the two ever disagree, the start of the string is near enough.
        let offsets = if is_exact { offsets } else { vec![span.start; sql.chars().count() + 1] };
        let mut text = Self { sql, offsets, foreign: Vec::new() };
        if sql.len() <= LENGTH_MAX
            && let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location()
        {
            let place = |found: Foreign| {
                let (first, last) = (tokens[found.first].span.start, tokens[found.last].span.start);
                (text.offset(first), text.offset(last), found)
            };
            text.foreign = foreign::find(&tokens, sql).into_iter().map(place).collect();
        }
        text
    }

    /// Whether a part of it has SQL that the rule language does not have.
    pub fn has_foreign(&self, span: Span) -> bool {
        let (start, end) = (self.offset(span.start), self.offset(span.end));
        let is_placed = span.start.line > 0;
        self.foreign.iter().any(|(first, last, _)| !is_placed || (*first <= end && start <= *last))
    }

    /// The offset in the file of a location in the SQL.
    pub fn offset(&self, location: Location) -> usize {
        let line_start = match location.line {
            0 | 1 => 0,
            line => {
                let newlines = self.sql.chars().enumerate().filter(|(_, letter)| *letter == '\n');
                newlines.map(|(index, _)| index + 1).nth(line as usize - 2).unwrap_or(0)
            }
        };
        let character = line_start + (location.column as usize).saturating_sub(1);
        self.offsets[character.min(self.offsets.len() - 1)]
    }

    /// The offset in the file where the SQL begins.
    pub fn start(&self) -> usize {
        self.offsets[0]
    }

    /// The expression, if it is one and nothing follows it.
    pub fn parse(&self, mistakes: &mut MistakeCollector<'_>) -> Option<Expr> {
        if self.sql.len() > LENGTH_MAX {
            let message = format!("expected at most {LENGTH_MAX} bytes of SQL, found {}", self.sql.len());
            mistakes.add(self.offsets[0], message, None);
            return None;
        }
        let dialect = GenericDialect {};
        let tokens = match Tokenizer::new(&dialect, self.sql).tokenize_with_location() {
            Ok(tokens) => tokens,
            Err(error) => {
                mistakes.add(self.offset(error.location), format!("expected SQL, found: {}", error.message), None);
                return None;
            }
        };
        for (offset, _, found) in &self.foreign {
            mistakes.add(*offset, &*found.message, Some(found.hint.clone()));
        }
        // What does not parse because of such SQL has been told.
        let is_told = !self.foreign.is_empty();
        let mut parser = Parser::new(&dialect).with_tokens_with_locations(tokens);
        let expression = match parser.parse_expr() {
            Ok(expression) => expression,
            Err(_) if is_told => return None,
            Err(error) => {
                self.report(&error, mistakes);
                return None;
            }
        };
        let next = parser.peek_token();
        if next.token != Token::EOF {
            if !is_told {
                let message = format!("expected the end of the condition, found `{}`", next.token);
                let hint = match &next.token {
                    Token::Word(word) if word.keyword == Keyword::NoKeyword => {
                        Some("conditions are joined with AND and OR; text is written in single quotes".into())
                    }
                    _ => None,
                };
                mistakes.add(self.offset(next.span.start), message, hint);
            }
            return None;
        }
        Some(expression)
    }

    fn report(&self, error: &ParserError, mistakes: &mut MistakeCollector<'_>) {
        let message = match error {
            ParserError::RecursionLimitExceeded => {
                let message = "in SQL: expected fewer parentheses within each other, found more";
                mistakes.add(self.start(), message, None);
                return;
            }
            ParserError::ParserError(message) | ParserError::TokenizerError(message) => message,
        };
        let (message, location) = split_location(message);
        // At the end of the text the parser gives no location.
        let offset = location.map_or(self.offsets[self.offsets.len() - 1], |location| self.offset(location));
        let parts = message.strip_prefix("Expected: ").and_then(|message| message.split_once(", found: "));
        let message = match parts {
            Some((expected, "EOF")) => format!("in SQL: expected {expected}, found the end"),
            Some((expected, found)) => format!("in SQL: expected {expected}, found `{found}`"),
            None => format!("in SQL: {message}"),
        };
        mistakes.add(offset, message, None);
    }
}

/// Whether SQL reads a word as a name on both sides of a comparison.
pub fn is_name(word: &str) -> bool {
    let parse =
        |sql: &str| Parser::new(&GenericDialect {}).try_with_sql(sql).and_then(|mut parser| parser.parse_expr());
    let is_word = |side: &Expr| matches!(side, Expr::Identifier(_));
    let both = parse(&format!("{word} = {word}"));
    matches!(both, Ok(Expr::BinaryOp { left, right, .. }) if is_word(&left) && is_word(&right))
}

/// Splits " at Line: 1, Column: 5" off a message of the parser.
fn split_location(message: &str) -> (&str, Option<Location>) {
    let parse = |location: &str| {
        let (line, column) = location.split_once(", Column: ")?;
        Some(Location { line: line.parse().ok()?, column: column.parse().ok()? })
    };
    match message.rsplit_once(" at Line: ") {
        Some((message, location)) => (message, parse(location)),
        None => (message, None),
    }
}

/// The offset in the file of each character of a TOML string's value, and of the closing quote.
fn character_offsets(raw: &str, start: usize) -> Vec<usize> {
    let quote = if raw.starts_with('\'') { "'" } else { "\"" };
    let long = raw.starts_with(&quote.repeat(3)) && raw.len() >= 6;
    let width = if long { 3 } else { 1 };
    let inside = &raw[width..raw.len().saturating_sub(width).max(width)];
    let mut letters = inside.char_indices().map(|(index, letter)| (start + width + index, letter)).peekable();
    if long {
        // A newline right after the opening quotes is not part of the value.
        letters.next_if(|(_, letter)| *letter == '\r');
        letters.next_if(|(_, letter)| *letter == '\n');
    }
    let mut offsets = Vec::new();
    while let Some((offset, letter)) = letters.next() {
        if letter != '\\' || quote == "'" {
            offsets.push(offset);
            continue;
        }
        let digits = match letters.peek() {
            Some((_, 'x')) => 2,
            Some((_, 'u')) => 4,
            Some((_, 'U')) => 8,
            Some((_, ' ' | '\t' | '\r' | '\n')) => {
                // A backslash at the end of a line: the white space up to the next character is not part of the value.
                while letters.next_if(|(_, letter)| letter.is_ascii_whitespace()).is_some() {}
                continue;
            }
            _ => 0,
        };
        offsets.push(offset);
        letters.nth(digits);
    }
    offsets.push(start + raw.len().saturating_sub(width));
    offsets
}
