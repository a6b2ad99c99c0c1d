//! The encoder against a naive one that gives every value to `serde_json`: changes with their headers made of random
//! effects, memberships of a shard that gets random events.

use crate::engine::decode::Source;
use crate::engine::effects::{Because, Cause, Change, Effects, Feature, Next, Run, Scalar, Span, Touched, Trigger};
use crate::engine::event::{DAY, Millis, Record};
use crate::engine::profile::{HeldValue, split_set};
use crate::engine::rule::{self, Direction, Truth, Value};
use crate::engine::shard::{Bootstrap, Input, Settings, Shard};
use crate::random::Random;
use crate::worker::transaction::outbox::{DetectedAt, Outbox, Output, OutputHeaders, Topic};
use serde::Serialize;
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_128;

const TOPICS: [&str; 3] = ["events", "a \"topic\"", "orders"];
/// When the random events begin: 2020-01-01.
const START: Millis = 1_577_836_800_000;
const SOURCE: &str = "/shoal/grüße";

fn outbox() -> Outbox {
    Outbox::new(TOPICS.map(str::to_owned).to_vec(), SOURCE, DetectedAt::WallClock)
}

fn json(value: impl Serialize) -> String {
    serde_json::to_string(&value).unwrap()
}

fn moment(time: Millis) -> String {
    jiff::Timestamp::from_millisecond(time).unwrap().strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// An object of fields that are JSON already, in this order.
fn object(fields: &[(&str, String)]) -> String {
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{}:{value}", json(name))).collect();
    format!("{{{}}}", fields.join(","))
}

fn scalar(value: Scalar, effects: &Effects) -> String {
    match value {
        Scalar::Null => json(()),
        Scalar::Integer(number) => json(number),
        Scalar::Money(minor, decimals) => {
            let money = rust_decimal::Decimal::from_i128_with_scale(minor.into(), decimals);
            json(format!("{money:.*}", decimals as usize))
        }
        Scalar::Double(number) => json(number),
        Scalar::Text(span) => json(effects.text(span)),
        Scalar::Boolean(boolean) => json(boolean),
        Scalar::Time(time) => json(moment(time)),
        Scalar::Texts(set) => json(split_set(effects.text(set)).collect::<Vec<_>>()),
    }
}

fn features(features: Run, effects: &Effects) -> String {
    let features = features.of(&effects.features).iter();
    object(&features.map(|feature| (effects.text(feature.name), scalar(feature.value, effects))).collect::<Vec<_>>())
}

fn truth(truth: Truth) -> Option<bool> {
    match truth {
        Truth::True => Some(true),
        Truth::False => Some(false),
        Truth::Null => None,
    }
}

fn change(change: &Change, effects: &Effects) -> String {
    let text = |span: Span| json(effects.text(span));
    let optional = |span: Option<Span>| span.map_or(json(()), text);
    let because = change.because.of(&effects.because).iter().map(|because| {
        object(&[
            ("rule", text(because.rule)),
            ("value", scalar(because.value, effects)),
            ("was", json(truth(because.was))),
            ("now", json(truth(because.now))),
        ])
    });
    let trigger = |trigger: Trigger| {
        object(&[
            ("topic", json(TOPICS[usize::from(trigger.topic)])),
            ("partition", json(trigger.partition)),
            ("offset", json(trigger.offset)),
            ("event_id", optional(trigger.event_id)),
            ("type", text(trigger.event_type)),
            ("time", json(moment(trigger.time))),
        ])
    };
    let mut fields = vec![
        ("schema", json(1)),
        ("customer_id", text(change.customer_id)),
        ("life", json(change.life)),
        ("sequence", json(change.sequence)),
        ("segmentation", text(change.segmentation)),
        ("from", optional(change.from)),
        ("from_since", json(change.from_since.map(moment))),
        ("to", optional(change.to)),
        ("cause", json(change.cause.name())),
    ];
    if change.is_fill {
        fields.push(("fill", json(true)));
    }
    fields.extend([
        ("effective_at", json(moment(change.effective_at))),
        ("detected_at", json(moment(change.detected_at))),
        ("trigger", change.trigger.map_or(json(()), trigger)),
        ("because", format!("[{}]", because.collect::<Vec<_>>().join(","))),
        ("next", change.next.map_or(json(()), |next| object(&[("to", text(next.to)), ("at", json(moment(next.at)))]))),
        ("features", features(change.features, effects)),
        ("rules_version", text(change.rules_version)),
        ("cuts_version", json(())),
    ]);
    object(&fields)
}

fn headers(which: OutputHeaders, change: &Change, effects: &Effects) -> Vec<(&'static str, String)> {
    if which == OutputHeaders::None {
        return Vec::new();
    }
    let text = |span: Span| effects.text(span).to_owned();
    let (life, sequence) = (change.life.to_be_bytes(), change.sequence.to_be_bytes());
    let names = [text(change.customer_id), "\0".into(), text(change.segmentation), "\0".into()].concat();
    let mut headers = vec![
        ("ce_specversion", "1.0".to_owned()),
        ("ce_id", format!("{:032x}", xxh3_128(&[names.as_bytes(), &life, &sequence].concat()))),
        ("ce_type", "shoal.segment.changed.v1".to_owned()),
        ("ce_source", SOURCE.to_owned()),
        ("content-type", "application/json".to_owned()),
    ];
    if which == OutputHeaders::CloudEvents {
        return headers;
    }
    headers.extend([
        ("ce_subject", text(change.customer_id)),
        ("ce_time", moment(change.effective_at)),
        ("ce_segmentation", text(change.segmentation)),
    ]);
    headers.extend(change.from.map(|from| ("ce_from", text(from))));
    headers.extend(change.to.map(|to| ("ce_to", text(to))));
    headers.push(("ce_cause", change.cause.name().to_owned()));
    headers
}

/// A text of up to 20 characters, with and without such as need escapes.
fn random_text(random: &mut Random) -> String {
    let odd = ['"', '\\', '\0', '\n', '\u{7f}', 'é', '字', '😀', '/'];
    let is_odd = random.chance(30);
    let letter = |random: &mut Random| match is_odd && random.one_in(5) {
        true => random.pick(&odd),
        false => random.pick(&['a', 'Z', '_', '7', ' ', '-']),
    };
    (0..random.below(20)).map(|_| letter(random)).collect()
}

fn random_value(random: &mut Random, effects: &mut Effects) -> Scalar {
    let text = random_text(random);
    // As `split_set` reads it: each text after a character whose code is its length.
    let with_length = |text: String| format!("{}{text}", char::from(text.len() as u8));
    let set: String = (0..random.below(4)).map(|_| with_length(random_text(random))).collect();
    let number = (random.draw() as i64) >> random.below(64);
    effects.keep_value(match random.below(9) {
        0 => Value::Null,
        1 => Value::Integer(number),
        2 => Value::Money(number, random.below(5) as u32),
        3 => Value::Double(f64::from_bits(random.draw())),
        4 => Value::Double(number as f64 / random.pick(&[1.0, 86_400_000.0])),
        5 => Value::Text(&text),
        6 => Value::Boolean(random.one_in(2)),
        7 => Value::Time(random.between(-62_000_000_000_000, 250_000_000_000_000)),
        _ => Value::Texts(&set),
    })
}

fn random_effects(random: &mut Random) -> Effects {
    let mut effects = Effects::default();
    let moments: Vec<Millis> = (0..4).map(|_| random.between(0, 2_000_000_000_000)).collect();
    for _ in 0..random.below(6) {
        let start = effects.features.len();
        for _ in 0..random.below(4) {
            let name = effects.keep(&random_text(random));
            let value = random_value(random, &mut effects);
            effects.features.push(Feature { name, value });
        }
        let features = effects.features_since(start);
        let trigger = random.chance(70).then(|| Trigger {
            topic: random.below(3) as u16,
            partition: random.draw() as u32 >> random.below(32),
            offset: random.draw() as i64 >> random.between(1, 64),
            event_id: random.one_in(2).then(|| effects.keep(&random_text(random))),
            event_type: effects.keep(&random_text(random)),
            time: random.pick(&moments),
        });
        let customer_id = effects.keep(&random_text(random));
        let rules_version = effects.keep(&random_text(random));
        let (at, life) = (random.pick(&moments), random.between(-1, 1 << 42));
        for sequence in 1..=random.below(3) {
            let start = effects.because.len();
            for _ in 0..random.below(3) {
                let rule = effects.keep(&random_text(random));
                let value = random_value(random, &mut effects);
                let mut truth = || random.pick(&[Truth::True, Truth::False, Truth::Null]);
                effects.because.push(Because { rule, value, was: truth(), now: truth() });
            }
            let because = effects.because_since(start);
            let change = Change {
                customer_id,
                life,
                sequence: random.draw() as u32 >> random.below(32) | sequence as u32,
                segmentation: effects.keep(&random_text(random)),
                from: random.chance(70).then(|| effects.keep(&random_text(random))),
                from_since: random.chance(70).then(|| random.pick(&moments)),
                to: random.chance(70).then(|| effects.keep(&random_text(random))),
                cause: random.pick(&Cause::ALL).0,
                is_fill: random.one_in(4),
                effective_at: at,
                detected_at: random.pick(&moments),
                trigger,
                because,
                next: random.one_in(2).then(|| Next { to: effects.keep(&random_text(random)), at: at + DAY }),
                features: if random.chance(90) { features } else { Run::EMPTY },
                rules_version,
                direction: Direction::None,
                is_return: false,
            };
            effects.changes.push(change);
        }
        effects.touched.push(Touched { customer_id, effective_at: at, is_gone: false, features });
    }
    effects
}

fn header_values<'a>(output: &Output<'a>) -> Vec<(&'static str, String)> {
    let text = |value: &'a [u8]| std::str::from_utf8(value).unwrap().to_owned();
    output.headers().map(|(name, value)| (name, text(value))).collect()
}

#[test]
fn changes_are_those_of_a_naive_encoder() {
    let mut random = Random::of_test();
    let (mut outbox, mut compared) = (outbox(), 0);
    for _ in 0..3_000 {
        let effects = random_effects(&mut random);
        let which = random.pick(&[OutputHeaders::All, OutputHeaders::CloudEvents, OutputHeaders::None]);
        outbox = outbox.with_headers(which);
        outbox.encode(&effects, &[]);
        assert_eq!(outbox.outputs().len(), effects.changes.len());
        for (output, expected) in outbox.outputs().zip(&effects.changes) {
            let value = std::str::from_utf8(output.value.unwrap()).unwrap();
            assert_eq!(value, change(expected, &effects));
            assert_eq!(output.key, effects.text(expected.customer_id).as_bytes());
            assert_eq!((output.topic, header_values(&output)), (Topic::Changes, headers(which, expected, &effects)));
            compared += 1;
        }
        outbox.clear();
        assert_eq!(outbox.bytes(), 0);
    }
    assert!(compared > 3_000, "{compared}");
}

#[test]
fn the_headers_of_a_change_are_those_that_are_configured() {
    let mut random = Random::of_test();
    let effects = std::iter::repeat_with(|| random_effects(&mut random))
        .find(|effects| matches!(effects.changes[..], [Change { trigger: Some(_), .. }, ..]))
        .expect("one of them");
    let traceparent = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".as_slice();
    let names = |outbox: Outbox| {
        let mut outbox = outbox;
        outbox.encode_traced(&effects, &[], &|_, _| Some(traceparent));
        let change = outbox.outputs().next().expect("a change");
        change.headers().map(|(name, _)| name).collect::<Vec<_>>()
    };
    let required = ["ce_specversion", "ce_id", "ce_type", "ce_source", "content-type"];
    assert_eq!(names(outbox()), [required.as_slice(), &["traceparent"]].concat(), "the default");
    assert_eq!(names(outbox().with_headers(OutputHeaders::CloudEvents)), names(outbox()));
    assert_eq!(names(outbox().with_headers(OutputHeaders::None)), [""; 0]);
    let all = names(outbox().with_headers(OutputHeaders::All));
    assert!(all.starts_with(&required) && all.ends_with(&["ce_cause", "traceparent"]), "{all:?}");
}

const RULES: &str = r#"
include = ["orders", "inactive_days", "last_order_at", "revenue"]

[segmentation.life]
segments = [{ name = "loyal", when = "orders >= 2" }, { name = "new", when = "orders = 1" }, { name = "none" }]

[segmentation.pace]
segments = [{ name = "fast", when = "orders_7d >= 2" }, { name = "slow" }]

[audience.recent]
when = "inactive_days < 3"

[audience.browsing]
when = "views_7d >= 2"
"#;
/// The same customers with other targets.
const OTHER_RULES: &str = "[audience.only]\nwhen = \"orders >= 1\"\n";

/// What is known of a customer whose membership is due.
struct Due {
    effective_at: Millis,
    is_gone: bool,
    features: String,
}

fn membership(shard: &Shard, id: &str, due: &Due) -> Option<String> {
    let row = shard.find(id).filter(|_| !due.is_gone)?;
    let (rules, profile, mut held) = (shard.rules(), shard.profiles().row(row), Vec::new());
    shard.profiles().held(row, &mut held);
    let since = |held: &HeldValue| ("since", json(moment(held.since)));
    let (mut segments, mut audiences) = (Vec::new(), Vec::new());
    for (target, held) in rules.targets.iter().zip(&held) {
        if target.is_audience() {
            audiences.push((target.name.as_str(), object(&[("in", json(held.value == rule::IN)), since(held)])));
        } else {
            let name = (held.value != HeldValue::NULL).then(|| target.value_name(held.value));
            segments.push((target.name.as_str(), object(&[("value", json(name)), since(held)])));
        }
    }
    Some(object(&[
        ("customer_id", json(id)),
        ("life", json(profile.life)),
        ("sequence", json(profile.sequence)),
        ("effective_at", json(moment(due.effective_at))),
        ("rules_version", json(&rules.version)),
        ("cuts_version", json(())),
        ("segments", object(&segments)),
        ("audiences", object(&audiences)),
        ("features", due.features.clone()),
    ]))
}

/// Applies an input, and notes whose membership is due.
fn apply(
    shard: &mut Shard,
    outbox: &mut Outbox,
    input: Input<'_>,
    records: &[Record<'_>],
    due: &mut Vec<(String, Due)>,
) {
    let mut effects = Effects::default();
    shard.apply(input, &mut effects);
    outbox.encode(&effects, records);
    for touched in &effects.touched {
        let id = effects.text(touched.customer_id).to_owned();
        let new = Due {
            effective_at: touched.effective_at,
            is_gone: touched.is_gone,
            features: features(touched.features, &effects),
        };
        match due.iter_mut().find(|(known, _)| *known == id) {
            Some((_, due)) => *due = new,
            None => due.push((id, new)),
        }
    }
}

#[test]
fn memberships_are_those_of_a_naive_encoder() {
    let mut random = Random::of_test();
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    for _ in 0..60 {
        let bootstrap =
            random.pick(&[Bootstrap::Membership, Bootstrap::Membership, Bootstrap::Changes, Bootstrap::Nothing]);
        let publish_from = random.chance(75).then_some(START + 10 * DAY);
        let settings = Settings { source: Source::File, publish_from, bootstrap };
        let mut shard = Shard::new(settings, rule::read(RULES).unwrap());
        let (mut outbox, mut now) = (outbox(), START);
        for _ in 0..60 {
            let mut due = Vec::new();
            for _ in 0..random.between(1, 4) {
                now += random.between(1, DAY);
                let lines: Vec<String> = (0..random.between(1, 8)).map(|_| random_event(&mut random, now)).collect();
                let records: Vec<Record<'_>> = lines.iter().map(|line| record(line)).collect();
                let input = Input::Records { now, records: &records };
                apply(&mut shard, &mut outbox, input, &records, &mut due);
                while shard.has_due() {
                    apply(&mut shard, &mut outbox, Input::Fire(4), &[], &mut due);
                }
            }
            compare(&shard, &mut outbox, &due, &mut seen);
            if random.one_in(20) {
                let mut due = Vec::new();
                let rules = rule::read(random.pick(&[RULES, OTHER_RULES])).unwrap();
                apply(&mut shard, &mut outbox, Input::Rules(rules), &[], &mut due);
                while shard.sweeping() {
                    apply(&mut shard, &mut outbox, Input::Sweep { now, customers: 3 }, &[], &mut due);
                }
                compare(&shard, &mut outbox, &due, &mut seen);
            }
        }
    }
    println!("{seen:?}");
    assert!(["gone", "of a change", "alone"].iter().all(|kind| seen.contains_key(kind)), "{seen:?}");
}

fn record(line: &str) -> Record<'_> {
    Record { topic: 0, partition: 0, offset: 0, arrival: None, key: None, value: line.as_bytes() }
}

fn random_event(random: &mut Random, now: Millis) -> String {
    let id = json(random.pick(&["anna", "a \"b\"", "züri", "c-1042", "ein Kunde mit sehr langem Namen"]));
    let event_type = match random.below(40) {
        0 => "erase",
        1 => "opt_out",
        2 => "opt_in",
        3..20 => "purchase",
        _ => "view",
    };
    let time = moment(now - random.pick(&[0, 1, DAY, 5 * DAY]));
    format!(r#"{{"customer_id":{id},"type":"{event_type}","time":"{time}","amount":{}}}"#, random.below(900))
}

/// Compares the memberships at the end of a transaction, and begins the next.
fn compare(shard: &Shard, outbox: &mut Outbox, due: &[(String, Due)], seen: &mut BTreeMap<&str, u32>) {
    let changed: Vec<Vec<u8>> =
        outbox.outputs().filter(|output| output.topic == Topic::Changes).map(|output| output.key.to_vec()).collect();
    outbox.encode_memberships(shard);
    let memberships: Vec<Output<'_>> = outbox.outputs().filter(|output| output.topic == Topic::Membership).collect();
    assert_eq!(memberships.len(), due.len());
    for (output, (id, due)) in memberships.iter().zip(due) {
        assert_eq!(std::str::from_utf8(output.key).unwrap(), id);
        assert_eq!(
            output.value.map(|value| std::str::from_utf8(value).unwrap().to_owned()),
            membership(shard, id, due)
        );
        assert_eq!(output.headers().count(), 0);
        let kind = match output.value {
            None => "gone",
            Some(_) if changed.contains(&id.as_bytes().to_vec()) => "of a change",
            Some(_) => "alone",
        };
        *seen.entry(kind).or_default() += 1;
    }
    outbox.clear();
}
