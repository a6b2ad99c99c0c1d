//! Moments in scenarios: `2026-08-24T10:04:11.001Z`, or counted from the scenario's start: `60d+1ms`, `1h-1ms`, `0`.

use shoal::engine::calendar::rfc3339_text;
use shoal::engine::event::{DAY, HOUR, MINUTE, Millis};

const UNITS: [(&str, Millis); 5] = [("ms", 1), ("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", 1_000)];
/// Times that are at most this long before a whole minute are written relative to it: `60d-1ms`.
const SHORT_OF_A_MINUTE_MAX: Millis = 10;

/// The notation of times in a scenario.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// The time that `0` stands for.
    pub start: Millis,
    /// Whether answers are written with dates.
    pub absolute: bool,
}

impl Times {
    pub fn parse(&self, text: &str) -> Result<Millis, String> {
        if text.ends_with('Z') {
            let moment: jiff::Timestamp = text.parse().map_err(|error| format!("{text}: {error}"))?;
            return Ok(moment.as_millisecond());
        }
        Ok(self.start + duration(text)?)
    }

    pub fn render(&self, moment: Millis) -> String {
        if self.absolute || moment < self.start {
            return String::from_utf8_lossy(&rfc3339_text(moment)).into_owned();
        }
        let since = moment - self.start;
        let short = (MINUTE - since % MINUTE) % MINUTE;
        if short > 0 && short <= SHORT_OF_A_MINUTE_MAX {
            return format!("{}-{short}ms", sum(since + short));
        }
        sum(since)
    }

    /// A moment as the outputs write it.
    pub fn render_rfc3339(&self, text: &str) -> String {
        self.render(text.parse::<jiff::Timestamp>().expect("outputs hold RFC 3339 moments").as_millisecond())
    }
}

/// A sum of durations such as `60d+1ms`.
fn duration(text: &str) -> Result<Millis, String> {
    let wrong = || format!("`{text}`: expected a moment such as 2026-08-24T10:04:11Z, 0, 60d+1ms or 1h-1ms");
    let mut total = 0;
    let mut rest = text;
    let mut sign = 1;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number: Millis = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        match UNITS.iter().find(|(unit, _)| rest.starts_with(unit)) {
            Some((unit, millis)) => {
                total += sign * number * millis;
                rest = &rest[unit.len()..];
            }
            None if number == 0 => {}
            None => return Err(wrong()),
        }
        sign = match rest.chars().next() {
            None => return Ok(total),
            Some('+') => 1,
            Some('-') => -1,
            Some(_) => return Err(wrong()),
        };
        rest = &rest[1..];
    }
}

fn sum(mut left: Millis) -> String {
    let mut parts = Vec::new();
    for (unit, millis) in [("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", 1_000), ("ms", 1)] {
        if left >= millis {
            parts.push(format!("{}{unit}", left / millis));
            left %= millis;
        }
    }
    if parts.is_empty() { "0".to_owned() } else { parts.join("+") }
}
