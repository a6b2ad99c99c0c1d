//! The shapes of earlier records, so that a record of a known shape is not scanned from the beginning.
//!
//! A producer writes the same fields in the same order again and again: what lies between the values of two records is
//! mostly the same bytes. A shape is the list of these bytes, and the shapes form a tree, in which records share what
//! they have in common at their beginning. A record whose bytes lead to a leaf of the tree has the names, and the
//! punctuation, of a record that the scanner accepted; only its values are checked. Any difference leaves the record to
//! the scanner, which decides alone what is accepted and why not. So what was learnt never changes a result.

use super::fields::{Field, Fields};
use super::json::{self, Entries, Member};
use super::scan::Scan;
use super::string;
use super::value::{JsonKind, JsonValue};
use crate::engine::event::EventType;

/// Nodes of the tree at most: some 20 shapes without anything in common.
const NODES_MAX: usize = 256;
/// Ways to go on from a node at most, which bounds the comparisons per value.
const CHILDREN_MAX: usize = 24;
/// Members of a record that is learnt at most.
const MEMBERS_MAX: usize = 32;
/// Bytes between two values at most.
const LITERAL_BYTES_MAX: usize = 160;
/// Once a record could not be learnt, one in so many is tried, so that a stream of ever new shapes costs little.
const TRIED_ONE_IN: u32 = 16;
/// After so many that could not be learnt, everything is forgotten: the producers write other shapes now.
const FORGET_AFTER: u32 = 64;

/// What follows the literal of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Follows {
    /// The rest of a string, whose opening quote ends the literal: the value of a known field, or one that is not used.
    Text(Option<Field>),
    /// A value of any kind.
    Any(Option<Field>),
    /// Nothing: the literal ends with the value of `type`.
    Type(EventType),
    /// Nothing: the record ends.
    End,
}

#[derive(Debug)]
struct Node {
    /// The text from the end of one value to the beginning of the next.
    literal: Box<[u8]>,
    /// Its first bytes, which are compared at once.
    head: Head,
    follows: Follows,
    /// Indexes of nodes, or [`NO_NODE`].
    first_child: u16,
    next_sibling: u16,
}

/// An index that no node has.
const NO_NODE: u16 = u16::MAX;

/// The first sixteen bytes of a literal; with a shorter one, the mask clears what follows it.
#[derive(Debug)]
struct Head {
    bytes: u128,
    mask: u128,
}

impl Head {
    const BYTES: usize = 16;

    fn of(literal: &[u8]) -> Self {
        let (mut bytes, mut mask) = ([0; Self::BYTES], [0; Self::BYTES]);
        for (index, byte) in literal.iter().take(Self::BYTES).enumerate() {
            (bytes[index], mask[index]) = (*byte, 0xFF);
        }
        Self { bytes: u128::from_ne_bytes(bytes), mask: u128::from_ne_bytes(mask) }
    }
}

impl Node {
    fn new(literal: &[u8], follows: Follows) -> Self {
        Self { literal: literal.into(), head: Head::of(literal), follows, first_child: NO_NODE, next_sibling: NO_NODE }
    }

    /// Whether a text has the literal at an offset. Most literals are no longer than a head, and most texts go on for
    /// as long.
    #[inline(always)]
    fn is_at(&self, text: &[u8], at: usize) -> bool {
        let Some((bytes, rest)) = text.get(at..).and_then(|rest| rest.split_first_chunk()) else {
            return self.is_at_end(text, at);
        };
        (u128::from_ne_bytes(*bytes) ^ self.head.bytes) & self.head.mask == 0
            && (self.literal.len() <= Head::BYTES || rest.starts_with(&self.literal[Head::BYTES..]))
    }

    #[inline(never)]
    fn is_at_end(&self, text: &[u8], at: usize) -> bool {
        text.get(at..).is_some_and(|rest| rest.starts_with(&self.literal))
    }
}

/// The tree of known shapes.
#[derive(Debug, Default)]
pub struct Shapes {
    nodes: Vec<Node>,
    /// Records of no known shape since everything was forgotten.
    unknown: u32,
    /// Those of them that could not be learnt.
    refused: u32,
}

impl Shapes {
    /// Finds the known fields of a record if it is of a known shape and all its values are valid; otherwise false, and
    /// some fields may have values.
    #[inline]
    pub fn read(&self, fields: &mut Fields<'_>) -> bool {
        let text = fields.text;
        let (mut next, mut at) = (0, 0);
        while let Some(node) = self.nodes.get(usize::from(next)) {
            if !node.is_at(text.as_bytes(), at) {
                next = node.next_sibling;
                continue;
            }
            at += node.literal.len();
            next = node.first_child;
            match node.follows {
                Follows::Text(field) => {
                    let Some(end) = string::plain_end(text, at) else {
                        let Some(value) = set(fields, field, string::quoted(text, at)) else { return false };
                        at = value.after();
                        continue;
                    };
                    if let Some(field) = field {
                        fields.set(field, JsonValue::new(JsonKind::Text, at, end));
                    }
                    at = end + 1;
                }
                Follows::Any(field) => {
                    let Some(value) = set(fields, field, json::value(text, at, 1)) else { return false };
                    at = value.after();
                }
                Follows::Type(event_type) => fields.event_type = Some(event_type),
                Follows::End => return at == text.len(),
            }
        }
        false
    }

    /// Adds the shape of a record that the scanner has accepted. `event_type` finds a type by its name.
    #[cold]
    pub fn learn(&mut self, text: &str, event_type: impl Fn(&str) -> Option<EventType>) {
        if self.refused == FORGET_AFTER {
            *self = Self::default();
        }
        self.unknown = self.unknown.wrapping_add(1);
        if self.refused > 0 && !self.unknown.is_multiple_of(TRIED_ONE_IN) {
            return;
        }
        let Some(shape) = shape_of(text, event_type) else {
            self.refused += 1;
            return;
        };
        if self.nodes.len() + shape.len() > NODES_MAX || !self.add(&shape) {
            self.refused += 1;
        }
    }

    /// Adds the nodes that are missing on the way; false if a node has too many children.
    fn add(&mut self, shape: &[(&[u8], Follows)]) -> bool {
        let mut parent = None;
        let mut next = if self.nodes.is_empty() { NO_NODE } else { 0 };
        for (literal, follows) in shape {
            let (mut last, mut siblings) = (None, 0);
            while let Some(node) = self.nodes.get(usize::from(next)) {
                if *node.literal == **literal && node.follows == *follows {
                    break;
                }
                (last, next) = (Some(next), node.next_sibling);
                siblings += 1;
            }
            if next == NO_NODE {
                if siblings == CHILDREN_MAX {
                    return false;
                }
                next = self.nodes.len() as u16;
                match (last, parent) {
                    (Some(last), _) => self.nodes[usize::from(last)].next_sibling = next,
                    (None, Some(parent)) => self.nodes[usize::from(parent)].first_child = next,
                    (None, None) => {}
                }
                self.nodes.push(Node::new(literal, *follows));
            }
            (parent, next) = (Some(next), self.nodes[usize::from(next)].first_child);
        }
        true
    }
}

/// Sets a field, if it is known, to a value that was scanned; `None` if it is not valid.
#[inline(never)]
fn set(fields: &mut Fields<'_>, field: Option<Field>, value: Scan<JsonValue>) -> Option<JsonValue> {
    let value = value.ok()?;
    if let Some(field) = field {
        fields.set(field, value);
    }
    Some(value)
}

/// The literals of a valid record with what follows each; `None` if there are too many, or one is too long.
fn shape_of(text: &str, event_type: impl Fn(&str) -> Option<EventType>) -> Option<Vec<(&[u8], Follows)>> {
    let mut shape = Vec::new();
    let mut from = 0;
    let mut entries = Entries::of_object(text, 0, 0).ok()?;
    while let Some(Member { name, value }) = entries.next_member().ok()? {
        let field = Field::of(name.text(text).as_bytes());
        let known_type = match field {
            Some(Field::Type) if value.is(JsonKind::Text) => event_type(value.raw(text)),
            _ => None,
        };
        let (until, follows) = match known_type {
            Some(event_type) => (value.after(), Follows::Type(event_type)),
            None if value.is_text() => (value.start(), Follows::Text(field)),
            None => (value.start(), Follows::Any(field)),
        };
        shape.push((&text.as_bytes()[from..until], follows));
        from = value.after();
        if shape.len() > MEMBERS_MAX {
            return None;
        }
    }
    shape.push((&text.as_bytes()[from..], Follows::End));
    shape.iter().all(|(literal, _)| literal.len() <= LITERAL_BYTES_MAX).then_some(shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn types(name: &str) -> Option<EventType> {
        EventType::BUILT_IN.iter().find(|(known, _)| *known == name).map(|(_, event_type)| *event_type)
    }

    fn learnt(texts: &[&str]) -> Shapes {
        let mut shapes = Shapes::default();
        texts.iter().for_each(|text| shapes.learn(text, types));
        shapes
    }

    fn read<'a>(shapes: &Shapes, text: &'a str) -> Option<Fields<'a>> {
        let mut fields = Fields::unscanned(text);
        shapes.read(&mut fields).then_some(fields)
    }

    /// Checks that a record of a known shape has the values that the scanner finds, and returns whether it is one.
    fn agrees(shapes: &Shapes, text: &str) -> bool {
        let Some(fields) = read(shapes, text) else { return false };
        let mut scanned = Fields::unscanned(text);
        scanned.scan().unwrap_or_else(|error| panic!("{text} is taken, but {error:?}"));
        for field in Field::ALL {
            let (found, expected) = (fields.value(field), scanned.value(field));
            match fields.event_type {
                Some(event_type) if field == Field::Type => assert_eq!(types(&expected.text(text)), Some(event_type)),
                _ => assert_eq!(found, expected, "{field:?} of {text}"),
            }
        }
        true
    }

    const VIEW: &str = r#"{"event_id":"1","customer_id":"a","type":"view","time":5,"page":"/x","category":"books"}"#;
    const SEARCH: &str = r#"{"event_id":"2","customer_id":"b","type":"search","time":"t", "extra" : {"a":[1,{}]} } "#;

    #[test]
    fn a_record_of_a_known_shape_has_the_values_of_the_scanner() {
        let shapes = learnt(&[VIEW, SEARCH]);
        assert!(agrees(&shapes, VIEW) && agrees(&shapes, SEARCH));
        let other = r#"{"event_id":"7","customer_id":"\u0061","type":"view","time":null,"page":"","category":"\n"}"#;
        assert!(agrees(&shapes, other));
        // What was a text is of another shape as anything else, and the other way round it is not.
        let other_kinds =
            r#"{"event_id":77,"customer_id":"b","type":"view","time":"t","page":{"a":1},"category":[true,"\n"]}"#;
        assert!(!agrees(&shapes, other_kinds));
        assert!(agrees(&learnt(&[VIEW, other_kinds]), other_kinds));
        assert_eq!(read(&shapes, other).unwrap().event_type, Some(EventType::VIEW));
    }

    #[test]
    fn what_differs_is_left_to_the_scanner() {
        let shapes = learnt(&[VIEW, SEARCH]);
        for text in [
            r#"{"event_id":"1","customer_id":"a","type":"vieW","time":5,"page":"/x","category":"books"}"#,
            r#"{"event_id":"1","customer_id":"a","type":"view","time":5,"page":"/x","category":"books"} "#,
            r#"{"event_id":"1","customer_id":"a","type":"view","time":5,"page":"/x","category":"books"#,
            r#"{"event_id":"1","customer_id":"a","type":"view","time":5,"page":"\x","category":"books"}"#,
            r#"{"event_id":01,"customer_id":"a","type":"view","time":5,"page":"/x","category":"books"}"#,
            r#"{"event_id":"1","customer_id":"a","type":"view","time":5}"#,
            r#"{"event_id":"1","customer_id":"a","type":"view","time":,"page":"/x","category":"books"}"#,
            r#"{"event_id":"1","customer_id":"a","type":"search","time":5,"page":"/x","category":"books"}"#,
            "",
            "{",
        ] {
            assert!(read(&shapes, text).is_none(), "{text}");
        }
    }

    /// Records whose names and punctuation are changed at random, after the record that they were made of was learnt.
    #[test]
    fn what_is_taken_is_what_the_scanner_takes() {
        let mut random = Random::of_test();
        let mut shapes = Shapes::default();
        let mut taken = 0;
        for _ in 0..20_000 {
            let text = some_record(&mut random);
            if Fields::unscanned(&text).scan().is_ok() {
                shapes.learn(&text, types);
            }
            let mut changed = text.into_bytes();
            for _ in 0..random.below(3) {
                let at = random.below(changed.len() as u64) as usize;
                match random.below(3) {
                    0 => drop(changed.remove(at)),
                    1 => changed.insert(at, random.pick(br#"",:{}[]\ 5ae"#)),
                    _ => changed[at] = random.pick(br#"",:{}[]\ 5ae"#),
                }
                if changed.is_empty() {
                    break;
                }
            }
            taken += u32::from(agrees(&shapes, std::str::from_utf8(&changed).expect("ASCII")));
        }
        assert!(taken > 3_000, "only {taken} records were of a known shape");
    }

    /// Mostly few shapes, now and then one of many.
    fn some_record(random: &mut Random) -> String {
        const NAMES: [&str; 9] =
            ["event_id", "customer_id", "time", "amount", "type", "category", "page", "channel", "x"];
        const VALUES: [&str; 10] =
            [r#""a""#, r#""view""#, r#""purchase""#, "5", "-1.5e3", "null", "true", r#"{"a":"b"}"#, "[]", r#""\n""#];
        let first = if random.below(8) == 0 { random.below(9) } else { 0 };
        let count = 1 + random.below(8);
        let space = if random.below(8) == 0 { " " } else { "" };
        let members: Vec<_> = (first..first + count)
            .map(|n| format!("\"{}\":{space}{}", NAMES[n as usize % 9], VALUES[random.below(10) as usize]))
            .collect();
        format!("{{{}}}", members.join(","))
    }

    #[test]
    fn the_tree_is_bounded_and_other_shapes_are_learnt_after_a_while() {
        let mut shapes = learnt(&[VIEW]);
        for n in 0..3_000 {
            shapes.learn(&format!(r#"{{"name{n}":{n},"type":"view"}}"#), types);
            assert!(shapes.nodes.len() <= NODES_MAX);
        }
        shapes.learn(&format!(r#"{{"{}":1}}"#, "x".repeat(200)), types);
        assert!(shapes.refused > 0);
        let last = r#"{"type":"view","time":1}"#;
        let learnt_after = (1..).take_while(|_| {
            shapes.learn(last, types);
            !agrees(&shapes, last)
        });
        assert!(learnt_after.count() as u32 <= FORGET_AFTER * TRIED_ONE_IN);
    }
}
