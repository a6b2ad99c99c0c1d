//! `shoal convert`: files as people have them. What is in them is read or named, and lines have an editor's numbers.

use super::convert::{shoal, text};
use std::io::Write;

const MAPPING: &str = r#"
customer = { column = "who" }
order = { column = "order" }
time = { column = "when" }
amount = { price = "price", currency = "EUR" }
attributes = { city = "city" }
"#;

/// Converts files (name, bytes): (events, standard error, status).
fn convert_all(mapping: &str, files: &[(&str, &[u8])]) -> (String, String, i32) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("m.toml"), mapping).unwrap();
    let mut arguments = vec!["convert", "--mapping", "m.toml"];
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
        arguments.push(name);
    }
    let out = shoal(folder.path(), &arguments);
    (text(&out.stdout).to_owned(), text(&out.stderr).to_owned(), out.status.code().unwrap())
}

fn convert_one(bytes: &[u8]) -> (String, String, i32) {
    convert_all(MAPPING, &[("orders.csv", bytes)])
}

fn orders(events: &str) -> Vec<&str> {
    events.lines().filter_map(|line| line.strip_prefix("{\"event_id\":\"order-")?.split('"').next()).collect()
}

const HEADER: &str = "order,who,when,price,city\n";
const TIME: &str = "2024-05-01T10:00:00Z";

#[test]
fn encodings_are_detected_and_nothing_becomes_null() {
    let csv = format!("{HEADER}1,zoë,{TIME},5,Malmö\n");
    let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain(csv.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let western: Vec<u8> = csv.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let marked = [b"\xef\xbb\xbf", csv.as_bytes()].concat();
    for (bytes, note) in
        [(csv.as_bytes(), ""), (&marked, ""), (&utf16, "is read as UTF-16LE"), (&western, "is read as windows-1252")]
    {
        let (events, errors, status) = convert_one(bytes);
        assert_eq!(status, 0, "{errors}");
        assert!(events.contains("\"customer_id\":\"zoë\"") && events.contains("\"city\":\"Malmö\""), "{events}");
        assert!(errors.contains(note), "{errors}");
    }
    let set = format!("{MAPPING}\nfile = {{ encoding = \"utf-8\" }}\n");
    let (events, errors, status) = convert_all(&set, &[("orders.csv", &western)]);
    assert_eq!((events.as_str(), status), ("", 1));
    assert!(errors.contains("orders.csv:2: customer: column `who` has bytes that are not text"), "{errors}");
}

#[test]
fn lines_are_numbered_as_an_editor_numbers_them() {
    for end in ["\n", "\r\n", "\r"] {
        let lines = ["", HEADER.trim(), "", &format!("1,a,{TIME},5,\"x"), "y\"", "", &format!("2,b,{TIME},five,z"), ""];
        let (events, errors, status) = convert_one(lines.join(end).as_bytes());
        assert_eq!((orders(&events), status), (vec!["1"], 1), "{errors}");
        assert!(errors.contains("orders.csv:7: amount: expected a price"), "{end:?}: {errors}");
    }
}

#[test]
fn a_quote_that_is_not_closed_stops_with_its_line() {
    let many = format!("{HEADER}1,a,{TIME},5,x\n2,b,{TIME},5,\"open\n{}", format!("3,c,{TIME},5,x\n").repeat(5_000));
    let few = format!("{HEADER}\n2,b,{TIME},5,\"open\n3,c,{TIME},5,x\n");
    for csv in [many, few] {
        let (events, errors, status) = convert_one(csv.as_bytes());
        assert_eq!((events.as_str(), status), ("", 1));
        assert!(errors.contains("orders.csv:3: the quote that opens column 5 on this line is not closed"), "{errors}");
    }
}

#[test]
fn headers_that_mislead_are_named_or_understood() {
    let line = format!("1,a,{TIME},5,x\n");
    let (_, errors, status) = convert_one(format!("order,who,when,price,price,city\n1,a,{TIME},5,6,x\n").as_bytes());
    assert_eq!(status, 1);
    assert!(errors.contains("two columns have the name `price`, number 4 and number 5"), "{errors}");
    let (events, errors, status) = convert_one(format!("{HEADER}{line}{HEADER}2,b,{TIME},5,x\n").as_bytes());
    assert_eq!((orders(&events), status), (vec!["1", "2"], 0));
    assert!(errors.contains("note: orders.csv:3: the header line again"), "{errors}");
    let excel = format!("sep=;\n{HEADER}{line}").replace(',', ";");
    assert_eq!(orders(&convert_one(excel.as_bytes()).0), ["1"]);
    let (_, errors, _) = convert_one(format!("{HEADER}{line}").replace(',', ";").as_bytes());
    assert!(errors.contains("is the delimiter \";\"? Set [file] delimiter"), "{errors}");
    let (_, errors, status) = convert_one(b"");
    assert_eq!(status, 1);
    assert!(errors.contains("orders.csv: the file is empty: expected CSV with a header line"), "{errors}");
}

#[test]
fn files_that_are_no_text_are_named_for_what_they_are() {
    for (bytes, expected) in [
        (&b"PK\x03\x04\x14\0\0\0\x08\0\0\0!\0[Content_Types].xml"[..], "found an Excel workbook (.xlsx)"),
        (b"PK\x03\x04\x14\0\0\0\x08\0\0\0!\0orders.csv", "found a zip file"),
        (b"\xfd7zXZ\0\0\x04\xe6\xd6", "found an xz file"),
        (b"BZh91AY&SY\0\0", "found a bzip2 file"),
    ] {
        let (events, errors, status) = convert_one(bytes);
        assert_eq!((events.as_str(), status), ("", 1));
        assert!(errors.contains(expected), "{errors}");
    }
    let csv = format!("{HEADER}1,a,{TIME},5,x\n");
    let packed = zstd::encode_all(csv.as_bytes(), 1).unwrap();
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 7, 7][..], &packed].concat();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(csv.as_bytes()).unwrap();
    for bytes in [skippable, packed, gzip.finish().unwrap()] {
        let (events, errors, _) = convert_one(&bytes);
        assert_eq!(orders(&events), ["1"], "{errors}");
    }
}

#[test]
fn a_file_twice_or_overlapping_files_count_once() {
    let line = |order: u32, price: &str| format!("{order},a,{TIME},{price},x\n");
    let first = format!("{HEADER}{}{}{}", line(1, "5"), line(1, "5"), line(2, "6"));
    let (events, errors, status) = convert_all(MAPPING, &[("a.csv", first.as_bytes()), ("b.csv", first.as_bytes())]);
    assert_eq!((orders(&events), status), (vec!["1", "2"], 0), "{errors}");
    assert!(events.contains("\"amount\":\"10.00\"") && errors.contains("3 lines skipped that a later file repeats"));
    let second = format!("{HEADER}{}{}{}", line(1, "5"), line(2, "6"), line(3, "7"));
    let (events, errors, status) = convert_all(MAPPING, &[("a.csv", first.as_bytes()), ("b.csv", second.as_bytes())]);
    assert_eq!((orders(&events), status), (vec!["2", "3"], 1), "{errors}");
    assert!(errors.contains("b.csv:2: order: order 1 has other lines here than in a.csv"), "{errors}");
    let across = MAPPING.replace("\"order\" }", "\"order\", across_files = true }");
    let (events, errors, status) = convert_all(&across, &[("a.csv", first.as_bytes()), ("b.csv", second.as_bytes())]);
    assert_eq!(status, 0, "{errors}");
    assert!(events.contains("\"amount\":\"15.00\""), "{events}");
}

#[test]
fn orders_that_do_not_stand_together_are_reported() {
    let together = MAPPING.replace("\"order\" }", "\"order\", lines = \"together\" }");
    let csv = format!("{HEADER}1,a,{TIME},5,x\n2,a,{TIME},5,x\n1,a,{TIME},5,x\n");
    let (_, errors, status) = convert_all(&together, &[("orders.csv", csv.as_bytes())]);
    assert_eq!(status, 1);
    assert!(errors.contains("orders.csv:4: order: order 1 is written already"), "{errors}");
}

#[test]
fn ids_are_trimmed_lowered_and_never_shortened_ones() {
    let mapping = MAPPING.replace(
        "customer = { column = \"who\" }",
        "customer = { column = \"who\", fallback = \"mail\", lower_case = true, prefix = \"c-\" }",
    );
    let csv = format!(
        "order,who,when,price,city,mail\n1,\u{a0}A7 ,{TIME},5,x,\n2,0,{TIME},5,x,Eve@Example.com\n3,Guest,{TIME},5,x,\n\
         4,1.0E+05,{TIME},5,x,\nnull,f,{TIME},5,x,\n5,\"=\"\"007\"\"\",{TIME},5,x,\n"
    );
    let (events, errors, status) = convert_all(&mapping, &[("orders.csv", csv.as_bytes())]);
    assert_eq!(status, 1);
    let ids: Vec<&str> =
        events.lines().filter_map(|line| line.split("\"customer_id\":\"").nth(1)?.split('"').next()).collect();
    assert_eq!(ids, ["c-a7", "c-a7", "eve@example.com", "eve@example.com", "c-007", "c-007"]);
    assert!(errors.contains("orders.csv:5: customer: \"1.0E+05\" in column `who` is an id"), "{errors}");
    assert!(errors.contains("orders.csv:6: order: expected an order number in column `order`, found the placeholder"));
    assert!(errors.contains("1 line without a customer skipped"), "{errors}");
}

#[test]
fn event_ids_fit() {
    let (long, other) = ("x".repeat(256), "y".repeat(256));
    let csv = format!("{HEADER}{long},a,{TIME},5,x\n{other},a,{TIME},5,x\n{long}z,a,{TIME},5,x\n");
    let (events, errors, status) = convert_one(csv.as_bytes());
    assert_eq!((events.lines().count(), status), (3, 1), "{errors}");
    let ids: std::collections::HashSet<&str> =
        events.lines().filter_map(|line| line.strip_prefix("{\"event_id\":\"")?.split('"').next()).collect();
    assert!(ids.len() == 3 && ids.iter().all(|id| id.len() <= 256), "{ids:?}");
}

#[test]
fn attributes_have_types() {
    let mapping = MAPPING.replace(
        "attributes = { city = \"city\" }",
        "attributes = { age = \"age\", news = \"news\", born = \"born\" }\n\
         attribute_types = { age = \"number\", news = \"boolean\", born = \"time\" }",
    );
    let csv = format!("order,who,when,price,age,news,born\n1,a,{TIME},5,41,Yes,1983-02-01\n2,b,{TIME},5,old,,\n");
    let (events, errors, status) = convert_all(&mapping, &[("orders.csv", csv.as_bytes())]);
    assert_eq!(status, 0, "{errors}");
    let typed = r#""attributes":{"age":41,"born":"1983-02-01T00:00:00Z","news":true}"#;
    assert!(events.contains(typed) && events.contains(r#"{"age":null,"born":null,"news":null}"#), "{events}");
    assert!(errors.contains("note: orders.csv:3: column `age`: \"old\" is not a number; it is left out"), "{errors}");
}

#[test]
fn a_dry_run_shows_orders_and_what_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("m.toml"), MAPPING).unwrap();
    let orders: String = (1..=12).map(|order| format!("{order},ann,{TIME},{order},x,note\n")).collect();
    std::fs::write(folder.path().join("o.csv"), format!("order,who,when,price,city,remark\n{orders}")).unwrap();
    let out = shoal(folder.path(), &["convert", "--mapping", "m.toml", "--dry-run", "o.csv"]);
    let table: Vec<&str> = text(&out.stdout).lines().collect();
    assert_eq!(table.len(), 13, "{table:?}");
    assert!(table[0].starts_with("order  customer  time") && table[10].starts_with("10     ann"), "{table:?}");
    assert_eq!(table[12], "Columns that the mapping does not use: remark");
    assert!(text(&out.stderr).contains("12 purchases"));
}
