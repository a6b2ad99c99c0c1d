//! Durations as files write them: sequences of an integer and `ms`, `s`, `m`, `h` or `d`, such as `1h30m`.

use crate::engine::event::{DAY, HOUR, MINUTE, Millis};

const UNITS: [(&str, Millis); 5] = [("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", 1_000), ("ms", 1)];

/// The milliseconds of a duration; `None` if it is not written as one, or too long for a number.
pub fn parse(text: &str) -> Option<Millis> {
    let mut rest = text;
    let mut total: Millis = 0;
    while !rest.is_empty() {
        let (digits, after) = rest.split_at(rest.find(|letter: char| !letter.is_ascii_digit())?);
        let (unit, next) = after.split_at(after.find(|letter: char| letter.is_ascii_digit()).unwrap_or(after.len()));
        let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let count: Millis = digits.parse().ok()?;
        total = total.checked_add(count.checked_mul(*millis)?)?;
        rest = next;
    }
    (!text.is_empty()).then_some(total)
}

/// A duration as files write it.
pub fn print(mut millis: Millis) -> String {
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
    fn prints_what_it_reads() {
        for text in ["0s", "250ms", "1h30m", "400d", "1d2h3m4s5ms"] {
            assert_eq!(print(parse(text).expect(text)), text);
        }
    }
}
