//! The decoder against the second implementation in [`super::oracle`], on generated records and on records with bytes
//! changed at random: both must return the same event or the same reason.

use super::{Decoder, Partitioner, Source, oracle, partition_of};
use crate::engine::event::{Millis, Reason, Record};
use crate::engine::event_settings::{Attribute, AttributeType, Currency, DeclaredKind, DeclaredType, EventSettings};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRng, TestRunner};
use std::cell::RefCell;

const NOW: Millis = 1_763_806_251_000;
const CASES: u32 = 20_000;
/// Occurrences of each outcome among the cases at least.
const SEEN_MIN: u32 = 40;

fn event_settings() -> EventSettings {
    let kinds = [AttributeType::Text, AttributeType::Number, AttributeType::Boolean, AttributeType::Time];
    let attributes = ["country", "age", "vip", "signup"].into_iter().zip(kinds);
    let rates = [("USD", "0.92"), ("JPY", "0.0061"), ("KWD", "2.815")];
    EventSettings {
        currency: Currency {
            base: "EUR".into(),
            decimals: 2,
            rates: rates.map(|(code, rate)| (code.into(), rate.parse().unwrap())).into(),
        },
        attributes: attributes.map(|(name, kind)| Attribute { name: name.into(), kind, retired: false }).collect(),
        events: vec![DeclaredType { name: "survey".into(), kind: DeclaredKind::Other, retired: false }],
        ..EventSettings::default()
    }
}

/// One of some texts, as JSON.
fn one_of(texts: &'static [&'static str]) -> BoxedStrategy<String> {
    prop::sample::select(texts).prop_map(String::from).boxed()
}

fn json_text() -> BoxedStrategy<String> {
    prop_oneof![
        40 => "[a-z0-9é€😀 -]{1,12}".prop_map(|text| format!("\"{text}\"")),
        2 => "[a-z]{125,130}".prop_map(|text| format!("\"{text}\"")),
        8 => one_of(&[r#""\u0061\n\"\\\/""#, r#""\ud83d\ude00""#, r#""\u00E9\t""#]),
        1 => one_of(&[r#""""#, r#""\ud83d""#, r#""\ude00x""#]),
    ]
    .boxed()
}

fn json_number() -> BoxedStrategy<String> {
    let odd = [
        "0",
        "-0",
        "-0.0",
        "1e5",
        "1E+2",
        "1.5e-3",
        "1e400",
        "1e-400",
        "0e99999999999999999999",
        "-1",
        "1e999999999999",
    ];
    prop_oneof![
        6 => (0..100_000_u64, 0..4_usize).prop_map(|(whole, decimals)| format!("{whole}.{:0decimals$}5", 0)),
        3 => (0..100_000_u64).prop_map(|whole| whole.to_string()),
        1 => prop::sample::select(odd.to_vec()).prop_map(String::from),
        1 => (any::<u64>(), -20..20_i32).prop_map(|(digits, exponent)| format!("{digits}e{exponent}")),
        1 => (any::<u128>(), 0..8_usize).prop_map(|(digits, decimals)| format!("{}.{:0decimals$}9", digits >> 64, 0)),
    ]
    .boxed()
}

fn amount() -> BoxedStrategy<String> {
    let quoted = json_number().prop_map(|number| format!("\"{number}\""));
    let odd = one_of(&[r#""00""#, r#""1.""#, r#"" 1""#, r#""1e""#, r#""+1""#, r#""1,5""#, r#""\u0031.5""#, "null"]);
    prop_oneof![8 => json_number(), 8 => quoted, 2 => odd, 1 => any_json()].boxed()
}

fn any_json() -> BoxedStrategy<String> {
    let scalar = prop_oneof![json_text(), json_number(), one_of(&["null", "true", "false"])];
    let nested = scalar.prop_recursive(3, 16, 4, |inner| {
        let name = one_of(&["a", "b", "c", r"\u0061", "category", "sku"]);
        let list = prop::collection::vec(inner.clone(), 0..4).prop_map(|values| format!("[{}]", values.join(",")));
        let member = (name, inner).prop_map(|(name, value)| format!("\"{name}\" :{value}"));
        prop_oneof![
            list,
            prop::collection::vec(member, 0..4).prop_map(|members| format!("{{{}}}", members.join(" , ")))
        ]
    });
    let deep = (60..70_usize).prop_map(|levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels)));
    prop_oneof![40 => nested, 1 => deep].boxed()
}

fn time() -> BoxedStrategy<String> {
    let near = prop_oneof![5 => NOW - 90_000_000_000..NOW, 1 => NOW - 1_000_000..NOW + 400_000].boxed();
    let text = (
        near.clone(),
        0..5_usize,
        prop::sample::select(vec!["Z", "Z", "Z", "Z", "z", "+01:00", "+01:00", "-23:59", "+24:00", ""]),
    );
    let text = text.prop_map(|(millis, decimals, zone)| {
        let moment = jiff::Timestamp::from_millisecond(millis).unwrap().to_string();
        format!(
            "\"{}{}{zone}\"",
            &moment[..19],
            if decimals > 0 { format!(".{:0decimals$}", 7) } else { String::new() }
        )
    });
    let odd = one_of(&[
        r#""2016-12-31T23:59:60Z""#,
        r#""2025-02-29T00:00:00Z""#,
        r#""2025-02-28 00:00:00Z""#,
        r#""1989-12-31T23:59:59.999Z""#,
        r#""1990-01-01T00:00:00.0000000009Z""#,
        r#""1950-06-01t00:00:00-00:00""#,
        r#""2100-01-01T00:00:00Z""#,
        "0",
        "-5",
        "1763806251",
        "631152000000",
        "4102444800000",
        "99999999999999999999",
        "1763806251000.0",
        "true",
    ]);
    prop_oneof![16 => near.prop_map(|millis| millis.to_string()), 16 => text, 4 => odd, 1 => any_json()].boxed()
}

fn attributes() -> BoxedStrategy<String> {
    let value = prop_oneof![json_text(), json_number(), one_of(&["null", "true"]), time(), any_json()];
    let name = one_of(&["country", "age", "vip", "signup", "other", r"\u0061ge"]);
    let member = (name, value).prop_map(|(name, value)| format!("\"{name}\":{value}"));
    prop::collection::vec(member, 0..4).prop_map(|members| format!("{{{}}}", members.join(","))).boxed()
}

fn items() -> BoxedStrategy<String> {
    let category = json_text().prop_map(|text| format!(r#"{{"sku":1,"category":{text},"price":{{}}}}"#));
    let item = prop_oneof![6 => category, 1 => one_of(&["{}", r#"{"category":null}"#, r#"{"category":5}"#, "null"])];
    prop::collection::vec(item, 0..12).prop_map(|items| format!("[{}]", items.join(", "))).boxed()
}

fn currency() -> BoxedStrategy<String> {
    one_of(&[r#""EUR""#, r#""USD""#, r#""JPY""#, r#""KWD""#, r#""\u0055SD""#, r#""CHF""#, r#""usd""#, "null"])
}

/// A name and a value that often fits it.
fn field() -> BoxedStrategy<(String, String)> {
    let named =
        |name: &'static str, value: BoxedStrategy<String>| value.prop_map(move |value| (name.to_owned(), value));
    prop_oneof![
        named("event_id", json_text()),
        named("order_id", json_text()),
        named("channel", json_text()),
        named("campaign", json_text()),
        named("category", json_text()),
        named("currency", currency()),
        named("currency", currency()),
        named("amount", amount()),
        named("discount", amount()),
        named("cart_total", amount()),
        named("cost", amount()),
        named("items", items()),
        named("attributes", attributes()),
        named("unknown", any_json()),
    ]
    .boxed()
}

/// The text of a record: mostly a whole event, its fields in any order.
fn record_text() -> impl Strategy<Value = Vec<u8>> {
    let id =
        prop_oneof![24 => one_of(&[r#""c1""#, r#""\u00631""#]), 1 => one_of(&["null", "5", r#""""#]), 1 => json_text()];
    let types = one_of(&[
        r#""purchase""#,
        r#""purchase""#,
        r#""purchase""#,
        r#""refund""#,
        r#""refund""#,
        r#""cancel""#,
        r#""amend""#,
        r#""view""#,
        r#""cart_add""#,
        r#""cart_remove""#,
        r#""checkout""#,
        r#""exposure""#,
        r#""profile""#,
        r#""profile""#,
        r#""erase""#,
        r#""opt_in""#,
        r#""survey""#,
        r#""se\u0061rch""#,
        r#""nothing""#,
        "1",
    ]);
    let fields = prop::collection::vec(field(), 0..7);
    (id, types, time(), prop::option::weighted(0.9, amount()), fields, any::<prop::sample::Index>()).prop_map(
        |(id, event_type, time, amount, mut fields, rotation)| {
            let names = fields.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
            // Repeated names are one fault among many, so most are removed.
            let mut count = 0;
            fields.retain(|(name, _)| {
                count += 1;
                !names[..count - 1].contains(name) || name == "unknown"
            });
            fields.extend([("customer_id".into(), id), ("type".into(), event_type), ("time".into(), time)]);
            if let Some(amount) = amount.filter(|_| fields.iter().all(|(name, _)| !name.ends_with("amount"))) {
                fields.push(("amount".into(), amount));
            }
            let rotation = rotation.index(fields.len());
            fields.rotate_left(rotation);
            let members: Vec<_> = fields.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
            format!("{{{}}}", members.join(",")).into_bytes()
        },
    )
}

/// A change of bytes: the offset, the number of removed bytes, and the inserted bytes.
type Change = (prop::sample::Index, usize, Vec<u8>);

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let structural = prop::sample::select(b"\"{}[],:\\ud8eE+-.019 \n\tntf".to_vec());
    let byte = prop_oneof![6 => structural, 1 => any::<u8>()];
    let change = (any::<prop::sample::Index>(), 0..3_usize, prop::collection::vec(byte, 0..3));
    prop_oneof![5 => Just(Vec::new()), 1 => prop::collection::vec(change, 1..4)]
}

fn changed(mut text: Vec<u8>, changes: Vec<Change>) -> Vec<u8> {
    for (offset, removed, new) in changes {
        let start = offset.index(text.len() + 1);
        let end = (start + removed).min(text.len());
        text.splice(start..end, new);
    }
    text
}

/// Where a record comes from: a file, or a topic with a key and a partition that mostly fit.
fn origin() -> impl Strategy<Value = (Option<&'static [u8]>, Partitioner, i8, Option<Millis>)> {
    let odd: Vec<Option<&[u8]>> = vec![Some(b"c2"), Some(b""), Some(b"\xFF")];
    let key = prop_oneof![9 => Just(None), 9 => Just(Some(b"c1" as &[u8])), 1 => prop::sample::select(odd)];
    let partitioners = vec![Partitioner::Murmur2, Partitioner::Crc32, Partitioner::Any];
    let arrival = prop_oneof![Just(None), Just(Some(NOW - 1_000_000)), Just(Some(NOW + 1_000_000))];
    (key, prop::sample::select(partitioners), prop_oneof![9 => Just(0_i8), 1 => Just(1)], arrival)
}

#[test]
fn agrees_with_serde_json() {
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    println!("seed {seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(Config::default().rng_algorithm, &bytes);
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let (event_settings, seen) = (event_settings(), RefCell::new([0_u32; Reason::ALL.len() + 1]));
    let decoder = Decoder::new(&event_settings);
    let result =
        TestRunner::new_with_rng(config, rng).run(&(record_text(), changes(), origin()), |(text, changes, origin)| {
            let value = changed(text, changes);
            let (key, partitioner, off, arrival) = origin;
            let source = if key.is_some() { Source::Kafka { partitioner, partitions: 8 } } else { Source::File };
            let partition = key.map_or(0, |key| partition_of(partitioner, key, 8)) + off as u32;
            let record = Record { topic: 0, partition, offset: 0, arrival, key, value: &value };
            let expected = oracle::judge(&event_settings, &record, &source, NOW);
            let found = decoder.decode(&record, &source, NOW);
            seen.borrow_mut()[expected.as_ref().map_or_else(|reason| *reason as usize, |_| Reason::ALL.len())] += 1;
            let text = String::from_utf8_lossy(&value);
            prop_assert_eq!(found.map_err(|rejection| rejection.reason), expected, "{}", text);
            Ok(())
        });
    result.unwrap_or_else(|failure| panic!("seed {seed}: {failure}"));
    check_seen(&seen.into_inner());
}

/// Checks that every outcome occurred often.
fn check_seen(seen: &[u32; Reason::ALL.len() + 1]) {
    for (reason, name) in Reason::ALL {
        println!("{name}: {}", seen[reason as usize]);
        let elsewhere = matches!(reason, Reason::TooLarge | Reason::Crash);
        assert!(elsewhere || seen[reason as usize] >= SEEN_MIN, "{name} only {} times", seen[reason as usize]);
    }
    println!("accepted: {}", seen[Reason::ALL.len()]);
    assert!(seen[Reason::ALL.len()] >= CASES / 20);
}
