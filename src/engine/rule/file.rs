//! Reads rules.toml: every mistake in one go, each with its place.
//!
//! Three passes over the parsed file: what gives events their meaning, the names of segmentations and audiences, and then
//! their conditions, which may refer to both.

use super::build::{self, CheckedTarget};
use super::check::{Checker, Name};
use super::compare::Comparison;
use super::condition::Condition;
use super::document::{Section, found, list, text};
use super::mistake::Mistakes;
use super::scalar::Scalar;
use super::sql::SqlText;
use super::target::{self, Conditions, RawTarget, SqlItem};
use super::{Mistake, Rules, alert, settings};
use crate::engine::meaning::Meaning;
use std::sync::Arc;
use toml::de::DeTable;

/// Bytes of a rules file at most: it travels in one record.
pub const FILE_MAX: usize = 512 * 1024;
/// Features published with each change at most.
const INCLUDE_MAX: usize = 64;

/// Reads, checks and compiles a rules.toml: all mistakes in one go, in order of the text. A file that is not TOML has only
/// mistakes of TOML.
pub fn read(file: &str) -> Result<Arc<Rules>, Vec<Mistake>> {
    read_following(file, None)
}

/// Reads a rules.toml that follows another: what both declare keeps its place in customers' state ([`Meaning::follow`]).
pub fn read_following(file: &str, previous: Option<&Meaning>) -> Result<Arc<Rules>, Vec<Mistake>> {
    let mut mistakes = Mistakes::new(file);
    if file.len() > FILE_MAX {
        mistakes.add(0, format!("expected a file of at most {FILE_MAX} bytes, found {}", file.len()), None);
        return Err(mistakes.into_sorted());
    }
    let (root, errors) = DeTable::parse_recoverable(file);
    for error in &errors {
        let place = error.span().map_or(0, |span| span.start);
        mistakes.add(place, format!("in TOML: {}", error.message().replace('\n', ", ")), None);
    }
    if !errors.is_empty() {
        return Err(mistakes.into_sorted());
    }
    let mut root = Section::new("the file", root.get_ref(), 0);
    let mut meaning = settings::read(&mut root, &mut mistakes);
    if let Some(Err(words)) = previous.map(|previous| meaning.follow(previous)) {
        mistakes.add(0, words, None);
    }
    let targets = target::read(&mut root, &mut mistakes);
    let alerts = alert::read(&mut root, &targets, &mut mistakes);
    let include = root.get("include");
    root.refuse_later("scores", "sections of this release", "scores", &mut mistakes);
    root.finish(&mut mistakes);

    let mut comparisons = Vec::new();
    let names: Vec<_> = targets.iter().map(RawTarget::name).collect();
    let mut reader = Reader { file, meaning: &meaning, names: &names, comparisons: &mut comparisons };
    let checked: Vec<_> = targets.iter().map(|target| reader.target(target, &mut mistakes)).collect();
    let include = include.map(|item| reader.include(item, &mut mistakes)).unwrap_or_default();
    build::refuse_circles(&checked, &comparisons, &mut mistakes);
    if !mistakes.is_empty() {
        return Err(mistakes.into_sorted());
    }
    Ok(Arc::new(build::rules(file, meaning, checked, comparisons, include, alerts)))
}

struct Reader<'a> {
    file: &'a str,
    meaning: &'a Meaning,
    names: &'a [Name],
    comparisons: &'a mut Vec<Comparison>,
}

impl Reader<'_> {
    /// Checks one target's conditions; those with a mistake become a constant, as the file is refused anyway.
    fn target(&mut self, raw: &RawTarget<'_>, mistakes: &mut Mistakes<'_>) -> CheckedTarget {
        let conditions = match &raw.conditions {
            Conditions::Segments(segments) => {
                let conditions =
                    segments.iter().map(|segment| segment.when.as_ref().map(|when| self.condition(when, mistakes)));
                conditions.collect()
            }
            Conditions::Audience { when, exit } => {
                let when = when.as_ref().map(|when| self.condition(when, mistakes));
                vec![when, exit.as_ref().map(|exit| self.condition(exit, mistakes))]
            }
        };
        CheckedTarget {
            name: raw.name(),
            place: raw.place,
            conditions,
            dwell_in: raw.dwell_in,
            dwell_out: raw.dwell_out,
            ladder: raw.ladder.clone(),
        }
    }

    fn condition(&mut self, item: &SqlItem<'_>, mistakes: &mut Mistakes<'_>) -> Condition {
        let sql = SqlText::new(item.text, self.file, item.span.clone());
        let refused = Condition::Constant(super::Truth::Null);
        let Some(expression) = sql.parse(mistakes) else { return refused };
        self.checker(&sql, mistakes).condition(&expression).unwrap_or(refused)
    }

    fn checker<'b, 't>(&'b mut self, sql: &'b SqlText<'b>, mistakes: &'b mut Mistakes<'t>) -> Checker<'b, 't> {
        Checker { meaning: self.meaning, names: self.names, mistakes, comparisons: self.comparisons, sql }
    }

    /// The features under `include`: one feature or function each, published under what was written.
    fn include(&mut self, item: &super::document::Item<'_>, mistakes: &mut Mistakes<'_>) -> Vec<(String, Scalar)> {
        let mut include: Vec<(String, Scalar)> = Vec::new();
        let items = list(item, "a list of features for `include`", mistakes).unwrap_or_default();
        if items.len() > INCLUDE_MAX {
            let what = format!("expected at most {INCLUDE_MAX} features in `include`, found {}", items.len());
            mistakes.add(item.span().start, what, None);
        }
        for item in items {
            let Some(feature) = text(item, "a feature in quotes", mistakes) else { continue };
            let sql = SqlText::new(feature, self.file, item.span());
            let Some(expression) = sql.parse(mistakes) else { continue };
            let Some(term) = self.checker(&sql, mistakes).term(&expression) else { continue };
            let name = expression.to_string();
            if !matches!(term.scalar, Scalar::Feature(_) | Scalar::Target { .. }) {
                mistakes.add(
                    item.span().start,
                    format!("expected one feature or function, found {}", found(item)),
                    None,
                );
            } else if include.iter().any(|(known, _)| *known == name) {
                mistakes.add(item.span().start, format!("expected each feature once, found `{name}` again"), None);
            } else {
                include.push((name, term.scalar));
            }
        }
        include
    }
}
