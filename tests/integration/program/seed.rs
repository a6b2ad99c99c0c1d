//! `shoal seed` and `shoal snapshot` with the real program, without a broker: a seed is complete or absent, equal for
//! equal files, and its export equals the result of a replay.

use crate::support::program::{events, lines, shoal, shoal_with, text};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

const UNTIL: &str = "2011-11-09T00:00:00Z";
const RULES: &str = "config/demo/rules.toml";

/// Seeds the year of the demo's orders into `location`, in a folder that holds them.
fn seed(folder: &Path, location: &str, more: &[&str]) -> (i32, String) {
    seed_with(folder, location, more, &[])
}

fn seed_with(folder: &Path, location: &str, more: &[&str], environment: &[(&str, &str)]) -> (i32, String) {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join(RULES);
    let rules = rules.to_str().unwrap();
    let arguments = ["seed", "--rules", rules, "--partitions", "4", "--until", UNTIL, "--snapshot", location];
    let out = shoal_with(folder, &[&arguments[..], more].concat(), environment);
    (out.status.code().unwrap_or(-1), text(&out.stderr))
}

fn listed(folder: &Path, location: &str) -> Vec<Value> {
    let out = shoal(folder, &["snapshot", "list", "--snapshot", location, "--json"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    lines(&out.stdout).map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn verified(folder: &Path, location: &str, more: &[&str]) -> (i32, String) {
    let out = shoal(folder, &[&["snapshot", "verify", "--snapshot", location], more].concat());
    (out.status.code().unwrap_or(-1), text(&out.stdout) + &text(&out.stderr))
}

/// The note that describes the seed; without it there is no seed.
fn note(folder: &Path, location: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join(location).join("shard-00000/note-seed.json")).unwrap()).unwrap()
}

#[test]
fn a_seed_is_a_snapshot_of_every_shard() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let all = events();
    let late = lines(&all).filter(|line| line.contains("\"time\":\"2011-11-") || line.contains("\"time\":\"2011-12-"));
    let left_out = late.filter(|line| line.split("\"time\":\"").nth(1).unwrap() >= UNTIL).count();
    std::fs::write(folder.join("events.jsonl"), [&all[..], b"junk\n"].concat()).unwrap();
    let (status, output) = seed(folder, "snapshots", &["--rejected", "bad.jsonl", "events.jsonl"]);
    assert_eq!(status, 0, "{output}");
    for expected in [
        "rejected 1: decode 1",
        &format!("skipped {left_out}: at --until or later"),
        "at 2011-11-08T23:59:59.999Z",
        "stored 4 shards",
        "lifecycle:",
    ] {
        assert!(output.contains(expected), "{expected:?} is not in {output}");
    }
    assert!(std::fs::read_to_string(folder.join("bad.jsonl")).unwrap().contains("\"value\":\"junk\""));

    let listed = listed(folder, "snapshots");
    assert_eq!(listed.len(), 4);
    for (shard, entry) in listed.iter().enumerate() {
        assert_eq!((entry["shard"].as_u64(), entry["transaction"].as_u64()), (Some(shard as u64), Some(0)));
        assert_eq!(entry["watermark"], "2011-11-08T23:59:59.999Z");
        assert_eq!(entry["groups"][0]["rows"], entry["customers"]);
    }
    let table = text(&shoal(folder, &["snapshot", "list", "--snapshot", "snapshots"]).stdout);
    assert!(table.lines().count() == 5 && table.contains("2011-11-08T23:59:59.999Z"), "{table}");
    let (status, output) = verified(folder, "snapshots", &[]);
    assert!(status == 0 && output.contains("4 snapshots are intact"), "{output}");
    let (status, output) = verified(folder, "snapshots", &["--partitioner", "crc32"]);
    assert!(status == 1 && output.contains("who belongs to shard") && output.contains("4 of 4 snapshots"), "{output}");

    let (status, output) = seed(folder, "snapshots", &["events.jsonl"]);
    assert!(status == 1 && output.contains("there is a complete seed already"), "{output}");
    let (status, output) = seed(folder, "more", &["--partitioner", "crc32", "--bootstrap", "none", "events.jsonl"]);
    assert_eq!(status, 0, "{output}");
    assert_eq!(verified(folder, "more", &["--partitioner", "crc32"]).0, 0);
    assert_ne!(note(folder, "more"), note(folder, "snapshots"));
}

#[test]
fn the_same_files_give_the_same_state_whatever_happened_before() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("events.jsonl"), events()).unwrap();
    assert_eq!(seed(folder, "whole", &["events.jsonl"]).0, 0);
    let expected = note(folder, "whole");
    assert_eq!(expected["is_whole"], true);
    for crash in ["seed/part", "seed/part@4", "snapshot/before-manifest@2", "seed/before-manifest"] {
        let (status, output) = seed_with(folder, "parts", &["events.jsonl"], &[("SHOAL_CRASH_AT", crash)]);
        assert_eq!(status, -1, "{crash}: {output}");
        assert_eq!(note(folder, "parts")["is_whole"], false, "{crash}");
    }
    let (status, output) = seed(folder, "parts", &["events.jsonl"]);
    assert!(status == 0 && output.contains("of an interrupted seed were removed first"), "{output}");
    assert_eq!(note(folder, "parts"), expected);
    assert_eq!(verified(folder, "parts", &[]).0, 0);
    let (status, _) = seed_with(folder, "late", &["events.jsonl"], &[("SHOAL_CRASH_AT", "seed/after-manifest")]);
    assert_eq!((status, note(folder, "late")), (-1, expected), "all was there");
}

#[test]
fn damage_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("events.jsonl"), events()).unwrap();
    assert_eq!(seed(folder, "snapshots", &["events.jsonl"]).0, 0);
    let shard = folder.join("snapshots/shard-00002");
    for entry in std::fs::read_dir(&shard).unwrap().map(|entry| entry.unwrap().path()) {
        let good = std::fs::read(&entry).unwrap();
        let mut bad = good.clone();
        bad[good.len() / 2] ^= 1;
        std::fs::write(&entry, &bad).unwrap();
        let (status, output) = verified(folder, "snapshots", &[]);
        assert!(status == 1 && output.contains("shard 2, transaction 0"), "{}: {output}", entry.display());
        assert!(output.contains("1 of 4 snapshots are damaged"), "{output}");
        std::fs::write(&entry, &good).unwrap();
    }
    assert_eq!(verified(folder, "snapshots", &[]).0, 0);
    std::fs::write(shard.join("manifest-00000000000000000000.json"), "").unwrap();
    let damaged = listed(folder, "snapshots").into_iter().filter(|entry| entry["damaged"].is_string()).count();
    assert_eq!(damaged, 1);
}

#[test]
fn what_is_typed_wrongly() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("events.jsonl"), "").unwrap();
    let (status, output) = seed(folder, "snapshots", &["--publish-from", "2011-11-01T00:00:00Z", "events.jsonl"]);
    assert!(status == 1 && output.contains("--publish-from: expected --until or later"), "{output}");
    let arguments =
        ["seed", "--rules", "r", "--partitions", "1", "--until", "2090-01-01T00:00:00Z", "--snapshot", "s", "f"];
    let out = shoal(folder, &arguments);
    assert!(text(&out.stderr).contains("--until: expected a moment in the past"), "{}", text(&out.stderr));
    let out = shoal(folder, &["snapshot", "list", "--snapshot", "nowhere"]);
    assert!(out.status.code() == Some(1) && text(&out.stderr).contains("found no folder nowhere"));
    assert!(!folder.join("nowhere").exists());
    let (status, output) = seed(folder, "gs://bucket", &["events.jsonl"]);
    assert!(status == 1 && output.contains("--snapshot: expected a folder"), "{output}");
}

/// The values of every customer, as (segmentation, value, since).
fn exported_memberships(file: &Path) -> BTreeMap<String, Vec<(String, String, i64)>> {
    use arrow::array::AsArray;
    use arrow::datatypes::TimestampMillisecondType;
    let mut customers: BTreeMap<String, Vec<(String, String, i64)>> = BTreeMap::new();
    let reader =
        parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(file).unwrap());
    for batch in reader.unwrap().build().unwrap() {
        let batch = batch.unwrap();
        let text = |name: &str| batch.column_by_name(name).unwrap().as_string::<i32>().clone();
        let since = batch.column_by_name("since").unwrap().as_primitive::<TimestampMillisecondType>();
        let (ids, names, values) = (text("customer_id"), text("segmentation"), text("value"));
        for row in 0..batch.num_rows() {
            let value = (names.value(row).to_owned(), values.value(row).to_owned(), since.value(row));
            customers.entry(ids.value(row).to_owned()).or_default().push(value);
        }
    }
    customers
}

#[test]
fn what_is_exported_is_what_a_replay_says() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("events.jsonl"), events()).unwrap();
    assert_eq!(seed(folder, "snapshots", &["events.jsonl"]).0, 0);
    let early: Vec<u8> = lines(&events())
        .filter(|line| line.split("\"time\":\"").nth(1).unwrap() < UNTIL)
        .flat_map(|line| [line.as_bytes(), b"\n"].concat())
        .collect();
    std::fs::write(folder.join("early.jsonl"), early).unwrap();
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join(RULES);
    for until in ["2011-11-08T23:59:59.999Z", "2012-02-01T00:00:00Z"] {
        let at = if until.starts_with("2011") { vec![] } else { vec!["--at", until] };
        let out =
            shoal(folder, &[&["snapshot", "export", "--snapshot", "snapshots", "--out", "tables"][..], &at].concat());
        assert!(out.status.success(), "{}", text(&out.stderr));
        let rules = rules.to_str().unwrap();
        let arguments = ["replay", "--rules", rules, "--until", until, "--membership", "members.jsonl", "early.jsonl"];
        assert!(shoal(folder, &arguments).status.success());
        let mut expected: BTreeMap<String, Vec<(String, String, i64)>> = BTreeMap::new();
        for line in lines(&std::fs::read(folder.join("members.jsonl")).unwrap()) {
            let member: Value = serde_json::from_str(line).unwrap();
            let since =
                |value: &Value| value["since"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond();
            let of = |kind: &str| member[kind].as_object().unwrap().clone();
            let mut values: Vec<_> = of("segments")
                .iter()
                .map(|(name, value)| (name.clone(), value["value"].as_str().unwrap().to_owned(), since(value)))
                .collect();
            values.extend(of("audiences").iter().map(|(name, value)| {
                (name.clone(), if value["in"] == true { "in" } else { "out" }.to_owned(), since(value))
            }));
            values.sort();
            expected.insert(member["customer_id"].as_str().unwrap().to_owned(), values);
        }
        let found = exported_memberships(&folder.join("tables/memberships.parquet"));
        assert_eq!(found.len(), expected.len());
        for (id, mut values) in found {
            values.sort();
            assert_eq!(values, expected[&id], "{id} at {until}");
        }
    }
    let out = shoal(
        folder,
        &["snapshot", "export", "--snapshot", "snapshots", "--out", "tables", "--at", "2011-01-01T00:00:00Z"],
    );
    assert!(text(&out.stderr).contains("--at: expected a time not before"), "{}", text(&out.stderr));
    std::fs::write(folder.join("other.toml"), "[audience.buyer]\nwhen = \"orders > 0\"\n").unwrap();
    let arguments = ["snapshot", "export", "--snapshot", "snapshots", "--out", "tables", "--rules", "other.toml"];
    let output = text(&shoal(folder, &arguments).stderr);
    assert!(output.contains("--rules: expected the last file to have version"), "{output}");
}
