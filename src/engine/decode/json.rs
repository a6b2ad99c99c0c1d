//! A scanner of JSON text that hands out borrowed pieces of it.
//!
//! Written by hand because the rules of E1 need what libraries do not report together: a name twice in an object at any
//! depth, also inside values that nobody reads, a depth over 64, lone surrogates, and the digits of a number as they
//! were written. One pass checks the whole text; nothing is allocated unless an object has many names or escaped ones.

use super::names::NameSet;
use std::borrow::Cow;

/// The outermost object is at depth 1; deeper than this is refused.
pub const DEPTH_MAX: u32 = 64;

/// One JSON value: a scalar, or the text of an object or array.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// There was no such field.
    Absent,
    Null,
    Boolean(bool),
    /// As written, by JSON's number grammar.
    Number(&'a str),
    Text(Quoted<'a>),
    Object(&'a str),
    Array(&'a str),
}

impl Value<'_> {
    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Absent => "nothing",
            Value::Null => "null",
            Value::Boolean(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::Text(_) => "a text",
            Value::Object(_) => "an object",
            Value::Array(_) => "an array",
        }
    }
}

/// The inside of a JSON string as it was written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quoted<'a> {
    pub raw: &'a str,
    pub escaped: bool,
}

impl<'a> Quoted<'a> {
    /// The text it means: borrowed unless there are escapes.
    pub fn text(self) -> Cow<'a, str> {
        if self.escaped { Cow::Owned(unescape(self.raw)) } else { Cow::Borrowed(self.raw) }
    }
}

/// Where a text stops being what E1 asks for, and what was expected there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fault {
    pub at: usize,
    pub expected: &'static str,
}

/// One name and its value in an object.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    pub name: Quoted<'a>,
    pub value: Value<'a>,
    /// Where the name begins.
    pub at: usize,
}

/// A position in a text, moving forwards.
pub struct Scanner<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

impl<'a> Scanner<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// Steps into an object or array: `open` is its first character.
    pub fn open(&mut self, open: u8, expected: &'static str) -> Result<(), Fault> {
        self.space();
        self.take(open, expected)?;
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(self.fault("at most 64 levels of nesting")) } else { Ok(()) }
    }

    /// The next member of the object that the scanner is in; `None` at its end. `first` is true before the first one.
    pub fn next_member(&mut self, first: &mut bool) -> Result<Option<Member<'a>>, Fault> {
        if !self.next_entry(b'}', first, "`,` or `}`")? {
            return Ok(None);
        }
        let at = self.at;
        self.take(b'"', "a name in quotes")?;
        let name = self.quoted()?;
        self.space();
        self.take(b':', "`:` after the name")?;
        self.space();
        let value = self.value()?;
        Ok(Some(Member { name, value, at }))
    }

    /// The next element of the array that the scanner is in; `None` at its end. `first` is true before the first one.
    pub fn next_element(&mut self, first: &mut bool) -> Result<Option<Value<'a>>, Fault> {
        if !self.next_entry(b']', first, "`,` or `]`")? {
            return Ok(None);
        }
        self.value().map(Some)
    }

    /// Nothing but white space may follow.
    pub fn finish(&mut self) -> Result<(), Fault> {
        self.space();
        if self.at == self.text.len() { Ok(()) } else { Err(self.fault("the end after one object")) }
    }

    /// Moves to the next entry; false when the closing character was there instead.
    #[inline]
    fn next_entry(&mut self, close: u8, first: &mut bool, expected: &'static str) -> Result<bool, Fault> {
        self.space();
        if self.peek() == close {
            self.at += 1;
            self.depth -= 1;
            return Ok(false);
        }
        if *first {
            *first = false;
        } else {
            self.take(b',', expected)?;
            self.space();
        }
        Ok(true)
    }

    #[inline]
    fn value(&mut self) -> Result<Value<'a>, Fault> {
        let start = self.at;
        match self.peek() {
            b'"' => {
                self.at += 1;
                Ok(Value::Text(self.quoted()?))
            }
            b'-' | b'0'..=b'9' => self.number(),
            b'{' => {
                self.skip_object()?;
                Ok(Value::Object(&self.text[start..self.at]))
            }
            b'[' => {
                self.skip_array()?;
                Ok(Value::Array(&self.text[start..self.at]))
            }
            _ => self.literal(),
        }
    }

    fn literal(&mut self) -> Result<Value<'a>, Fault> {
        let rest = &self.text.as_bytes()[self.at..];
        let (length, value) = if rest.starts_with(b"null") {
            (4, Value::Null)
        } else if rest.starts_with(b"true") {
            (4, Value::Boolean(true))
        } else if rest.starts_with(b"false") {
            (5, Value::Boolean(false))
        } else {
            return Err(self.fault("a JSON value"));
        };
        self.at += length;
        Ok(value)
    }

    /// A value that is read later, if at all: it is checked all the same.
    fn skip_object(&mut self) -> Result<(), Fault> {
        self.open(b'{', "`{`")?;
        let mut names = NameSet::default();
        let mut first = true;
        while let Some(member) = self.next_member(&mut first)? {
            if !names.insert(member.name) {
                return Err(Fault { at: member.at, expected: ONCE });
            }
        }
        Ok(())
    }

    fn skip_array(&mut self) -> Result<(), Fault> {
        self.open(b'[', "`[`")?;
        let mut first = true;
        while self.next_element(&mut first)?.is_some() {}
        Ok(())
    }

    fn number(&mut self) -> Result<Value<'a>, Fault> {
        let start = self.at;
        match number_length(&self.text.as_bytes()[start..]) {
            Ok(length) => {
                self.at += length;
                Ok(Value::Number(&self.text[start..self.at]))
            }
            Err(length) => Err(Fault { at: start + length, expected: "a digit" }),
        }
    }

    /// The rest of a string whose opening quote was taken.
    #[inline]
    fn quoted(&mut self) -> Result<Quoted<'a>, Fault> {
        let start = self.at;
        let mut escaped = false;
        loop {
            self.skip_plain();
            match self.peek() {
                b'"' => {
                    let raw = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(Quoted { raw, escaped });
                }
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                _ if self.at == self.text.len() => return Err(self.fault("`\"` at the end of the text")),
                _ => return Err(self.fault("control characters written as \\u00XX")),
            }
        }
    }

    /// To the next quote, backslash or control character, eight bytes at a time.
    #[inline]
    fn skip_plain(&mut self) {
        let bytes = self.text.as_bytes();
        while let Some(chunk) = bytes[self.at..].first_chunk::<8>() {
            let special = special_bytes(u64::from_le_bytes(*chunk));
            if special != 0 {
                self.at += (special.trailing_zeros() / 8) as usize;
                return;
            }
            self.at += 8;
        }
        while self.at < bytes.len() && !matches!(bytes[self.at], b'"' | b'\\' | 0..0x20) {
            self.at += 1;
        }
    }

    #[cold]
    fn escape(&mut self) -> Result<(), Fault> {
        self.at += 1;
        match self.peek() {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {
                self.at += 1;
                return Ok(());
            }
            b'u' => self.at += 1,
            _ => return Err(self.fault("one of \"\\/bfnrtu after a backslash")),
        }
        let unit = self.hexadecimal()?;
        match unit {
            0xD800..=0xDBFF => {
                self.take(b'\\', LOW)?;
                self.take(b'u', LOW)?;
                if !(0xDC00..=0xDFFF).contains(&self.hexadecimal()?) { Err(self.fault(LOW)) } else { Ok(()) }
            }
            0xDC00..=0xDFFF => Err(self.fault("a high surrogate before a low one")),
            _ => Ok(()),
        }
    }

    fn hexadecimal(&mut self) -> Result<u32, Fault> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).and_then(hexadecimal);
        let unit = digits.ok_or_else(|| self.fault("four hexadecimal digits after \\u"))?;
        self.at += 4;
        Ok(unit)
    }

    /// The byte here; 0, which no JSON has outside of strings, at the end.
    #[inline]
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    #[inline]
    fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    #[inline]
    fn take(&mut self, byte: u8, expected: &'static str) -> Result<(), Fault> {
        if self.peek() == byte {
            self.at += 1;
            Ok(())
        } else {
            Err(self.fault(expected))
        }
    }

    #[cold]
    fn fault(&self, expected: &'static str) -> Fault {
        Fault { at: self.at, expected }
    }
}

/// What is expected where a name comes again.
pub const ONCE: &str = "each name once in an object";
const LOW: &str = "a low surrogate after a high one";

/// A bit for each byte that is a quote, a backslash or below 0x20; exact up to and including the lowest one.
#[inline]
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let zero_bytes = |word: u64| word.wrapping_sub(ONES) & !word;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (zero_bytes(word ^ (ONES * 0x22)) | zero_bytes(word ^ (ONES * 0x5C)) | control) & (ONES * 0x80)
}

/// The length of the JSON number at the start, or where a digit is missing.
pub fn number_length(bytes: &[u8]) -> Result<usize, usize> {
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = usize::from(bytes.first() == Some(&b'-'));
    let whole = if bytes.get(at) == Some(&b'0') { 1 } else { digits(at) };
    if whole == 0 {
        return Err(at);
    }
    at += whole;
    if bytes.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if fraction == 0 {
            return Err(at + 1);
        }
        at += 1 + fraction;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        at += 1 + usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(at);
        if exponent == 0 {
            return Err(at);
        }
        at += exponent;
    }
    Ok(at)
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
}

/// The text that a checked string with escapes means.
#[cold]
fn unescape(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let (character, length) = escaped_character(&rest[at + 1..]);
        text.push(character);
        rest = &rest[at + 1 + length..];
    }
    text.push_str(rest);
    text
}

/// The character that a checked escape means, and its length after the backslash.
fn escaped_character(escape: &str) -> (char, usize) {
    let bytes = escape.as_bytes();
    let character = match bytes[0] {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode_escape(bytes),
        other => char::from(other),
    };
    (character, 1)
}

fn unicode_escape(bytes: &[u8]) -> (char, usize) {
    let unit = |from: usize| hexadecimal(&bytes[from..from + 4]).expect("the scanner checked the digits");
    let high = unit(1);
    if (0xD800..0xDC00).contains(&high) {
        let point = 0x1_0000 + ((high - 0xD800) << 10) + (unit(7) - 0xDC00);
        (char::from_u32(point).expect("a surrogate pair is a character"), 11)
    } else {
        (char::from_u32(high).expect("the scanner refused lone surrogates"), 5)
    }
}
