//! Moments: read as RFC 3339 with a zone, written as UTC with three digits, and the ranges that E1 and B6 accept.

use jiff::civil;
use jiff::tz::TimeZone;

/// 1990 to before 2100.
pub fn is_event(moment: &i64) -> bool {
    (start_of_year(1990)..start_of_year(2100)).contains(moment)
}

/// 1900 to before 2100.
pub fn is_attribute(moment: &i64) -> bool {
    (start_of_year(1900)..start_of_year(2100)).contains(moment)
}

fn start_of_year(year: i16) -> i64 {
    civil::date(year, 1, 1).to_zoned(TimeZone::UTC).expect("a year in range").timestamp().as_millisecond()
}

/// `2026-11-22T10:04:11.032Z`
pub fn text(moment: i64) -> String {
    let timestamp = jiff::Timestamp::from_millisecond(moment).expect("moments are within the years 1800 to 2200");
    timestamp.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// A moment as rules write it: RFC 3339 with Z, or a date at its UTC midnight.
pub fn written(text: &str) -> i64 {
    let full = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_string() };
    full.parse::<jiff::Timestamp>().expect("rules have valid moments").as_millisecond()
}

/// Days from the day of `now`, where local time is `offset` later than UTC, to the next day with the month and day of
/// the UTC day of `of`; 29 February is 28 February in other years.
pub fn days_to_anniversary(now: i64, offset: i64, of: i64) -> i64 {
    let date = |moment: i64| {
        let timestamp = jiff::Timestamp::from_millisecond(moment).expect("a moment within the calendar");
        timestamp.to_zoned(TimeZone::UTC).date()
    };
    let (today, of) = (date(now + offset), date(of));
    let in_year = |year: i16| {
        civil::Date::new(year, of.month(), of.day()).unwrap_or_else(|_| civil::date(year, of.month(), of.day() - 1))
    };
    let next = [0, 1].map(|years| in_year(today.year() + years)).into_iter().find(|date| *date >= today);
    let until = next.expect("there is one every year").since((jiff::Unit::Day, today)).expect("dates have days");
    i64::from(until.get_days())
}

/// RFC 3339 text with zone, its fraction cut to milliseconds. No second 60, no space for the `T`.
pub fn parse(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let shape = b"0000-00-00T00:00:00";
    if bytes.len() <= shape.len() || !bytes.iter().zip(shape).all(|(byte, shape)| fits(*byte, *shape)) {
        return None;
    }
    let number = |from: usize, to: usize| text[from..to].parse::<i16>().expect("digits");
    let date = civil::Date::new(number(0, 4), number(5, 7) as i8, number(8, 10) as i8).ok()?;
    let (hour, minute, second) = (number(11, 13), number(14, 16), number(17, 19));
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (fraction, zone) = fraction_and_zone(&text[shape.len()..])?;
    let days = i64::from(date.duration_since(civil::date(1970, 1, 1)).as_hours() as i32 / 24);
    let seconds = days * 86_400 + i64::from(hour) * 3_600 + i64::from(minute) * 60 + i64::from(second);
    Some((seconds - zone * 60) * 1_000 + fraction)
}

fn fits(byte: u8, shape: u8) -> bool {
    match shape {
        b'0' => byte.is_ascii_digit(),
        b'T' => byte == b'T' || byte == b't',
        other => byte == other,
    }
}

/// Milliseconds of the fraction and minutes of the zone.
fn fraction_and_zone(rest: &str) -> Option<(i64, i64)> {
    let Some(rest) = rest.strip_prefix('.') else { return Some((0, zone(rest)?)) };
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let zone = zone(&rest[digits.len()..])?;
    let milliseconds = format!("{digits}00").get(..3)?.parse().ok()?;
    (!digits.is_empty()).then_some((milliseconds, zone))
}

fn zone(text: &str) -> Option<i64> {
    if text == "Z" || text == "z" {
        return Some(0);
    }
    let bytes = text.as_bytes();
    if bytes.len() != 6 || !bytes.iter().zip(b"+00:00").skip(1).all(|(byte, shape)| fits(*byte, *shape)) {
        return None;
    }
    let sign = match bytes[0] {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes): (i64, i64) = (text[1..3].parse().ok()?, text[4..6].parse().ok()?);
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes))
}
