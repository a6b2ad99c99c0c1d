//! A scanner of JSON text that says where things stand in it.
//!
//! Written by hand because the rules of E1 need what libraries do not report together: a name twice in an object at any
//! depth, also inside values that nobody reads, a depth over 64, lone surrogates, and the digits of a number as they
//! were written. One pass checks the whole text; nothing is allocated unless an object has many names or escaped ones.
//! Positions go in and out by value and results fit in two registers: that made it twice as fast.

use super::names::NameSet;
use super::string;
use super::value::{Kind, Value};

/// The outermost object is at depth 1; deeper than this is refused.
pub const DEPTH_MAX: u32 = 64;

/// Where a text stops being what E1 asks for, and what was expected there. Boxed to keep the results of reading small.
#[derive(Debug, PartialEq)]
pub struct Fault {
    pub at: usize,
    pub expected: &'static str,
}

pub type Reading<T> = Result<T, Box<Fault>>;

/// One name and its value in an object.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    pub name: Value,
    pub value: Value,
}

/// The entries of an object or array, one after the other.
pub struct Entries<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
    first: bool,
}

impl<'a> Entries<'a> {
    /// Steps into the object that begins at a place. `depth` is that of what it stands in: 0 outside of everything.
    #[inline]
    pub fn of_object(text: &'a str, at: usize, depth: u32) -> Reading<Self> {
        Self::open(text, at, depth, b'{', "one JSON object")
    }

    #[inline]
    pub fn of_array(text: &'a str, at: usize, depth: u32) -> Reading<Self> {
        Self::open(text, at, depth, b'[', "an array")
    }

    #[inline]
    fn open(text: &'a str, at: usize, depth: u32, open: u8, expected: &'static str) -> Reading<Self> {
        let at = take(text, space(text, at), open, expected)?;
        if depth == DEPTH_MAX { Err(fault(at - 1, DEEP)) } else { Ok(Self { text, at, depth: depth + 1, first: true }) }
    }

    /// The next member of an object; `None` at its end.
    #[inline(always)]
    pub fn next_member(&mut self) -> Reading<Option<Member>> {
        if !self.next_entry(b'}', "`,` or `}`")? {
            return Ok(None);
        }
        let name = string::quoted(self.text, take(self.text, self.at, b'"', "a name in quotes")?)?;
        let colon = take(self.text, space(self.text, name.end() + 1), b':', "`:` after the name")?;
        let value = value(self.text, space(self.text, colon), self.depth)?;
        self.at = value.after();
        Ok(Some(Member { name, value }))
    }

    /// The next element of an array; `None` at its end.
    #[inline(always)]
    pub fn next_element(&mut self) -> Reading<Option<Value>> {
        if !self.next_entry(b']', "`,` or `]`")? {
            return Ok(None);
        }
        let value = value(self.text, self.at, self.depth)?;
        self.at = value.after();
        Ok(Some(value))
    }

    /// Steps into the next element, or gives it back if it is not an object; `None` at the end. To be followed by
    /// [`Self::resume_after`].
    pub fn next_object(&mut self) -> Reading<Option<Result<Self, Value>>> {
        if !self.next_entry(b']', "`,` or `]`")? {
            return Ok(None);
        }
        if peek(self.text, self.at) == b'{' {
            return Ok(Some(Ok(Self::of_object(self.text, self.at, self.depth)?)));
        }
        Ok(Some(Err(value(self.text, self.at, self.depth)?)))
    }

    /// Goes on after an element that was read to its end.
    pub fn resume_after(&mut self, element: &Self) {
        self.at = element.at;
    }

    /// Where the text goes on after the last entry was taken.
    #[inline]
    pub fn end(&self) -> usize {
        self.at
    }

    /// Moves to the next entry; false when the closing character was there instead.
    #[inline(always)]
    fn next_entry(&mut self, close: u8, expected: &'static str) -> Reading<bool> {
        self.at = space(self.text, self.at);
        if peek(self.text, self.at) == close {
            self.at += 1;
            return Ok(false);
        }
        if !std::mem::take(&mut self.first) {
            self.at = space(self.text, take(self.text, self.at, b',', expected)?);
        }
        Ok(true)
    }
}

/// Nothing but white space may stand from here on.
pub fn expect_end(text: &str, at: usize) -> Reading<()> {
    let at = space(text, at);
    if at == text.len() { Ok(()) } else { Err(fault(at, "the end after one object")) }
}

#[inline]
fn value(text: &str, at: usize, depth: u32) -> Reading<Value> {
    match peek(text, at) {
        b'"' => string::quoted(text, at + 1),
        b'-' | b'0'..=b'9' => number(text, at),
        b'{' => skip_object(text, at, depth),
        b'[' => skip_array(text, at, depth),
        _ => literal(text, at),
    }
}

/// A value that is read later, if at all: it is checked all the same.
fn skip_object(text: &str, at: usize, depth: u32) -> Reading<Value> {
    let mut entries = Entries::of_object(text, at, depth)?;
    let mut names = NameSet::default();
    while let Some(member) = entries.next_member()? {
        if !names.insert(text, member.name) {
            return Err(fault(member.name.start(), ONCE));
        }
    }
    Ok(Value::new(Kind::Object, at, entries.end()))
}

fn skip_array(text: &str, at: usize, depth: u32) -> Reading<Value> {
    let mut entries = Entries::of_array(text, at, depth)?;
    while entries.next_element()?.is_some() {}
    Ok(Value::new(Kind::Array, at, entries.end()))
}

fn literal(text: &str, at: usize) -> Reading<Value> {
    let rest = &text.as_bytes()[at..];
    let known = [(b"null" as &[u8], Kind::Null), (b"true", Kind::True), (b"false", Kind::False)];
    match known.into_iter().find(|(word, _)| rest.starts_with(word)) {
        Some((word, kind)) => Ok(Value::new(kind, at, at + word.len())),
        None => Err(fault(at, "a JSON value")),
    }
}

fn number(text: &str, at: usize) -> Reading<Value> {
    match number_length(&text.as_bytes()[at..]) {
        Ok(length) => Ok(Value::new(Kind::Number, at, at + length)),
        Err(length) => Err(fault(at + length, "a digit")),
    }
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

/// The byte at a place; 0, which no JSON has outside of strings, at the end.
#[inline]
pub fn peek(text: &str, at: usize) -> u8 {
    text.as_bytes().get(at).copied().unwrap_or(0)
}

#[inline]
fn space(text: &str, mut at: usize) -> usize {
    while matches!(peek(text, at), b' ' | b'\n' | b'\r' | b'\t') {
        at += 1;
    }
    at
}

/// Steps over one expected character.
#[inline]
pub fn take(text: &str, at: usize, byte: u8, expected: &'static str) -> Reading<usize> {
    if peek(text, at) == byte { Ok(at + 1) } else { Err(fault(at, expected)) }
}

#[cold]
pub fn fault(at: usize, expected: &'static str) -> Box<Fault> {
    Box::new(Fault { at, expected })
}

/// What is expected where a name comes again.
pub const ONCE: &str = "each name once in an object";
const DEEP: &str = "at most 64 levels of nesting";
