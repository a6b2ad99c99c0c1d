//! Puts checked parts together: the order of dependence, what each type of event affects, what each forecast runs.

use super::check::Name;
use super::compare::Comparison;
use super::condition::Condition;
use super::mistake::Mistakes;
use super::scalar::Scalar;
use super::{Alert, Audience, Closure, Kind, Rules, Segment, Target};
use crate::engine::event::{EventType, Millis};
use crate::engine::meaning::Meaning;
use sha2::{Digest, Sha256};

/// A target whose conditions are checked.
pub struct CheckedTarget {
    pub name: Name,
    /// Where its name stands in the file.
    pub place: usize,
    /// Of the segments in order; of an audience `when` and `exit`.
    pub conditions: Vec<Option<Condition>>,
    pub dwell_in: Millis,
    pub dwell_out: Millis,
    pub ladder: Vec<u16>,
}

impl CheckedTarget {
    /// All its comparisons in order of the file, each once.
    fn comparisons(&self) -> Vec<u16> {
        let mut places = Vec::new();
        for place in self.conditions.iter().flatten().flat_map(Condition::comparisons) {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places
    }

    /// The targets it refers to.
    fn references(&self, comparisons: &[Comparison]) -> Vec<u16> {
        let mut targets = Vec::new();
        for place in self.comparisons() {
            comparisons[usize::from(place)].test.for_each_operand(|operand| {
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

/// Targets that refer to themselves, directly or not, cannot be evaluated.
pub fn refuse_circles(targets: &[CheckedTarget], comparisons: &[Comparison], mistakes: &mut Mistakes<'_>) {
    let references: Vec<_> = targets.iter().map(|target| target.references(comparisons)).collect();
    for start in 0..targets.len() {
        let Some(path) = way_back(start, &references) else { continue };
        // Each circle is named once, from its first target.
        if path.iter().any(|place| *place < start) {
            continue;
        }
        let names = path.iter().chain([&start]).map(|place| targets[*place].name.name.as_str());
        let what =
            format!("expected no circle of segment() and audience(), found {}", names.collect::<Vec<_>>().join(" -> "));
        mistakes.add(targets[start].place, what, None);
    }
}

/// The shortest way from a target to itself, the target first.
fn way_back(start: usize, references: &[Vec<u16>]) -> Option<Vec<usize>> {
    let mut ways = vec![vec![start]];
    let mut seen = vec![false; references.len()];
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for next in &references[*way.last()?] {
                let next = usize::from(*next);
                if next == start {
                    return Some(way);
                }
                if !std::mem::replace(&mut seen[next], true) {
                    longer.push([&way[..], &[next]].concat());
                }
            }
        }
        ways = longer;
    }
    None
}

/// Everything checked: the rules.
pub fn rules(
    file: &str,
    meaning: Meaning,
    checked: Vec<CheckedTarget>,
    comparisons: Vec<Comparison>,
    include: Vec<(String, Scalar)>,
    alerts: Vec<Alert>,
) -> Rules {
    let references: Vec<_> = checked.iter().map(|target| target.references(&comparisons)).collect();
    let order = order(&references);
    let targets: Vec<_> = checked.into_iter().map(|target| built(target, &comparisons)).collect();
    let (on_targets, on_customers): (Vec<u16>, Vec<u16>) =
        (0..comparisons.len() as u16).partition(|place| comparisons[usize::from(*place)].on_targets);
    let affected_by = |event_type: usize| {
        let affects = |place: &u16| comparisons[usize::from(*place)].affected_by & (1 << event_type) != 0;
        on_customers.iter().copied().filter(affects).collect()
    };
    let affected: Vec<Vec<u16>> = (0..EventType::COUNT).map(affected_by).collect();
    let touched = affected.iter().map(|affected| touched(affected, &targets, &comparisons)).collect();
    let closures =
        (0..targets.len()).map(|target| closure(target, &targets, &references, &order, &comparisons)).collect();
    let digest = Sha256::digest(file.as_bytes());
    let version = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Rules {
        version,
        bytes: file.as_bytes().to_vec(),
        meaning,
        targets,
        alerts,
        include,
        comparisons,
        on_targets,
        on_customers,
        affected,
        touched,
        order,
        closures,
    }
}

/// The targets that these comparisons decide on, and what it takes to decide them.
fn touched(affected: &[u16], targets: &[Target], comparisons: &[Comparison]) -> Closure {
    let is_touched = |target: &Target| target.comparisons.iter().any(|place| affected.contains(place));
    let places: Vec<u16> =
        (0..).zip(targets).filter(|(_, target)| is_touched(target)).map(|(place, _)| place).collect();
    let decisive = (0..comparisons.len() as u16).filter(|place| {
        let on_customer = !comparisons[usize::from(*place)].on_targets;
        on_customer && places.iter().any(|target| targets[usize::from(*target)].comparisons.contains(place))
    });
    Closure { comparisons: decisive.collect(), targets: places }
}

fn built(checked: CheckedTarget, comparisons: &[Comparison]) -> Target {
    let all = checked.comparisons();
    let on_targets = all.iter().copied().filter(|place| comparisons[usize::from(*place)].on_targets).collect();
    let mut conditions = checked.conditions.into_iter();
    let kind = match checked.name.segments {
        Some(names) => {
            let segment = |(name, condition): (String, Option<Condition>)| {
                let comparisons = condition.as_ref().map(Condition::comparisons).unwrap_or_default();
                Segment { name, condition, comparisons }
            };
            let segments = names.into_iter().zip(conditions).map(segment).collect();
            Kind::Segmentation { segments, min_dwell: checked.dwell_in, ladder: checked.ladder }
        }
        None => Kind::Audience(Audience {
            when: conditions.next().flatten().expect("checked: an audience has `when`"),
            exit: conditions.next().flatten(),
            dwell_in: checked.dwell_in,
            dwell_out: checked.dwell_out,
        }),
    };
    Target { name: checked.name.name, kind, comparisons: all, on_targets }
}

/// Each target after those it refers to; else by name.
fn order(references: &[Vec<u16>]) -> Vec<u16> {
    let mut order: Vec<u16> = Vec::new();
    while order.len() < references.len() {
        let ready = |target: &u16| {
            !order.contains(target) && references[usize::from(*target)].iter().all(|other| order.contains(other))
        };
        let next = (0..references.len() as u16).find(ready).expect("checked: there are no circles");
        order.push(next);
    }
    order
}

fn closure(
    target: usize,
    targets: &[Target],
    references: &[Vec<u16>],
    order: &[u16],
    comparisons: &[Comparison],
) -> Closure {
    let mut needed = vec![false; targets.len()];
    needed[target] = true;
    // Backwards through the order, what a needed one refers to comes after it.
    for place in order.iter().rev() {
        if needed[usize::from(*place)] {
            references[usize::from(*place)].iter().for_each(|other| needed[usize::from(*other)] = true);
        }
    }
    let mut closure = Closure { targets: Vec::new(), comparisons: Vec::new() };
    closure.targets.extend(order.iter().copied().filter(|place| needed[usize::from(*place)]));
    for place in closure.targets.iter().flat_map(|place| &targets[usize::from(*place)].comparisons) {
        if !comparisons[usize::from(*place)].on_targets && !closure.comparisons.contains(place) {
            closure.comparisons.push(*place);
        }
    }
    closure
}
