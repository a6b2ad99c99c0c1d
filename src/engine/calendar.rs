//! The proleptic Gregorian calendar in UTC: RFC 3339 texts to milliseconds and back.
//!
//! Both directions are hot: nearly every event has a time as text, and every change is published with several. The
//! parser is written by hand because it is three times faster than a general library, and because libraries accept more
//! than RFC 3339: second 60, a space for `T`, names of zones. Lower-case `t` and `z` are RFC 3339 and are accepted.
//! Zones, spans and other formats are left to `jiff`, against which both directions are tested.

use super::event::{DAY, HOUR, MINUTE, Millis};

/// Days from 0000-03-01 to 1970-01-01.
const DAYS_TO_EPOCH: i64 = 719_468;
/// Days of 400 years, after which the calendar repeats.
const DAYS_OF_ERA: i64 = 146_097;

/// The moment of an RFC 3339 text, with the fraction cut to milliseconds; `None` if the text is not RFC 3339.
pub fn parse_rfc3339(text: &str) -> Option<Millis> {
    let (date, time) = text.as_bytes().split_first_chunk()?;
    Some(days_of_date(*date)? * DAY + time_of_day(time)?)
}

/// Parses RFC 3339 texts, most of which have the date of the text before.
#[derive(Debug)]
pub struct Rfc3339Parser {
    date: [u8; 10],
    midnight: Millis,
}

impl Default for Rfc3339Parser {
    fn default() -> Self {
        Self { date: *b"1970-01-01", midnight: 0 }
    }
}

impl Rfc3339Parser {
    /// The same as [`parse_rfc3339`].
    #[inline]
    pub fn parse(&mut self, text: &[u8]) -> Option<Millis> {
        let (date, time) = text.split_first_chunk()?;
        if *date != self.date {
            self.begin_date(*date)?;
        }
        let in_day = match time.try_into() {
            Ok(time) => utc_time_of_day(time).or_else(|| time_of_day(time)),
            Err(_) => time_of_day(time),
        };
        Some(self.midnight + in_day?)
    }

    #[inline(never)]
    fn begin_date(&mut self, date: [u8; 10]) -> Option<()> {
        (self.date, self.midnight) = (date, days_of_date(date)? * DAY);
        Some(())
    }
}

/// The common form of [`time_of_day`], `THH:MM:SS.fffZ`, with the digits in two words; `None` for all others.
#[inline]
fn utc_time_of_day(text: &[u8; 14]) -> Option<Millis> {
    const CLOCK: u64 = u64::from_le_bytes(*b"00:00:00");
    const COLONS: u64 = u64::from_le_bytes(*b"\0\0\xFF\0\0\xFF\0\0");
    const FRACTION: u32 = u32::from_le_bytes(*b"000Z");
    // A byte that was a digit is at most 9 now, one that was punctuation is 0.
    let [b'T', clock @ .., b'.', f1, f2, f3, zone] = *text else { return None };
    let clock = u64::from_le_bytes(clock) ^ CLOCK;
    let fraction = u32::from_le_bytes([f1, f2, f3, zone]) ^ FRACTION;
    let above_9 = |word: u64| (word | word.wrapping_add(0x7676_7676_7676_7676)) & 0x8080_8080_8080_8080;
    if above_9(clock) | above_9(fraction.into()) | clock & COLONS | u64::from(fraction >> 24) != 0 {
        return None;
    }
    // Ten times each byte plus the one after it: no sum is above 99.
    let pairs = clock * 10 + (clock >> 8);
    let number = |shift: u32| (pairs >> shift & 0xFF) as i64;
    let (hour, minute, second) = (number(0), number(24), number(48));
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let digit = |shift: u32| i64::from(fraction >> shift & 0xFF);
    let fraction = digit(0) * 100 + digit(8) * 10 + digit(16);
    Some(hour * HOUR + minute * MINUTE + second * 1_000 + fraction)
}

/// The time since midnight UTC of the date, from the `T` on: negative, or over a day, with an offset from UTC.
fn time_of_day(text: &[u8]) -> Option<Millis> {
    let (time, rest) = text.split_first_chunk()?;
    let [b't' | b'T', h1, h2, b':', i1, i2, b':', s1, s2] = *time else { return None };
    let (hour, minute, second) = (two_digits(h1, h2)?, two_digits(i1, i2)?, two_digits(s1, s2)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (fraction, zone) = split_fraction(rest)?;
    Some(hour * HOUR + minute * MINUTE + second * 1_000 + fraction - zone_offset(zone)?)
}

/// The two digits of each number below 100.
pub static DIGIT_PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
};

/// A moment as RFC 3339 text in UTC with milliseconds, for years 0 to 9999.
pub fn rfc3339_text(time: Millis) -> [u8; 24] {
    let (days, in_day) = (time.div_euclid(DAY), time.rem_euclid(DAY) as u32);
    let (year, month, day) = date_of_text(days);
    let mut text = *b"0000-00-00T00:00:00.000Z";
    let mut put = |start: usize, number: u32| {
        text[start..start + 2].copy_from_slice(&DIGIT_PAIRS[number as usize]);
    };
    put(0, year / 100 % 100);
    put(2, year % 100);
    put(5, month);
    put(8, day);
    put_time_of_day(&mut text, 11, in_day);
    text
}

/// Writes the digits of `in_day`, milliseconds since midnight, into a text that has `00:00:00.000` from `start` on.
#[inline(always)]
pub fn put_time_of_day<const N: usize>(text: &mut [u8; N], start: usize, in_day: u32) {
    let (seconds, millisecond) = (in_day / 1_000, in_day % 1_000);
    let (minutes, second) = (seconds / 60, seconds % 60);
    let mut put = |at: usize, number: u32| {
        text[start + at..start + at + 2].copy_from_slice(&DIGIT_PAIRS[number as usize]);
    };
    put(0, minutes / 60);
    put(3, minutes % 60);
    put(6, second);
    put(9, millisecond / 10);
    text[start + 11] = b'0' + (millisecond % 10) as u8;
}

/// Days from 1970-01-01 to the date of a text `YYYY-MM-DD`; `None` if the text is no such date.
pub fn parse_date(text: &str) -> Option<i64> {
    let (date, []) = text.as_bytes().split_first_chunk()? else { return None };
    days_of_date(*date)
}

fn days_of_date(date: [u8; 10]) -> Option<i64> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = date else { return None };
    let year = two_digits(y1, y2)? * 100 + two_digits(y3, y4)?;
    let (month, day) = (two_digits(m1, m2)?, two_digits(d1, d2)?);
    let is_date = (1..=12).contains(&month) && (1..=days_of_month(year, month)).contains(&day);
    is_date.then(|| days_since_epoch(year, month, day))
}

/// The difference of local time from UTC in a text `Z` or `±HH:MM`, below 24 hours.
pub fn parse_offset(text: &str) -> Option<Millis> {
    zone_offset(text.as_bytes())
}

/// Days from a day to the next one with the month and day of another, both in days since 1970-01-01; 0 on the day
/// itself. In a year without 29 February that is 28 February.
pub fn days_to_anniversary(day: i64, of: i64) -> i64 {
    let ((year, ..), (_, month, day_of_month)) = (date(day), date(of));
    let in_year = |year: i64| days_since_epoch(year, month, day_of_month.min(days_of_month(year, month)));
    let next = in_year(year);
    if next >= day { next - day } else { in_year(year + 1) - day }
}

#[inline]
fn two_digits(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    if tens < 10 && ones < 10 { Some(i64::from(tens * 10 + ones)) } else { None }
}

/// The milliseconds of `.fff…`, 0 without a fraction, and the rest of the text.
#[inline]
fn split_fraction(rest: &[u8]) -> Option<(Millis, &[u8])> {
    let Some((b'.', rest)) = rest.split_first() else { return Some((0, rest)) };
    if let [d1 @ b'0'..=b'9', d2 @ b'0'..=b'9', d3 @ b'0'..=b'9', zone @ ..] = rest
        && !zone.first().is_some_and(u8::is_ascii_digit)
    {
        let digit = |digit: u8| i64::from(digit - b'0');
        return Some((digit(*d1) * 100 + digit(*d2) * 10 + digit(*d3), zone));
    }
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return None;
    }
    let digit = |index: usize| if index < digits { i64::from(rest[index] - b'0') } else { 0 };
    Some((digit(0) * 100 + digit(1) * 10 + digit(2), &rest[digits..]))
}

/// The difference of local time from UTC: `Z`, or `±HH:MM`.
#[inline]
fn zone_offset(zone: &[u8]) -> Option<Millis> {
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

/// Days from 1970-01-01 to a date, years 0 to 9999.
#[inline]
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    // In years that begin in March the leap day is the last day, so each month begins at a fixed day.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - DAYS_TO_EPOCH
}

/// Year, month and day of a number of days since 1970-01-01.
#[inline]
fn date(days: i64) -> (i64, i64, i64) {
    let since_march = days + DAYS_TO_EPOCH;
    let (era, day_of_era) = (since_march.div_euclid(DAYS_OF_ERA), since_march.rem_euclid(DAYS_OF_ERA));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Year, month and day of a number of days since 1970-01-01, for years 0 to 9999: [`date`] in fewer instructions
/// (Neri and Schneider, "Euclidean affine functions and their application to calendar algorithms", 2022).
fn date_of_text(days: i64) -> (u32, u32, u32) {
    // An era more, so that January of the year 0 has no sign; out of these years the text has four digits all the same.
    let since_march = (days + DAYS_TO_EPOCH + DAYS_OF_ERA).clamp(0, 30 * DAYS_OF_ERA) as u32;
    let quarters = 4 * since_march + 3;
    let (century, in_century) = (quarters / DAYS_OF_ERA as u32, quarters % DAYS_OF_ERA as u32 / 4);
    let scaled = 2_939_745 * u64::from(4 * in_century + 3);
    let (year_of_century, day_of_year) = ((scaled >> 32) as u32, scaled as u32 / 2_939_745 / 4);
    let month_and_day = 2_141 * day_of_year + 197_913;
    let (month, day) = (month_and_day >> 16, (month_and_day & 0xffff) / 2_141 + 1);
    let is_next_year = day_of_year >= 306;
    let year = (100 * century + year_of_century + u32::from(is_next_year)).saturating_sub(400);
    (year, if is_next_year { month - 12 } else { month }, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expected: Option<Millis>) {
        assert_eq!(parse_rfc3339(text), expected, "{text}");
        let mut parser = Rfc3339Parser::default();
        assert_eq!([parser.parse(text.as_bytes()), parser.parse(text.as_bytes())], [expected; 2], "{text}");
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
    }

    #[test]
    fn texts_that_are_not_rfc_3339() {
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

    /// Any byte in any place of the common form.
    #[test]
    fn the_common_form_is_read_as_all_others_are() {
        for common in ["2024-02-29T00:00:00.000Z", "2024-02-29T23:59:59.999Z", "2024-02-29T19:38:47.156Z"] {
            check(common, parse_rfc3339(common));
            for (at, byte) in (0..24).flat_map(|at| (0..128).map(move |byte| (at, byte))) {
                let mut text = common.as_bytes().to_vec();
                text[at] = byte;
                let text = String::from_utf8(text).expect("ASCII");
                check(&text, parse_rfc3339(&text));
            }
        }
    }

    #[test]
    fn moments_are_written_as_by_jiff() {
        let mut time = -2_208_988_800_123_i64;
        while time < 4_102_444_800_000 {
            let expected =
                jiff::Timestamp::from_millisecond(time).unwrap().strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string();
            assert_eq!(std::str::from_utf8(&rfc3339_text(time)).unwrap(), expected);
            time += 86_399_000 * 3 + 777;
        }
    }

    #[test]
    fn every_day_of_ten_thousand_years_has_its_date() {
        let (first, last) = (days_since_epoch(0, 1, 1), days_since_epoch(9999, 12, 31));
        for day in first..=last {
            let (year, month, of_month) = date_of_text(day);
            assert_eq!((i64::from(year), i64::from(month), i64::from(of_month)), date(day), "{day}");
        }
        assert_eq!(&rfc3339_text(last * DAY + DAY - 1), b"9999-12-31T23:59:59.999Z");
        assert_eq!(&rfc3339_text(first * DAY), b"0000-01-01T00:00:00.000Z");
        // Texts of four digits for what no text can say.
        for time in [first * DAY - 1, last * DAY + DAY, Millis::MIN, Millis::MAX] {
            assert!(rfc3339_text(time).is_ascii(), "{time}");
        }
    }

    #[test]
    fn dates_are_days() {
        assert_eq!(parse_date("1970-01-01"), Some(0));
        assert_eq!(parse_date("2024-02-29"), Some(19_782));
        for text in ["2023-02-29", "2024-13-01", "2024-1-01", "2024-01-01T00:00:00Z", "24-01-01", "", "2024-01-0é"] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    /// Every day of eight years, by counting days until the day of the month fits.
    #[test]
    fn anniversaries_are_counted_day_by_day() {
        for born in ["2000-02-29", "1968-12-31", "2001-01-01", "1999-02-28", "1904-03-01", "2096-02-29"] {
            let born = parse_date(born).expect(born);
            let (_, month, day) = date(born);
            for from in ["1895-12-20", "2019-12-20", "2095-01-01"] {
                let from = parse_date(from).expect(from);
                for today in from..from + 8 * 366 {
                    let is_it = |at: i64| {
                        let (year, m, d) = date(at);
                        (m, d) == (month, day)
                            || ((month, day) == (2, 29) && (m, d) == (2, 28) && year % 4 != 0)
                            || ((month, day) == (2, 29) && (m, d) == (2, 28) && year % 100 == 0 && year % 400 != 0)
                    };
                    let expected = (0..).find(|days| is_it(today + days)).expect("there is one each year");
                    assert_eq!(days_to_anniversary(today, born), expected, "{today} {born}");
                }
            }
        }
    }

    proptest! {
        /// Every moment that jiff writes is read as the same one, whatever the offset.
        #[test]
        fn agrees_with_jiff(millis in -62_000_000_000_000_i64..253_000_000_000_000, offset_minutes in -1439_i32..1440) {
            let zone = jiff::tz::Offset::from_seconds(offset_minutes * 60).unwrap();
            let moment = jiff::Timestamp::from_millisecond(millis).unwrap();
            let text = moment.display_with_offset(zone).to_string();
            prop_assert_eq!(parse_rfc3339(&text), Some(millis), "{}", text);
        }

        /// A text near RFC 3339 that is accepted is one for jiff too, with the same moment.
        #[test]
        fn accepts_no_more_than_jiff(text in "(19|20)[0-9]{2}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,4})?([Zz]|[+-][0-2][0-9]:[0-6][0-9])?") {
            if let Some(millis) = parse_rfc3339(&text) {
                let moment: jiff::Timestamp = text.parse().expect("jiff reads what RFC 3339 allows");
                prop_assert_eq!(moment.as_nanosecond().div_euclid(1_000_000), i128::from(millis));
            }
        }
    }
}
