//! `shoal replay` with the real program: the same changes for every way to pass the events.

use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const RULES: &str = "config/demo/rules.toml";
/// Fixed, so that `time_future` does not depend on the day.
const NOW: [&str; 2] = ["--now", "2026-01-01T00:00:00Z"];

fn shoal(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_shoal"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // Writing may fail when the program has read enough and ends.
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().unwrap()
    })
}

fn replay(more: &[&str], input: &[u8]) -> Output {
    let out = shoal(&[&["replay", "--rules", RULES], &NOW[..], more].concat(), input);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    out
}

/// The events of the demo's orders: a real shop's year.
fn events() -> Vec<u8> {
    let mapping = "config/mappings/online-retail.toml";
    let out = shoal(&["convert", "--mapping", mapping, "config/demo/online-retail-excerpt.csv.gz"], b"");
    assert!(out.status.success());
    out.stdout
}

fn lines(bytes: &[u8]) -> Vec<&str> {
    std::str::from_utf8(bytes).unwrap().lines().collect()
}

/// Every customer's changes in order, without the file and line of the trigger.
fn by_customer(changes: &[u8]) -> BTreeMap<String, Vec<Value>> {
    let mut customers: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in lines(changes) {
        let mut change: Value = serde_json::from_str(line).unwrap();
        if let Some(trigger) = change["trigger"].as_object_mut() {
            trigger.retain(|key, _| !["topic", "partition", "offset"].contains(&key.as_str()));
        }
        customers.entry(change["customer_id"].as_str().unwrap().to_owned()).or_default().push(change);
    }
    customers
}

#[test]
fn the_same_input_gives_the_same_bytes_however_it_is_packed() {
    let events = events();
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("events");
    std::fs::write(&plain, &events).unwrap();
    let expected = replay(&[plain.to_str().unwrap()], b"").stdout;
    assert!(lines(&expected).len() > 5_000, "{}", lines(&expected).len());
    assert_eq!(replay(&[plain.to_str().unwrap()], b"").stdout, expected, "a second time");

    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&events).unwrap();
    for packed in [gzip.finish().unwrap(), zstd::encode_all(&events[..], 1).unwrap()] {
        std::fs::write(&plain, packed).unwrap();
        assert!(replay(&[plain.to_str().unwrap()], b"").stdout == expected);
    }
    let by_pipe = replay(&["-"], &events).stdout;
    let named = String::from_utf8(by_pipe).unwrap().replace("\"topic\":\"stdin\"", "\"topic\":\"events\"");
    assert!(named.as_bytes() == expected);
}

#[test]
fn partitions_and_files_change_nothing_for_a_customer() {
    let events = events();
    let expected = by_customer(&replay(&["-"], &events).stdout);
    for partitions in ["4", "7"] {
        let found = by_customer(&replay(&["--partitions", partitions, "-"], &events).stdout);
        assert!(found == expected, "{partitions} partitions");
    }
    // Each customer's lines are in one of three files; merged by time they equal the whole year.
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..3).map(|n| folder.path().join(n.to_string()).to_str().unwrap().to_owned()).collect();
    let mut files = vec![String::new(); names.len()];
    for line in lines(&events) {
        let event: Value = serde_json::from_str(line).unwrap();
        let number: usize = event["customer_id"].as_str().unwrap().strip_prefix("c-").unwrap().parse().unwrap();
        files[number % names.len()] += &format!("{line}\n");
    }
    names.iter().zip(&files).for_each(|(name, text)| std::fs::write(name, text).unwrap());
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let changes = replay(&names, b"").stdout;
    assert!(by_customer(&changes) == expected, "three files");
    // Changes are in order of time too: each is printed at the event that caused it.
    let by_event = lines(&changes).into_iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let moments: Vec<String> =
        by_event.filter(|c| c["cause"] == "event").map(|c| c["effective_at"].to_string()).collect();
    assert!(moments.is_sorted());
}

#[test]
fn lines_that_cannot_be_used_are_told_and_change_nothing() {
    let good = [
        r#"{"customer_id":"a","type":"purchase","time":"2025-03-01T10:00:00Z","amount":"10"}"#,
        r#"{"customer_id":"a","type":"view","time":"2025-03-02T10:00:00Z"}"#,
    ];
    let bad = [
        ("", "decode"),
        ("junk", "decode"),
        (r#"{"type":"view","time":"2025-03-01T10:00:00Z"}"#, "key"),
        (r#"{"customer_id":"a","type":"dance","time":"2025-03-01T10:00:00Z"}"#, "type"),
        (r#"{"customer_id":"a","type":"purchase","time":"2025-03-01T10:00:00Z"}"#, "schema"),
        (r#"{"customer_id":"a","type":"view","time":"2025-03-01"}"#, "time"),
        (r#"{"customer_id":"a","type":"view","time":1740823200}"#, "time_unit"),
        (r#"{"customer_id":"a","type":"view","time":"2027-03-01T10:00:00Z"}"#, "time_future"),
        (r#"{"customer_id":"a","type":"purchase","time":"2025-03-01T10:00:00Z","amount":"1e"}"#, "amount"),
        (
            r#"{"customer_id":"a","type":"purchase","time":"2025-03-01T10:00:00Z","amount":"1","currency":"XXX"}"#,
            "currency",
        ),
    ];
    let clean = format!("{}\n{}\n", good[0], good[1]);
    let mut dirty = format!("{}\n", good[0]);
    bad.iter().for_each(|(line, _)| dirty += &format!("{line}\n"));
    dirty += &format!("{}\n{}\n", good[1], "x".repeat(70_000));

    let folder = tempfile::tempdir().unwrap();
    let rejected = folder.path().join("rejected.jsonl");
    let arguments =
        [&["replay", "--rules", RULES], &NOW[..], &["--rejected", rejected.to_str().unwrap(), "-"]].concat();
    let out = shoal(&arguments, dirty.as_bytes());
    assert_eq!(out.status.code(), Some(1), "more than half of the lines");
    assert_eq!(by_customer(&out.stdout), by_customer(&replay(&["-"], clean.as_bytes()).stdout));
    let output: Vec<Value> =
        lines(&std::fs::read(&rejected).unwrap()).into_iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(output.len(), bad.len() + 1);
    for ((output, (line, reason)), number) in output.iter().zip(bad).zip(2..) {
        assert_eq!((output["line"].as_u64(), output["reason"].as_str()), (Some(number), Some(reason)), "{output}");
        assert_eq!((output["file"].as_str(), output["value"].as_str()), (Some("stdin"), Some(line)));
        assert!(!output["error"].as_str().unwrap().is_empty());
    }
    let last = &output[bad.len()];
    assert_eq!((last["reason"].as_str(), last["value"].as_str().unwrap().len()), (Some("too_large"), 1_024));
    let summary = String::from_utf8(out.stderr).unwrap();
    assert!(summary.contains("accepted 2, 0 of them late"), "{summary}");
    assert!(summary.contains("rejected 11: too_large 1, decode 2, key 1, type 1, schema 1"), "{summary}");
}

#[test]
fn time_goes_on_to_the_moment_asked_for() {
    let events =
        br#"{"customer_id":"a","type":"purchase","time":"2025-03-01T10:00:00Z","amount":"10","currency":"GBP"}"#;
    let lifecycle = |until: &[&str]| -> Vec<String> {
        let out = replay(&[until, &["-"]].concat(), events).stdout;
        let changes = lines(&out).into_iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let changes = changes.filter(|change| change["segmentation"] == "lifecycle");
        changes.map(|change| format!("{} {} {}", change["to"], change["cause"], change["effective_at"])).collect()
    };
    let new = r#""new" "event" "2025-03-01T10:00:00.000Z""#;
    let at_risk = r#""at_risk" "time" "2025-04-30T10:00:00.001Z""#;
    assert_eq!(lifecycle(&[]), [new]);
    assert_eq!(lifecycle(&["--until", "2025-04-30T10:00:00Z"]), [new]);
    assert_eq!(lifecycle(&["--until", "2025-04-30T10:00:00.001Z"]), [new, at_risk]);
}

#[test]
fn publishing_begins_where_it_is_asked_to() {
    const FROM: &str = "2011-11-09T00:00:00.000Z";
    let events = events();
    let whole = by_customer(&replay(&["-"], &events).stdout);
    let from = |bootstrap: &str| {
        by_customer(&replay(&["--publish-from", FROM, "--bootstrap", bootstrap, "-"], &events).stdout)
    };
    let mut expected = BTreeMap::new();
    for (customer, changes) in whole {
        let late = changes.into_iter().filter(|change| change["effective_at"].as_str().unwrap() >= FROM);
        let late: Vec<Value> = late.map(without_number).collect();
        if !late.is_empty() {
            expected.insert(customer, late);
        }
    }
    let (nothing, mut everybody) = (from("none"), from("changes"));
    assert!(nothing == from("membership"), "the membership is another topic");
    for changes in nothing.values().chain(everybody.values()) {
        let numbers = changes.iter().map(|change| change["sequence"].as_u64().unwrap());
        assert!(numbers.eq(1..=changes.len() as u64), "numbered from then on");
    }
    let without_numbers = |customers: BTreeMap<String, Vec<Value>>| -> BTreeMap<String, Vec<Value>> {
        customers.into_iter().map(|(id, changes)| (id, changes.into_iter().map(without_number).collect())).collect()
    };
    assert!(without_numbers(nothing) == expected, "the changes from then on are those of the whole year");
    let mut output = 0;
    everybody.retain(|_, changes| {
        let all = changes.len();
        changes.retain(|change| change["cause"] != "bootstrap");
        output += all - changes.len();
        !changes.is_empty()
    });
    assert!(output > 1_000, "{output} values of 1,103 customers");
    assert!(without_numbers(everybody) == expected);
}

fn without_number(mut change: Value) -> Value {
    change.as_object_mut().unwrap().remove("sequence");
    change
}

#[test]
fn membership_is_what_the_changes_lead_to() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let events =
        [events(), br#"{"customer_id":"c-12348","type":"erase","time":"2011-12-09T13:00:00Z"}"#.to_vec()].concat();
    let changes = replay(&["--membership", &file("one"), "-"], &events).stdout;
    replay(&["--membership", &file("four"), "--partitions", "4", "-"], &events);
    let members = std::fs::read(file("one")).unwrap();
    assert!(members == std::fs::read(file("four")).unwrap(), "sorted by id, so partitions do not show");

    let mut held: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for line in lines(&changes) {
        let change: Value = serde_json::from_str(line).unwrap();
        let customer = held.entry(change["customer_id"].as_str().unwrap().into()).or_default();
        match change["to"].as_str() {
            Some(to) => drop(customer.insert(change["segmentation"].as_str().unwrap().into(), to.into())),
            None => customer.clear(),
        }
    }
    assert!(held.remove("c-12348").is_some_and(|erased| erased.is_empty()));
    assert_eq!(lines(&members).len(), held.len());
    for line in lines(&members) {
        let member: Value = serde_json::from_str(line).unwrap();
        let customer = &held[member["customer_id"].as_str().unwrap()];
        for (name, segment) in member["segments"].as_object().unwrap() {
            assert_eq!(segment["value"].as_str(), customer.get(name).map(String::as_str));
        }
        for (name, audience) in member["audiences"].as_object().unwrap() {
            assert_eq!(
                audience["in"].as_bool().unwrap(),
                customer.get(name).is_some_and(|value| value == "in"),
                "{line}"
            );
        }
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events");
    std::fs::write(&file, events()).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_shoal"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["replay", "--rules", RULES])
        .args(NOW)
        .arg(&file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let out = child.wait_with_output().unwrap();
    assert_eq!((out.status.code(), String::from_utf8_lossy(&out.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn what_is_typed_wrongly_or_not_there() {
    let status = |arguments: &[&str]| shoal(arguments, b"").status.code();
    assert_eq!(status(&["replay"]), Some(2));
    assert_eq!(status(&["replay", "--rules", RULES, "--until", "tomorrow", "-"]), Some(2));
    assert_eq!(status(&["replay", "--rules", RULES, "--partitions", "0", "-"]), Some(2));
    assert_eq!(status(&["replay", "--rules", RULES, "--bootstrap", "none", "-"]), Some(2));
    let missing = shoal(&["replay", "--rules", RULES, "no-such-file"], b"");
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("cannot open no-such-file"));
    assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(RULES).exists());
}
