//! The bounds of times in events and attributes, and times written as integers (E1).

use crate::engine::event::Millis;

/// 1990-01-01T00:00:00Z: the first time that an event may have.
pub const EVENT_MIN: Millis = 631_152_000_000;
/// 1900-01-01T00:00:00Z: the first time that an attribute may have (B6).
pub const ATTRIBUTE_MIN: Millis = -2_208_988_800_000;
/// 2100-01-01T00:00:00Z: the first time that is too late for both.
pub const END: Millis = 4_102_444_800_000;

/// The milliseconds of a JSON number that is an integer; `Err` if it has a fraction or an exponent. An integer that
/// does not fit gives the largest value, which is far outside of all bounds.
pub fn milliseconds(number: &str) -> Result<Millis, ()> {
    if number.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
        return Err(());
    }
    Ok(number.parse().unwrap_or(Millis::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::calendar::parse_rfc3339;

    #[test]
    fn the_bounds_are_the_written_moments() {
        assert_eq!(parse_rfc3339("1990-01-01T00:00:00Z"), Some(EVENT_MIN));
        assert_eq!(parse_rfc3339("1900-01-01T00:00:00Z"), Some(ATTRIBUTE_MIN));
        assert_eq!(parse_rfc3339("2100-01-01T00:00:00Z"), Some(END));
    }

    #[test]
    fn integers_are_milliseconds() {
        assert_eq!(milliseconds("1763806251000"), Ok(1_763_806_251_000));
        assert_eq!(milliseconds("-5"), Ok(-5));
        assert_eq!(milliseconds("123456789012345678901234567890"), Ok(Millis::MAX));
        assert_eq!(milliseconds("-123456789012345678901234567890"), Ok(Millis::MAX));
        assert_eq!(milliseconds("1e12"), Err(()));
        assert_eq!(milliseconds("1763806251000.0"), Err(()));
    }
}
