//! Every reason of E1 by itself, and several faults at once for their order. [`content`] has the fields of each type of
//! event.

mod content;

use super::*;
use crate::engine::event::MINUTE;
use crate::engine::event_settings::{AttributeType, Currency, DeclaredKind, DeclaredType};

const NOW: Millis = 1_763_806_251_000; // 2025-11-22T10:10:51Z
const KAFKA: Source = Source::Kafka { partitioner: Partitioner::Murmur2, partitions: 8 };

fn event_settings() -> EventSettings {
    let attribute = |name: &str, kind| Attribute { name: name.into(), kind, retired: false };
    EventSettings {
        currency: Currency { base: "EUR".into(), decimals: 2, rates: vec![("USD".into(), "0.92".parse().unwrap())] },
        attributes: vec![
            attribute("country", AttributeType::Text),
            attribute("age", AttributeType::Number),
            attribute("vip", AttributeType::Boolean),
            attribute("signup", AttributeType::Time),
            attribute("tags", AttributeType::Texts),
        ],
        events: vec![DeclaredType { name: "survey".into(), kind: DeclaredKind::Other, retired: false }],
        ..EventSettings::default()
    }
}

fn line(value: &[u8]) -> Record<'_> {
    Record { topic: 0, partition: 0, offset: 0, arrival: None, key: None, value }
}

fn decode(value: &str) -> Result<Event<'_>, Rejection> {
    Decoder::new(&event_settings()).decode(&line(value.as_bytes()), &Source::File, NOW)
}

/// An event of customer `c` at [`NOW`] with further fields.
fn event_text(event_type: &str, fields: &str) -> String {
    format!(r#"{{"customer_id":"c","type":"{event_type}","time":{NOW}{fields}}}"#)
}

#[track_caller]
fn check_rejected(value: &str, reason: Reason) {
    match decode(value) {
        Ok(event) => panic!("{value}: expected {reason:?}, found {event:?}"),
        Err(rejection) => {
            assert_eq!(rejection.reason, reason, "{value}: {}", rejection.message);
            assert!(rejection.message.contains("expected") || reason == Reason::TimeFuture, "{}", rejection.message);
        }
    }
}

#[track_caller]
fn check_fields(event_type: &str, fields: &str, reason: Reason) {
    check_rejected(&event_text(event_type, fields), reason);
}

#[track_caller]
fn check_key(key: Option<&[u8]>, partition: u32, value: &str, expected: Result<&str, Reason>) {
    let record = Record { key, partition, arrival: Some(NOW), ..line(value.as_bytes()) };
    let result = Decoder::new(&event_settings()).decode(&record, &KAFKA, NOW);
    let result = result.map(|event| event.customer_id.into_owned()).map_err(|rejection| rejection.reason);
    assert_eq!(result.as_deref().map_err(|reason| *reason), expected, "{key:?} {value}");
}

#[test]
fn too_large() {
    let text = event_text("search", "");
    let padded = |bytes: usize| text.clone() + &" ".repeat(bytes - text.len());
    assert!(decode(&padded(RECORD_BYTES_MAX)).is_ok());
    check_rejected(&padded(RECORD_BYTES_MAX + 1), Reason::TooLarge);
}

#[test]
fn not_one_json_object() {
    for text in [
        "",
        " ",
        "null",
        "[]",
        "5",
        "{",
        "}",
        "{}{}",
        "{} x",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":+1}",
        "{\"a\":-}",
        "{\"a\":1e}",
        "{\"a\":NaN}",
        "{\"a\":tru}",
        "{\"a\":nullx}",
        "{\"a\":[1,]}",
        "{\"a\":[,1]}",
        "{\"a\":[1}",
        "{\"a\":\"x}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":\"tab\there\"}",
        "{\"a\":\"nul\0\"}",
        "\u{feff}{}",
        "{,}",
        "\0",
    ] {
        check_rejected(text, Reason::Decode);
    }
    let not_utf8 = [b"{\"a\":\"" as &[u8], &[0xFF], b"\"}"].concat();
    let rejection = Decoder::new(&event_settings()).decode(&line(&not_utf8), &Source::File, NOW).unwrap_err();
    assert_eq!(rejection.reason, Reason::Decode);
}

#[test]
fn white_space_of_json_is_accepted() {
    let text =
        format!(" \r\n\t{{ \"customer_id\" : \"c\" , \"type\":\t\"search\" , \"time\" : {NOW} , \"x\" : [ ] }} \r\n");
    assert!(decode(&text).is_ok());
}

#[test]
fn a_name_twice_at_any_depth() {
    for fields in [
        r#","time":1"#,
        r#","tim\u0065":1"#,
        r#","a":1,"a":1"#,
        r#","a":1,"\u0061":1"#,
        r#","\u0061":1,"a":1"#,
        r#","a":null,"a":null"#,
        r#","x":{"a":1,"b":2,"a":3}"#,
        r#","x":[[{"y":{"a":1,"\u0061":3}}]]"#,
        r#","amount":null,"amount":null"#,
    ] {
        check_fields("search", fields, Reason::Decode);
    }
    assert!(decode(&event_text("search", r#","x":{"a":{"a":1},"A":2},"y":[{"a":1},{"a":1}],"a":1"#)).is_ok());
}

#[test]
fn many_names_are_not_slow_and_still_told_apart() {
    let names: Vec<String> = (0..6_000).map(|n| format!("\"{n}\":1")).collect();
    assert!(decode(&event_text("search", &format!(",\"x\":{{{}}}", names.join(",")))).is_ok());
    check_fields("search", &format!(",\"x\":{{{},\"5999\":1}}", names.join(",")), Reason::Decode);
    check_fields("search", &format!(",\"x\":{{{},\"\\u0030\":1}}", names.join(",")), Reason::Decode);
}

#[test]
fn depth() {
    let nested = |levels: usize| format!(",\"x\":{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(decode(&event_text("search", &nested(63))).is_ok());
    check_fields("search", &nested(64), Reason::Decode);
    let objects = |levels: usize| format!(",\"x\":{}1{}", "{\"x\":".repeat(levels), "}".repeat(levels));
    assert!(decode(&event_text("search", &objects(63))).is_ok());
    check_fields("search", &objects(64), Reason::Decode);
    check_fields("search", &nested(30_000), Reason::Decode);
}

#[test]
fn surrogates() {
    for text in [r"\ud800", r"\udc00", r"\ud800\ud800", r"\ud800x", r"\ud800\n", r"\udc00\ud800", r"\uD83D\u0041"] {
        check_fields("search", &format!(",\"x\":\"{text}\""), Reason::Decode);
        check_fields("search", &format!(",\"{text}\":1"), Reason::Decode);
    }
    let text = event_text("search", r#","channel":"\ud83d\ude00 \u00e9\u20AC\"\\\/\b\f\n\r\t""#);
    assert_eq!(decode(&text).unwrap().channel.as_deref(), Some("😀 é€\"\\/\u{8}\u{c}\n\r\t"));
}

#[test]
fn key() {
    let of = |id: &str| format!(r#"{{"type":"search","time":{NOW}{id}}}"#);
    for id in ["", r#","customer_id":null"#, r#","customer_id":5.0"#, r#","customer_id":"""#, r#","customer_id":["c"]"#]
    {
        check_rejected(&of(id), Reason::Key);
    }
    let long = |bytes: usize| of(&format!(",\"customer_id\":\"{}\"", "x".repeat(bytes)));
    assert_eq!(decode(&long(256)).unwrap().customer_id.len(), 256);
    check_rejected(&long(257), Reason::Key);

    let partition = partition_of(Partitioner::Murmur2, b"c", 8);
    check_key(Some(b"c"), partition, &of(""), Ok("c"));
    check_key(Some(b"c"), partition, &of(r#","customer_id":null"#), Ok("c"));
    check_key(Some(b"c"), partition, &of(r#","customer_id":"\u0063""#), Ok("c"));
    check_key(Some(b"c"), partition, &of(r#","customer_id":"d""#), Err(Reason::Key));
    check_key(Some(b"c"), partition, &of(r#","customer_id":1"#), Err(Reason::Key));
    check_key(None, partition, &of(r#","customer_id":"c""#), Err(Reason::Key));
    check_key(Some(b""), partition, &of(""), Err(Reason::Key));
    check_key(Some(&[0xFF]), partition, &of(""), Err(Reason::Key));
    check_key(Some(&[b'x'; 257]), partition, &of(""), Err(Reason::Key));
}

#[test]
fn keys_that_are_no_plain_ids() {
    let check = |key: &[u8], field: &str, expected| {
        let partition = partition_of(Partitioner::Murmur2, key, 8);
        check_key(Some(key), partition, &format!(r#"{{"type":"search","time":{NOW}{field}}}"#), expected);
    };
    for key in [b"\"c\"" as &[u8], b"{\"id\":5}", b"[\"c\"]", b"c\n", b"\0\0\0\x05", b"c\x7f", b"\xFF\xFE"] {
        check(key, "", Err(Reason::Key));
    }
    // The same text in the record says that it is meant.
    check(b"\"c\"", r#","customer_id":"\"c\"""#, Ok("\"c\""));
    check(b"c\n", r#","customer_id":"c\n""#, Ok("c\n"));
    for key in ["\"c", "{c}", "[c", "17", "c d", "c=1"] {
        check(key.as_bytes(), "", Ok(key));
    }
    check(b"17", r#","customer_id":17"#, Ok("17"));
    check(b"017", r#","customer_id":17"#, Err(Reason::Key));
}

#[test]
fn placeholders_are_no_customers() {
    let of = |id: &str| format!(r#"{{"type":"search","time":{NOW},"customer_id":{id}}}"#);
    for id in [r#""null""#, r#""Guest""#, r#""(not set)""#, r#""[object Object]""#, r#""\u0030""#, "0"] {
        check_rejected(&of(id), Reason::Key);
    }
    for id in [r#""guests""#, r#""nil""#, "-0", "10"] {
        assert!(decode(&of(id)).is_ok(), "{id}");
    }
    let partition = partition_of(Partitioner::Murmur2, b"NaN", 8);
    check_key(Some(b"NaN"), partition, &format!(r#"{{"type":"search","time":{NOW}}}"#), Err(Reason::Key));
    let own = EventSettings { placeholders: vec!["nil".into()], ..event_settings() };
    let decode = |id: &str| {
        let text = of(id);
        let result = Decoder::new(&own).decode(&line(text.as_bytes()), &Source::File, NOW);
        result.map(|event| event.customer_id.into_owned()).map_err(|rejection| rejection.reason)
    };
    assert_eq!(decode(r#""NIL""#), Err(Reason::Key));
    assert_eq!(decode(r#""guest""#).as_deref(), Ok("guest"));
    assert_eq!(decode(r#""""#), Err(Reason::Key));
}

#[test]
fn partition() {
    let text = event_text("search", "");
    let of = |partitioner, partition| {
        let record = Record { key: Some(b"c"), partition, arrival: Some(NOW), ..line(text.as_bytes()) };
        let source = Source::Kafka { partitioner, partitions: 8 };
        Decoder::new(&event_settings()).decode(&record, &source, NOW).map(|_| ()).map_err(|rejection| rejection.reason)
    };
    for partitioner in [Partitioner::Murmur2, Partitioner::Crc32] {
        let right = partition_of(partitioner, b"c", 8);
        assert_eq!(of(partitioner, right), Ok(()));
        assert_eq!(of(partitioner, (right + 1) % 8), Err(Reason::Partition));
    }
    assert_eq!(of(Partitioner::Any, 7), Ok(()));
}

#[test]
fn types() {
    for fields in
        ["", r#","type":null"#, r#","type":5"#, r#","type":"""#, r#","type":"Purchase""#, r#","type":"session""#]
    {
        check_rejected(&format!(r#"{{"customer_id":"c","time":{NOW}{fields}}}"#), Reason::Type);
    }
    for (name, event_type) in EventType::BUILT_IN {
        let text = event_text(name, r#","amount":1,"order_id":"o""#);
        assert_eq!(decode(&text).unwrap().event_type, event_type);
    }
    assert_eq!(decode(&event_text("s\\u0075rvey", "")).unwrap().event_type, EventType::declared(0));
    for (written, hint) in [
        ("Purchase", ": did you mean `purchase`?"),
        ("cart-add", ": did you mean `cart_add`?"),
        ("survy", ": did you mean `survey`?"),
        ("session", ""),
    ] {
        let message = decode(&event_text(written, "")).unwrap_err().message;
        assert!(message.ends_with(&format!("found {written:?}{hint}")), "{message}");
    }
}

#[test]
fn time() {
    let at = |time: &str| format!(r#"{{"customer_id":"c","type":"search","time":{time}}}"#);
    for text in [
        "2025-11-22",
        "2025-11-22 10:00:00Z",
        "2016-12-31T23:59:60Z",
        "1989-12-31T23:59:59.999Z",
        "2100-01-01T00:00:00Z",
    ] {
        check_rejected(&at(&format!("\"{text}\"")), Reason::Time);
    }
    for integer in ["0", "-0", "-5", "1763806251", "631151999999", "4102444800000", "99999999999999999999999"] {
        check_rejected(&at(integer), Reason::TimeUnit);
    }
    assert_eq!(decode(&at("631152000000")).unwrap().time, 631_152_000_000);
    assert_eq!(decode(&at("\"2025-11-22t11:10:51.0009+01:00\"")).unwrap().time, NOW);
}

#[test]
fn time_future() {
    let mut decoder = Decoder::new(&event_settings());
    let mut check = |time: Millis, arrival, now, expected: Result<(), Reason>| {
        let text = format!(r#"{{"customer_id":"c","type":"search","time":{time}}}"#);
        let result = decoder.decode(&Record { arrival, ..line(text.as_bytes()) }, &Source::File, now);
        assert_eq!(result.map(|_| ()).map_err(|rejection| rejection.reason), expected);
    };
    check(NOW + 5 * MINUTE, None, NOW, Ok(()));
    check(NOW + 5 * MINUTE + 1, None, NOW, Err(Reason::TimeFuture));
    check(NOW + 5 * MINUTE, Some(NOW), NOW + 100, Ok(()));
    check(NOW + 5 * MINUTE + 1, Some(NOW), NOW + 100, Err(Reason::TimeFuture));
    check(NOW + 5 * MINUTE + 1, Some(NOW + 100), NOW, Err(Reason::TimeFuture));
}

#[test]
fn the_first_fault_is_reported() {
    // Each text has all faults from one check on; the next text has one fault less.
    let padding = " ".repeat(RECORD_BYTES_MAX);
    let steps = [
        (format!(r#"{{"type":"x","type":"x","time":1.5}}{padding}"#), Reason::TooLarge),
        (r#"{"type":"x","type":"x","time":1.5}"#.into(), Reason::Decode),
        (r#"{"type":"x","time":1.5}"#.into(), Reason::Key),
        (r#"{"customer_id":"c","type":"x","time":1.5}"#.into(), Reason::Type),
        (r#"{"customer_id":"c","type":"purchase","time":"x","currency":"CHF"}"#.into(), Reason::Schema),
        (r#"{"customer_id":"c","type":"purchase","time":"x","amount":"x","currency":"CHF"}"#.into(), Reason::Time),
        (r#"{"customer_id":"c","type":"purchase","time":5,"amount":"x","currency":"CHF"}"#.into(), Reason::TimeUnit),
        (
            r#"{"customer_id":"c","type":"purchase","time":4000000000000,"amount":"x","currency":"CHF"}"#.into(),
            Reason::TimeFuture,
        ),
        (event_text("purchase", r#","amount":"x","discount":1e99,"currency":"CHF""#), Reason::Amount),
        (event_text("purchase", r#","amount":1,"discount":-1,"currency":"CHF""#), Reason::Currency),
        (event_text("purchase", r#","amount":1e99,"discount":1,"currency":"CHF""#), Reason::Currency),
        (event_text("purchase", r#","amount":1e99,"discount":1,"currency":"USD""#), Reason::Amount),
    ];
    for (text, reason) in steps {
        check_rejected(&text, reason);
    }
    let wrong = (partition_of(Partitioner::Murmur2, b"c", 8) + 1) % 8;
    check_key(Some(b"c"), wrong, r#"{"customer_id":"d","type":"x"}"#, Err(Reason::Key));
    check_key(Some(b"c"), wrong, r#"{"type":"x"}"#, Err(Reason::Partition));
}

#[test]
fn the_customer_id_of_a_line() {
    assert_eq!(customer_id(br#"{"customer_id":"c\u0031","time":false}"#).as_deref(), Some("c1"));
    assert_eq!(customer_id(br#"{"customer_id":"c","customer_id":"c"}"#), None);
    assert_eq!(customer_id(br#"{"customer_id":5}"#).as_deref(), Some("5"));
    assert_eq!(customer_id(br#"{"customer_id":5.0}"#), None);
    assert_eq!(customer_id(b""), None);
}
