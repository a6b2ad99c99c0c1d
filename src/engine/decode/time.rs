//! Moments as events write them: RFC 3339 text with a zone, or an integer of milliseconds (E1).
//!
//! By hand because it is three times faster than a general library and because libraries accept more than
//! RFC 3339: second 60, a space for `T`, names of zones. Lower-case `t` and `z` are RFC 3339 and are accepted.

use crate::engine::event::{DAY, HOUR, MINUTE, Millis};

/// 1990-01-01T00:00:00Z: the first time that an event may have.
pub const EVENT_MIN: Millis = 631_152_000_000;
/// 1900-01-01T00:00:00Z: the first moment that an attribute may hold (B6).
pub const ATTRIBUTE_MIN: Millis = -2_208_988_800_000;
/// 2100-01-01T00:00:00Z: the first moment that is too late for both.
pub const END: Millis = 4_102_444_800_000;

/// The moment of an RFC 3339 text, its fraction cut to milliseconds; `None` if it is not one.
pub fn rfc3339(text: &str) -> Option<Millis> {
    let bytes = text.as_bytes();
    let (date_time, rest) = bytes.split_first_chunk::<19>()?;
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b't' | b'T', h1, h2, b':', i1, i2, b':', s1, s2] = *date_time
    else {
        return None;
    };
    let year = two_digits(y1, y2)? * 100 + two_digits(y3, y4)?;
    let (month, day) = (two_digits(m1, m2)?, two_digits(d1, d2)?);
    let (hour, minute, second) = (two_digits(h1, h2)?, two_digits(i1, i2)?, two_digits(s1, s2)?);
    if !(1..=12).contains(&month) || !(1..=days_of_month(year, month)).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (fraction, zone) = split_fraction(rest)?;
    let local = days_since_epoch(year, month, day) * DAY + hour * HOUR + minute * MINUTE + second * 1_000 + fraction;
    Some(local - offset(zone)?)
}

/// The milliseconds of a JSON number that is an integer: `Err` if it has a fraction or an exponent, else what it says,
/// as far as it can matter.
pub fn integer(number: &str) -> Result<Millis, ()> {
    if number.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
        return Err(());
    }
    // What does not fit is far outside of every range.
    Ok(number.parse().unwrap_or(Millis::MAX))
}

#[inline]
fn two_digits(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    if tens < 10 && ones < 10 { Some(i64::from(tens * 10 + ones)) } else { None }
}

/// The milliseconds of `.fff…` if there is one, and what follows.
#[inline]
fn split_fraction(rest: &[u8]) -> Option<(Millis, &[u8])> {
    let Some((b'.', rest)) = rest.split_first() else { return Some((0, rest)) };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return None;
    }
    let digit = |place: usize| if place < digits { i64::from(rest[place] - b'0') } else { 0 };
    Some((digit(0) * 100 + digit(1) * 10 + digit(2), &rest[digits..]))
}

/// How far local time stands before UTC: `Z`, or `±HH:MM`.
#[inline]
fn offset(zone: &[u8]) -> Option<Millis> {
    match *zone {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (two_digits(h1, h2)?, two_digits(m1, m2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = hours * HOUR + minutes * MINUTE;
            Some(if sign == b'-' { -offset } else { offset })
        }
        _ => None,
    }
}

#[inline]
fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, years 0 to 9999.
#[inline]
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March have their leap day at the end, so months lie at fixed places.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expected: Option<Millis>) {
        assert_eq!(rfc3339(text), expected, "{text}");
    }

    #[test]
    fn texts_that_are_rfc_3339() {
        check("1970-01-01T00:00:00Z", Some(0));
        check("1970-01-01t00:00:00z", Some(0));
        check("1970-01-01T00:00:00.1Z", Some(100));
        check("1970-01-01T00:00:00.12Z", Some(120));
        check("1970-01-01T00:00:00.1239999999999999999999Z", Some(123));
        check("1969-12-31T23:59:59.9999Z", Some(-1));
        check("1970-01-01T01:30:00+01:30", Some(0));
        check("1969-12-31T00:01:00-23:59", Some(0));
        check("1970-01-01T00:00:00-00:00", Some(0));
        check("2024-02-29T12:00:00Z", Some(1_709_208_000_000));
        check("2000-02-29T00:00:00Z", Some(951_782_400_000));
        check("1990-01-01T00:00:00Z", Some(EVENT_MIN));
        check("1900-01-01T00:00:00Z", Some(ATTRIBUTE_MIN));
        check("2100-01-01T00:00:00Z", Some(END));
    }

    #[test]
    fn texts_that_are_not() {
        for text in [
            "",
            "2024-01-01",
            "2024-01-01T00:00Z",
            "2024-01-01T00:00:00",
            "2024-01-01 00:00:00Z",
            "2024-01-01T00:00:60Z",
            "2016-12-31T23:59:60Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:60:00Z",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00,5Z",
            "2024-01-01T00:00:00+0100",
            "2024-01-01T00:00:00+01",
            "2024-01-01T00:00:00+24:00",
            "2024-01-01T00:00:00+01:60",
            "2024-01-01T00:00:00+01:00:00",
            "2024-01-01T00:00:00Z[UTC]",
            "2024-01-01T00:00:00 Z",
            " 2024-01-01T00:00:00Z",
            "2024-01-01T00:00:00Z ",
            "2023-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2024-00-01T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-01-00T00:00:00Z",
            "2024-04-31T00:00:00Z",
            "24-01-01T00:00:00Z",
            "+02024-01-01T00:00:00Z",
            "20240101T000000Z",
            "2024-01-01T00:00:00é",
            "２024-01-01T00:00:00Z",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn integers_are_milliseconds() {
        assert_eq!(integer("1763806251000"), Ok(1_763_806_251_000));
        assert_eq!(integer("-5"), Ok(-5));
        assert_eq!(integer("123456789012345678901234567890"), Ok(Millis::MAX));
        assert_eq!(integer("-123456789012345678901234567890"), Ok(Millis::MAX));
        assert_eq!(integer("1e12"), Err(()));
        assert_eq!(integer("1763806251000.0"), Err(()));
    }

    proptest! {
        /// Every moment that jiff writes is read as the same one, whatever the offset.
        #[test]
        fn agrees_with_jiff(millis in -62_000_000_000_000_i64..253_000_000_000_000, offset_minutes in -1439_i32..1440) {
            let zone = jiff::tz::Offset::from_seconds(offset_minutes * 60).unwrap();
            let moment = jiff::Timestamp::from_millisecond(millis).unwrap();
            let text = moment.display_with_offset(zone).to_string();
            prop_assert_eq!(rfc3339(&text), Some(millis), "{}", text);
        }

        /// A text near RFC 3339 that is accepted is one for jiff too, with the same moment.
        #[test]
        fn accepts_no_more_than_jiff(text in "(19|20)[0-9]{2}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,4})?([Zz]|[+-][0-2][0-9]:[0-6][0-9])?") {
            if let Some(millis) = rfc3339(&text) {
                let moment: jiff::Timestamp = text.parse().expect("jiff reads what RFC 3339 allows");
                prop_assert_eq!(moment.as_nanosecond().div_euclid(1_000_000), i128::from(millis));
            }
        }
    }
}
