//! Watches the times of the lines that are applied: which line is far ahead of all before it while others go on
//! earlier, and which one is the first after a moment.
//!
//! A single time that is far ahead advances the watermark: deadlines fire, and what follows is late. Lines are looked
//! at one by one only where the latest time has risen by much, so most of them cost nothing.

use super::merge::{Line, Merge};
use crate::engine::calendar::rfc3339_text;
use crate::engine::decode::time_of;
use crate::engine::event::{DAY, Millis};

/// A time is far ahead if it is more than this after all times before it.
const FAR: Millis = 30 * DAY;
/// Leaps that are watched at the same time; the oldest one is dropped.
const WATCHED_MAX: usize = 16;
/// After this many lines near its time a leap is a real pause between events.
const NEAR_MAX: u32 = 100;
/// Leaps that are told.
const TOLD_MAX: usize = 3;

/// A line: index of the file, number in it from 0, time.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    file: usize,
    number: u64,
    time: Millis,
}

/// A line that is far ahead of all before it, and what followed.
#[derive(Clone, Copy, Debug)]
struct Leap {
    at: Place,
    /// The latest time before it.
    before: Millis,
    /// Number of lines after it whose time is near, or later.
    near: u32,
    /// The first line after it that is earlier by as much.
    earlier: Option<Place>,
    /// Others go on where they were before it.
    goes_on: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Leaps {
    latest: Option<Millis>,
    /// The first line after this moment is looked for.
    moment: Option<Millis>,
    first_after: Option<Place>,
    watched: Vec<Leap>,
    told: Vec<Leap>,
    /// Number of leaps that others go on before.
    count: u64,
}

impl Leaps {
    /// Also looks for the first line after `moment`.
    pub fn watch_for(&mut self, moment: Option<Millis>) {
        self.moment = moment;
    }

    /// Looks at lines that were applied; `is_rejected` says which of them were not accepted, `latest` is the latest
    /// time that was.
    pub fn observe(
        &mut self,
        merge: &Merge,
        lines: &[Line],
        is_rejected: impl Fn(&Line) -> bool,
        latest: Option<Millis>,
    ) {
        let is_far = self.latest.is_none_or(|before| latest.is_some_and(|latest| latest - before > FAR));
        let passes = self.first_after.is_none() && self.moment.is_some_and(|moment| latest > Some(moment));
        if is_far || passes || !self.watched.is_empty() {
            let accepted = lines.iter().filter(|line| !is_rejected(line));
            let timed = accepted.filter_map(|line| {
                let time = time_of(merge.text(line))?;
                Some(Place { file: line.file, number: line.number, time })
            });
            timed.for_each(|place| self.see(place));
        }
        self.latest = self.latest.max(latest);
    }

    fn see(&mut self, place: Place) {
        self.watched.iter_mut().for_each(|leap| leap.follow(place));
        let (told, count) = (&mut self.told, &mut self.count);
        self.watched.retain(|leap| {
            if leap.goes_on {
                *count += 1;
                told.push(*leap);
            }
            !leap.goes_on && leap.near < NEAR_MAX
        });
        self.told.truncate(TOLD_MAX);
        if let Some(before) = self.latest.filter(|before| place.time - before > FAR) {
            if self.watched.len() == WATCHED_MAX {
                self.watched.remove(0);
            }
            self.watched.push(Leap { at: place, before, near: 0, earlier: None, goes_on: false });
        }
        if self.moment.is_some_and(|moment| place.time > moment) {
            self.first_after.get_or_insert(place);
        }
        self.latest = self.latest.max(Some(place.time));
    }

    /// What is to be told; `files` are the names of the files.
    pub fn warnings(&self, files: &[String]) -> Vec<String> {
        let name = |place: &Place| format!("{}:{}", files[place.file], place.number + 1);
        let mut warnings = Vec::new();
        if let Some((until, first)) = self.moment.zip(self.first_after.as_ref()) {
            warnings.push(format!(
                "--until {} is before the event at {}, {}: no event is left out, and time ends with the latest event",
                text(until),
                name(first),
                text(first.time)
            ));
        }
        // At the end, a line that nothing came near is far ahead too.
        let left = self.watched.iter().filter(|leap| leap.near == 0 && leap.earlier.is_some());
        let count = self.count + left.clone().count() as u64;
        for leap in self.told.iter().chain(left).take(TOLD_MAX) {
            let Some(earlier) = &leap.earlier else { continue };
            warnings.push(format!(
                "{}: its time, {}, is {} days after all before it, and others go on earlier ({}, {}): what is due by then \
                 became due, and what follows is late. Correct its time, or sort the file by time",
                name(&leap.at),
                text(leap.at.time),
                (leap.at.time - leap.before) / DAY,
                name(earlier),
                text(earlier.time)
            ));
        }
        if count > TOLD_MAX as u64 {
            warnings.push(format!("{} further lines are as far ahead", count - TOLD_MAX as u64));
        }
        warnings
    }
}

impl Leap {
    fn follow(&mut self, place: Place) {
        if place.time > self.at.time - FAR {
            self.near += 1;
            return;
        }
        self.earlier.get_or_insert(place);
        self.goes_on |= place.time >= self.before;
    }
}

fn text(time: Millis) -> String {
    String::from_utf8_lossy(&rfc3339_text(time)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For these days, one line each: the lines, from 1, that are told.
    fn check(days: &[i64], expected: &[u64], what: &str) {
        let mut leaps = Leaps::default();
        for (number, day) in (0..).zip(days) {
            leaps.see(Place { file: 0, number, time: 1_700_000_000_000 + day * DAY });
        }
        let warnings = leaps.warnings(&["a".into()]);
        let told: Vec<u64> = warnings.iter().map(|line| line.split(':').nth(1).unwrap().parse().unwrap()).collect();
        assert_eq!(told, expected, "{days:?} {what}");
    }

    #[test]
    fn a_line_far_ahead_of_others_that_go_on_is_told() {
        check(&[0, 1, 400, 2, 3], &[3], "");
        check(&[0, 1, 400, 2], &[3], "");
        check(&[5, 400, 3], &[2], "none goes on, and none comes near");
        check(&[0, 400, 401, 402, 1, 2], &[2], "a clock that was wrong for a while");
        check(&[0, 400, 1, 900, 2], &[2, 4], "");
        let reached: Vec<i64> = [0, 60].into_iter().chain(1..100).collect();
        check(&reached, &[2], "time reaches it later");
    }

    #[test]
    fn pauses_and_late_events_are_not_told() {
        check(&[0, 400, 401, 402], &[], "a pause");
        check(&[0, 400], &[], "the last line");
        check(&[10, 400, 5, 401, 402], &[], "a late event after a pause");
        check(&[0, 30, 1, 2], &[], "30 days are not far");
        check(&[0, 31, 1, 2], &[2], "");
        check(&[0, 60, 120, 180, 240], &[], "rare events");
        check(&[0, 40, 39, 41], &[], "a little out of order");
    }

    #[test]
    fn only_some_are_told_and_the_others_counted() {
        let days = [0].into_iter().chain((1..=10).flat_map(|n| [100 * n, 100 * n - 50]));
        let mut leaps = Leaps::default();
        for (number, day) in (0..).zip(days) {
            leaps.see(Place { file: 0, number, time: day * DAY });
        }
        let warnings = leaps.warnings(&["a".into()]);
        assert_eq!(warnings.len(), TOLD_MAX + 1);
        assert_eq!(warnings[TOLD_MAX], "7 further lines are as far ahead");
    }
}
