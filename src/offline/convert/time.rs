//! Reads a time in the mapping's format.

use super::mapping::TimeFormat;
use crate::engine::event::Millis;
use jiff::Timestamp;
use jiff::fmt::strtime;

/// Parses a time.
///
/// # Errors
/// What is wrong with the text.
pub fn parse_time(format: &TimeFormat, text: &str) -> Result<Millis, String> {
    let number = || text.parse::<i64>().map_err(|_| "it is not an integer".to_owned());
    let message = |error: jiff::Error| error.to_string();
    Ok(match format {
        TimeFormat::Rfc3339 => text.parse::<Timestamp>().map_err(message)?.as_millisecond(),
        TimeFormat::UnixSeconds => number()?.saturating_mul(1_000),
        TimeFormat::UnixMillis => number()?,
        TimeFormat::Zoned(format) => {
            strtime::parse(format, text).and_then(|parts| parts.to_timestamp()).map_err(message)?.as_millisecond()
        }
        TimeFormat::Local(format, zone) => {
            let local = strtime::parse(format, text).and_then(|parts| parts.to_datetime()).map_err(message)?;
            zone.to_timestamp(local).map_err(message)?.as_millisecond()
        }
    })
}
