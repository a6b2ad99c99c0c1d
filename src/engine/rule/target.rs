//! Segmentations and audiences as the file has them, before their conditions are looked at.

use super::check::Name;
use super::document::{self, Item, Section, duration_of, found, list, text};
use super::mistake::{Mistakes, nearest, one_of};
use super::names;
use crate::engine::event::{DAY, Millis};
use std::ops::Range;
use toml::de::DeValue;

/// Segmentations and audiences together at most.
const TARGETS_MAX: usize = 64;
/// Segments of one segmentation at most.
const SEGMENTS_MAX: usize = 250;
/// The longest dwell.
const DWELL_MAX: Millis = 400 * DAY;

/// A segmentation or audience.
pub struct RawTarget<'d> {
    name: &'d str,
    /// Where its name stands.
    pub place: usize,
    pub conditions: Conditions<'d>,
    /// How long `in` is held, or any segment.
    pub dwell_in: Millis,
    pub dwell_out: Millis,
    /// Segments from the lowest to the highest, if given.
    pub ladder: Vec<u16>,
}

pub enum Conditions<'d> {
    Segments(Vec<RawSegment<'d>>),
    Audience { when: Option<SqlItem<'d>>, exit: Option<SqlItem<'d>> },
}

pub struct RawSegment<'d> {
    pub name: &'d str,
    pub when: Option<SqlItem<'d>>,
}

/// SQL in the file.
pub struct SqlItem<'d> {
    pub text: &'d str,
    pub span: Range<usize>,
}

impl RawTarget<'_> {
    /// What other rules may refer to.
    pub fn name(&self) -> Name {
        let segments = match &self.conditions {
            Conditions::Segments(segments) => Some(segments.iter().map(|segment| segment.name.to_string()).collect()),
            Conditions::Audience { .. } => None,
        };
        Name { name: self.name.into(), segments }
    }
}

/// All targets in byte order of their names.
pub fn read<'d>(file: &mut Section<'d>, mistakes: &mut Mistakes<'_>) -> Vec<RawTarget<'d>> {
    let mut targets = Vec::new();
    if let Some(section) = file.section("segmentation", "[segmentation.<name>]", mistakes) {
        for (name, place, item) in section.entries() {
            names::check(name, place, "a segmentation", mistakes);
            if let Some(section) = document::section(item, &format!("[segmentation.{name}]"), mistakes) {
                targets.push(segmentation(name, place, section, mistakes));
            }
        }
    }
    if let Some(section) = file.section("audience", "[audience.<name>]", mistakes) {
        for (name, place, item) in section.entries() {
            names::check(name, place, "an audience", mistakes);
            if targets.iter().any(|known| known.name == name) {
                let what = format!("expected a name that no segmentation has, found `{name}` again");
                mistakes.add(place, what, Some("a change names both in the same field".into()));
            }
            if let Some(section) = document::section(item, &format!("[audience.{name}]"), mistakes) {
                targets.push(audience(name, place, section, mistakes));
            }
        }
    }
    if targets.is_empty() && mistakes.is_empty() {
        let what = "expected a [segmentation.<name>] or [audience.<name>], found nothing to do";
        mistakes.add(0, what, Some("add one, such as [audience.repeat_buyer] with when = \"orders >= 2\"".into()));
    }
    if targets.len() > TARGETS_MAX {
        let what = format!("expected at most {TARGETS_MAX} segmentations and audiences, found {}", targets.len());
        mistakes.add(targets[TARGETS_MAX].place, what, None);
    }
    targets.sort_by_key(|target| target.name);
    targets
}

fn segmentation<'d>(
    name: &'d str,
    place: usize,
    mut section: Section<'d>,
    mistakes: &mut Mistakes<'_>,
) -> RawTarget<'d> {
    let mut scored = false;
    for key in ["map", "unscored"] {
        scored |= section.refuse_later(key, "`segments`", "scores", mistakes);
    }
    let segments = match section.get("segments") {
        Some(item) => segments(item, mistakes),
        None => {
            if !scored {
                let what = format!("expected `segments` in [segmentation.{name}], found none");
                mistakes.add(
                    place,
                    what,
                    Some("write segments = [{ name = \"…\", when = \"…\" }, { name = \"…\" }]".into()),
                );
            }
            Vec::new()
        }
    };
    let dwell = section.duration("min_dwell", 0..=DWELL_MAX, mistakes).unwrap_or(0);
    let ladder = section.get("ladder").map(|item| ladder(item, &segments, mistakes)).unwrap_or_default();
    section.finish(mistakes);
    RawTarget { name, place, conditions: Conditions::Segments(segments), dwell_in: dwell, dwell_out: dwell, ladder }
}

fn segments<'d>(item: &'d Item<'d>, mistakes: &mut Mistakes<'_>) -> Vec<RawSegment<'d>> {
    let Some(items) = list(item, "a list of segments for `segments`", mistakes) else { return Vec::new() };
    if items.is_empty() || items.len() > SEGMENTS_MAX {
        let what = format!("expected 1 to {SEGMENTS_MAX} segments, found {}", items.len());
        mistakes.add(item.span().start, what, None);
    }
    let mut segments: Vec<RawSegment<'d>> = Vec::new();
    for (number, item) in items.iter().enumerate() {
        let Some(mut section) = document::section(item, "a segment", mistakes) else { continue };
        let place = section.place;
        let Some((name, name_place)) = section.text("name", mistakes) else {
            if section.get("name").is_none() {
                mistakes.add(place, "expected `name` in a segment, found none", None);
            }
            continue;
        };
        names::check(name, name_place, "a segment", mistakes);
        if segments.iter().any(|known| known.name == name) {
            mistakes.add(name_place, format!("expected each segment once, found {name:?} again"), None);
        }
        let when = sql(&mut section, "when", mistakes);
        let (given, last) = (section.get("when"), number + 1 == items.len());
        if let (Some(when), true) = (given, last) {
            let what = "expected the last segment without `when`, so that every customer is in one, found a condition";
            mistakes.add(when.span().start, what, Some("add a last segment with only a name".into()));
        } else if given.is_none() && !last {
            let what = format!("expected `when` in segment {name:?}, found none");
            mistakes.add(place, what, Some("only the last segment has no condition".into()));
        }
        section.finish(mistakes);
        segments.push(RawSegment { name, when });
    }
    segments
}

/// All segments from the lowest to the highest.
fn ladder(item: &Item<'_>, segments: &[RawSegment<'_>], mistakes: &mut Mistakes<'_>) -> Vec<u16> {
    let mut ladder = Vec::new();
    let Some(items) = list(item, "a list of segments for `ladder`", mistakes) else { return ladder };
    for item in items {
        let Some(name) = text(item, "the name of a segment", mistakes) else { continue };
        match segments.iter().position(|segment| segment.name == name) {
            Some(place) if !ladder.contains(&(place as u16)) => ladder.push(place as u16),
            Some(_) => {
                mistakes.add(item.span().start, format!("expected each segment once, found {name:?} again"), None)
            }
            None => {
                let what = format!("expected one of the segments in `ladder`, found {}", found(item));
                mistakes.add(item.span().start, what, nearest(name, segments.iter().map(|segment| segment.name)));
            }
        }
    }
    let missing: Vec<&str> =
        (0..).zip(segments).filter(|(place, _)| !ladder.contains(place)).map(|(_, segment)| segment.name).collect();
    if !missing.is_empty() {
        let what =
            format!("expected all segments in `ladder`, from the lowest to the highest, found no {}", one_of(missing));
        let hint = "list them all: without `ladder` a change goes neither up nor down";
        mistakes.add(item.span().start, what, Some(hint.into()));
    }
    ladder
}

fn audience<'d>(name: &'d str, place: usize, mut section: Section<'d>, mistakes: &mut Mistakes<'_>) -> RawTarget<'d> {
    let when = sql(&mut section, "when", mistakes);
    if section.get("when").is_none() {
        mistakes.add(place, format!("expected `when` in [audience.{name}], found none"), None);
    }
    let exit = sql(&mut section, "exit", mistakes);
    let (mut dwell_in, mut dwell_out) = (0, 0);
    if let Some(item) = section.get("min_dwell") {
        if let DeValue::Table(table) = item.get_ref() {
            let mut both = Section::new("`min_dwell`", table, item.span().start);
            dwell_in = both.duration("in", 0..=DWELL_MAX, mistakes).unwrap_or(0);
            dwell_out = both.duration("out", 0..=DWELL_MAX, mistakes).unwrap_or(0);
            both.finish(mistakes);
        } else {
            dwell_in = duration_of(item, "min_dwell", 0..=DWELL_MAX, mistakes).unwrap_or(0);
            dwell_out = dwell_in;
        }
    }
    section.finish(mistakes);
    let conditions = Conditions::Audience { when, exit };
    RawTarget { name, place, conditions, dwell_in, dwell_out, ladder: Vec::new() }
}

fn sql<'d>(section: &mut Section<'d>, key: &'static str, mistakes: &mut Mistakes<'_>) -> Option<SqlItem<'d>> {
    let item = section.get(key)?;
    Some(SqlItem { text: text(item, &format!("SQL in quotes for `{key}`"), mistakes)?, span: item.span() })
}
