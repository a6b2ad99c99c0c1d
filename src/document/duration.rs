//! The one notation of durations: sequences of an integer and `ms`, `s`, `m`, `h` or `d`, such as `1h30m`.
//!
//! A day is 24 hours. Settings whose key ends in `_ms` or `_days` are plain integers and do not use it.

use serde::Deserialize;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const UNITS: [(&str, i64); 5] = [("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND), ("ms", 1)];

/// Units of durations that must be whole numbers of them: their milliseconds, and their name for messages.
pub const MINUTES: (i64, &str) = (MINUTE, "minutes");
pub const HOURS: (i64, &str) = (HOUR, "hours");

/// The longest duration of a setting: its milliseconds fit 32 bits.
const SETTING_MAX: i64 = 49 * DAY;

/// A setting that is a duration, in milliseconds: from 1 ms to 49 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct DurationSetting(pub u64);

impl TryFrom<String> for DurationSetting {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let millis = parse(&text).filter(|millis| (1..=SETTING_MAX).contains(millis));
        millis.map(|millis| Self(millis as u64)).ok_or_else(|| {
            let longest = print(SETTING_MAX);
            format!("expected a duration from 1ms to {longest} such as \"30s\" or \"1h30m\", found {text:?}")
        })
    }
}

/// The milliseconds of a duration; `None` if the text is not one or if its milliseconds do not fit a number.
pub fn parse(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let (digits, after) = rest.split_at(rest.find(|letter: char| !letter.is_ascii_digit())?);
        let (unit, next) = after.split_at(after.find(|letter: char| letter.is_ascii_digit()).unwrap_or(after.len()));
        let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let count: i64 = digits.parse().ok()?;
        total = total.checked_add(count.checked_mul(*millis)?)?;
        rest = next;
    }
    (!text.is_empty()).then_some(total)
}

/// Writes a duration as files have it.
pub fn print(mut millis: i64) -> String {
    if millis == 0 {
        return String::from("0s");
    }
    let mut text = String::new();
    for (name, unit) in UNITS {
        if millis >= unit {
            text += &format!("{}{name}", millis / unit);
            millis %= unit;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations() {
        for (text, expected) in [
            ("0s", Some(0)),
            ("250ms", Some(250)),
            ("1s", Some(1_000)),
            ("5m", Some(300_000)),
            ("1h30m", Some(5_400_000)),
            ("400d", Some(34_560_000_000)),
            ("1m1ms", Some(60_001)),
            ("1d1d", Some(2 * DAY)),
            ("", None),
            ("5", None),
            ("h", None),
            ("1.5h", None),
            ("-1s", None),
            ("1 h", None),
            ("1H", None),
            ("1w", None),
            ("99999999999999999999d", None),
            ("9223372036854775807d", None),
        ] {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_setting_has_bounds() {
        let setting = |text: &str| DurationSetting::try_from(text.to_owned());
        assert_eq!(setting("30s"), Ok(DurationSetting(30_000)));
        assert_eq!(setting("1h30m"), Ok(DurationSetting(5_400_000)));
        assert_eq!(setting("2d"), Ok(DurationSetting(172_800_000)));
        for wrong in ["", "0s", "30", "-5s", "soon", "50d"] {
            let message = setting(wrong).unwrap_err();
            assert_eq!(
                message,
                format!("expected a duration from 1ms to 49d such as \"30s\" or \"1h30m\", found {wrong:?}")
            );
        }
    }

    #[test]
    fn prints_what_it_reads() {
        for text in ["0s", "250ms", "1h30m", "400d", "1d2h3m4s5ms"] {
            assert_eq!(print(parse(text).expect(text)), text);
        }
    }
}
