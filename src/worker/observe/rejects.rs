//! Rejected records, for people: a warning at most once a minute for each reason, and the share of the last minutes.
//!
//! All workers of a process share one, so that the number of lines does not depend on the number of workers. A line
//! names a record by its position; its message is without the values of the record, which may be personal data.

use crate::engine::event::Reason;
use crate::worker::counters::rejected::RejectedExample;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const REASONS: usize = Reason::ALL.len();
/// Between two warnings of one reason.
const WARN_EVERY: Duration = Duration::from_secs(60);
/// Time over which the share is computed, and the step in which it moves.
pub const SHARE_OF: Duration = Duration::from_secs(300);
const SHARE_STEP: Duration = Duration::from_secs(10);
/// Digits in a row of what was found that are a value.
const DIGITS_MAX: usize = 8;

/// What was rejected in the last minutes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecentRejects {
    pub records: u64,
    /// By reason, in the order of [`Reason::ALL`].
    pub rejected: [u64; REASONS],
}

/// See the module.
#[derive(Debug, Default)]
pub struct Rejects(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    waiting: [Waiting; REASONS],
    /// The last steps, each from its beginning on.
    steps: VecDeque<(Instant, RecentRejects)>,
}

/// What the next warning of a reason tells.
#[derive(Debug, Default)]
struct Waiting {
    count: u64,
    example: Option<RejectedExample>,
    warned_at: Option<Instant>,
}

/// A warning.
#[derive(Debug, PartialEq)]
struct Warning {
    count: u64,
    example: RejectedExample,
}

impl Rejects {
    /// Adds records that were applied and committed: their number, the rejected ones by reason, and examples of these.
    pub fn add(
        &self,
        now: Instant,
        records: u64,
        rejected: &[u64; REASONS],
        examples: impl IntoIterator<Item = RejectedExample>,
    ) {
        if records == 0 && rejected.iter().all(|count| *count == 0) {
            return;
        }
        let mut state = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for (waiting, count) in state.waiting.iter_mut().zip(rejected) {
            waiting.count += count;
        }
        for example in examples {
            state.waiting[example.reason as usize].example.get_or_insert(example);
        }
        state.expire(now);
        if state.steps.back().is_none_or(|(began, _)| now.duration_since(*began) >= SHARE_STEP) {
            state.steps.push_back((now, RecentRejects::default()));
        }
        if let Some((_, step)) = state.steps.back_mut() {
            step.add(&RecentRejects { records, rejected: *rejected });
        }
    }

    /// Logs the warnings that are due. `inputs` are the names of the input topics.
    pub fn warn(&self, now: Instant, inputs: &[&str]) {
        for Warning { count, example } in self.due(now) {
            let RejectedExample { reason, topic, partition, offset, message } = example;
            tracing::warn!(
                reason = reason.name(),
                count,
                topic = inputs.get(usize::from(topic)).copied().unwrap_or_default(),
                partition,
                offset,
                error = without_values(&message),
                "records are rejected; they are published to the topic of rejected records, each with its reason"
            );
        }
    }

    fn due(&self, now: Instant) -> Vec<Warning> {
        let mut state = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let is_due = |waiting: &&mut Waiting| {
            waiting.count > 0 && waiting.warned_at.is_none_or(|at| now.duration_since(at) >= WARN_EVERY)
        };
        let due = state.waiting.iter_mut().filter(is_due).filter_map(|waiting| {
            let example = waiting.example.take()?;
            waiting.warned_at = Some(now);
            Some(Warning { count: std::mem::take(&mut waiting.count), example })
        });
        due.collect()
    }

    /// What was rejected within [`SHARE_OF`].
    pub fn recent(&self, now: Instant) -> RecentRejects {
        let mut state = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        state.expire(now);
        let mut sum = RecentRejects::default();
        state.steps.iter().for_each(|(_, step)| sum.add(step));
        sum
    }
}

impl State {
    fn expire(&mut self, now: Instant) {
        while self.steps.front().is_some_and(|(began, _)| now.duration_since(*began) >= SHARE_OF) {
            self.steps.pop_front();
        }
    }
}

impl RecentRejects {
    fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.rejected.iter_mut().zip(other.rejected).for_each(|(sum, count)| *sum += count);
    }

    /// The share of the records that were rejected.
    pub fn share(&self) -> f64 {
        let rejected: u64 = self.rejected.iter().sum();
        if self.records == 0 { 0.0 } else { (rejected as f64 / self.records as f64).min(1.0) }
    }

    /// The number of rejected records of each reason for which there are some.
    pub fn by_reason(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counted = Reason::ALL.into_iter().map(|(reason, name)| (name, self.rejected[reason as usize]));
        counted.filter(|(_, count)| *count > 0)
    }
}

/// A message of a rejection with `…` in place of what the record contains: texts in quotes and long numbers.
fn without_values(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    let mut rest = message;
    // Long numbers before this are bounds.
    let found = message.find("found ").unwrap_or(message.len());
    while let Some(first) = rest.chars().next() {
        let length = match first {
            // In backticks it is the character that is expected.
            '"' if !out.ends_with('`') => quoted_length(rest),
            '\'' => character_length(rest),
            '0'..='9' if message.len() - rest.len() > found => number_length(rest),
            _ => None,
        };
        match length {
            Some(length) => {
                let quote = if first.is_ascii_digit() { "" } else { &rest[..1] };
                out.extend([quote, "…", quote]);
                rest = &rest[length..];
            }
            None => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    out
}

/// The length of a text in double quotes, as `{:?}` writes it; without its end, of all that is left.
fn quoted_length(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (index, character) in text.char_indices().skip(1) {
        match character {
            '"' if !escaped => return Some(index + 1),
            _ => escaped = character == '\\' && !escaped,
        }
    }
    Some(text.len())
}

/// The length of a letter or digit in single quotes. Other characters say more about the fault than about a customer.
fn character_length(text: &str) -> Option<usize> {
    let mut characters = text.chars().skip(1);
    let inner = characters.next().filter(|inner| inner.is_alphanumeric())?;
    (characters.next() == Some('\'')).then(|| inner.len_utf8() + 2)
}

fn number_length(text: &str) -> Option<usize> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    (digits > DIGITS_MAX).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::decode::{Decoder, Source};
    use crate::engine::event::Record;
    use crate::engine::event_settings::EventSettings;

    const SECOND: Duration = Duration::from_secs(1);

    fn example(reason: Reason, offset: i64) -> RejectedExample {
        RejectedExample { reason, topic: 0, partition: 1, offset, message: "m".into() }
    }

    fn rejected(reason: Reason, count: u64) -> [u64; REASONS] {
        let mut rejected = [0; REASONS];
        rejected[reason as usize] = count;
        rejected
    }

    #[test]
    fn each_reason_is_warned_of_once_a_minute_with_the_number_since() {
        let (rejects, start) = (Rejects::default(), Instant::now());
        let add = |second: u32, reason, count, offset| {
            rejects.add(start + SECOND * second, count, &rejected(reason, count), [example(reason, offset)]);
        };
        let due = |second: u32| {
            let warnings = rejects.due(start + SECOND * second).into_iter();
            warnings.map(|warning| (warning.example.reason, warning.count, warning.example.offset)).collect::<Vec<_>>()
        };
        assert_eq!(due(0), [], "nothing is rejected");
        add(0, Reason::Key, 3, 10);
        assert_eq!(due(0), [(Reason::Key, 3, 10)]);
        add(1, Reason::Key, 4, 20);
        add(2, Reason::Key, 5, 30);
        add(2, Reason::Time, 1, 40);
        assert_eq!(due(3), [(Reason::Time, 1, 40)], "each reason by itself");
        assert_eq!(due(59), []);
        assert_eq!(due(60), [(Reason::Key, 9, 20)], "also if nothing more is rejected");
        assert_eq!(due(999), []);
    }

    #[test]
    fn the_share_is_that_of_the_last_minutes() {
        let (rejects, start) = (Rejects::default(), Instant::now());
        let share = |second: u32| rejects.recent(start + SECOND * second).share();
        assert_eq!(share(0), 0.0);
        rejects.add(start, 50, &rejected(Reason::Key, 50), []);
        rejects.add(start + SECOND * 100, 50, &rejected(Reason::Key, 0), []);
        assert_eq!((share(100), share(299)), (0.5, 0.5));
        assert_eq!(share(300), 0.0, "the first records are older");
        assert_eq!(rejects.recent(start + SECOND * 300).records, 50);
        for second in 0..10_000 {
            rejects.add(start + SECOND * second, 1, &rejected(Reason::Key, 1), []);
        }
        assert!(rejects.0.lock().unwrap().steps.len() <= 31);
    }

    #[test]
    fn values_are_left_out() {
        for (message, expected) in [
            (
                "`currency`: expected one with a rate (EUR), found \"Anna\"",
                "`currency`: expected one with a rate (EUR), found \"…\"",
            ),
            ("found \"a\\\"b\\\\\" at byte 7", "found \"…\" at byte 7"),
            ("found \"cut", "found \"…\""),
            ("expected 253402300799999 ms, found 1704448801000 ms", "expected 253402300799999 ms, found … ms"),
            ("at byte 96, found '{'", "at byte 96, found '{'"),
            ("at byte 96, found 'c'", "at byte 96, found '…'"),
            ("found '\\u{1e}', found nothing", "found '\\u{1e}', found nothing"),
            ("expected `\"` at the end, found '\u{1e}'", "expected `\"` at the end, found '\u{1e}'"),
        ] {
            assert_eq!(without_values(message), expected);
        }
    }

    /// Whatever a message says of a record that has a secret in each of its values, the secret is left out.
    #[test]
    fn no_value_of_a_rejected_record_is_told() {
        const SECRET: &str = "Zq7";
        let event = |fields: &str| format!("{{\"customer_id\":\"Zq7\",\"type\":\"purchase\",{fields}}}");
        let good = "\"time\":\"2024-01-05T10:00:00Z\",\"amount\":\"1\"";
        let records = [
            event("\"time\":\"Zq7\",\"amount\":\"1\""),
            event("\"time\":\"1970-01-01T00:00:00Z7Zq7\",\"amount\":\"1\""),
            event(&format!("{good},\"currency\":\"Zq7\"")),
            event("\"time\":\"2024-01-05T10:00:00Z\",\"amount\":\"Zq7\""),
            event("\"time\":\"2024-01-05T10:00:00Z\",\"amount\":[\"Zq7\"]"),
            format!("{{\"customer_id\":\"a\",\"type\":\"Zq7\",{good}}}"),
            format!("{{\"customer_id\":\"{}\",\"type\":\"view\",{good}}}", "Zq7".repeat(99)),
            "Zq7".into(),
            "{\"customer_id\":\"Zq7".into(),
            "{\"customer_id\":Zq7}".into(),
            format!("{{\"type\":\"view\",{good},\"email\":\"Zq7\"}}"),
        ];
        let mut decoder = Decoder::new(&EventSettings::default());
        for value in &records {
            let value = value.as_bytes();
            let record = Record { topic: 0, partition: 0, offset: 0, arrival: None, key: None, value };
            let rejection = decoder.decode(&record, &Source::File, i64::MAX / 2);
            let message = rejection.err().unwrap_or_else(|| panic!("{} is accepted", String::from_utf8_lossy(value)));
            let told = without_values(&message.message);
            assert!(!told.contains(SECRET), "{}: {told}", message.message);
        }
    }
}
