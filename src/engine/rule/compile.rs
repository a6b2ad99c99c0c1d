//! From checked targets to compiled rules: the order of dependence, what each type of event affects, what each forecast
//! evaluates.

use super::check::DeclaredTarget;
use super::check::place::Place;
use super::compiled::comparison::Comparison;
use super::compiled::condition::Condition;
use super::compiled::own_counts::OwnCounts;
use super::compiled::range::Range;
use super::compiled::scalar::Scalar;
use super::compiled::target::{Audience, Segment, Target, TargetKind};
use super::{Alert, Closure, Rules, Touched};
use crate::document::MistakeCollector;
use crate::engine::event::{EventType, Millis};
use crate::engine::event_settings::{EventSettings, Interval};
use crate::engine::feature::Parameters;
use sha2::{Digest, Sha256};

/// Instants at most at which a target's own comparisons flip that a forecast looks at (R9).
const FORECAST_INSTANTS: usize = 64;
/// The same of a target with a text feature or segment() in the place of a category or channel.
const FORECAST_INSTANTS_WITH_SOURCES: usize = 16;

/// A target whose conditions are checked.
pub struct CheckedTarget {
    pub declared: DeclaredTarget,
    /// Where its name begins in the file.
    pub offset: usize,
    /// Those of its segments in order; of an audience `when` and `exit`.
    pub conditions: Vec<Option<Condition>>,
    /// Where the conditions are, in the same order; none for one that has a mistake.
    pub places: Vec<Option<Place>>,
    /// Where its segments begin in the file.
    pub segment_offsets: Vec<usize>,
    pub dwell_in: Millis,
    pub dwell_out: Millis,
    pub ladder: Vec<u16>,
}

impl CheckedTarget {
    /// All its comparisons in order of the file, each once.
    fn comparisons(&self) -> Vec<u16> {
        let mut indexes = Vec::new();
        for index in self.conditions.iter().flatten().flat_map(Condition::comparisons) {
            if !indexes.contains(&index) {
                indexes.push(index);
            }
        }
        indexes
    }

    /// The targets it refers to.
    fn references(&self, comparisons: &[Comparison]) -> Vec<u16> {
        let mut targets = Vec::new();
        for index in self.comparisons() {
            comparisons[usize::from(index)].predicate.for_each_operand(|operand| {
                operand.for_each_target(&mut |target| {
                    if !targets.contains(&target) {
                        targets.push(target);
                    }
                });
            });
        }
        targets
    }
}

/// A target that refers to itself, directly or through others, is a mistake: it could not be evaluated.
pub fn refuse_cycles(targets: &[CheckedTarget], comparisons: &[Comparison], mistakes: &mut MistakeCollector<'_>) {
    let references: Vec<_> = targets.iter().map(|target| target.references(comparisons)).collect();
    for start in 0..targets.len() {
        let Some(path) = cycle_from(start, &references) else { continue };
        // Each cycle is reported once, from its first target.
        if path.iter().any(|index| *index < start) {
            continue;
        }
        let names = path.iter().chain([&start]).map(|index| targets[*index].declared.name.as_str());
        let message =
            format!("expected no cycle of segment() and audience(), found {}", names.collect::<Vec<_>>().join(" -> "));
        mistakes.add(targets[start].offset, message, None);
    }
}

/// The shortest path of references from a target back to itself, beginning with the target.
fn cycle_from(start: usize, references: &[Vec<u16>]) -> Option<Vec<usize>> {
    let mut paths = vec![vec![start]];
    let mut seen = vec![false; references.len()];
    while !paths.is_empty() {
        let mut longer = Vec::new();
        for path in paths {
            for next in &references[*path.last()?] {
                let next = usize::from(*next);
                if next == start {
                    return Some(path);
                }
                if !std::mem::replace(&mut seen[next], true) {
                    longer.push([&path[..], &[next]].concat());
                }
            }
        }
        paths = longer;
    }
    None
}

/// Compiles checked targets into rules, of revision 0.
pub fn rules(
    file: &str,
    mut event_settings: EventSettings,
    checked: Vec<CheckedTarget>,
    comparisons: Vec<Comparison>,
    include: Vec<(String, Scalar)>,
    alerts: Vec<Alert>,
    own_counts: OwnCounts,
) -> Rules {
    event_settings.intervals = intervals(&comparisons, &include);
    let references: Vec<_> = checked.iter().map(|target| target.references(&comparisons)).collect();
    let order = order(&references);
    let targets: Vec<_> = checked.into_iter().map(|target| compiled(target, &comparisons)).collect();
    let of = |index: &u16| &comparisons[usize::from(*index)];
    let all = || 0..comparisons.len() as u16;
    let on_targets = all().filter(|index| !of(index).on_customer).collect();
    let on_customers = all().filter(|index| !of(index).on_targets).collect();
    let on_both: Vec<u16> = all().filter(|index| of(index).on_targets && of(index).on_customer).collect();
    let affected_by = |event_type: usize| {
        all().filter(|index| of(index).on_customer && of(index).affected_by & (1 << event_type) != 0).collect()
    };
    let affected: Vec<Vec<u16>> = (0..EventType::COUNT).map(affected_by).collect();
    let is_lost = |index: &u16| !of(index).range.as_ref().is_some_and(Range::follows_from_what_an_event_adds);
    let lost = affected.iter().map(|of_type| of_type.iter().copied().filter(is_lost).collect()).collect();
    let touched = affected.iter().map(|affected| touched(affected, &targets, &references, &order)).collect();
    let closures =
        (0..targets.len()).map(|target| closure(target, &targets, &references, &order, &comparisons)).collect();
    let digest = Sha256::digest(file.as_bytes());
    let version = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Rules {
        version,
        revision: 0,
        bytes: file.as_bytes().to_vec(),
        event_settings,
        own_counts,
        targets,
        retired: Vec::new(),
        alerts,
        include,
        comparisons,
        on_targets,
        on_customers,
        on_both,
        affected,
        lost,
        touched,
        order,
        closures,
    }
}

/// What is counted in absolute intervals, each once, in order.
fn intervals(comparisons: &[Comparison], include: &[(String, Scalar)]) -> Vec<Interval> {
    let mut intervals = Vec::new();
    let mut add = |scalar: &Scalar| {
        scalar.for_each_feature(&mut |call| {
            if matches!(call.feature.parameters, Parameters::Interval | Parameters::CountedTypeAndInterval) {
                intervals.push(call.arguments.interval());
            }
        });
    };
    comparisons.iter().for_each(|comparison| comparison.predicate.for_each_operand(&mut add));
    include.iter().for_each(|(_, scalar)| add(scalar));
    intervals.sort_unstable();
    intervals.dedup();
    intervals
}

/// The targets that have one of these comparisons, and those that depend on them.
fn touched(affected: &[u16], targets: &[Target], references: &[Vec<u16>], order: &[u16]) -> Touched {
    let is_touched = |target: &Target| target.comparisons.iter().any(|index| affected.contains(index));
    let touched: Vec<u16> =
        (0..).zip(targets).filter(|(_, target)| is_touched(target)).map(|(index, _)| index).collect();
    let mut with_dependents: Vec<u16> = Vec::new();
    for index in order {
        let refers = references[usize::from(*index)].iter().any(|other| with_dependents.contains(other));
        if refers || touched.contains(index) {
            with_dependents.push(*index);
        }
    }
    Touched { targets: touched, with_dependents }
}

fn compiled(checked: CheckedTarget, comparisons: &[Comparison]) -> Target {
    let all = checked.comparisons();
    let on_targets = all.iter().copied().filter(|index| comparisons[usize::from(*index)].on_targets).collect();
    let has_source = all.iter().any(|index| comparisons[usize::from(*index)].has_source);
    let instants_max = if has_source { FORECAST_INSTANTS_WITH_SOURCES } else { FORECAST_INSTANTS };
    let mut conditions = checked.conditions.into_iter();
    let kind = match checked.declared.segments {
        Some(names) => {
            let segment = |(name, condition): (String, Option<Condition>)| {
                let comparisons = condition.as_ref().map(Condition::comparisons).unwrap_or_default();
                Segment { name, condition, comparisons }
            };
            let segments = names.into_iter().zip(conditions).map(segment).collect();
            TargetKind::Segmentation { segments, min_dwell: checked.dwell_in, ladder: checked.ladder }
        }
        None => TargetKind::Audience(Audience {
            when: conditions.next().flatten().expect("checked: an audience has `when`"),
            exit: conditions.next().flatten(),
            dwell_in: checked.dwell_in,
            dwell_out: checked.dwell_out,
        }),
    };
    Target { name: checked.declared.name, kind, comparisons: all, on_targets, instants_max }
}

/// Indexes of the targets, each after those it refers to, otherwise by name.
fn order(references: &[Vec<u16>]) -> Vec<u16> {
    let mut order: Vec<u16> = Vec::new();
    while order.len() < references.len() {
        let ready = |target: &u16| {
            !order.contains(target) && references[usize::from(*target)].iter().all(|other| order.contains(other))
        };
        let next = (0..references.len() as u16).find(ready).expect("checked: there are no cycles");
        order.push(next);
    }
    order
}

/// What the forecast of a target evaluates: the targets it depends on, and their comparisons.
fn closure(
    target: usize,
    targets: &[Target],
    references: &[Vec<u16>],
    order: &[u16],
    comparisons: &[Comparison],
) -> Closure {
    let mut needed = vec![false; targets.len()];
    needed[target] = true;
    // In reverse order of dependence, a target comes before those it refers to.
    for index in order.iter().rev() {
        if needed[usize::from(*index)] {
            references[usize::from(*index)].iter().for_each(|other| needed[usize::from(*other)] = true);
        }
    }
    let mut closure = Closure { targets: Vec::new(), comparisons: Vec::new(), on_both: Vec::new() };
    closure.targets.extend(order.iter().copied().filter(|index| needed[usize::from(*index)]));
    for index in closure.targets.iter().flat_map(|target| &targets[usize::from(*target)].comparisons) {
        let comparison = &comparisons[usize::from(*index)];
        if !comparison.on_customer {
            continue;
        }
        let list = if comparison.on_targets { &mut closure.on_both } else { &mut closure.comparisons };
        if !list.contains(index) {
            list.push(*index);
        }
    }
    closure
}
