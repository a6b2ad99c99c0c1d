//! The decoder against the second implementation in [`super::oracle`], on generated records and on records with bytes
//! changed at random: both must return the same event or the same reason.

use super::{Decoder, Partitioner, Source, oracle, partition_of};
use crate::engine::event::{DescriptiveField, Millis, Reason, Record};
use crate::engine::event_settings::{Attribute, AttributeType, Currency, DeclaredKind, DeclaredType, EventSettings};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRng, TestRunner};
use std::cell::RefCell;

const NOW: Millis = 1_763_806_251_000;
const CASES: u32 = 20_000;
/// Occurrences of each outcome among the cases at least.
const SEEN_MIN: u32 = 40;
/// Accepted events at least of which something in a field was left out.
const UNFIT_MIN: u32 = 5;

fn event_settings() -> EventSettings {
    use AttributeType::{Boolean, Number, Text, Texts, Time};
    let kinds = [Text, Number, Boolean, Time, Texts];
    let attributes = ["country", "age", "vip", "signup", "tags"].into_iter().zip(kinds);
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
        2 => "[a-zé€😀]{120,130}".prop_map(|text| format!("\"{text}\"")),
        1 => "[a-z]{250,258}".prop_map(|text| format!("\"{text}\"")),
        8 => one_of(&[r#""\u0061\n\"\\\/""#, r#""\ud83d\ude00""#, r#""\u00E9\t""#]),
        1 => one_of(&[r#""""#, r#""\ud83d""#, r#""\ude00x""#]),
        1 => one_of(&[r#""null""#, r#""GUEST""#, r#""(not set)""#, r#""\u006eone""#, r#""0""#]),
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
        1 => "[1-9][0-9]{0,11}\\.[0-9]{5,60}",
        1 => (0..1_000_u64, 0..50_usize).prop_map(|(whole, nines)| format!("{whole}.004{}", "9".repeat(nines))),
        1 => (0..1_000_u64, 0..50_usize, 0..2).prop_map(|(whole, zeros, end)| format!("{whole}.005{:0zeros$}{end}", 0)),
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
    let written = one_of(&[
        r#""true""#,
        r#""false""#,
        r#""TRUE""#,
        r#""2024-02-29""#,
        r#""2023-02-29""#,
        r#""1899-12-31""#,
        r#""2100-01-01""#,
        r#""\u00324""#,
        "99999999999",
        "100000000000",
        "-100000000000",
        "-2208988800001",
        "[]",
        r#"["gold","silver","gold",""]"#,
        r#"["\u0067old",5,null,["x"]]"#,
    ]);
    let texts = prop::collection::vec(0..60_u32, 0..70);
    let texts = texts.prop_map(|texts| {
        let texts: Vec<_> = texts.into_iter().map(|n| format!("\"tag {n}\"")).collect();
        format!("[{}]", texts.join(","))
    });
    let quoted = json_number().prop_map(|number| format!("\"{number}\""));
    let value = prop_oneof![
        2 => json_text(),
        2 => json_number(),
        1 => one_of(&["null", "true"]),
        2 => time(),
        1 => any_json(),
        3 => written,
        1 => texts,
        1 => quoted,
    ];
    let name = one_of(&["country", "age", "vip", "signup", "tags", "tags", "other", r"\u0061ge"]);
    let member = (name, value).prop_map(|(name, value)| format!("\"{name}\":{value}"));
    prop::collection::vec(member, 0..4).prop_map(|members| format!("{{{}}}", members.join(","))).boxed()
}

fn items() -> BoxedStrategy<String> {
    let category = json_text().prop_map(|text| format!(r#"{{"sku":1,"category":{text},"price":{{}}}}"#));
    let item =
        prop_oneof![6 => category, 1 => one_of(&["{}", r#"{"category":null}"#, r#"{"category":5}"#, "null", "[[]]"])];
    let items = prop::collection::vec(item, 0..12).prop_map(|items| format!("[{}]", items.join(", ")));
    prop_oneof![9 => items, 1 => any_json()].boxed()
}

fn currency() -> BoxedStrategy<String> {
    one_of(&[
        r#""EUR""#,
        r#""USD""#,
        r#""JPY""#,
        r#""KWD""#,
        r#""\u0055SD""#,
        r#""CHF""#,
        r#""usd""#,
        r#""eUr""#,
        r#""""#,
        "978",
        "{}",
        "null",
    ])
}

/// An id of an event or order: mostly a text or an integer.
fn id() -> BoxedStrategy<String> {
    let odd = one_of(&["0", "-0", "-17", "1.0", "1e3", "true", "12345678901234567890123"]);
    let integer = any::<u32>().prop_map(|id| id.to_string());
    prop_oneof![8 => json_text(), 4 => integer, 1 => odd].boxed()
}

/// What only describes: mostly a text.
fn described() -> BoxedStrategy<String> {
    prop_oneof![8 => json_text(), 1 => any_json()].boxed()
}

/// A name and a value that often fits it.
fn field() -> BoxedStrategy<(String, String)> {
    let named =
        |name: &'static str, value: BoxedStrategy<String>| value.prop_map(move |value| (name.to_owned(), value));
    prop_oneof![
        named("event_id", id()),
        named("order_id", id()),
        named("channel", described()),
        named("campaign", described()),
        named("category", described()),
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
    let id = prop_oneof![
        24 => one_of(&[r#""c1""#, r#""\u00631""#]),
        2 => one_of(&["null", "5", r#""""#, "0", "1.5", "{}", r#""Guest""#]),
        1 => json_text()
    ];
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
            if id != "null" {
                fields.push(("customer_id".into(), id));
            }
            fields.extend([("type".into(), event_type), ("time".into(), time)]);
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
    let odd: Vec<Option<&[u8]>> = vec![
        Some(b"c2"),
        Some(b""),
        Some(b"\xFF"),
        Some(b"5"),
        Some(b"null"),
        Some(b"\"c1\""),
        Some(b"\"c1"),
        Some(b"{\"id\": [1]} "),
        Some(b" {}"),
        Some(b"[1]"),
        Some(b"[1"),
        Some(b"c\x7f1"),
        Some(b"\0\0\0\x05"),
    ];
    let key = prop_oneof![9 => Just(None), 9 => Just(Some(b"c1" as &[u8])), 2 => prop::sample::select(odd)];
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
    let unfit = RefCell::new([0_u32; DescriptiveField::ALL.len()]);
    // One decoder for all, so that most records are of shapes that it has learnt.
    let decoder = RefCell::new(Decoder::new(&event_settings));
    let result =
        TestRunner::new_with_rng(config, rng).run(&(record_text(), changes(), origin()), |(text, changes, origin)| {
            let mut decoder = decoder.borrow_mut();
            let _ = decoder.decode(
                &Record { topic: 0, partition: 0, offset: 0, arrival: None, key: None, value: &text },
                &Source::File,
                NOW,
            );
            let value = changed(text, changes);
            let (key, partitioner, off, arrival) = origin;
            let source = if key.is_some() { Source::Kafka { partitioner, partitions: 8 } } else { Source::File };
            let partition = key.map_or(0, |key| partition_of(partitioner, key, 8)) + off as u32;
            let record = Record { topic: 0, partition, offset: 0, arrival, key, value: &value };
            let expected = oracle::judge(&event_settings, &record, &source, NOW);
            let found = decoder.decode(&record, &source, NOW);
            if let Ok(event) = &expected {
                let left_out = |(field, _): (DescriptiveField, _)| u32::from(event.unfit.has_left_out(field));
                DescriptiveField::ALL
                    .map(left_out)
                    .iter()
                    .zip(&mut *unfit.borrow_mut())
                    .for_each(|(is, sum)| *sum += is);
            }
            seen.borrow_mut()[expected.as_ref().map_or_else(|reason| *reason as usize, |_| Reason::ALL.len())] += 1;
            let text = String::from_utf8_lossy(&value);
            prop_assert_eq!(found.map_err(|rejection| rejection.reason), expected, "{}", text);
            Ok(())
        });
    result.unwrap_or_else(|failure| panic!("seed {seed}: {failure}"));
    check_seen(&seen.into_inner());
    for ((field, name), count) in DescriptiveField::ALL.into_iter().zip(unfit.into_inner()) {
        println!("{name} left out: {count}");
        let elsewhere = matches!(field, DescriptiveField::Coupon | DescriptiveField::Properties);
        assert!(elsewhere || count >= UNFIT_MIN, "{name} left out only {count} times");
    }
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
