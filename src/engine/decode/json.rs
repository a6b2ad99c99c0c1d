//! A scanner of JSON that finds the values of a text without copying them.
//!
//! Written by hand because E1 needs what no library reports together: a name repeated in an object at any depth, also
//! inside values that are not used, a depth over 64, lone surrogates, and the digits of a number as they were written.
//! One pass checks the whole text. Nothing is allocated unless an object has many names or names with escapes.

use super::names::NameSet;
use super::scan::{Scan, peek, skip_byte, skip_space, syntax_error};
use super::string;
use super::value::{JsonKind, JsonValue};

/// Depth of nesting at most; the outermost object is at depth 1.
pub const DEPTH_MAX: u32 = 64;

/// One name and its value in an object.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    pub name: JsonValue,
    pub value: JsonValue,
}

/// The entries of an object or array, one after the other.
pub struct Entries<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
    first: bool,
}

impl<'a> Entries<'a> {
    /// Steps into the object that begins at an offset. `depth` is that of the value around it: 0 for the outermost
    /// object.
    #[inline]
    pub fn of_object(text: &'a str, at: usize, depth: u32) -> Scan<Self> {
        Self::open(text, at, depth, b'{', "one JSON object")
    }

    #[inline]
    pub fn of_array(text: &'a str, at: usize, depth: u32) -> Scan<Self> {
        Self::open(text, at, depth, b'[', "an array")
    }

    #[inline]
    fn open(text: &'a str, at: usize, depth: u32, open: u8, expected: &'static str) -> Scan<Self> {
        let at = skip_byte(text, skip_space(text, at), open, expected)?;
        if depth == DEPTH_MAX {
            Err(syntax_error(at - 1, DEPTH))
        } else {
            Ok(Self { text, at, depth: depth + 1, first: true })
        }
    }

    /// The next member of an object; `None` at its end.
    #[inline(always)]
    pub fn next_member(&mut self) -> Scan<Option<Member>> {
        if !self.next_entry(b'}', "`,` or `}`")? {
            return Ok(None);
        }
        let name = string::quoted(self.text, skip_byte(self.text, self.at, b'"', "a name in quotes")?)?;
        let colon = skip_byte(self.text, skip_space(self.text, name.end() + 1), b':', "`:` after the name")?;
        let value = value(self.text, skip_space(self.text, colon), self.depth)?;
        self.at = value.after();
        Ok(Some(Member { name, value }))
    }

    /// The next element of an array; `None` at its end.
    #[inline(always)]
    pub fn next_element(&mut self) -> Scan<Option<JsonValue>> {
        if !self.next_entry(b']', "`,` or `]`")? {
            return Ok(None);
        }
        let value = value(self.text, self.at, self.depth)?;
        self.at = value.after();
        Ok(Some(value))
    }

    /// Steps into the next element, or returns it as `Err` and steps over it if it is not an object; `None` at the end.
    /// After an object, [`Self::resume_after`] must follow.
    pub fn next_object(&mut self) -> Scan<Option<Result<Self, JsonValue>>> {
        if !self.next_entry(b']', "`,` or `]`")? {
            return Ok(None);
        }
        if peek(self.text, self.at) == b'{' {
            return Ok(Some(Ok(Self::of_object(self.text, self.at, self.depth)?)));
        }
        let value = value(self.text, self.at, self.depth)?;
        self.at = value.after();
        Ok(Some(Err(value)))
    }

    /// Continues after an element that was read to its end.
    pub fn resume_after(&mut self, element: &Self) {
        self.at = element.at;
    }

    /// The offset after the object or array, once its last entry was read.
    #[inline]
    pub fn end(&self) -> usize {
        self.at
    }

    /// Moves to the next entry; false if the closing character follows instead.
    #[inline(always)]
    fn next_entry(&mut self, close: u8, expected: &'static str) -> Scan<bool> {
        self.at = skip_space(self.text, self.at);
        if peek(self.text, self.at) == close {
            self.at += 1;
            return Ok(false);
        }
        if !std::mem::take(&mut self.first) {
            self.at = skip_space(self.text, skip_byte(self.text, self.at, b',', expected)?);
        }
        Ok(true)
    }
}

/// The value that begins at an offset, in an object or array of this depth.
#[inline]
pub fn value(text: &str, at: usize, depth: u32) -> Scan<JsonValue> {
    match peek(text, at) {
        b'"' => string::quoted(text, at + 1),
        b'-' | b'0'..=b'9' => number(text, at),
        b'{' => skip_object(text, at, depth),
        b'[' => skip_array(text, at, depth),
        _ => literal(text, at),
    }
}

/// Checks an object that is read later, if at all.
fn skip_object(text: &str, at: usize, depth: u32) -> Scan<JsonValue> {
    let mut entries = Entries::of_object(text, at, depth)?;
    let mut names = NameSet::default();
    while let Some(member) = entries.next_member()? {
        if !names.insert(text, member.name) {
            return Err(syntax_error(member.name.start(), UNIQUE_NAMES));
        }
    }
    Ok(JsonValue::new(JsonKind::Object, at, entries.end()))
}

fn skip_array(text: &str, at: usize, depth: u32) -> Scan<JsonValue> {
    let mut entries = Entries::of_array(text, at, depth)?;
    while entries.next_element()?.is_some() {}
    Ok(JsonValue::new(JsonKind::Array, at, entries.end()))
}

fn literal(text: &str, at: usize) -> Scan<JsonValue> {
    let rest = &text.as_bytes()[at..];
    let known = [(b"null" as &[u8], JsonKind::Null), (b"true", JsonKind::True), (b"false", JsonKind::False)];
    match known.into_iter().find(|(word, _)| rest.starts_with(word)) {
        Some((word, kind)) => Ok(JsonValue::new(kind, at, at + word.len())),
        None => Err(syntax_error(at, "a JSON value")),
    }
}

fn number(text: &str, at: usize) -> Scan<JsonValue> {
    match number_length(&text.as_bytes()[at..]) {
        Ok(length) => Ok(JsonValue::new(JsonKind::Number, at, at + length)),
        Err(length) => Err(syntax_error(at + length, "a digit")),
    }
}

/// The length of the JSON number at the start; `Err` is the offset at which a digit is missing.
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

/// What is expected where a name is repeated.
pub const UNIQUE_NAMES: &str = "each name once in an object";
const DEPTH: &str = "at most 64 levels of nesting";
