//! Strings of JSON: where they end, that their escapes are right, and what they mean.

use super::json::{Reading, fault, peek, take};
use super::value::{Kind, Value};

const LOW: &str = "a low surrogate after a high one";

/// The string whose opening quote stands just before a place.
#[inline]
pub fn quoted(text: &str, start: usize) -> Reading<Value> {
    let end = skip_plain(text, start);
    if peek(text, end) == b'"' { Ok(Value::new(Kind::Text, start, end)) } else { quoted_with_escapes(text, start, end) }
}

#[cold]
fn quoted_with_escapes(text: &str, start: usize, mut at: usize) -> Reading<Value> {
    loop {
        match peek(text, at) {
            b'"' => return Ok(Value::new(Kind::EscapedText, start, at)),
            b'\\' => at = skip_plain(text, escape(text, at + 1)?),
            _ if at == text.len() => return Err(fault(at, "`\"` at the end of the text")),
            _ => return Err(fault(at, "control characters written as \\u00XX")),
        }
    }
}

/// The place of the next quote, backslash or control character, eight bytes at a time.
#[inline]
fn skip_plain(text: &str, mut at: usize) -> usize {
    let bytes = text.as_bytes();
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let special = special_bytes(u64::from_le_bytes(*chunk));
        if special != 0 {
            return at + (special.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while at < bytes.len() && !matches!(bytes[at], b'"' | b'\\' | 0..0x20) {
        at += 1;
    }
    at
}

/// A bit for each byte that is a quote, a backslash or below 0x20; exact up to and including the lowest one.
#[inline]
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let zero_bytes = |word: u64| word.wrapping_sub(ONES) & !word;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (zero_bytes(word ^ (ONES * 0x22)) | zero_bytes(word ^ (ONES * 0x5C)) | control) & (ONES * 0x80)
}

/// The place after an escape whose backslash stands just before `at`.
fn escape(text: &str, at: usize) -> Reading<usize> {
    match peek(text, at) {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => return Ok(at + 1),
        b'u' => {}
        _ => return Err(fault(at, "one of \"\\/bfnrtu after a backslash")),
    }
    match code_unit(text, at + 1)? {
        0xD800..=0xDBFF => {
            let low = take(text, take(text, at + 5, b'\\', LOW)?, b'u', LOW)?;
            if (0xDC00..=0xDFFF).contains(&code_unit(text, low)?) { Ok(low + 4) } else { Err(fault(low, LOW)) }
        }
        0xDC00..=0xDFFF => Err(fault(at, "a high surrogate before a low one")),
        _ => Ok(at + 5),
    }
}

fn code_unit(text: &str, at: usize) -> Reading<u32> {
    let digits = text.as_bytes().get(at..at + 4).and_then(hexadecimal);
    digits.ok_or_else(|| fault(at, "four hexadecimal digits after \\u"))
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
}

/// The text that a checked string with escapes means.
#[cold]
pub fn unescape(raw: &str) -> String {
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
