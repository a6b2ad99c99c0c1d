//! The fields of each type of event: what must be there or counts, and what only describes and never costs the event
//! (E5).

use super::*;
use crate::engine::event::{AttributeValue, Text, Unfit};

fn unfit(left_out: &[DescriptiveField], cut: &[DescriptiveField]) -> Unfit {
    let mut unfit = Unfit::default();
    left_out.iter().for_each(|field| unfit.leave_out(*field));
    cut.iter().for_each(|field| unfit.cut(*field));
    unfit
}

#[test]
fn schema() {
    for fields in ["", r#","time":null"#, r#","time":true"#, r#","time":"""#, r#","time":1.5"#, r#","time":1e12"#] {
        check_rejected(&format!(r#"{{"customer_id":"c","type":"search"{fields}}}"#), Reason::Schema);
    }
    check_rejected(&format!(r#"{{"customer_id":"c","type":"search","time":"{}"}}"#, "x".repeat(129)), Reason::Schema);
    for event_type in ["purchase", "refund", "amend"] {
        for value in ["true", "{}", "[]", "\"\""] {
            check_fields(event_type, &format!(",\"order_id\":\"o\",\"amount\":{value}"), Reason::Schema);
        }
    }
    check_fields("purchase", "", Reason::Schema);
    check_fields("purchase", r#","amount":null"#, Reason::Schema);
    check_fields("refund", "", Reason::Schema);
    assert!(decode(&event_text("refund", r#","order_id":"o""#)).is_ok());
    check_fields("cancel", "", Reason::Schema);
    check_fields("amend", r#","amount":1"#, Reason::Schema);
    check_fields("amend", r#","order_id":"o""#, Reason::Schema);
    assert!(decode(&event_text("amend", r#","amount":0,"order_id":"o""#)).is_ok());
}

#[test]
fn ids() {
    let long = "x".repeat(257);
    for (event_type, field) in [
        ("search", "event_id"),
        ("erase", "event_id"),
        ("cancel", "order_id"),
        ("refund", "order_id"),
        ("amend", "order_id"),
    ] {
        let of = |value: &str| event_text(event_type, &format!(",\"amount\":1,\"{field}\":{value}"));
        for value in ["5.0", "1e3", "true", "{}", "[]", &format!("\"{long}\"")] {
            check_rejected(&of(value), Reason::Schema);
        }
        for (value, expected) in [
            ("450789469", "450789469"),
            ("-7", "-7"),
            ("-0", "-0"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            ("\"\\u0035\"", "5"),
            (&*format!("\"{}\"", &long[1..]), &long[1..]),
        ] {
            let text = of(value);
            let event = decode(&text).unwrap();
            let id = if field == "event_id" { event.event_id } else { event.order_id };
            assert_eq!(id.as_deref(), Some(expected));
        }
    }
}

#[test]
fn placeholders_are_as_if_absent() {
    for id in [r#""""#, r#""null""#, r#""NONE""#, r#""(Not Set)""#, r#""gu\u0065st""#, "0", r#""0""#] {
        let text = event_text("purchase", &format!(",\"amount\":1,\"event_id\":{id},\"order_id\":{id}"));
        let event = decode(&text).unwrap();
        assert_eq!((event.event_id, event.order_id), (None, None), "{id}");
        check_fields("cancel", &format!(",\"order_id\":{id}"), Reason::Schema);
        check_fields("refund", &format!(",\"order_id\":{id}"), Reason::Schema);
        check_fields("amend", &format!(",\"amount\":1,\"order_id\":{id}"), Reason::Schema);
    }
    let own = EventSettings { placeholders: Vec::new(), ..event_settings() };
    let text = event_text("search", r#","event_id":"""#);
    let result = Decoder::new(&own).decode(&line(text.as_bytes()), &Source::File, NOW);
    assert_eq!(result.unwrap_err().reason, Reason::Schema);
}

#[test]
fn what_only_describes_is_left_out() {
    use DescriptiveField::{Campaign, Category, Channel};
    for (event_type, field, name) in
        [("erase", "channel", Channel), ("survey", "campaign", Campaign), ("view", "category", Category)]
    {
        for value in ["5", "true", "{}", "[]", "\"\""] {
            let text = event_text(event_type, &format!(",\"{field}\":{value}"));
            let event = decode(&text).unwrap();
            assert_eq!((&event.channel, &event.campaign, event.categories.len()), (&None, &None, 0), "{text}");
            assert_eq!(event.unfit, unfit(&[name], &[]));
        }
        let of = |value: &str| {
            let text = event_text(event_type, &format!(",\"{field}\":\"{value}\""));
            let event = decode(&text).unwrap();
            let found = event.channel.or(event.campaign).or(event.categories.first).unwrap();
            (found.into_owned(), event.unfit)
        };
        let long = "x".repeat(127);
        assert_eq!(of(&format!("{long}y")), (format!("{long}y"), unfit(&[], &[])));
        assert_eq!(of(&format!("{long}yz")), (format!("{long}y"), unfit(&[], &[name])));
        // A character of two bytes begins at the 128th.
        assert_eq!(of(&format!("{long}éz")), (long.clone(), unfit(&[], &[name])));
        assert_eq!(of(&format!("{long}\\u00e9")), (long.clone(), unfit(&[], &[name])));
    }
    assert_eq!(decode(&event_text("search", r#","channel":null,"category":7"#)).unwrap().unfit, Unfit::default());
}

#[test]
fn items() {
    use DescriptiveField::{Category, Items};
    for (items, expected) in [
        ("5", unfit(&[Items], &[])),
        ("{}", unfit(&[Items], &[])),
        ("\"[]\"", unfit(&[Items], &[])),
        ("[5]", unfit(&[Items], &[])),
        ("[null,[],{}]", unfit(&[Items], &[])),
        (r#"[{"category":5}]"#, unfit(&[Category], &[])),
        (r#"[{"category":""},{"category":["a"]},7]"#, unfit(&[Category, Items], &[])),
        (r#"[{"category":null},{}]"#, unfit(&[], &[])),
        ("[]", unfit(&[], &[])),
    ] {
        for event_type in ["purchase", "view", "cart_add", "cart_remove"] {
            let text = event_text(event_type, &format!(",\"amount\":1,\"items\":{items}"));
            let event = decode(&text).unwrap();
            assert_eq!((event.categories.len(), event.unfit), (0, expected), "{text}");
        }
        assert_eq!(decode(&event_text("checkout", &format!(",\"items\":{items}"))).unwrap().unfit, Unfit::default());
    }
    let text = event_text(
        "view",
        r#","category":"b","items":[null,{"sku":5,"category":"a"},{"quantity":{}},{"c\u0061tegory":"b"},{"category":null},{}]"#,
    );
    assert_eq!(decode(&text).unwrap().categories.iter().collect::<Vec<_>>(), ["b", "a"]);
    let many: Vec<String> = (0..20).map(|n| format!("{{\"category\":\"{n}\"}}")).collect();
    let text = event_text("view", &format!(",\"items\":[{}]", many.join(",")));
    assert_eq!(decode(&text).unwrap().categories.iter().collect::<Vec<_>>(), ["0", "1", "2", "3", "4", "5", "6", "7"]);
    // Two that only differ after 128 bytes are one category.
    let long = "x".repeat(128);
    let text = event_text("view", &format!(r#","category":"{long}a","items":[{{"category":"{long}b"}}]"#));
    let event = decode(&text).unwrap();
    assert_eq!((event.categories.iter().collect::<Vec<_>>(), event.unfit), (vec![&*long], unfit(&[], &[Category])));
}

#[test]
fn attributes_take_what_is_plainly_meant() {
    let long = "9".repeat(130);
    let texts: Vec<String> = (0..40).map(|n| format!("\"{}\"", n % 35)).collect();
    let first: Vec<Text<'_>> = (0..32).map(|n| n.to_string().into()).collect();
    let text = |text: &'static str| AttributeValue::Text(text.into());
    let (cut, whole) = (unfit(&[], &[DescriptiveField::Attributes]), Unfit::default());
    let partly = unfit(&[DescriptiveField::Attributes], &[]);
    for (attribute, index, value, expected, unfit) in [
        ("country", 0, "\"DE\"", text("DE"), whole),
        ("country", 0, "1.50", text("1.50"), whole),
        ("country", 0, &*long, AttributeValue::Text((&long[..128]).into()), cut),
        ("age", 1, "-1.5e1", AttributeValue::Number(-15.0), whole),
        ("age", 1, "\"-1.5e1\"", AttributeValue::Number(-15.0), whole),
        ("vip", 2, "true", AttributeValue::Boolean(true), whole),
        ("vip", 2, "\"false\"", AttributeValue::Boolean(false), whole),
        ("vip", 2, "null", AttributeValue::Removed, whole),
        ("signup", 3, "\"1970-01-01T00:00:00.5Z\"", AttributeValue::Time(500), whole),
        ("signup", 3, "\"1970-01-02\"", AttributeValue::Time(86_400_000), whole),
        ("signup", 3, "\"1900-01-01\"", AttributeValue::Time(-2_208_988_800_000), whole),
        ("signup", 3, "100000000000", AttributeValue::Time(100_000_000_000), whole),
        ("signup", 3, "-100000000000", AttributeValue::Time(-100_000_000_000), whole),
        ("tags", 4, "[]", AttributeValue::Texts(Vec::new()), whole),
        ("tags", 4, "\"gold\"", AttributeValue::Texts(vec!["gold".into()]), whole),
        ("tags", 4, r#"["b","a","b"]"#, AttributeValue::Texts(vec!["b".into(), "a".into()]), whole),
        ("tags", 4, r#"["b",5,null,"",["a"],true]"#, AttributeValue::Texts(vec!["b".into()]), partly),
        ("tags", 4, &*format!("[{}]", texts.join(",")), AttributeValue::Texts(first), cut),
    ] {
        let text = event_text("profile", &format!(",\"attributes\":{{\"{attribute}\":{value}}}"));
        let event = decode(&text).unwrap();
        assert_eq!((event.attributes, event.unfit), (vec![(index, expected)], unfit), "{text}");
    }
    let text = event_text("profile", r#","attributes":{"vip":null,"other":[1],"\u0061ge":4,"country":"DE"}"#);
    let expected =
        vec![(0, AttributeValue::Text("DE".into())), (1, AttributeValue::Number(4.0)), (2, AttributeValue::Removed)];
    assert_eq!(decode(&text).unwrap().attributes, expected);
    assert_eq!(decode(&event_text("profile", "")).unwrap().attributes, []);
}

#[test]
fn an_attribute_of_another_type_is_left_out() {
    for attributes in [
        "5",
        "[]",
        "\"x\"",
        r#"{"country":true}"#,
        r#"{"country":""}"#,
        r#"{"age":"5 "}"#,
        r#"{"age":"05"}"#,
        r#"{"age":"NaN"}"#,
        r#"{"age":""}"#,
        r#"{"age":1e400}"#,
        r#"{"age":"1e400"}"#,
        r#"{"age":true}"#,
        r#"{"vip":1}"#,
        r#"{"vip":"TRUE"}"#,
        r#"{"vip":"yes"}"#,
        r#"{"signup":"yesterday"}"#,
        r#"{"signup":"2024-01-01 00:00:00"}"#,
        r#"{"signup":"1700000000000"}"#,
        r#"{"signup":1700000000}"#,
        r#"{"signup":99999999999}"#,
        r#"{"signup":1.7e12}"#,
        r#"{"signup":true}"#,
        r#"{"signup":"1899-12-31T23:59:59.999Z"}"#,
        r#"{"signup":"2100-01-01"}"#,
        r#"{"signup":4102444800000}"#,
        r#"{"tags":5}"#,
        r#"{"tags":{"a":"b"}}"#,
        r#"{"tags":""}"#,
    ] {
        let text = event_text("profile", &format!(",\"attributes\":{attributes}"));
        let event = decode(&text).unwrap();
        assert_eq!(event.attributes, [], "{text}");
        assert_eq!(event.unfit, unfit(&[DescriptiveField::Attributes], &[]), "{text}");
        let text = event_text("view", &format!(",\"attributes\":{attributes}"));
        assert_eq!(decode(&text).unwrap().unfit, Unfit::default());
    }
    // The others of the event are kept.
    let text = event_text("profile", r#","attributes":{"age":"old","country":"DE"}"#);
    assert_eq!(decode(&text).unwrap().attributes, [(0, AttributeValue::Text("DE".into()))]);
}

#[test]
fn an_amount_counts() {
    for event_type in ["purchase", "refund"] {
        for value in ["\"x\"", "\"5.\"", "\" 5\"", "-1", "\"-0.01\"", "10000000000000.01", "1e400", "-1e-9"] {
            check_fields(event_type, &format!(",\"amount\":{value}"), Reason::Amount);
        }
        let long = |characters: usize| format!(",\"amount\":\"0.{}\"", "5".repeat(characters - 2));
        assert!(decode(&event_text(event_type, &long(64))).is_ok());
        check_fields(event_type, &long(65), Reason::Amount);
    }
    for zero in ["0", "-0", "\"0.00\"", "0e5"] {
        check_fields("refund", &format!(",\"amount\":{zero}"), Reason::Amount);
        let amended = event_text("amend", &format!(",\"order_id\":\"o\",\"amount\":{zero}"));
        assert_eq!(decode(&amended).unwrap().amount, Some(0));
        assert_eq!(decode(&event_text("purchase", &format!(",\"amount\":{zero}"))).unwrap().amount, Some(0));
    }
    for (amount, cents) in [
        ("\"39.9\\u0030\"", 3_990),
        ("1e13", 1_000_000_000_000_000),
        ("0.0000001", 0),
        ("1.0049999999999999999999999999999999999999999999999999999999", 100),
        ("\"1.0050000000000000000000000000000000000000000000000000000000\"", 101),
        ("1e-9", 0),
        ("1e-999999999999999999999", 0),
    ] {
        for event_type in ["purchase", "refund"] {
            let text = event_text(event_type, &format!(",\"amount\":{amount}"));
            assert_eq!(decode(&text).unwrap().amount, Some(cents), "{text}");
        }
    }
}

#[test]
fn an_optional_amount_that_does_not_fit_is_left_out() {
    use DescriptiveField::{CartTotal, Cost, Discount};
    for (event_type, field, name) in [
        ("purchase", "discount", Discount),
        ("cart_add", "cart_total", CartTotal),
        ("cart_remove", "cart_total", CartTotal),
        ("exposure", "cost", Cost),
    ] {
        let of = |value: &str| {
            let text = event_text(event_type, &format!(",\"amount\":1,\"{field}\":{value}"));
            let event = decode(&text).unwrap();
            (event.discount.or(event.cart_total).or(event.cost), event.unfit)
        };
        for value in ["\"\"", "\"x\"", "true", "{}", "[1]", "-2.5", "\"-0.01\"", "1e99", "10000000000000.01"] {
            assert_eq!(of(value), (None, unfit(&[name], &[])), "{field} {value}");
        }
        for (value, cents) in [("0", 0), ("-0", 0), ("\"2.50\"", 250), ("0.004", 0), ("0.0050000000000000000001", 1)] {
            assert_eq!(of(value), (Some(cents), Unfit::default()), "{field} {value}");
        }
    }
    let discounted = |discount: &str| {
        let text = event_text("purchase", &format!(",\"amount\":10,\"discount\":{discount}"));
        decode(&text).unwrap().discounted()
    };
    assert_eq!(["0.004", "0.005", "-1", "0"].map(discounted), [false, true, false, false]);
}

#[test]
fn currency() {
    let cents = |event_type: &str, fields: &str| {
        let text = event_text(event_type, fields);
        let event = decode(&text).unwrap();
        [event.amount, event.discount, event.cart_total, event.cost]
    };
    for code in ["USD", "usd", "Usd"] {
        let dollars = format!(",\"currency\":\"{code}\",\"amount\":10,\"discount\":5,\"cart_total\":20,\"cost\":1");
        assert_eq!(cents("purchase", &dollars), [Some(920), Some(460), None, None]);
        assert_eq!(cents("refund", &dollars), [Some(920), None, None, None]);
        assert_eq!(cents("amend", &format!(",\"order_id\":\"o\"{dollars}")), [Some(920), None, None, None]);
        assert_eq!(cents("cart_add", &dollars), [None, None, Some(1_840), None]);
        assert_eq!(cents("exposure", &dollars), [None, None, None, Some(92)]);
    }
    assert_eq!(cents("purchase", r#","amount":10,"currency":"eUR""#)[0], Some(1_000));
    for code in ["\"CHF\"", "\"Euro\"", "\" USD\"", "978", "{}", "true"] {
        for (event_type, fields) in [
            ("purchase", r#","amount":1"#),
            ("refund", r#","amount":1"#),
            ("amend", r#","amount":1,"order_id":"o""#),
            ("cart_add", r#","cart_total":1"#),
            ("exposure", r#","cost":1"#),
        ] {
            check_fields(event_type, &format!("{fields},\"currency\":{code}"), Reason::Currency);
        }
        // It is looked at only where an amount is there.
        for (event_type, fields) in [
            ("refund", r#","order_id":"o""#),
            ("cart_add", ""),
            ("cart_add", r#","cart_total":-1"#),
            ("exposure", r#","amount":1"#),
            ("view", r#","amount":1"#),
        ] {
            assert!(decode(&event_text(event_type, &format!("{fields},\"currency\":{code}"))).is_ok());
        }
    }
    let text = event_text("purchase", r#","amount":1,"currency":"""#);
    let event = decode(&text).unwrap();
    assert_eq!((event.amount, event.unfit), (Some(100), unfit(&[DescriptiveField::Currency], &[])));
}

#[test]
fn an_amount_in_another_currency_is_foreign() {
    for event_type in ["purchase", "refund", "amend"] {
        let foreign = |currency: &str| {
            let text = event_text(event_type, &format!(",\"order_id\":\"o\",\"amount\":10{currency}"));
            decode(&text).unwrap().foreign
        };
        for code in ["USD", "usd", "Usd", "\\u0055SD"] {
            assert!(foreign(&format!(",\"currency\":\"{code}\"")), "{event_type} {code}");
        }
        for currency in ["", r#","currency":null"#, r#","currency":"""#, r#","currency":"EUR""#, r#","currency":"eUr""#]
        {
            assert!(!foreign(currency), "{event_type} {currency}");
        }
    }
    // Without an amount, and in what is no order, nothing is foreign.
    for (event_type, fields) in [
        ("refund", r#","order_id":"o","currency":"USD""#),
        ("cart_add", r#","cart_total":1,"amount":1,"currency":"USD""#),
        ("exposure", r#","cost":1,"currency":"USD""#),
    ] {
        assert!(!decode(&event_text(event_type, fields)).unwrap().foreign, "{event_type}");
    }
}

#[test]
fn fields_without_meaning_for_the_type_may_have_any_value() {
    let anything = r#","amount":{},"currency":5,"discount":[],"cart_total":"x","category":1,"items":2,"cost":{},"attributes":3,"order_id":4"#;
    for event_type in ["search", "checkout", "open", "click", "erase", "opt_out", "opt_in", "survey"] {
        let text = event_text(event_type, anything);
        let event = decode(&text).unwrap();
        assert_eq!(event.unfit, Unfit::default());
        assert_eq!((event.amount, event.cart_total, event.cost, event.order_id), (None, None, None, None));
    }
}

#[test]
fn nothing_is_copied_from_a_plain_record() {
    let text =
        event_text("purchase", r#","event_id":"e","order_id":"o","amount":1,"channel":"web","category":"shoes""#);
    let event = decode(&text).unwrap();
    for text in [&Some(event.customer_id), &event.event_id, &event.order_id, &event.channel, &event.categories.first] {
        assert!(matches!(text, Some(Cow::Borrowed(_))), "{text:?}");
    }
}
