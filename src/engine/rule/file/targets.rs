//! Segmentations and audiences as they are written, before their conditions are checked.

use super::identifier;
use crate::document::MistakeCollector;
use crate::document::nearest::{nearest, one_of};
use crate::document::table::{self, Item, Section, duration_of, found, list, text};
use crate::engine::event::{DAY, Millis};
use crate::engine::rule::check::{DeclaredTarget, RetiredTarget};
use crate::engine::rule::compiled::target::AUDIENCE_VALUES;
use std::ops::Range;
use toml::de::DeValue;

/// Segmentations and audiences together at most.
const TARGETS_MAX: usize = 64;
/// Segments of one segmentation at most.
const SEGMENTS_MAX: usize = 250;
/// The longest dwell.
const DWELL_MAX: Millis = 400 * DAY;

/// A segmentation or audience.
pub struct WrittenTarget<'d> {
    pub name: &'d str,
    /// Where its name begins in the file.
    pub offset: usize,
    pub conditions: WrittenConditions<'d>,
    /// How long `in`, or any segment, is held at least.
    pub dwell_in: Millis,
    pub dwell_out: Millis,
    /// Indexes of the segments from the lowest to the highest, if the file has a ladder.
    pub ladder: Vec<u16>,
}

/// What a file says of segmentations and audiences.
pub struct WrittenTargets<'d> {
    /// In byte order of their names.
    pub evaluated: Vec<WrittenTarget<'d>>,
    pub retired: Vec<RetiredTarget>,
}

pub enum WrittenConditions<'d> {
    Segments(Vec<WrittenSegment<'d>>),
    Audience { when: Option<WrittenSql<'d>>, exit: Option<WrittenSql<'d>> },
}

pub struct WrittenSegment<'d> {
    pub name: &'d str,
    /// Where its name begins in the file.
    pub offset: usize,
    pub when: Option<WrittenSql<'d>>,
}

/// SQL in the file.
pub struct WrittenSql<'d> {
    pub text: &'d str,
    pub span: Range<usize>,
}

impl WrittenTarget<'_> {
    /// As other conditions may refer to it.
    pub fn declared(&self) -> DeclaredTarget {
        let segments = match &self.conditions {
            WrittenConditions::Segments(segments) => {
                Some(segments.iter().map(|segment| segment.name.to_string()).collect())
            }
            WrittenConditions::Audience { .. } => None,
        };
        DeclaredTarget { name: self.name.into(), segments }
    }

    pub fn is_audience(&self) -> bool {
        matches!(self.conditions, WrittenConditions::Audience { .. })
    }

    /// Names of all its values, by value.
    pub fn value_names(&self) -> Vec<String> {
        self.declared().segments.unwrap_or_else(|| AUDIENCE_VALUES.map(String::from).to_vec())
    }
}

/// All targets.
pub fn read<'d>(file: &mut Section<'d>, mistakes: &mut MistakeCollector<'_>) -> WrittenTargets<'d> {
    let mut targets: Vec<WrittenTarget<'d>> = Vec::new();
    let mut retired: Vec<RetiredTarget> = Vec::new();
    if let Some(section) = file.section("segmentation", "[segmentation.<name>]", mistakes) {
        for (name, offset, item) in section.entries() {
            identifier::check(name, offset, "a segmentation", mistakes);
            let Some(mut section) = table::section(item, &format!("[segmentation.{name}]"), mistakes) else { continue };
            if section.boolean("retired", mistakes) == Some(true) {
                retired.push(retire(name, false, section, mistakes));
            } else {
                targets.push(segmentation(name, offset, section, mistakes));
            }
        }
    }
    if let Some(section) = file.section("audience", "[audience.<name>]", mistakes) {
        for (name, offset, item) in section.entries() {
            identifier::check(name, offset, "an audience", mistakes);
            let mut known = targets.iter().map(|target| target.name).chain(retired.iter().map(|target| &*target.name));
            if known.any(|known| known == name) {
                let message = format!("expected a name that no segmentation has, found `{name}` again");
                mistakes.add(offset, message, Some("a change names both in the same field".into()));
            }
            let Some(mut section) = table::section(item, &format!("[audience.{name}]"), mistakes) else { continue };
            if section.boolean("retired", mistakes) == Some(true) {
                retired.push(retire(name, true, section, mistakes));
            } else {
                targets.push(audience(name, offset, section, mistakes));
            }
        }
    }
    if targets.is_empty() && mistakes.is_empty() {
        let message = match retired.is_empty() {
            true => "expected a [segmentation.<name>] or [audience.<name>], found nothing to do",
            false => {
                "expected a [segmentation.<name>] or [audience.<name>] that is not retired, found only retired ones"
            }
        };
        mistakes.add(0, message, Some("add one, such as [audience.repeat_buyer] with when = \"orders >= 2\"".into()));
    }
    if targets.len() > TARGETS_MAX {
        let message = format!("expected at most {TARGETS_MAX} segmentations and audiences, found {}", targets.len());
        mistakes.add(targets[TARGETS_MAX].offset, message, None);
    }
    targets.sort_by_key(|target| target.name);
    retired.sort_by(|one, other| one.name.cmp(&other.name));
    WrittenTargets { evaluated: targets, retired }
}

/// A segmentation or audience that is retired (R13): the rest of its section stays as it was and is not looked at.
fn retire(
    name: &str,
    is_audience: bool,
    mut section: Section<'_>,
    mistakes: &mut MistakeCollector<'_>,
) -> RetiredTarget {
    let kept: &[&str] = if is_audience { &["when", "exit", "min_dwell"] } else { &["segments", "min_dwell", "ladder"] };
    for key in kept {
        section.get(key);
    }
    section.finish(mistakes);
    RetiredTarget { name: name.into(), is_audience }
}

fn segmentation<'d>(
    name: &'d str,
    offset: usize,
    mut section: Section<'d>,
    mistakes: &mut MistakeCollector<'_>,
) -> WrittenTarget<'d> {
    let mut scored = false;
    for key in ["map", "unscored"] {
        scored |= section.refuse_later(key, "`segments`", "scores", mistakes);
    }
    let segments = match section.get("segments") {
        Some(item) => segments(item, mistakes),
        None => {
            if !scored {
                let message = format!("expected `segments` in [segmentation.{name}], found none");
                mistakes.add(
                    offset,
                    message,
                    Some("write segments = [{ name = \"…\", when = \"…\" }, { name = \"…\" }]".into()),
                );
            }
            Vec::new()
        }
    };
    let dwell = section.duration("min_dwell", 0..=DWELL_MAX, mistakes).unwrap_or(0);
    let ladder = section.get("ladder").map(|item| ladder(item, &segments, mistakes)).unwrap_or_default();
    section.finish(mistakes);
    WrittenTarget {
        name,
        offset,
        conditions: WrittenConditions::Segments(segments),
        dwell_in: dwell,
        dwell_out: dwell,
        ladder,
    }
}

fn segments<'d>(item: &'d Item<'d>, mistakes: &mut MistakeCollector<'_>) -> Vec<WrittenSegment<'d>> {
    let Some(items) = list(item, "a list of segments for `segments`", mistakes) else { return Vec::new() };
    if items.is_empty() || items.len() > SEGMENTS_MAX {
        let message = format!("expected 1 to {SEGMENTS_MAX} segments, found {}", items.len());
        mistakes.add(item.span().start, message, None);
    }
    let mut segments: Vec<WrittenSegment<'d>> = Vec::new();
    for (number, item) in items.iter().enumerate() {
        let Some(mut section) = table::section(item, "a segment", mistakes) else { continue };
        let offset = section.offset;
        let Some((name, name_place)) = section.text("name", mistakes) else {
            if section.get("name").is_none() {
                mistakes.add(offset, "expected `name` in a segment, found none", None);
            }
            // The rest of it is checked nevertheless.
            let when = sql(&mut section, "when", mistakes);
            section.finish(mistakes);
            segments.push(WrittenSegment { name: "", offset, when });
            continue;
        };
        identifier::check(name, name_place, "a segment", mistakes);
        if segments.iter().any(|known| known.name == name) {
            mistakes.add(name_place, format!("expected each segment once, found {name:?} again"), None);
        }
        let when = sql(&mut section, "when", mistakes);
        let (given, last) = (section.get("when"), number + 1 == items.len());
        if let (Some(when), true) = (given, last) {
            let message =
                "expected the last segment without `when`, so that every customer is in one, found a condition";
            mistakes.add(when.span().start, message, Some("add a last segment with only a name".into()));
        } else if given.is_none() && !last {
            let message = format!("expected `when` in segment {name:?}, found none");
            mistakes.add(offset, message, Some("only the last segment has no condition".into()));
        }
        section.finish(mistakes);
        segments.push(WrittenSegment { name, offset: name_place, when });
    }
    segments
}

/// All segments from the lowest to the highest.
fn ladder(item: &Item<'_>, segments: &[WrittenSegment<'_>], mistakes: &mut MistakeCollector<'_>) -> Vec<u16> {
    let mut ladder = Vec::new();
    let Some(items) = list(item, "a list of segments for `ladder`", mistakes) else { return ladder };
    for item in items {
        let Some(name) = text(item, "the name of a segment", mistakes) else { continue };
        match segments.iter().position(|segment| segment.name == name) {
            Some(index) if !ladder.contains(&(index as u16)) => ladder.push(index as u16),
            Some(_) => {
                mistakes.add(item.span().start, format!("expected each segment once, found {name:?} again"), None)
            }
            None => {
                let message = format!("expected one of the segments in `ladder`, found {}", found(item));
                let known = segments.iter().map(|segment| segment.name).filter(|known| !known.is_empty());
                mistakes.add(item.span().start, message, nearest(name, known));
            }
        }
    }
    let missing: Vec<&str> =
        (0..).zip(segments).filter(|(index, _)| !ladder.contains(index)).map(|(_, segment)| segment.name).collect();
    // A segment without a name has been reported.
    let missing: Vec<&str> = missing.into_iter().filter(|name| !name.is_empty()).collect();
    if !missing.is_empty() {
        let message =
            format!("expected all segments in `ladder`, from the lowest to the highest, found no {}", one_of(missing));
        let hint = "list them all: without `ladder` a change goes neither up nor down";
        mistakes.add(item.span().start, message, Some(hint.into()));
    }
    ladder
}

fn audience<'d>(
    name: &'d str,
    offset: usize,
    mut section: Section<'d>,
    mistakes: &mut MistakeCollector<'_>,
) -> WrittenTarget<'d> {
    let when = sql(&mut section, "when", mistakes);
    if section.get("when").is_none() {
        mistakes.add(offset, format!("expected `when` in [audience.{name}], found none"), None);
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
    let conditions = WrittenConditions::Audience { when, exit };
    WrittenTarget { name, offset, conditions, dwell_in, dwell_out, ladder: Vec::new() }
}

/// SQL under a key of a section.
pub fn sql<'d>(
    section: &mut Section<'d>,
    key: &'static str,
    mistakes: &mut MistakeCollector<'_>,
) -> Option<WrittenSql<'d>> {
    let item = section.get(key)?;
    Some(WrittenSql { text: text(item, &format!("SQL in quotes for `{key}`"), mistakes)?, span: item.span() })
}
