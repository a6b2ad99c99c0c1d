//! `[alert.<name>]`: so many customers in a window who take a way that somebody wants to hear of.
//!
//! An alert selects flows of one segmentation or audience: from a value, to a value, in a direction. What the engine counts
//! of them is in `shard::census`; whether an alert fires is decided by the worker, minute by minute.

use super::check::Name;
use super::document::{self, Item, Section, found, list, text};
use super::ladder::way;
use super::mistake::{Mistakes, nearest, one_of};
use super::target::RawTarget;
use super::{Direction, Target, names};
use crate::engine::event::{DAY, HOUR, MINUTE, Millis};
use std::ops::RangeInclusive;
use xxhash_rust::xxh3::xxh3_64;

/// Alerts of one file at most.
pub const ALERTS_MAX: usize = 32;
/// Customers named by one alert at most.
pub const CUSTOMER_IDS_MAX: i64 = 10;
const ABOVE_MAX: i64 = 1_000_000_000;
/// The longest window, and the longest time above the bound before an alert fires.
pub const WINDOW_MAX: Millis = DAY;
pub const FOR_MAX: Millis = 6 * HOUR;

/// Causes that alerts can count, in their order in [`Alert::causes`]: what customers did, and what they left undone.
pub const CAUSES: [&str; 3] = ["event", "time", "late"];

/// A checked alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    pub name: String,
    /// Place of its segmentation or audience in [`super::Rules::targets`].
    pub target: u16,
    pub from: Option<u16>,
    pub to: Option<u16>,
    pub direction: Option<Direction>,
    /// It fires when more changes than this were counted in the window.
    pub above: u64,
    pub window_minutes: u32,
    /// For so many minutes in a row.
    pub for_minutes: u32,
    /// Which of [`CAUSES`] count.
    pub causes: [bool; CAUSES.len()],
    /// So many customers are named at most.
    pub customer_ids: usize,
    /// A hash of all that decides what is counted and when it fires: an alert with another is another alert.
    pub definition: u64,
}

impl Alert {
    /// Whether a change of its target between these values counts; [`crate::engine::profile::Held::NULL`] is no segment.
    /// `target` is its own.
    pub fn selects(&self, target: &Target, from: u16, to: u16) -> bool {
        let is_wanted = |wanted: Option<u16>, value: u16| wanted.is_none_or(|wanted| wanted == value);
        is_wanted(self.from, from)
            && is_wanted(self.to, to)
            && self.direction.is_none_or(|direction| direction == target.direction(from, to))
    }
}

/// All alerts in byte order of their names.
pub fn read(file: &mut Section<'_>, targets: &[RawTarget<'_>], mistakes: &mut Mistakes<'_>) -> Vec<Alert> {
    let Some(section) = file.section("alert", "[alert.<name>]", mistakes) else { return Vec::new() };
    let entries = section.entries();
    if entries.len() > ALERTS_MAX {
        let what = format!("expected at most {ALERTS_MAX} alerts, found {}", entries.len());
        mistakes.add(entries[ALERTS_MAX].1, what, None);
    }
    let mut alerts = Vec::new();
    for (name, place, item) in entries {
        names::check(name, place, "an alert", mistakes);
        let section = document::section(item, &format!("[alert.{name}]"), mistakes);
        alerts.extend(section.and_then(|section| alert(name, place, section, targets, mistakes)));
    }
    alerts.sort_by(|one, other| one.name.cmp(&other.name));
    alerts
}

/// One alert; none if something about it is a mistake.
fn alert(
    name: &str,
    place: usize,
    mut section: Section<'_>,
    targets: &[RawTarget<'_>],
    mistakes: &mut Mistakes<'_>,
) -> Option<Alert> {
    let target = target(name, place, &mut section, targets, mistakes);
    let values = target.map(|(_, target)| values_of(&target.name()));
    let from = value(&mut section, "from", values.as_deref(), mistakes);
    let to = value(&mut section, "to", values.as_deref(), mistakes);
    let direction = direction(&mut section, mistakes);
    if [section.get("from"), section.get("to"), section.get("direction")].iter().all(Option::is_none) {
        let hint = "write from = \"…\", to = \"…\" or direction = \"down\"";
        let what = format!("expected at least one of `from`, `to` and `direction` in [alert.{name}], found none");
        mistakes.add(place, what, Some(hint.into()));
    }
    if let (Some(_), true, Some(item)) = (from, from == to, section.get("to")) {
        mistakes.add(item.span().start, format!("expected another value than in `from`, found {}", found(item)), None);
    }
    if let (Some((_, target)), Some(item)) = (target, section.get("direction")) {
        check_way(target, (from, to), direction, item, mistakes);
    }
    let above = required(&mut section, "above", (name, place), mistakes, |section, mistakes| {
        section.integer("above", 0..=ABOVE_MAX, mistakes)
    });
    let window = required(&mut section, "window", (name, place), mistakes, |section, mistakes| {
        minutes(section, "window", MINUTE..=WINDOW_MAX, mistakes)
    });
    let for_minutes = minutes(&mut section, "for", 0..=FOR_MAX, mistakes).unwrap_or(0);
    let causes = section.get("causes").map_or(Some([true; CAUSES.len()]), |item| causes(item, mistakes));
    let customer_ids = section.integer("customer_ids", 0..=CUSTOMER_IDS_MAX, mistakes).unwrap_or(0);
    section.finish(mistakes);
    let (target_place, target) = target?;
    let mut alert = Alert {
        name: name.into(),
        target: target_place as u16,
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
    alert.definition = definition(&alert, target);
    Some(alert)
}

/// A hash of what the alert means, by names: places of segments may change while it stays the same.
fn definition(alert: &Alert, target: &RawTarget<'_>) -> u64 {
    let values = values_of(&target.name());
    let named = |value: Option<u16>| value.map_or("", |value| values[usize::from(value)].as_str());
    let ladder: Vec<&str> = target.ladder.iter().map(|place| named(Some(*place))).collect();
    let ladder = alert.direction.map(|direction| (direction, ladder));
    let words = format!(
        "{:?} {:?} {:?} {:?} {ladder:?} {} {} {} {:?}",
        alert.name,
        target.name().name,
        named(alert.from),
        named(alert.to),
        alert.above,
        alert.window_minutes,
        alert.for_minutes,
        alert.causes
    );
    xxh3_64(words.as_bytes())
}

/// A key without which an alert has no meaning.
fn required<T>(
    section: &mut Section<'_>,
    key: &'static str,
    (name, place): (&str, usize),
    mistakes: &mut Mistakes<'_>,
    read: impl FnOnce(&mut Section<'_>, &mut Mistakes<'_>) -> Option<T>,
) -> Option<T> {
    if section.get(key).is_none() {
        mistakes.add(place, format!("expected `{key}` in [alert.{name}], found none"), None);
    }
    read(section, mistakes)
}

/// The segmentation or audience of an alert.
fn target<'t, 'd>(
    name: &str,
    place: usize,
    section: &mut Section<'_>,
    targets: &'t [RawTarget<'d>],
    mistakes: &mut Mistakes<'_>,
) -> Option<(usize, &'t RawTarget<'d>)> {
    if section.get("segmentation").is_none() {
        let what = format!("expected `segmentation` in [alert.{name}], found none");
        mistakes.add(place, what, Some("name a segmentation or an audience".into()));
    }
    let (written, place) = section.text("segmentation", mistakes)?;
    let names: Vec<Name> = targets.iter().map(RawTarget::name).collect();
    let known = names.iter().position(|known| known.name == written);
    if known.is_none() {
        let what = format!("expected a segmentation or an audience of this file, found {}", document::quoted(written));
        mistakes.add(place, what, nearest(written, names.iter().map(|name| name.name.as_str())));
    }
    known.map(|known| (known, &targets[known]))
}

/// Names of all values, by their places.
fn values_of(name: &Name) -> Vec<String> {
    name.segments.clone().unwrap_or_else(|| vec!["out".into(), "in".into()])
}

fn value(
    section: &mut Section<'_>,
    key: &'static str,
    values: Option<&[String]>,
    mistakes: &mut Mistakes<'_>,
) -> Option<u16> {
    let (written, place) = section.text(key, mistakes)?;
    let values = values?;
    let known = values.iter().position(|value| value == written);
    if known.is_none() {
        let names = || values.iter().map(String::as_str);
        let what = format!("expected {} for `{key}`, found {}", one_of(names()), document::quoted(written));
        mistakes.add(place, what, nearest(written, names()));
    }
    known.map(|known| known as u16)
}

fn direction(section: &mut Section<'_>, mistakes: &mut Mistakes<'_>) -> Option<Direction> {
    const OFFERED: [Direction; 3] = [Direction::Up, Direction::Down, Direction::Side];
    let (written, place) = section.text("direction", mistakes)?;
    let known = OFFERED.into_iter().find(|direction| direction.name() == written);
    if known.is_none() {
        let names = || OFFERED.iter().map(|direction| direction.name());
        let what = format!("expected {} for `direction`, found {}", one_of(names()), document::quoted(written));
        mistakes.add(place, what, nearest(written, names()));
    }
    known
}

/// Whether there is a way between these values in this direction.
fn check_way(
    target: &RawTarget<'_>,
    (from, to): (Option<u16>, Option<u16>),
    direction: Option<Direction>,
    item: &Item<'_>,
    mistakes: &mut Mistakes<'_>,
) {
    let Some(direction) = direction else { return };
    let name = target.name();
    let place = item.span().start;
    if name.segments.is_some() && target.ladder.is_empty() != (direction == Direction::Side) {
        let (what, hint) = match direction {
            Direction::Side => ("without `ladder`", "with a `ladder` every change goes up or down"),
            _ => ("with `ladder`", "list its segments there, from the lowest to the highest"),
        };
        let what = format!("expected a segmentation {what} for `direction`, found {}", name.name);
        return mistakes.add(place, what, Some(hint.into()));
    }
    let goes_in = |is_in: bool| Some(if is_in { Direction::Up } else { Direction::Down });
    let real = match (from, to) {
        (_, Some(to)) if name.segments.is_none() => goes_in(to == 1),
        (Some(from), None) if name.segments.is_none() => goes_in(from == 0),
        (Some(from), Some(to)) => Some(way(&target.ladder, from, to)),
        _ => None,
    };
    if let Some(real) = real.filter(|real| *real != direction) {
        let what = format!("expected {:?} for `direction`, which that change has, found {}", real.name(), found(item));
        mistakes.add(place, what, None);
    }
}

fn minutes(
    section: &mut Section<'_>,
    key: &'static str,
    bounds: RangeInclusive<Millis>,
    mistakes: &mut Mistakes<'_>,
) -> Option<u32> {
    let item = section.get(key)?;
    let millis = document::duration_of(item, key, bounds, mistakes)?;
    if millis % MINUTE != 0 {
        let what = format!("expected whole minutes for `{key}`, found {}", found(item));
        mistakes.add(item.span().start, what, None);
    }
    Some((millis / MINUTE) as u32)
}

fn causes(item: &Item<'_>, mistakes: &mut Mistakes<'_>) -> Option<[bool; CAUSES.len()]> {
    let items = list(item, "a list of causes for `causes`", mistakes)?;
    let mut causes = [false; CAUSES.len()];
    if items.is_empty() {
        mistakes.add(item.span().start, "expected at least one cause in `causes`, found none", None);
    }
    for item in items {
        let names = || CAUSES.iter().copied();
        let written = text(item, "a cause in quotes", mistakes)?;
        match CAUSES.iter().position(|cause| *cause == written) {
            Some(place) if !causes[place] => causes[place] = true,
            Some(_) => {
                mistakes.add(item.span().start, format!("expected each cause once, found {written:?} again"), None)
            }
            None => {
                let what = format!("expected {} in `causes`, found {}", one_of(names()), found(item));
                mistakes.add(item.span().start, what, nearest(written, names()));
            }
        }
    }
    Some(causes)
}
