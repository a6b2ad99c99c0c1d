//! Scans strings of JSON: finds their end and checks their escapes.

use super::escape::hexadecimal;
use super::scan::{Scan, peek, skip_byte, syntax_error};
use super::value::{JsonKind, JsonValue};
use super::vector;

const LOW: &str = "a low surrogate after a high one";

/// The string whose opening quote is just before `start`.
#[inline]
pub fn quoted(text: &str, start: usize) -> Scan<JsonValue> {
    let end = skip_plain(text, start);
    if peek(text, end) == b'"' {
        Ok(JsonValue::new(JsonKind::Text, start, end))
    } else {
        quoted_with_escapes(text, start, end)
    }
}

/// The offset of the closing quote of a string that begins at `start`, if it has no escapes. `None` is no answer: the
/// string may have escapes or be wrong, or the text be too short to tell.
#[inline(always)]
pub fn plain_end(text: &str, mut start: usize) -> Option<usize> {
    const CHUNK: usize = 16;
    let bytes = text.as_bytes();
    let left = loop {
        let left = bytes.len().checked_sub(start)?;
        let Some(chunk) = bytes[start..].first_chunk::<CHUNK>() else { break left };
        let special = vector::special_bytes(chunk);
        if special != 0 {
            let index = special.trailing_zeros() as usize % CHUNK;
            return (chunk[index] == b'"').then_some(start + index);
        }
        start += CHUNK;
    };
    // The last bytes of the text, of which the first were looked at.
    let chunk = bytes.last_chunk::<CHUNK>()?;
    let special = vector::special_bytes(chunk) >> (CHUNK - left);
    let end = start + special.trailing_zeros() as usize;
    (bytes.get(end) == Some(&b'"')).then_some(end)
}

#[cold]
fn quoted_with_escapes(text: &str, start: usize, mut at: usize) -> Scan<JsonValue> {
    loop {
        match peek(text, at) {
            b'"' => return Ok(JsonValue::new(JsonKind::EscapedText, start, at)),
            b'\\' => at = skip_plain(text, escape(text, at + 1)?),
            _ if at == text.len() => return Err(syntax_error(at, "`\"` at the end of the text")),
            _ => return Err(syntax_error(at, "control characters written as \\u00XX")),
        }
    }
}

/// The offset of the next quote, backslash or control character: sixteen bytes at a time as long as there are so many,
/// then eight.
#[inline(always)]
fn skip_plain(text: &str, mut at: usize) -> usize {
    let bytes = text.as_bytes();
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<16>()) {
        let special = vector::special_bytes(chunk);
        if special != 0 {
            return at + special.trailing_zeros() as usize;
        }
        at += 16;
    }
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
pub fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let zero_bytes = |word: u64| word.wrapping_sub(ONES) & !word;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (zero_bytes(word ^ (ONES * 0x22)) | zero_bytes(word ^ (ONES * 0x5C)) | control) & (ONES * 0x80)
}

/// The offset after an escape whose backslash is just before `at`.
fn escape(text: &str, at: usize) -> Scan<usize> {
    match peek(text, at) {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => return Ok(at + 1),
        b'u' => {}
        _ => return Err(syntax_error(at, "one of \"\\/bfnrtu after a backslash")),
    }
    match code_unit(text, at + 1)? {
        0xD800..=0xDBFF => {
            let low = skip_byte(text, skip_byte(text, at + 5, b'\\', LOW)?, b'u', LOW)?;
            if (0xDC00..=0xDFFF).contains(&code_unit(text, low)?) { Ok(low + 4) } else { Err(syntax_error(low, LOW)) }
        }
        0xDC00..=0xDFFF => Err(syntax_error(at, "a high surrogate before a low one")),
        _ => Ok(at + 5),
    }
}

fn code_unit(text: &str, at: usize) -> Scan<u32> {
    let digits = text.as_bytes().get(at..at + 4).and_then(hexadecimal);
    digits.ok_or_else(|| syntax_error(at, "four hexadecimal digits after \\u"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Strings of every length up to 40 at every distance up to 20 from the end of the text.
    #[test]
    fn plain_strings_end_where_the_scanner_says() {
        for (length, rest) in (0..40).flat_map(|length| (0..20).map(move |rest| (length, rest))) {
            for inside in ["a", "\\n", "é", "\u{1}"] {
                let text = format!("\"{}{inside}\"{}", "x".repeat(length), ",".repeat(rest));
                let plain = quoted(&text, 1).ok().filter(|value| value.is(JsonKind::Text)).map(JsonValue::end);
                let found = plain_end(&text, 1);
                assert!(found == plain || found.is_none() && text.len() < 16, "{text:?}: {found:?}");
            }
            let open = "x".repeat(length);
            assert_eq!((plain_end(&open, 0), plain_end(&open, length + rest)), (None, None));
        }
    }
}
