//! Broken records: several for each reason of E1.

use crate::random::Random;

/// Keys of records without `customer_id`: JSON, control characters, placeholders, and plain texts that look similar.
pub const KEYS: [&str; 14] = [
    "\"ann\"",
    "\"ann\" ",
    "{\"id\":1}",
    "{}",
    "[\"ann\"]",
    "ann\t",
    "\0\0\0\u{7}",
    "a\u{7f}n",
    "Guest",
    "[object Object]",
    "\"a\",\"b\":\"c\"",
    "{ann}",
    "[ann",
    "17",
];

/// The bytes of a broken record of a customer at a time. Most are built from a good event's fields.
pub fn value(random: &mut Random, customer: &str, time: i64) -> Vec<u8> {
    let head = format!(r#""customer_id":"{customer}","time":{time}"#);
    let view = format!(r#"{{{head},"type":"view"}}"#);
    match random.below(10) {
        0 => format!(r#"{{{head},"type":"view","x":"{}"}}"#, "x".repeat(65_600)).into_bytes(),
        1 | 2 => undecodable(random, &head, &view),
        3 => key(random, &view, customer, time),
        4 => format!(r#"{{{head}{}}}"#, random.pick(&["", r#","type":null"#, r#","type":"look""#, r#","type":7"#]))
            .into_bytes(),
        5 => schema(random, &head, customer),
        6 => text_time(random, customer),
        7 => integer_time(random, customer),
        8 => amount(random, &head),
        _ => {
            let code = random.pick(&["\"XXX\"", "\"eur\"", "\"CHF\"", "\"EURO\"", "840", "{}"]);
            let amount = random.pick(&["1", "1e18"]);
            let fields = random.pick(&["purchase\",\"amount", "cart_add\",\"cart_total", "exposure\",\"cost"]);
            format!(r#"{{{head},"type":"{fields}":"{amount}","currency":{code}}}"#).into_bytes()
        }
    }
}

fn undecodable(random: &mut Random, head: &str, view: &str) -> Vec<u8> {
    match random.below(12) {
        0 => Vec::new(),
        1 => view[..view.len() - 1].into(),
        2 => format!("{view} x").into_bytes(),
        3 => format!("[{view}]").into_bytes(),
        4 => format!(r#"{{{head},"type":"view","type":"view"}}"#).into_bytes(),
        5 => format!(r#"{{{head},"type":"view","x":[{{"a":1,"\u0061":2}}]}}"#).into_bytes(),
        6 => format!(r#"{{{head},"type":"view","x":{}1{}}}"#, "[".repeat(64), "]".repeat(64)).into_bytes(),
        7 => format!(r#"{{{head},"type":"view","x":"\ud834"}}"#).into_bytes(),
        8 => format!(r#"{{{head},"type":"view","\udc00":1}}"#).into_bytes(),
        9 => [format!(r#"{{{head},"type":"view","x":""#).as_bytes(), &[0xff], br#""}"#].concat(),
        10 => format!(r#"{{{head},"type":"view","x":01}}"#).into_bytes(),
        _ => format!("{{{head},\"type\":\"view\",\"x\":\"\u{1}\"}}").into_bytes(),
    }
}

fn key(random: &mut Random, view: &str, customer: &str, time: i64) -> Vec<u8> {
    match random.below(5) {
        0 => view.replace(&format!("\"{customer}\""), "\"\""),
        1 => view.replace(&format!("\"{customer}\""), random.pick(&["17.5", "0", "true", "\"(not set)\""])),
        2 => view.replace(&format!("\"{customer}\""), &format!("\"{}\"", "i".repeat(257))),
        3 => view.replace(&format!("\"{customer}\""), "[]"),
        _ => format!(r#"{{"customer_id":"","time":{time},"type":"nonsense"}}"#),
    }
    .into_bytes()
}

fn schema(random: &mut Random, head: &str, customer: &str) -> Vec<u8> {
    let long = "l".repeat(257);
    let fields = match random.below(16) {
        0 => r#""type":"purchase""#.to_string(),
        1 => r#""type":"purchase","amount":null"#.into(),
        2 => random
            .pick(&[
                r#""type":"cancel""#,
                r#""type":"amend","amount":1"#,
                r#""type":"amend","amount":1,"order_id":"null""#,
                r#""type":"amend","order_id":"o1""#,
                r#""type":"amend","order_id":"o1","amount":"""#,
            ])
            .into(),
        3 => r#""type":"refund""#.into(),
        4 => r#""type":"view","event_id":1.5"#.into(),
        5 => format!(r#""type":"view","event_id":"{long}""#),
        6 => r#""type":"refund","order_id":"null""#.into(),
        7 => r#""type":"cancel","order_id":0"#.into(),
        8 => r#""type":"refund","order_id":"o1","amount":"""#.into(),
        9 => r#""type":"view","event_id":["e"]"#.into(),
        10 => r#""type":"purchase","amount":true"#.into(),
        11 => r#""type":"purchase","amount":"1","order_id":5e0"#.into(),
        12 => r#""type":"purchase","amount":"1","order_id":false"#.into(),
        13 => format!(r#""type":"purchase","amount":"1","order_id":"{long}""#),
        14 => return format!(r#"{{"customer_id":"{customer}","type":"view"}}"#).into_bytes(),
        _ => return format!(r#"{{"customer_id":"{customer}","type":"view","time":1.5e12}}"#).into_bytes(),
    };
    format!("{{{head},{fields}}}").into_bytes()
}

fn text_time(random: &mut Random, customer: &str) -> Vec<u8> {
    let time = random.pick(&[
        "2020-05-01 10:00:00Z",
        "2020-05-01T10:00:60Z",
        "2020-05-01T10:00:00",
        "2020-02-30T10:00:00Z",
        "2020-05-01T24:00:00Z",
        "2020-05-01T10:00Z",
        "2020-05-01T10:00:00.Z",
        "2020-05-01T10:00:00+0100",
        "1989-12-31T23:59:59.999Z",
        "2100-01-01T00:00:00Z",
        "noon",
    ]);
    format!(r#"{{"customer_id":"{customer}","type":"view","time":"{time}"}}"#).into_bytes()
}

fn integer_time(random: &mut Random, customer: &str) -> Vec<u8> {
    let time = random.pick(&["1600000000", "0", "-5", "631151999999", "4102444800000", "99999999999999999999999"]);
    format!(r#"{{"customer_id":"{customer}","type":"view","time":{time}}}"#).into_bytes()
}

fn amount(random: &mut Random, head: &str) -> Vec<u8> {
    let fields = random.pick(&[
        r#""type":"purchase","amount":"1.000000000000000000000000000000000000000000000000000000000000001""#,
        r#""type":"purchase","amount":-1e-70"#,
        r#""type":"purchase","amount":"1,5""#,
        r#""type":"purchase","amount":"+5""#,
        r#""type":"purchase","amount":".5""#,
        r#""type":"purchase","amount":"05""#,
        r#""type":"purchase","amount":"NaN""#,
        r#""type":"purchase","amount":-1,"currency":"XXX""#,
        r#""type":"refund","amount":0,"order_id":"o1""#,
        r#""type":"refund","amount":"-0""#,
        r#""type":"purchase","amount":1e300"#,
        r#""type":"purchase","amount":"1000000000000000001""#,
        r#""type":"refund","order_id":"o1","amount":"1 ""#,
        r#""type":"amend","order_id":"o1","amount":-1"#,
    ]);
    format!("{{{head},{fields}}}").into_bytes()
}
