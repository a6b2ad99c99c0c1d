//! `[alert.<name>]`: reads and checks alerts.

use super::identifier;
use super::targets::WrittenTarget;
use crate::document::MistakeCollector;
use crate::document::duration::MINUTES;
use crate::document::nearest::{nearest, one_of};
use crate::document::table::{self, Item, Section, choice, found, list, quoted, text};
use crate::engine::rule::alert::{
    ABOVE_MAX, ALERTS_MAX, Alert, CAUSES, CUSTOMER_IDS_MAX, FOR_MAX, WINDOW_MAX, WINDOW_MIN,
};
use crate::engine::rule::check::RetiredTarget;
use crate::engine::rule::compiled::direction::Direction;
use crate::engine::rule::compiled::target::{IN, OUT};

/// All alerts in byte order of their names.
pub fn read(
    file: &mut Section<'_>,
    targets: &[WrittenTarget<'_>],
    retired: &[RetiredTarget],
    mistakes: &mut MistakeCollector<'_>,
) -> Vec<Alert> {
    let Some(section) = file.section("alert", "[alert.<name>]", mistakes) else { return Vec::new() };
    let entries = section.entries();
    if entries.len() > ALERTS_MAX {
        let message = format!("expected at most {ALERTS_MAX} alerts, found {}", entries.len());
        mistakes.add(entries[ALERTS_MAX].1, message, None);
    }
    let mut alerts = Vec::new();
    for (name, offset, item) in entries {
        identifier::check(name, offset, "an alert", mistakes);
        let section = table::section(item, &format!("[alert.{name}]"), mistakes);
        alerts.extend(section.and_then(|section| alert(name, offset, section, targets, retired, mistakes)));
    }
    alerts.sort_by(|one, other| one.name.cmp(&other.name));
    alerts
}

/// One alert; none if something about it is a mistake.
fn alert(
    name: &str,
    offset: usize,
    mut section: Section<'_>,
    targets: &[WrittenTarget<'_>],
    retired: &[RetiredTarget],
    mistakes: &mut MistakeCollector<'_>,
) -> Option<Alert> {
    let target = target(name, offset, &mut section, targets, retired, mistakes);
    let values = target.map(|(_, target)| target.value_names());
    let from = value(&mut section, "from", values.as_deref(), mistakes);
    let to = value(&mut section, "to", values.as_deref(), mistakes);
    let direction = direction(&mut section, mistakes);
    if [section.get("from"), section.get("to"), section.get("direction")].iter().all(Option::is_none) {
        let hint = "write from = \"…\", to = \"…\" or direction = \"down\"";
        let message = format!("expected at least one of `from`, `to` and `direction` in [alert.{name}], found none");
        mistakes.add(offset, message, Some(hint.into()));
    }
    if let (Some(_), true, Some(item)) = (from, from == to, section.get("to")) {
        mistakes.add(item.span().start, format!("expected another value than in `from`, found {}", found(item)), None);
    }
    if let (Some((_, target)), Some(item)) = (target, section.get("direction")) {
        check_direction(target, (from, to), direction, item, mistakes);
    }
    let above = required(&mut section, "above", (name, offset), mistakes, |section, mistakes| {
        section.integer("above", 0..=ABOVE_MAX, mistakes)
    });
    let window = required(&mut section, "window", (name, offset), mistakes, |section, mistakes| {
        section.duration_in("window", MINUTES, WINDOW_MIN..=WINDOW_MAX, mistakes)
    });
    let for_minutes = section.duration_in("for", MINUTES, 0..=FOR_MAX, mistakes).unwrap_or(0);
    let causes = section.get("causes").map_or(Some([true; CAUSES.len()]), |item| causes(item, mistakes));
    let customer_ids = section.integer("customer_ids", 0..=CUSTOMER_IDS_MAX, mistakes).unwrap_or(0);
    section.finish(mistakes);
    let (target_index, target) = target?;
    let mut alert = Alert {
        name: name.into(),
        target: target_index as u16,
        from,
        to,
        direction,
        above: above? as u64,
        window_minutes: window?,
        for_minutes,
        causes: causes?,
        customer_ids: customer_ids as usize,
        definition: 0,
    };
    alert.definition = alert.definition_hash(&target.declared().name, &target.value_names(), &target.ladder);
    Some(alert)
}

/// The value of a key that every alert must have.
fn required<T>(
    section: &mut Section<'_>,
    key: &'static str,
    (name, offset): (&str, usize),
    mistakes: &mut MistakeCollector<'_>,
    read: impl FnOnce(&mut Section<'_>, &mut MistakeCollector<'_>) -> Option<T>,
) -> Option<T> {
    if section.get(key).is_none() {
        mistakes.add(offset, format!("expected `{key}` in [alert.{name}], found none"), None);
    }
    read(section, mistakes)
}

/// The segmentation or audience of an alert.
fn target<'t, 'd>(
    name: &str,
    offset: usize,
    section: &mut Section<'_>,
    targets: &'t [WrittenTarget<'d>],
    retired: &[RetiredTarget],
    mistakes: &mut MistakeCollector<'_>,
) -> Option<(usize, &'t WrittenTarget<'d>)> {
    if section.get("segmentation").is_none() {
        let message = format!("expected `segmentation` in [alert.{name}], found none");
        mistakes.add(offset, message, Some("name a segmentation or an audience".into()));
    }
    let (written, offset) = section.text("segmentation", mistakes)?;
    let known = targets.iter().position(|target| target.name == written);
    if retired.iter().any(|target| target.name == written) {
        let message =
            format!("expected a segmentation or an audience of this file, found {written:?}, which is retired");
        mistakes.add(offset, message, Some("remove the alert, or `retired` there".into()));
    } else if known.is_none() {
        let message = format!("expected a segmentation or an audience of this file, found {}", quoted(written));
        mistakes.add(offset, message, nearest(written, targets.iter().map(|target| target.name)));
    }
    known.map(|known| (known, &targets[known]))
}

fn value(
    section: &mut Section<'_>,
    key: &'static str,
    values: Option<&[String]>,
    mistakes: &mut MistakeCollector<'_>,
) -> Option<u16> {
    let (written, offset) = section.text(key, mistakes)?;
    let values = values?;
    let known = values.iter().position(|value| value == written);
    if known.is_none() {
        let names = || values.iter().map(String::as_str);
        let message = format!("expected {} for `{key}`, found {}", one_of(names()), quoted(written));
        mistakes.add(offset, message, nearest(written, names()));
    }
    known.map(|known| known as u16)
}

fn direction(section: &mut Section<'_>, mistakes: &mut MistakeCollector<'_>) -> Option<Direction> {
    let offered = [Direction::Up, Direction::Down, Direction::Side].map(|direction| (direction.name(), direction));
    let item = section.get("direction")?;
    choice(item, "direction", &offered, mistakes)
}

/// A direction that no change between these values can have is a mistake.
fn check_direction(
    target: &WrittenTarget<'_>,
    (from, to): (Option<u16>, Option<u16>),
    direction: Option<Direction>,
    item: &Item<'_>,
    mistakes: &mut MistakeCollector<'_>,
) {
    let Some(direction) = direction else { return };
    let offset = item.span().start;
    if !target.is_audience() && target.ladder.is_empty() != (direction == Direction::Side) {
        let (expected, hint) = match direction {
            Direction::Side => ("without `ladder`", "with a `ladder` every change goes up or down"),
            _ => ("with `ladder`", "list its segments there, from the lowest to the highest"),
        };
        let message = format!("expected a segmentation {expected} for `direction`, found {}", target.name);
        return mistakes.add(offset, message, Some(hint.into()));
    }
    let into_if = |is_in: bool| Some(if is_in { Direction::Up } else { Direction::Down });
    let real = match (from, to) {
        (_, Some(to)) if target.is_audience() => into_if(to == IN),
        (Some(from), None) if target.is_audience() => into_if(from == OUT),
        (Some(from), Some(to)) => Some(Direction::on_ladder(&target.ladder, from, to)),
        _ => None,
    };
    if let Some(real) = real.filter(|real| *real != direction) {
        let message =
            format!("expected {:?} for `direction`, which that change has, found {}", real.name(), found(item));
        mistakes.add(offset, message, None);
    }
}

fn causes(item: &Item<'_>, mistakes: &mut MistakeCollector<'_>) -> Option<[bool; CAUSES.len()]> {
    let items = list(item, "a list of causes for `causes`", mistakes)?;
    let mut causes = [false; CAUSES.len()];
    if items.is_empty() {
        mistakes.add(item.span().start, "expected at least one cause in `causes`, found none", None);
    }
    for item in items {
        let names = || CAUSES.iter().copied();
        let written = text(item, "a cause in quotes", mistakes)?;
        match CAUSES.iter().position(|cause| *cause == written) {
            Some(index) if !causes[index] => causes[index] = true,
            Some(_) => {
                mistakes.add(item.span().start, format!("expected each cause once, found {written:?} again"), None)
            }
            None => {
                let message = format!("expected {} in `causes`, found {}", one_of(names()), found(item));
                mistakes.add(item.span().start, message, nearest(written, names()));
            }
        }
    }
    Some(causes)
}
