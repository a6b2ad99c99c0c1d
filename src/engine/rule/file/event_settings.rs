//! The sections of rules.toml that give events their meaning: times, currency, attributes, declared types, bounds.

use super::identifier;
use crate::document::MistakeCollector;
use crate::document::duration::HOURS;
use crate::document::table::{Item, Section, choice, found, list, quoted, text};
use crate::engine::calendar;
use crate::engine::currency;
use crate::engine::event::{DAY, EventType, HOUR, Millis};
use crate::engine::event_settings::{
    Attribute, AttributeType, Clock, Currency, DeclaredKind, DeclaredType, EventSettings,
};
use crate::engine::feature::find::{self, Found};
use crate::engine::rule::check::sql;
use rust_decimal::Decimal;
use toml::de::DeValue;

/// Placeholders at most, and bytes of one: those of an id.
const PLACEHOLDERS_MAX: usize = 64;
const PLACEHOLDER_BYTES_MAX: usize = 256;
/// Currencies with a rate at most.
const RATES_MAX: usize = 64;
/// Significant digits and decimals of a rate at most, so that amounts stay exact.
const RATE_DIGITS_MAX: u64 = 1_000_000_000_000;
const RATE_DECIMALS_MAX: u32 = 12;
const DEDUP_HORIZON_MAX: i64 = 400 * DAY;
const UTC_OFFSET_MAX: Millis = 14 * HOUR;
const IDS_MAX: i64 = 1_000_000_000;
const CLOCKS: [(&str, Clock); 2] = [("wall", Clock::Wall), ("events", Clock::Events)];

/// What these sections declare; for what is missing or wrong, the default.
pub fn read(file: &mut Section<'_>, mistakes: &mut MistakeCollector<'_>) -> EventSettings {
    let mut event_settings = EventSettings::default();
    time(file, &mut event_settings, mistakes);
    if let Some(section) = file.section("currency", "[currency]", mistakes) {
        event_settings.currency = read_currency(section, mistakes);
    }
    if let Some(section) = file.section("ids", "[ids]", mistakes) {
        ids(section, &mut event_settings, mistakes);
    }
    if let Some(section) = file.section("attributes", "[attributes]", mistakes) {
        attributes(&section, &mut event_settings, mistakes);
    }
    if let Some(section) = file.section("events", "[events]", mistakes) {
        events(&section, &mut event_settings, mistakes);
    }
    bounds(file, &mut event_settings, mistakes);
    event_settings
}

fn time(file: &mut Section<'_>, event_settings: &mut EventSettings, mistakes: &mut MistakeCollector<'_>) {
    let Some(mut section) = file.section("time", "[time]", mistakes) else { return };
    if let Some(item) = section.get("clock") {
        event_settings.clock = choice(item, "clock", &CLOCKS, mistakes).unwrap_or(event_settings.clock);
    }
    event_settings.grace = section.duration("grace", 0..=DAY, mistakes).unwrap_or(event_settings.grace);
    event_settings.max_future = section.duration("max_future", 0..=DAY, mistakes).unwrap_or(event_settings.max_future);
    if let Some((written, offset)) = section.text("utc_offset", mistakes) {
        event_settings.utc_offset = utc_offset(written, offset, mistakes).unwrap_or(event_settings.utc_offset);
    }
    section.finish(mistakes);
}

fn utc_offset(written: &str, offset: usize, mistakes: &mut MistakeCollector<'_>) -> Option<Millis> {
    let parsed = calendar::parse_offset(written).filter(|parsed| written != "z" && parsed.abs() <= UTC_OFFSET_MAX);
    if parsed.is_none() {
        let message =
            format!("expected a difference from UTC from -14:00 to +14:00 for `utc_offset`, found {}", quoted(written));
        let hint = "write it like \"+01:00\"; it is fixed, summer time does not change it";
        mistakes.add(offset, message, Some(hint.into()));
    }
    parsed
}

fn bounds(file: &mut Section<'_>, event_settings: &mut EventSettings, mistakes: &mut MistakeCollector<'_>) {
    if let Some(mut section) = file.section("dedup", "[dedup]", mistakes) {
        let hours = section.duration_in("horizon", HOURS, HOUR..=DEDUP_HORIZON_MAX, mistakes);
        event_settings.dedup_horizon_hours = hours.unwrap_or(event_settings.dedup_horizon_hours);
        let ids = section.integer("max_ids", 1..=IDS_MAX, mistakes);
        event_settings.dedup_max_ids = ids.map_or(event_settings.dedup_max_ids, |ids| ids as u32);
        section.finish(mistakes);
    }
    if let Some(mut section) = file.section("limits", "[limits]", mistakes) {
        let customers = section.integer("max_customers", 1..=IDS_MAX, mistakes);
        event_settings.max_customers = customers.map_or(event_settings.max_customers, |customers| customers as u32);
        section.finish(mistakes);
    }
}

fn read_currency(mut section: Section<'_>, mistakes: &mut MistakeCollector<'_>) -> Currency {
    let mut read = EventSettings::default().currency;
    if let Some((base, offset)) = section.text("base", mistakes)
        && let Some(decimals) = code(base, offset, mistakes)
    {
        read.base = base.into();
        read.decimals = decimals;
    }
    if let Some(rates) = section.section("rates", "`rates`", mistakes) {
        let entries = rates.entries();
        if entries.len() > RATES_MAX {
            let message = format!("expected at most {RATES_MAX} rates, found {}", entries.len());
            mistakes.add(rates.offset, message, None);
        }
        for (name, offset, item) in entries {
            let known = code(name, offset, mistakes);
            if name == read.base {
                let message = format!("expected rates of other currencies, found one of the base `{name}`");
                mistakes.add(offset, message, Some("remove it: the base counts 1".into()));
            }
            if let (Some(_), Some(rate)) = (known, rate(item, name, mistakes)) {
                read.rates.push((name.into(), rate));
            }
        }
    }
    section.finish(mistakes);
    read
}

fn ids(mut section: Section<'_>, event_settings: &mut EventSettings, mistakes: &mut MistakeCollector<'_>) {
    if let Some(item) = section.get("placeholders")
        && let Some(items) = list(item, "a list of texts for `placeholders`", mistakes)
    {
        if items.len() > PLACEHOLDERS_MAX {
            let message = format!("expected at most {PLACEHOLDERS_MAX} placeholders, found {}", items.len());
            mistakes.add(item.span().start, message, None);
        }
        let read = |item| placeholder(item, mistakes);
        event_settings.placeholders = items.iter().filter_map(read).collect();
    }
    section.finish(mistakes);
}

fn placeholder(item: &Item<'_>, mistakes: &mut MistakeCollector<'_>) -> Option<String> {
    let text = text(item, "a text that is no id, in quotes", mistakes)?;
    if text.len() > PLACEHOLDER_BYTES_MAX {
        let message = format!("expected at most {PLACEHOLDER_BYTES_MAX} bytes like an id, found {}", text.len());
        mistakes.add(item.span().start, message, None);
    }
    Some(text.into())
}

fn code(name: &str, offset: usize, mistakes: &mut MistakeCollector<'_>) -> Option<u32> {
    let decimals = currency::decimals(name);
    if decimals.is_none() {
        let message = format!("expected the ISO 4217 code of a currency, found {}", quoted(name));
        let upper = name.to_uppercase();
        let hint = currency::decimals(&upper).is_some().then(|| format!("did you mean `{upper}`?"));
        mistakes.add(offset, message, hint);
    }
    decimals
}

fn rate(item: &Item<'_>, currency: &str, mistakes: &mut MistakeCollector<'_>) -> Option<Decimal> {
    let plain = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let rate = item.get_ref().as_str().filter(plain).and_then(|text| Decimal::from_str_exact(text).ok());
    let rate = rate.map(|rate| rate.normalize()).filter(|rate| {
        rate.scale() <= RATE_DECIMALS_MAX && (1..i128::from(RATE_DIGITS_MAX)).contains(&rate.mantissa())
    });
    if rate.is_none() {
        let hint = match item.get_ref() {
            DeValue::Integer(_) | DeValue::Float(_) => "write it in quotes, so that it is exact",
            _ => "write base units for one unit of the currency, like \"0.92\"",
        };
        let message =
            format!("expected a decimal above 0 of at most 12 digits in quotes for {currency}, found {}", found(item));
        mistakes.add(item.span().start, message, Some(hint.into()));
    }
    rate
}

fn attributes(section: &Section<'_>, event_settings: &mut EventSettings, mistakes: &mut MistakeCollector<'_>) {
    const KINDS: [(&str, AttributeType); 5] = [
        ("text", AttributeType::Text),
        ("number", AttributeType::Number),
        ("boolean", AttributeType::Boolean),
        ("time", AttributeType::Time),
        ("texts", AttributeType::Texts),
    ];
    for (name, offset, item) in section.entries() {
        identifier::check(name, offset, "an attribute", mistakes);
        if is_feature(name) {
            let message = format!("expected the name of an attribute, found `{name}`, which is a feature");
            mistakes.add(offset, message, Some("choose another name".into()));
        } else if !sql::is_name(name) {
            let message = format!("expected the name of an attribute, found `{name}`, which is a word of SQL");
            mistakes.add(offset, message, Some("choose another name".into()));
        }
        let Some(kind) = choice(item, name, &KINDS, mistakes) else { continue };
        match event_settings.attributes.iter().find(|known| known.name == name) {
            None => event_settings.attributes.push(Attribute { name: name.into(), kind, retired: false }),
            Some(known) if known.kind == kind => {}
            Some(_) => {
                let message =
                    format!("expected `text` for `{name}`, which is declared from the start, found {}", found(item));
                mistakes.add(item.span().start, message, None);
            }
        }
    }
    if event_settings.attributes.len() > EventSettings::ATTRIBUTES_MAX {
        let (max, count) = (EventSettings::ATTRIBUTES_MAX, event_settings.attributes.len());
        mistakes.add(
            section.offset,
            format!("expected at most {max} attributes, `country` included, found {count}"),
            None,
        );
        event_settings.attributes.truncate(max);
    }
}

/// Whether a condition would read the name as a feature.
fn is_feature(name: &str) -> bool {
    !matches!(find::find(name), Found::Unknown)
}

fn events(section: &Section<'_>, event_settings: &mut EventSettings, mistakes: &mut MistakeCollector<'_>) {
    const KINDS: [(&str, DeclaredKind); 3] =
        [("browsing", DeclaredKind::Browsing), ("activity", DeclaredKind::Activity), ("other", DeclaredKind::Other)];
    for (name, offset, item) in section.entries() {
        identifier::check(name, offset, "a type of events", mistakes);
        if EventType::BUILT_IN.iter().any(|(built_in, _)| *built_in == name) {
            let message = format!("expected the name of a further type, found `{name}`, which is built in");
            mistakes.add(offset, message, Some("remove it".into()));
        }
        if let Some(kind) = choice(item, name, &KINDS, mistakes) {
            event_settings.events.push(DeclaredType { name: name.into(), kind, retired: false });
        }
    }
    if event_settings.events.len() > EventType::DECLARED_MAX {
        let (max, count) = (EventType::DECLARED_MAX, event_settings.events.len());
        mistakes.add(section.offset, format!("expected at most {max} declared types, found {count}"), None);
        event_settings.events.truncate(max);
    }
}
