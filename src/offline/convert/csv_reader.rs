//! Reads CSV records with the line numbers that an editor shows.
//!
//! Lines end with LF, CRLF or CR. Blank lines are skipped but counted. A quoted field that does not end is an error at
//! the line where its quote opened: a reader without this limit takes the rest of the file for one field.

use std::fmt;
use std::io::{self, BufRead};

/// Maximum size of a field.
const FIELD_BYTES_MAX: usize = 64 * 1024;
/// Maximum number of lines of a quoted field.
const FIELD_LINES_MAX: u64 = 1_000;

/// The fields of one record. The buffers are reused from record to record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// The line where the record begins, counted from 1.
    pub line: u64,
}

impl Record {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let start = if index == 0 { 0 } else { *self.ends.get(index - 1)? };
        self.bytes.get(start..*self.ends.get(index)?)
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// Whether both have the same fields, in whatever lines they stand.
    pub fn has_fields_of(&self, other: &Self) -> bool {
        self.ends == other.ends && self.bytes == other.bytes
    }

    /// A hash of the fields.
    pub fn fingerprint(&self) -> u64 {
        self.iter().fold(self.len() as u64, |hash, field| xxhash_rust::xxh3::xxh3_64_with_seed(field, hash))
    }

    fn clear(&mut self, line: u64) {
        self.bytes.clear();
        self.ends.clear();
        self.line = line;
    }

    fn field_bytes(&self) -> usize {
        self.bytes.len() - self.ends.last().copied().unwrap_or(0)
    }
}

/// Why the rest of a file cannot be read.
#[derive(Debug)]
pub enum CsvError {
    Io(io::Error),
    /// A field that is too long, most likely since its quote is not closed.
    Field {
        /// The line where the field begins.
        line: u64,
        /// Its index in the record.
        column: usize,
        is_quoted: bool,
    },
}

impl From<io::Error> for CsvError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for CsvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kib = FIELD_BYTES_MAX / 1024;
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Field { column, is_quoted: true, .. } => write!(
                f,
                "the quote that opens column {} on this line is not closed within {kib} KiB and {FIELD_LINES_MAX} \
                 lines; close it, or write a quote within a quoted field twice",
                column + 1
            ),
            Self::Field { column, .. } => {
                write!(f, "expected a field of at most {kib} KiB in column {}, found a longer one", column + 1)
            }
        }
    }
}

pub struct CsvReader<R> {
    inner: R,
    delimiter: u8,
    /// The line of the next byte.
    line: u64,
}

/// What the reader is within.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    FieldStart,
    Unquoted,
    Quoted,
    /// After a quote within a quoted field: its end, or the first of two quotes.
    QuoteInQuoted,
}

impl<R: BufRead> CsvReader<R> {
    pub fn new(inner: R, delimiter: u8) -> Self {
        Self { inner, delimiter, line: 1 }
    }

    pub fn set_delimiter(&mut self, delimiter: u8) {
        self.delimiter = delimiter;
    }

    /// Reads the next record; `false` at the end of the file.
    ///
    /// # Errors
    /// If the file cannot be read, or a field is too long. Nothing more can be read then.
    pub fn read(&mut self, record: &mut Record) -> Result<bool, CsvError> {
        record.clear(self.line);
        let mut state = State::FieldStart;
        let mut field_line = self.line;
        while let Some(byte) = self.next()? {
            let is_end = matches!(byte, b'\n' | b'\r');
            if is_end && state != State::Quoted {
                if byte == b'\r' && self.peek()? == Some(b'\n') {
                    self.inner.consume(1);
                }
                self.line += 1;
                let is_blank = state == State::FieldStart && record.ends.is_empty();
                if is_blank {
                    record.clear(self.line);
                    field_line = self.line;
                    continue;
                }
                record.ends.push(record.bytes.len());
                return Ok(true);
            }
            state = match (state, byte) {
                (State::FieldStart, b'"') => State::Quoted,
                (State::Quoted, b'"') => State::QuoteInQuoted,
                (State::Quoted, _) => {
                    let is_crlf = byte == b'\r' && self.peek()? == Some(b'\n');
                    self.line += u64::from(is_end && !is_crlf);
                    record.bytes.push(byte);
                    State::Quoted
                }
                (State::QuoteInQuoted, b'"') => {
                    record.bytes.push(byte);
                    State::Quoted
                }
                (_, byte) if byte == self.delimiter => {
                    record.ends.push(record.bytes.len());
                    field_line = self.line;
                    State::FieldStart
                }
                // Text after a closing quote belongs to the field, as spreadsheets read it.
                _ => {
                    record.bytes.push(byte);
                    State::Unquoted
                }
            };
            if record.field_bytes() > FIELD_BYTES_MAX || self.line - field_line > FIELD_LINES_MAX {
                let is_quoted = matches!(state, State::Quoted | State::QuoteInQuoted);
                return Err(CsvError::Field { line: field_line, column: record.ends.len(), is_quoted });
            }
        }
        if state == State::Quoted {
            return Err(CsvError::Field { line: field_line, column: record.ends.len(), is_quoted: true });
        }
        if state == State::FieldStart && record.ends.is_empty() {
            return Ok(false);
        }
        record.ends.push(record.bytes.len());
        Ok(true)
    }

    fn next(&mut self) -> io::Result<Option<u8>> {
        let byte = self.peek()?;
        if byte.is_some() {
            self.inner.consume(1);
        }
        Ok(byte)
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        loop {
            match self.inner.fill_buf() {
                Ok(bytes) => return Ok(bytes.first().copied()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(text: &str) -> Vec<(u64, Vec<String>)> {
        let mut reader = CsvReader::new(text.as_bytes(), b',');
        let mut record = Record::default();
        let mut records = Vec::new();
        while reader.read(&mut record).unwrap() {
            let fields = record.iter().map(|field| String::from_utf8_lossy(field).into_owned()).collect();
            records.push((record.line, fields));
        }
        records
    }

    fn texts<'a>(fields: &[&'a str]) -> Vec<&'a str> {
        fields.to_vec()
    }

    #[test]
    fn lines_are_numbered_as_an_editor_numbers_them() {
        for end in ["\n", "\r\n", "\r"] {
            let text = ["", "a,b", "", "", "\"1", "2\",x", "c,", "d"].join(end);
            let found = records(&text);
            let lines: Vec<u64> = found.iter().map(|(line, _)| *line).collect();
            assert_eq!(lines, [2, 5, 7, 8], "{end:?}");
            assert_eq!(found[1].1, [format!("1{end}2"), "x".to_owned()]);
            assert_eq!((&found[2].1, &found[3].1), (&vec!["c".to_owned(), String::new()], &vec!["d".to_owned()]));
        }
    }

    #[test]
    fn quotes() {
        let found = records("\"a \"\"b\"\"\",un \"q\"\n\"x\"y,\"\"\n");
        assert_eq!(found[0].1, texts(&["a \"b\"", "un \"q\""]));
        assert_eq!(found[1].1, texts(&["xy", ""]));
    }

    #[test]
    fn a_quote_that_is_not_closed_is_an_error_at_its_line() {
        let many_lines = format!("a\n\n1,\"open{}", "\nx".repeat(1_100));
        let many_bytes = format!("a\n\n1,\"open {}\"\n", "x".repeat(70_000));
        for text in ["a\n\n1,\"open\n2\n", &many_lines, &many_bytes] {
            let mut reader = CsvReader::new(text.as_bytes(), b',');
            let mut record = Record::default();
            assert!(reader.read(&mut record).unwrap());
            let Err(CsvError::Field { line, column, is_quoted }) = reader.read(&mut record) else {
                panic!("expected an error")
            };
            assert_eq!((line, column, is_quoted), (3, 1, true));
        }
    }
}
