//! Reads rules.toml: all mistakes at once, each with its position.
//!
//! Three passes over the parsed file: what gives events their meaning; the names of segmentations and audiences; and
//! then their conditions, which may refer to both.

mod identifier;

mod event_settings;

mod targets;

mod alerts;

mod counts;

mod features;

pub use features::read_features;

use super::Rules;
use super::check::place::Place;
use super::check::sql::SqlText;
use super::check::{Checker, DeclaredTarget, RetiredTarget, Scope};
use super::compile::{self, CheckedTarget};
use super::compiled::comparison::Comparison;
use super::compiled::condition::Condition;
use super::compiled::own_counts::OwnCounts;
use super::compiled::scalar::Scalar;
use super::compiled::truth::Truth;
use super::review;
use crate::document::table::{Item, Section, found, list, text};
use crate::document::{self, MistakeCollector, Mistakes};
use crate::engine::event::Millis;
use crate::engine::event_settings::EventSettings;
use std::sync::Arc;
use targets::{WrittenConditions, WrittenSql, WrittenTarget, WrittenTargets};

/// Bytes of a rules file at most: it is published in one record.
pub const FILE_MAX: usize = 512 * 1024;
/// Features published with each change at most.
const INCLUDE_MAX: usize = 64;

/// Reads, checks and compiles a rules.toml. All mistakes are returned at once, in the order of the text; a file that is
/// not TOML has only mistakes of TOML.
pub fn read(file: &str) -> Result<Arc<Rules>, Mistakes> {
    read_following(file, None)
}

/// Reads a rules.toml that follows another: attributes and event types that both declare keep their indexes in
/// customers' state ([`EventSettings::follow`]).
pub fn read_following(file: &str, previous: Option<&EventSettings>) -> Result<Arc<Rules>, Mistakes> {
    read_with(file, previous, None)
}

/// Reads a rules.toml, and warns of what is valid and hardly meant.
pub fn review_file(file: &str) -> (Result<Arc<Rules>, Mistakes>, Mistakes) {
    let mut warnings = MistakeCollector::new(file);
    let read = read_with(file, None, Some(&mut warnings));
    (read, warnings.finish())
}

fn read_with(
    file: &str,
    previous: Option<&EventSettings>,
    warnings: Option<&mut MistakeCollector<'_>>,
) -> Result<Arc<Rules>, Mistakes> {
    let mut mistakes = MistakeCollector::new(file);
    if file.len() > FILE_MAX {
        mistakes.add(0, format!("expected a file of at most {FILE_MAX} bytes, found {}", file.len()), None);
        return Err(mistakes.finish());
    }
    let document = document::parse(file, &mut mistakes);
    if !mistakes.is_empty() {
        return Err(mistakes.finish());
    }
    let mut root = Section::new("the file", document.get_ref(), 0);
    let mut event_settings = event_settings::read(&mut root, &mut mistakes);
    counts::properties(&mut root, &mut event_settings, &mut mistakes);
    let counts = counts::read(&mut root, file, &mut event_settings, &mut mistakes);
    if let Some(Err(message)) = previous.map(|previous| event_settings.follow(previous)) {
        mistakes.add(0, message, None);
    }
    let WrittenTargets { evaluated: targets, retired } = targets::read(&mut root, &mut mistakes);
    let alerts = alerts::read(&mut root, &targets, &retired, &mut mistakes);
    let include = root.get("include");
    let revision = root.integer("revision", 0..=i64::MAX, &mut mistakes).unwrap_or(0) as u64;
    root.refuse_later("scores", "sections of this release", "scores", &mut mistakes);
    root.finish(&mut mistakes);

    let (mut comparisons, mut intervals) = (Vec::new(), Vec::new());
    let declared: Vec<_> = targets.iter().map(WrittenTarget::declared).collect();
    let mut reader = ConditionReader {
        file,
        event_settings: &event_settings,
        targets: &declared,
        retired: &retired,
        comparisons: &mut comparisons,
        intervals: &mut intervals,
    };
    let checked: Vec<_> = targets.iter().map(|target| reader.target(target, &mut mistakes)).collect();
    let include = include.map(|item| reader.include(item, &mut mistakes)).unwrap_or_default();
    compile::refuse_cycles(&checked, &comparisons, &mut mistakes);
    if let Some(warnings) = warnings {
        review::conditions(&checked, &declared, &comparisons, warnings);
        review::unused_declarations(document.get_ref(), warnings);
    }
    if !mistakes.is_empty() {
        return Err(mistakes.finish());
    }
    let own_counts = OwnCounts::new(&event_settings, counts);
    let rules = compile::rules(file, event_settings, checked, comparisons, include, alerts, own_counts);
    Ok(Arc::new(Rules { revision, retired, ..rules }))
}

/// Reads the conditions, once all names that they may refer to are known.
struct ConditionReader<'a> {
    file: &'a str,
    event_settings: &'a EventSettings,
    targets: &'a [DeclaredTarget],
    retired: &'a [RetiredTarget],
    comparisons: &'a mut Vec<Comparison>,
    intervals: &'a mut Vec<[Millis; 2]>,
}

impl ConditionReader<'_> {
    /// Checks one target's conditions. A condition with a mistake becomes a constant; the file is refused anyway.
    fn target(&mut self, written: &WrittenTarget<'_>, mistakes: &mut MistakeCollector<'_>) -> CheckedTarget {
        let conditions: Vec<(Option<Condition>, Option<Place>)> = match &written.conditions {
            WrittenConditions::Segments(segments) => {
                segments.iter().map(|segment| self.optional(segment.when.as_ref(), mistakes)).collect()
            }
            WrittenConditions::Audience { when, exit } => {
                let when = self.optional(when.as_ref(), mistakes);
                vec![when, self.optional(exit.as_ref(), mistakes)]
            }
        };
        let (conditions, places) = conditions.into_iter().unzip();
        let segment_offsets = match &written.conditions {
            WrittenConditions::Segments(segments) => segments.iter().map(|segment| segment.offset).collect(),
            WrittenConditions::Audience { .. } => Vec::new(),
        };
        CheckedTarget {
            declared: written.declared(),
            offset: written.offset,
            conditions,
            places,
            segment_offsets,
            dwell_in: written.dwell_in,
            dwell_out: written.dwell_out,
            ladder: written.ladder.clone(),
        }
    }

    /// A condition, if there is one, and its place, if it has no mistake.
    fn optional(
        &mut self,
        item: Option<&WrittenSql<'_>>,
        mistakes: &mut MistakeCollector<'_>,
    ) -> (Option<Condition>, Option<Place>) {
        let Some(item) = item else { return (None, None) };
        let sql = SqlText::new(item.text, self.file, item.span.clone());
        let refused = (Some(Condition::Constant(Truth::Null)), None);
        let Some(expression) = sql.parse(mistakes) else { return refused };
        match self.checker(&sql, mistakes).condition(&expression) {
            Some(condition) => (Some(condition), Some(Place::of(&expression, &sql))),
            None => refused,
        }
    }

    fn checker<'b, 't>(&'b mut self, sql: &'b SqlText<'b>, mistakes: &'b mut MistakeCollector<'t>) -> Checker<'b, 't> {
        Checker {
            event_settings: self.event_settings,
            targets: self.targets,
            retired: self.retired,
            mistakes,
            comparisons: self.comparisons,
            scope: Scope::Customer,
            intervals: self.intervals,
            sql,
        }
    }

    /// The features under `include`: one feature or function each, published under the name that was written.
    fn include(&mut self, item: &Item<'_>, mistakes: &mut MistakeCollector<'_>) -> Vec<(String, Scalar)> {
        let mut include: Vec<(String, Scalar)> = Vec::new();
        let items = list(item, "a list of features for `include`", mistakes).unwrap_or_default();
        if items.len() > INCLUDE_MAX {
            let message = format!("expected at most {INCLUDE_MAX} features in `include`, found {}", items.len());
            mistakes.add(item.span().start, message, None);
        }
        for item in items {
            let Some(feature) = text(item, "a feature in quotes", mistakes) else { continue };
            let sql = SqlText::new(feature, self.file, item.span());
            let Some(expression) = sql.parse(mistakes) else { continue };
            let Some(scalar) = self.checker(&sql, mistakes).scalar(&expression) else { continue };
            let name = expression.to_string();
            if !matches!(scalar, Scalar::Feature(_) | Scalar::Target { .. }) {
                mistakes.add(
                    item.span().start,
                    format!("expected one feature or function, found {}", found(item)),
                    None,
                );
            } else if include.iter().any(|(known, _)| *known == name) {
                mistakes.add(item.span().start, format!("expected each feature once, found `{name}` again"), None);
            } else {
                include.push((name, scalar));
            }
        }
        include
    }
}
