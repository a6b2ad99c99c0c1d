//! Bytes as text. Most values are ASCII, and checking for ASCII is five times faster than checking for UTF-8.
//!
//! The only unsafe code of decoding is here and in `vector`.

use super::vector;
use std::str::Utf8Error;

/// Like [`std::str::from_utf8`], but faster for ASCII.
#[inline]
pub(super) fn utf8(value: &[u8]) -> Result<&str, Utf8Error> {
    if vector::is_ascii(value) {
        // SAFETY: ASCII is UTF-8.
        return Ok(unsafe { std::str::from_utf8_unchecked(value) });
    }
    std::str::from_utf8(value)
}
