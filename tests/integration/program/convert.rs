//! `shoal convert` with the real program: exports in, events out.

use std::path::Path;
use std::process::{Command, Output};

pub fn shoal(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_shoal")).current_dir(folder).args(arguments).output().unwrap()
}

pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Converts `csv` by `mapping`: (events, standard error, status).
pub fn convert(mapping: &str, csv: &str) -> (String, String, i32) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mapping.toml"), mapping).unwrap();
    std::fs::write(folder.path().join("orders.csv"), csv).unwrap();
    let out = shoal(folder.path(), &["convert", "--mapping", "mapping.toml", "orders.csv"]);
    (text(&out.stdout).to_owned(), text(&out.stderr).to_owned(), out.status.code().unwrap())
}

const SMALL: &str = r#"
customer = { column = "who" }
order = { column = "order", category = "department", discount = "off" }
time = { column = "when", format = "%d.%m.%Y %H:%M", zone = "Europe/Berlin" }
amount = { price = "price", quantity = "n", decimal_point = "," , currency = "EUR" }
returns = { negative_quantity = true, order_column = "order" }
constants = { channel = "web" }
file = { delimiter = ";" }
"#;

#[test]
fn lines_become_orders_in_order_of_time() {
    let csv = "order;who;when;n;price;department;off\n\
               2;bob;01.07.2024 12:00;1;0,105;books;\n\
               1;ann;01.07.2024 11:00;3;0,10;shoes;0,5\n\
               2;bob;01.07.2024 11:59;2;1,5;games;\n\
               1;ann;01.07.2024 11:00;-1;0,10;shoes;0\n";
    let csv = csv.replace(";books;\n", ";books;0\n").replace(";games;\n", ";games;0\n");
    let (events, errors, status) = convert(SMALL, &csv);
    assert_eq!(status, 0, "{errors}");
    let expected = concat!(
        r#"{"event_id":"order-1","customer_id":"ann","type":"purchase","time":"2024-07-01T09:00:00Z","order_id":"1","amount":"0.30","currency":"EUR","discount":"0.50","category":"shoes","channel":"web"}"#,
        "\n",
        r#"{"event_id":"refund-1","customer_id":"ann","type":"refund","time":"2024-07-01T09:00:00Z","order_id":"1","amount":"0.10","currency":"EUR","channel":"web"}"#,
        "\n",
        r#"{"event_id":"order-2","customer_id":"bob","type":"purchase","time":"2024-07-01T09:59:00Z","order_id":"2","amount":"3.105","currency":"EUR","category":"books","items":[{"category":"games"}],"channel":"web"}"#,
        "\n",
    );
    assert_eq!(events, expected);
}

#[test]
fn hours_that_a_zone_skips_or_has_twice_are_defined() {
    let csv = "order;who;when;n;price;department;off\n\
               1;ann;31.03.2024 02:30;1;1;a;0\n\
               2;ann;27.10.2024 02:30;1;1;a;0\n";
    let (events, ..) = convert(SMALL, csv);
    let times: Vec<&str> =
        events.lines().filter_map(|line| line.split("\"time\":\"").nth(1)).map(|rest| &rest[..20]).collect();
    assert_eq!(times, ["2024-03-31T01:30:00Z", "2024-10-27T00:30:00Z"]);
}

#[test]
fn invalid_lines_are_reported_and_stop_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mapping.toml"), SMALL).unwrap();
    let csv = "order;who;when;n;price;department;off\n\
               1;ann;01.07.2024 11:00;1;1,5;a;0\n\
               1;ann;01.07.2024 11:00;one;1,5;a;0\n\
               1;bob;01.07.2024 11:00;1;1,5;a;0\n\
               2;ann;32.07.2024 11:00;1;1,5;a;0\n\
               3;ann;01.07.2024 11:00;1;1.5;a;0\n\
               4;ann;01.07.2024 11:00;1;-1,5;a;0\n\
               5;ann;too short\n\
               6;;01.07.2024 11:00;1;1,5;a;0\n\
               ;ann;01.07.2024 11:00;1;1,5;a;0\n\
               7;ann;01.07.1924 11:00;1;1,5;a;0\n";
    std::fs::write(folder.path().join("orders.csv"), csv).unwrap();
    let out = shoal(folder.path(), &["convert", "--mapping", "mapping.toml", "--rejected", "bad.jsonl", "orders.csv"]);
    assert_eq!((out.status.code(), text(&out.stdout)), (Some(1), ""));
    let errors = text(&out.stderr);
    for expected in [
        "orders.csv:3: amount: expected a quantity with a decimal comma in column `n`, found \"one\"",
        "orders.csv:4: customer: the customer of order 1 is ann on an earlier line, found bob",
        "orders.csv:5: time: expected a time like the mapping's format in column `when`, found \"32.07.2024 11:00\"",
        "orders.csv:6: amount: expected a price with a decimal comma in column `price`, found \"1.5\"",
        "orders.csv:7: amount: expected a quantity and a price of at least 0",
        "orders.csv:8: columns: expected 7 columns, found 3",
        "orders.csv:10: order: expected an order number of 1 to 256 bytes in column `order`",
        "orders.csv:11: time: expected a time from 1990",
        "1 line without a customer skipped, 8 invalid lines",
        "6 orders not written because of an invalid line",
        "1 invalid line without an order number",
        "shoal: 8 invalid lines, 6 orders not written",
    ] {
        assert!(errors.contains(expected), "{expected}\nis not in\n{errors}");
    }
    let rejected = std::fs::read_to_string(folder.path().join("bad.jsonl")).unwrap();
    let reasons: Vec<String> = rejected
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|line| format!("{} {}", line["line"], line["reason"].as_str().unwrap()))
        .collect();
    assert_eq!(
        reasons,
        ["3 amount", "4 customer", "5 time", "6 amount", "7 amount", "8 columns", "10 order", "11 time"]
    );
    assert!(rejected.contains(r#""value":"5;ann;too short""#));
}

#[test]
fn profile_events_come_when_attributes_change_and_returns_by_prefix() {
    let mapping = r#"
        customer = { column = "who", strip_prefix = "CUST", strip_suffix = ".0", prefix = "c-" }
        order = { column = "order", lines = "together" }
        time = { column = "when" }
        amount = { price = "total", currency_column = "money" }
        returns = { order_prefix = "R", order_column = "of" }
        [attributes]
        country = "land"
        plan = "plan"
    "#;
    let csv = "order,who,when,total,money,of,land,plan\n\
               1,CUST7.0,2024-07-01T12:00:00+02:00,10,EUR,,DE,\n\
               2,CUST7.0,2024-07-02T10:00:00Z,5,EUR,,DE,\n\
               R3,CUST7.0,2024-07-03T10:00:00Z,5,USD,2,AT,gold\n\
               R4,CUST7.0,2024-07-03T10:00:00Z,0,USD,2,AT,gold\n";
    let (events, errors, status) = convert(mapping, csv);
    assert_eq!(status, 0, "{errors}");
    let expected = [
        r#"{"event_id":"profile-1","customer_id":"c-7","type":"profile","time":"2024-07-01T10:00:00Z","attributes":{"country":"DE","plan":null}}"#,
        r#"{"event_id":"order-1","customer_id":"c-7","type":"purchase","time":"2024-07-01T10:00:00Z","order_id":"1","amount":"10.00","currency":"EUR"}"#,
        r#"{"event_id":"order-2","customer_id":"c-7","type":"purchase","time":"2024-07-02T10:00:00Z","order_id":"2","amount":"5.00","currency":"EUR"}"#,
        r#"{"event_id":"profile-R3","customer_id":"c-7","type":"profile","time":"2024-07-03T10:00:00Z","attributes":{"country":"AT","plan":"gold"}}"#,
        r#"{"event_id":"refund-R3","customer_id":"c-7","type":"refund","time":"2024-07-03T10:00:00Z","order_id":"2","amount":"5.00","currency":"USD"}"#,
    ];
    assert_eq!(events.lines().collect::<Vec<_>>(), expected);
    assert!(errors.contains("1 return of nothing skipped"), "{errors}");
}

#[test]
fn every_mistake_of_a_mapping_comes_at_once() {
    let mapping =
        "[customer]\ncolum = \"who\"\n[order]\ncolumn = 7\n[timing]\n[amount]\nprice = \"p\"\n[attributes]\nage = 3\n";
    let (events, errors, status) = convert(mapping, "a\n1\n");
    assert_eq!((events.as_str(), status), ("", 78));
    let expected = "mapping.toml:2:1: unknown key `customer.colum`; did you mean `column`?\n\
                    mapping.toml:4:10: `order.column`: expected text, found an integer; for example column = \"InvoiceNo\"\n\
                    mapping.toml:5:2: unknown key `timing`; known here: `amount`, `attribute_types`, \
                    `attributes`, `constants`, `customer`, `file`, `order`, `returns`, `status`, `time`\n\
                    mapping.toml:9:7: `attributes.age`: expected text, found an integer\n";
    let mut found: Vec<&str> = errors.lines().collect();
    found.sort_unstable();
    assert_eq!(found, expected.lines().collect::<Vec<_>>());

    let (_, errors, status) =
        convert("[time]\nformat = \"%Y-%J\"\nzone = \"Europe/Atlantis\"\n[order]\nlines = \"mixed\"\n", "a\n1\n");
    assert_eq!(status, 78);
    for expected in [
        "mapping.toml:5:9: expected \"anywhere\" or \"together\"",
        "`customer.column` is missing",
        "found \"Europe/Atlantis\"",
    ] {
        assert!(errors.contains(expected), "{expected}\nis not in\n{errors}");
    }
}

#[test]
fn a_column_that_is_not_there_is_named() {
    let (_, errors, status) = convert(SMALL, "order;wh;when;n;price;department\n");
    assert_eq!(status, 1);
    assert!(errors.contains("no column `who`; did you mean `wh`?") && errors.contains("no column `off`"), "{errors}");
}

/// The shipped mapping on the shipped excerpt; counts and sums were made by an independent program.
#[test]
fn the_shop_of_the_demo() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = "config/demo/online-retail-excerpt.csv.gz";
    let out = shoal(root, &["convert", "--mapping", "config/mappings/online-retail.toml", file]);
    assert!(out.status.success());
    let events: Vec<serde_json::Value> =
        text(&out.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_type = |name: &'static str| events.iter().filter(move |event| event["type"] == name);
    let sum = |name| -> rust_decimal::Decimal {
        of_type(name).map(|event| event["amount"].as_str().unwrap().parse::<rust_decimal::Decimal>().unwrap()).sum()
    };
    assert_eq!((of_type("purchase").count(), of_type("refund").count()), (4_333, 830));
    assert_eq!((sum("purchase").to_string().as_str(), sum("refund").to_string().as_str()), ("1860533.391", "77151.73"));
    let times: Vec<&str> = events.iter().map(|event| event["time"].as_str().unwrap()).collect();
    assert!(times.is_sorted());
    assert_eq!((times[0], times[times.len() - 1]), ("2010-12-01T09:00:00Z", "2011-12-09T12:50:00Z"));
    let ids: std::collections::HashSet<&str> = events.iter().map(|event| event["event_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), events.len(), "event ids are unique");
}
