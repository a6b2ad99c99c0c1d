//! The values that were published to consumers: reads them from the membership topic (R12), and makes rules that have
//! names for these values.

use crate::engine::calendar::parse_rfc3339;
use crate::engine::event_settings::{AttributeType, DeclaredKind, EventSettings, OwnCount};
use crate::engine::rule::{Rules, read_following};
use crate::engine::shard::{Published, PublishedValue};
use crate::kafka::{Batch, Failure, Log, Own, Topic};
use crate::worker::reading::{Aborted, read_all};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// By customer id.
pub type AllPublished = BTreeMap<Box<str>, Published>;

/// A membership record, without the fields that are not needed here.
#[derive(Deserialize)]
struct Membership<'a> {
    life: i64,
    sequence: u32,
    #[serde(borrow)]
    effective_at: Cow<'a, str>,
    #[serde(borrow)]
    segments: BTreeMap<Cow<'a, str>, Segment<'a>>,
    #[serde(borrow)]
    audiences: BTreeMap<Cow<'a, str>, Audience<'a>>,
}

#[derive(Deserialize)]
struct Segment<'a> {
    #[serde(borrow)]
    value: Option<Cow<'a, str>>,
    #[serde(borrow)]
    since: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Audience<'a> {
    r#in: bool,
    #[serde(borrow)]
    since: Cow<'a, str>,
}

/// Reads a shard's partition of the membership topic to its end.
pub fn read<L: Log>(log: &mut L, shard: u32, stop: &AtomicBool) -> Result<AllPublished, Aborted> {
    let mut all = AllPublished::new();
    let mut names = Names::default();
    read_all(log, (Topic::Own(Own::Membership), shard), 0, stop, |batch| {
        for index in 0..batch.len() {
            let record = batch.record(index);
            let id = std::str::from_utf8(record.key.unwrap_or_default()).map_err(|error| error.to_string());
            let published = record.value.map(|value| names.published(value)).transpose();
            match id.and_then(|id| Ok((id, published?))) {
                Ok((id, Some(published))) => drop(all.insert(id.into(), published)),
                Ok((id, None)) => drop(all.remove(id)),
                Err(message) => return Err(invalid_record(shard, record.offset, &message)),
            }
        }
        Ok(())
    })?;
    Ok(all)
}

fn invalid_record(shard: u32, offset: i64, message: &str) -> Failure {
    Failure::Stop(format!(
        "the membership topic, partition {shard}, offset {offset}: expected a record written by Shoal: {message}. The state \
         cannot be made to agree with it: remove the record, or configure other output topics"
    ))
}

/// Names of segmentations, audiences and values, each stored once.
#[derive(Default)]
struct Names(BTreeSet<Arc<str>>);

impl Names {
    fn intern(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.get(name) {
            return Arc::clone(known);
        }
        let interned: Arc<str> = Arc::from(name);
        self.0.insert(Arc::clone(&interned));
        interned
    }

    fn published(&mut self, value: &[u8]) -> Result<Published, String> {
        let membership: Membership<'_> = serde_json::from_slice(value).map_err(|error| error.to_string())?;
        let moment =
            |text: &str| parse_rfc3339(text).ok_or_else(|| format!("expected an RFC 3339 time, found {text:?}"));
        let mut values = Vec::with_capacity(membership.segments.len() + membership.audiences.len());
        for (name, segment) in &membership.segments {
            let Some(value) = &segment.value else { continue };
            let (name, value, since) = (self.intern(name), self.intern(value), moment(&segment.since)?);
            values.push(PublishedValue { name, is_audience: false, value, since });
        }
        for (name, audience) in &membership.audiences {
            let value = self.intern(if audience.r#in { "in" } else { "out" });
            values.push(PublishedValue {
                name: self.intern(name),
                is_audience: true,
                value,
                since: moment(&audience.since)?,
            });
        }
        let effective_at = moment(&membership.effective_at)?;
        Ok(Published { life: membership.life, sequence: membership.sequence, effective_at, values })
    }
}

/// Rules that have a name for each value of the rules in force and for each published value, and conditions that no
/// customer meets. They are in the rebuild's snapshot until the rules in force are swept in.
pub fn rules_with_names(in_force: &Rules, published: &AllPublished) -> Result<Arc<Rules>, String> {
    let mut targets: BTreeMap<&str, Option<Vec<&str>>> = BTreeMap::new();
    for target in &in_force.targets {
        targets.insert(&target.name, (!target.is_audience()).then(|| target.segment_names().collect()));
    }
    for value in published.values().flat_map(|published| &published.values) {
        let known = targets.entry(&value.name).or_insert_with(|| (!value.is_audience).then(Vec::new));
        // A name that is a segmentation here and an audience there keeps its type in the rules in force.
        if let Some(segments) =
            known.as_mut().filter(|segments| !value.is_audience && !segments.contains(&&*value.value))
        {
            segments.push(&value.value);
        }
    }
    let text = format!("{}{}", event_settings_text(in_force)?, targets_text(&targets));
    read_following(&text, Some(&in_force.event_settings)).map_err(|mistakes| {
        format!("the values on the membership topic contradict each other: {}", mistakes.in_one_line())
    })
}

/// The event settings as text, with attributes, types and counts in the order of their indexes.
fn event_settings_text(in_force: &Rules) -> Result<String, String> {
    let mut text = "# The names of the values that were published when the state was rebuilt.\n".to_owned();
    let file = std::str::from_utf8(&in_force.bytes).map_err(|error| error.to_string())?;
    let mut file: toml::Table = file.parse().map_err(|error: toml::de::Error| error.message().to_owned())?;
    for section in ["segmentation", "audience", "include", "attributes", "events", "properties"] {
        file.remove(section);
    }
    let counts = file.remove("count");
    text += &toml::to_string(&file).map_err(|error| error.to_string())?;
    let EventSettings { attributes, events, properties, .. } = &in_force.event_settings;
    text += "[attributes]\n";
    for attribute in attributes {
        writeln!(text, "{} = \"{}\"", attribute.name, kind_name(attribute.kind)).expect("memory");
    }
    text += "[events]\n";
    for declared in events {
        let kind = match declared.kind {
            DeclaredKind::Browsing => "browsing",
            DeclaredKind::Activity => "activity",
            DeclaredKind::Other => "other",
        };
        writeln!(text, "{} = \"{kind}\"", declared.name).expect("memory");
    }
    text += "[properties]\n";
    for property in properties {
        writeln!(text, "{} = \"{}\"", property.name, kind_name(property.kind)).expect("memory");
    }
    text += &counts_text(counts.as_ref().and_then(toml::Value::as_table), &in_force.event_settings.counts)?;
    Ok(text)
}

fn kind_name(kind: AttributeType) -> &'static str {
    match kind {
        AttributeType::Text => "text",
        AttributeType::Number => "number",
        AttributeType::Boolean => "boolean",
        AttributeType::Time => "time",
        AttributeType::Texts => "texts",
    }
}

/// The counts in the order of their indexes. An index without a count gets one that counts nothing.
fn counts_text(written: Option<&toml::Table>, counts: &[OwnCount]) -> Result<String, String> {
    let (mut text, empty) = (String::new(), toml::Table::new());
    let written = written.unwrap_or(&empty);
    let end = counts.iter().map(|count| count.index + 1).max().unwrap_or(0);
    for index in 0..end {
        match counts.iter().find(|count| count.index == index) {
            Some(count) => {
                let settings =
                    written.get(&count.name).ok_or_else(|| format!("no [count.{}] in the file", count.name))?;
                let settings = toml::to_string(settings).map_err(|error| error.to_string())?;
                write!(text, "[count.{}]\n{settings}", count.name).expect("memory");
            }
            None => {
                let mut name = format!("unused_{index}");
                while written.contains_key(&name) {
                    name.push('_');
                }
                write!(text, "[count.{name}]\nof = \"view\"\nwhere = \"FALSE\"\n").expect("memory");
            }
        }
    }
    Ok(text)
}

/// Segmentations and audiences with conditions that no customer meets.
fn targets_text(targets: &BTreeMap<&str, Option<Vec<&str>>>) -> String {
    let mut text = String::new();
    for (name, segments) in targets {
        let Some(segments) = segments else {
            write!(text, "[audience.{name}]\nwhen = \"orders < 0\"\n").expect("memory");
            continue;
        };
        write!(text, "[segmentation.{name}]\nsegments = [\n").expect("memory");
        for (index, segment) in segments.iter().enumerate() {
            let when = if index + 1 < segments.len() { ", when = \"orders < 0\"" } else { "" };
            writeln!(text, "  {{ name = \"{segment}\"{when} }},").expect("memory");
        }
        text += "]\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::control::read_rules;

    const RULES: &str = r#"
include = ["orders"]
[time]
grace = "2s"
[attributes]
plan = "text"
age = "number"
[events]
survey = "other"
[properties]
size = "text"
duration_s = "number"
[count.small]
of = "survey"
where = """size = 'S' AND
  duration_s < 60"""
[count.any]
of = "view"
[segmentation.lifecycle]
segments = [{ name = "new", when = "orders = 1" }, { name = "old" }]
[audience.vip]
when = "age > 3 AND plan = 'gold'"
"#;

    const RECORD: &str = r#"{"customer_id":"c-1","life":1000,"sequence":7,"effective_at":"1970-01-01T00:00:02.500Z",
        "rules_version":"x","cuts_version":null,
        "segments":{"gone":{"value":"b","since":"1970-01-01T00:00:02.500Z"},"lifecycle":{"value":"asleep","since":"1970-01-01T00:00:01.000Z"},
        "none":{"value":null,"since":"1970-01-01T00:00:01.000Z"}},
        "audiences":{"vip":{"in":true,"since":"1970-01-01T00:00:02.000Z"}},"features":{"orders":3}}"#;

    #[test]
    fn a_record_is_read_back() {
        let published = Names::default().published(RECORD.as_bytes()).unwrap();
        assert_eq!((published.life, published.sequence, published.effective_at), (1_000, 7, 2_500));
        let values: Vec<_> = published.values.iter().map(|value| (&*value.name, &*value.value, value.since)).collect();
        assert_eq!(values, [("gone", "b", 2_500), ("lifecycle", "asleep", 1_000), ("vip", "in", 2_000)]);
        assert!(Names::default().published(b"{}").is_err());
    }

    #[test]
    fn rules_with_names_have_every_value_and_the_same_event_settings() {
        let before =
            read_rules(RULES.replace("plan = \"text\"\n", "").replace(" AND plan = 'gold'", "").as_bytes()).unwrap();
        let in_force = read_following(RULES, Some(&before.event_settings)).unwrap();
        let published = Names::default().published(RECORD.as_bytes()).unwrap();
        let names = rules_with_names(&in_force, &AllPublished::from([("c-1".into(), published)])).unwrap();
        let all: Vec<_> = names.targets.iter().map(|target| target.name.as_str()).collect();
        assert_eq!(all, ["gone", "lifecycle", "vip"]);
        assert_eq!(names.targets[1].segment_names().collect::<Vec<_>>(), ["new", "old", "asleep"]);
        assert_eq!(names.event_settings, in_force.event_settings);
        let alone = read_rules(&names.bytes).unwrap();
        assert_eq!(alone.event_settings, in_force.event_settings, "they can be read without the previous rules");
    }

    /// The state has counts by index, so a count keeps its index where the ones before it have ended.
    #[test]
    fn rules_with_names_keep_the_indexes_of_counts() {
        let before = read_rules(RULES.as_bytes()).unwrap();
        let (head, counts) = RULES.split_once("[count.small]").unwrap();
        let without = format!("{head}{}", &counts[counts.find("[count.any]").unwrap()..]);
        let in_force = read_following(&without, Some(&before.event_settings)).unwrap();
        let indexes = |rules: &Rules| -> Vec<(String, u8)> {
            rules.event_settings.counts.iter().map(|count| (count.name.clone(), count.index)).collect()
        };
        assert_eq!(indexes(&in_force), [("any".into(), 1)]);
        let names = rules_with_names(&in_force, &AllPublished::new()).unwrap();
        assert_eq!(indexes(&names), [("unused_0".into(), 0), ("any".into(), 1)]);
        assert_eq!(indexes(&read_rules(&names.bytes).unwrap()), indexes(&names));
        let again = read_following(&without, Some(&names.event_settings)).unwrap();
        assert_eq!(indexes(&again), indexes(&in_force));
        assert_eq!(again.event_settings.ended_counts(&names.event_settings), 1);
        assert_eq!(in_force.event_settings.ended_counts(&before.event_settings), 1);
    }
}
