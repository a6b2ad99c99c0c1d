//! Bytes as text: most values are ASCII, and to see that is five times faster than to read them as UTF-8. The one place with
//! `unsafe` in decoding.

use std::str::Utf8Error;

/// `from_utf8`, faster when all is ASCII.
#[inline]
pub(super) fn utf8(value: &[u8]) -> Result<&str, Utf8Error> {
    if value.is_ascii() {
        // SAFETY: ASCII is UTF-8.
        return Ok(unsafe { std::str::from_utf8_unchecked(value) });
    }
    std::str::from_utf8(value)
}
