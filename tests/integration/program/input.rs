//! Files in every wrapping that events come in: those that can be read are, the others are named as what they are, with
//! status 1 where nothing could be used; and times that deserve a warning.

use crate::support::program::{lines, shoal, text};
use std::io::Write;
use std::path::Path;

const RULES: &str = r#"
[currency]
base = "EUR"
[segmentation.s]
segments = [{ name = "buyer", when = "orders > 0" }, { name = "none" }]
"#;

fn event(customer: u32) -> String {
    format!(
        r#"{{"customer_id":"c{customer}","type":"purchase","time":"2024-01-05T10:00:0{customer}Z","order_id":"{customer}","amount":"1"}}"#
    )
}

fn joined(separator: &str) -> String {
    (1..=3).map(event).collect::<Vec<_>>().join(separator)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// Status, number of changes and messages of a replay of one file.
fn replay(folder: &Path, bytes: &[u8], more: &[&str]) -> (i32, usize, String) {
    std::fs::write(folder.join("rules.toml"), RULES).unwrap();
    std::fs::write(folder.join("events"), bytes).unwrap();
    let now = ["--now", "2026-01-01T00:00:00Z", "events"];
    let out = shoal(folder, &[&["replay", "--rules", "rules.toml"], more, &now].concat());
    (out.status.code().unwrap(), lines(&out.stdout).count(), text(&out.stderr))
}

#[test]
fn wrappings_are_read_or_named() {
    let folder = tempfile::tempdir().unwrap();
    let plain = joined("\n") + "\n";
    let utf16: Vec<u8> = plain.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let skippable = [&b"\x50\x2a\x4d\x18\x04\0\0\0abcd"[..], &zstd::encode_all(plain.as_bytes(), 1).unwrap()].concat();
    let packed = gzip(plain.as_bytes());
    let with_mark = |text: &str| [&b"\xef\xbb\xbf"[..], text.as_bytes()].concat();
    let bytes = |text: &str| text.as_bytes().to_vec();
    let value = |customer| serde_json::from_str::<serde_json::Value>(&event(customer)).unwrap();
    let pretty: Vec<String> = (1..=3).map(|customer| format!("{:#}", value(customer))).collect();
    // Name, content, status, changes, part of the messages.
    let cases: Vec<(&str, Vec<u8>, i32, usize, &str)> = vec![
        ("plain", bytes(&plain), 0, 3, "replayed 3 events in "),
        ("byte order mark", with_mark(&plain), 0, 3, "rejected 0"),
        ("joined files, each with a mark", [with_mark(&plain), with_mark(&plain)].concat(), 0, 3, "rejected 0"),
        ("CRLF", bytes(&(joined("\r\n") + "\r\n")), 0, 3, "rejected 0"),
        ("no newline at the end", bytes(&joined("\n")), 0, 3, "rejected 0"),
        ("more blank lines than others", bytes(&(joined("\n\n\n") + "\n\n\n")), 0, 3, "decode 6"),
        ("zero bytes at the end", [bytes(&plain), vec![0; 900]].concat(), 0, 3, "decode 1"),
        ("empty", Vec::new(), 0, 0, "replayed 0 events"),
        (
            "gzip in two members, with zeros",
            [packed.clone(), packed.clone(), vec![0; 99]].concat(),
            0,
            3,
            "duplicate_order 3",
        ),
        ("Zstandard with a skippable frame", skippable, 0, 3, "rejected 0"),
        ("cut gzip", packed[..packed.len() - 9].to_vec(), 1, 0, "the packed file is cut off"),
        ("UTF-16 with a mark", [&b"\xff\xfe"[..], &utf16].concat(), 1, 0, "found UTF-16LE"),
        ("UTF-16", utf16, 1, 0, "found UTF-16LE"),
        ("bzip2", bytes("BZh91AY&SY"), 1, 0, "found a bzip2 file"),
        ("xz", b"\xfd7zXZ\0\0\x04".to_vec(), 1, 0, "found an xz file"),
        ("zip", b"PK\x03\x04\x14\0events.jsonl".to_vec(), 1, 0, "found a zip file"),
        ("array", bytes(&format!("[{}]", joined(","))), 1, 0, "likely cause: the file is a JSON array"),
        (
            "array over lines",
            bytes(&format!("[\n{}\n]\n", joined(",\n"))),
            1,
            1,
            "likely cause: the file is a JSON array",
        ),
        ("pretty-printed", bytes(&pretty.join("\n")), 1, 0, "likely cause: the events are printed over several lines"),
        ("on one line", bytes(&joined("")), 1, 0, "likely cause: several events are on one line"),
        ("commas at the ends", bytes(&(joined(",\n") + ",\n")), 1, 0, "likely cause: the lines end with commas"),
        ("CR only", bytes(&joined("\r")), 1, 0, "likely cause: the lines end with carriage returns"),
        (
            "record separators",
            bytes(&format!("\x1e{}", joined("\n\x1e"))),
            1,
            0,
            "likely cause: the file is a JSON text sequence",
        ),
        ("CSV", bytes("customer_id,type,time\nc1,view,2024-01-05T10:00:00Z\n"), 1, 0, "likely cause: the file is CSV"),
        ("Latin-1", b"{\"customer_id\":\"Zo\xeb\"}\n".to_vec(), 1, 0, "likely cause: the file is in another encoding"),
        (
            "dollars",
            bytes(&plain.replace("\"amount\"", "\"currency\":\"USD\",\"amount\"")),
            1,
            0,
            "likely cause: the amounts are in \"USD\"",
        ),
        ("another name", bytes(&plain.replace("customer_id", "userId")), 1, 0, "`userId` may be it"),
        ("one of three is wrong", bytes(&(joined("\n") + "\njunk\n")), 0, 3, "decode 1"),
        ("half are wrong", bytes(&format!("{}\njunk\n", event(1))), 0, 1, "decode 1"),
        (
            "most are wrong",
            bytes(&format!("{}\njunk\nmore\n", event(1))),
            1,
            1,
            "less than half of the 3 lines could be used",
        ),
        ("blank", bytes("\n \n"), 1, 0, "all 2 lines are blank"),
    ];
    for (name, bytes, status, changes, said) in cases {
        let found = replay(folder.path(), &bytes, &[]);
        assert_eq!((found.0, found.1), (status, changes), "{name}: {}", found.2);
        assert!(found.2.contains(said), "{name}: expected {said:?}:\n{}", found.2);
    }
}

#[test]
fn the_first_reasons_have_examples() {
    let folder = tempfile::tempdir().unwrap();
    let bad = [
        event(1).replace("purchase", "order"),
        event(2).replace("order_id", "order").replace("\"1\"", "\"1,5\""),
        event(3).replace("10:00", "25:00"),
        "junk".into(),
    ];
    let (status, changes, messages) = replay(folder.path(), bad.join("\n").as_bytes(), &[]);
    assert_eq!((status, changes), (1, 0), "{messages}");
    for said in [
        "none of the 4 lines could be used; 4 are rejected:",
        "\n  type 1, the first at events:1: `type`: expected",
        "\n    {\"customer_id\":\"c1\",\"type\":\"order\"",
        "\n  amount 1, the first at events:2: `amount`: expected",
        "\n  time 1, the first at events:3: `time`: expected",
        "\n  further reasons: decode",
    ] {
        assert!(messages.contains(said), "expected {said:?}:\n{messages}");
    }
}

#[test]
fn unusual_times_are_warned_of_with_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let on = |customer: u32, day: &str| event(customer).replace("2024-01-05", day);
    let times = [on(1, "2024-01-05"), on(2, "2024-06-01"), on(3, "2024-01-06"), on(4, "2024-01-07")].join("\n");
    let (status, _, messages) = replay(folder.path(), times.as_bytes(), &[]);
    assert_eq!(status, 0, "{messages}");
    let said = "warning: events:2: its time, 2024-06-01T10:00:02.000Z, is 148 days after all before it, and others go on \
                earlier (events:3, 2024-01-06T10:00:03.000Z)";
    assert!(messages.contains(said), "{messages}");

    let pause = [on(1, "2024-01-05"), on(2, "2024-06-01"), on(3, "2024-06-02")].join("\n");
    let (_, _, messages) = replay(folder.path(), pause.as_bytes(), &[]);
    assert!(!messages.contains("warning"), "a pause: {messages}");

    let (status, changes, messages) = replay(folder.path(), pause.as_bytes(), &["--until", "2024-03-01T00:00:00Z"]);
    assert_eq!((status, changes), (0, 3), "{messages}");
    let said = "warning: --until 2024-03-01T00:00:00.000Z is before the event at events:2, 2024-06-01T10:00:02.000Z";
    assert!(messages.contains(said), "{messages}");
    let (_, _, messages) = replay(folder.path(), pause.as_bytes(), &["--until", "2024-06-03T00:00:00Z"]);
    assert!(!messages.contains("warning"), "{messages}");
}

#[test]
fn nothing_is_seeded_from_files_that_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("rules.toml"), RULES).unwrap();
    let seed = |bytes: &str, until: &str| {
        std::fs::write(folder.join("events"), bytes).unwrap();
        let arguments =
            ["seed", "--rules", "rules.toml", "--partitions", "1", "--until", until, "--snapshot", "s", "events"];
        let out = shoal(folder, &arguments);
        (out.status.code(), text(&out.stderr))
    };
    let (status, messages) = seed("customer_id,type\nc1,view\n", "2025-01-01T00:00:00Z");
    assert_eq!(status, Some(1), "{messages}");
    assert!(messages.contains("nothing is stored: none of the 2 lines") && messages.contains("CSV"), "{messages}");
    let (status, messages) = seed(&joined("\n"), "2023-01-01T00:00:00Z");
    assert_eq!(status, Some(0), "a seed was not stored before: {messages}");
    assert!(messages.contains("warning: all 3 events are at --until or later, the first at events:1"), "{messages}");
}

#[test]
fn a_demo_of_another_currency_says_so() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.toml"), RULES).unwrap();
    let out = shoal(folder.path(), &["demo", "--speed", "max", "--rules", "rules.toml"]);
    let (output, messages) = (text(&out.stdout), text(&out.stderr));
    assert_eq!(out.status.code(), Some(1), "{messages}");
    assert!(output.contains("\nplayed ") && output.contains("rejected 5,"), "{output}");
    assert!(messages.contains("likely cause: the amounts are in \"GBP\""), "{messages}");
    let out = shoal(folder.path(), &["demo", "--speed", "max"]);
    assert_eq!((out.status.code(), text(&out.stderr).as_str()), (Some(0), ""));
}

#[test]
fn summaries_begin_with_what_was_done() {
    let folder = tempfile::tempdir().unwrap();
    let (_, _, messages) = replay(folder.path(), joined("\n").as_bytes(), &[]);
    let first = messages.lines().next().unwrap();
    assert!(first.starts_with("replayed 3 events in ") && first.ends_with(": 3 changes"), "{messages}");
}
