//! Whether the lines of files could be used. If more than half of them could not, the command fails, and says which
//! reasons came first, with an example of each, and what the likely cause is.
//!
//! A result of the few lines that are left would look like a result of all of them.

mod cause;

use super::summary::grouped;
use anyhow::bail;
use std::fmt::Write;

/// Reasons that are shown.
const REASONS_SHOWN: usize = 3;
/// Bytes kept of the line of an example, and characters shown of it.
const KEPT_BYTES_MAX: usize = 4_096;
const SHOWN_CHARACTERS_MAX: usize = 100;

/// The lines that could not be used.
#[derive(Debug, Default)]
pub struct Unusable {
    /// Lines without anything but white space: nothing is lost with them.
    blank: u64,
    /// By reason, in the order in which they came first.
    reasons: Vec<Reason>,
    /// Values are not shown.
    hides_values: bool,
}

/// How often there was a reason, and the first line that it was for.
#[derive(Debug)]
struct Reason {
    name: String,
    lines: u64,
    /// File and line.
    place: String,
    message: String,
    value: Vec<u8>,
}

impl Unusable {
    /// Counts a line that cannot be used.
    pub fn add(&mut self, (file, line): (&str, u64), reason: &str, message: &str, value: &[u8]) {
        if value.trim_ascii().is_empty() {
            self.blank += 1;
        } else if let Some(known) = self.reasons.iter_mut().find(|known| known.name == reason) {
            known.lines += 1;
        } else {
            self.reasons.push(Reason {
                name: reason.to_owned(),
                lines: 1,
                place: format!("{file}:{line}"),
                message: message.to_owned(),
                value: value[..value.len().min(KEPT_BYTES_MAX)].to_owned(),
            });
        }
    }

    /// The message will not contain values of the lines.
    pub fn without_values(self) -> Self {
        Self { hides_values: true, ..self }
    }

    /// # Errors
    /// If more than half of all lines, those that are blank aside, could not be used; or if all are blank.
    pub fn check(&self, lines: u64, what: &str) -> anyhow::Result<()> {
        let unusable: u64 = self.reasons.iter().map(|reason| reason.lines).sum();
        let all = lines.saturating_sub(self.blank);
        if all == 0 && self.blank > 0 {
            bail!("no {what} could be used: all {} lines are blank", grouped(lines));
        }
        if unusable * 2 <= all {
            return Ok(());
        }
        bail!("{}", self.message(unusable, all, what))
    }

    fn message(&self, unusable: u64, all: u64, what: &str) -> String {
        let (share, all) = (if unusable == all { "none" } else { "less than half" }, grouped(all));
        let mut text = format!("{share} of the {all} {what} could be used; {} are rejected:", grouped(unusable));
        for Reason { name, lines, place, message, value } in self.reasons.iter().take(REASONS_SHOWN) {
            let _ = write!(text, "\n  {name} {}, the first at {place}: {message}", grouped(*lines));
            if self.hides_values {
                continue;
            }
            let value = String::from_utf8_lossy(value);
            let shown: String = value.trim().chars().take(SHOWN_CHARACTERS_MAX).flat_map(visible).collect();
            let cut = if value.trim().chars().nth(SHOWN_CHARACTERS_MAX).is_some() { " …" } else { "" };
            let _ = write!(text, "\n    {shown}{cut}");
        }
        if self.reasons.len() > REASONS_SHOWN {
            let more: Vec<&str> = self.reasons[REASONS_SHOWN..].iter().map(|reason| reason.name.as_str()).collect();
            let _ = write!(text, "\n  further reasons: {}", more.join(", "));
        }
        let main = self.reasons.iter().max_by_key(|reason| reason.lines);
        if let Some(cause) = main.and_then(|main| cause::likely(&main.name, &main.message, &main.value)) {
            let _ = write!(text, "\nlikely cause: {cause}");
        }
        text
    }
}

/// A character as it may be printed: control characters are escaped.
fn visible(character: char) -> impl Iterator<Item = char> {
    let (shown, escaped) = match character.is_control() {
        true => (None, Some(character.escape_default())),
        false => (Some(character), None),
    };
    shown.into_iter().chain(escaped.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unusable(lines: &[(&str, &str)]) -> Unusable {
        let mut unusable = Unusable::default();
        for (number, (reason, value)) in (1..).zip(lines) {
            unusable.add(("a.jsonl", number), reason, "expected A, found B", value.as_bytes());
        }
        unusable
    }

    #[test]
    fn more_than_half_is_an_error() {
        let two = unusable(&[("decode", "x"), ("key", "y")]);
        assert!(two.check(4, "lines").is_ok());
        let message = two.check(3, "lines").unwrap_err().to_string();
        assert!(message.starts_with("less than half of the 3 lines could be used; 2 are rejected:"), "{message}");
        assert!(two.check(2, "lines").unwrap_err().to_string().starts_with("none of the 2 lines"));
        assert!(Unusable::default().check(0, "lines").is_ok(), "an empty file");
    }

    #[test]
    fn blank_lines_do_not_count() {
        let blanks = unusable(&[("decode", ""), ("decode", " \t\r"), ("decode", "x")]);
        assert!(blanks.check(4, "lines").is_ok(), "one of two");
        assert!(blanks.check(3, "lines").is_err());
        let message = unusable(&[("decode", "")]).check(1, "lines").unwrap_err().to_string();
        assert_eq!(message, "no lines could be used: all 1 lines are blank");
    }

    #[test]
    fn the_first_three_reasons_have_an_example() {
        let long = "é".repeat(200);
        let lines = [("key", "k\u{1}"), ("type", long.as_str()), ("time", "t"), ("amount", "a"), ("amount", "b")];
        let message = unusable(&lines).check(5, "lines").unwrap_err().to_string();
        let expected = [
            "  key 1, the first at a.jsonl:1: expected A, found B",
            "    k\\u{1}",
            "  type 1, the first at a.jsonl:2: expected A, found B",
            &format!("    {} …", "é".repeat(100)),
            "  time 1, the first at a.jsonl:3: expected A, found B",
            "    t",
            "  further reasons: amount",
        ];
        assert_eq!(message.lines().skip(1).take(7).collect::<Vec<_>>(), expected, "{message}");
    }
}
