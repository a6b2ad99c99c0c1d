//! The parts of membership records that depend on the rules alone, made once per rules file.

use super::json::{Moments, Piece, string};
use crate::engine::profile::HeldValue;
use crate::engine::rule::{IN, Rules};

/// The texts of a membership record from `rules_version` to the name of `features`, without the moments.
#[derive(Default)]
pub struct Template {
    /// Of the rules that it was made of; empty at first.
    rules_version: String,
    /// All texts.
    bytes: Vec<u8>,
    /// From `rules_version` to the bracket of `segments`.
    head: Piece,
    segmentations: Vec<TargetTexts>,
    audiences: Vec<TargetTexts>,
}

/// The texts of a segmentation or an audience.
struct TargetTexts {
    /// Of its held value.
    index: usize,
    /// For each value, null last: from the comma before its name to the name of `since`.
    by_value: Vec<Piece>,
}

impl Template {
    /// Makes the texts, unless they are those of these rules.
    pub fn follow(&mut self, rules: &Rules) {
        if self.rules_version != rules.version {
            *self = Self::new(rules);
        }
    }

    fn new(rules: &Rules) -> Self {
        let mut template = Self { rules_version: rules.version.clone(), ..Self::default() };
        let bytes = &mut template.bytes;
        bytes.extend_from_slice(b",\"rules_version\":");
        string(bytes, &rules.version);
        bytes.extend_from_slice(b",\"cuts_version\":null,\"segments\":{");
        template.head = Piece::since(0, bytes);
        for (index, target) in rules.targets.iter().enumerate() {
            let texts = if target.is_audience() { &mut template.audiences } else { &mut template.segmentations };
            let is_first = texts.is_empty();
            let mut text = |value: Option<u16>| {
                let start = bytes.len();
                bytes.extend_from_slice(if is_first { b"" } else { b"," });
                string(bytes, &target.name);
                match value {
                    _ if target.is_audience() => {
                        let is_in = value == Some(IN);
                        bytes.extend_from_slice(if is_in { b":{\"in\":true" } else { b":{\"in\":false" });
                    }
                    Some(value) => {
                        bytes.extend_from_slice(b":{\"value\":");
                        string(bytes, target.value_name(value));
                    }
                    None => bytes.extend_from_slice(b":{\"value\":null"),
                }
                bytes.extend_from_slice(b",\"since\":");
                Piece::since(start, bytes)
            };
            let by_value = target.values().map(Some).chain([None]).map(&mut text).collect();
            texts.push(TargetTexts { index, by_value });
        }
        template
    }

    /// Appends everything from the comma before `rules_version` to the name of `features`.
    pub fn write(&self, out: &mut Vec<u8>, held: &[HeldValue], moments: &mut Moments) {
        out.extend_from_slice(self.head.of(&self.bytes));
        self.targets(out, &self.segmentations, held, moments);
        out.extend_from_slice(b"},\"audiences\":{");
        self.targets(out, &self.audiences, held, moments);
        out.extend_from_slice(b"},\"features\":");
    }

    fn targets(&self, out: &mut Vec<u8>, targets: &[TargetTexts], held: &[HeldValue], moments: &mut Moments) {
        // With fewer held values than targets the rest is left out: then the sweep with new rules is still to come.
        for (target, held) in targets.iter().filter_map(|target| Some((target, held.get(target.index)?))) {
            let text = target.by_value.get(usize::from(held.value)).or(target.by_value.last());
            out.extend_from_slice(text.map_or(&[], |text| text.of(&self.bytes)));
            moments.write(out, held.since);
            out.push(b'}');
        }
    }
}
