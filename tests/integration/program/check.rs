//! `shoal check`, `shoal run` and `shoal demo` with the real program: all mistakes are reported at once, with
//! positions.

use std::path::Path;
use std::process::{Command, Output};

fn shoal(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_shoal"))
        .current_dir(folder)
        .args(arguments)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn shipped_files_are_valid() {
    let arguments = ["check", "--config", "config/shoal.toml", "--rules", "config/demo/rules.toml"];
    let (status, out, errors) = shoal(root(), &arguments, &[]);
    assert_eq!((status, errors.as_str()), (0, ""));
    assert!(out.contains("config/shoal.toml: settings are valid"), "{out}");
    assert!(out.contains("config/rules.toml: rules are valid") && out.contains("lifecycle"), "{out}");
    assert!(out.contains(", 2 counts (big_basket, long_view)"), "{out}");
    assert!(out.contains("config/demo/rules.toml: rules are valid"), "{out}");
    for mapping in ["online-retail", "reference"] {
        let file = format!("config/mappings/{mapping}.toml");
        let (status, _, errors) = shoal(root(), &["check", "--mapping", &file], &[]);
        // The reference contains every key, including keys that exclude each other.
        assert_eq!(status, if mapping == "reference" { 78 } else { 0 }, "{errors}");
    }
}

#[test]
fn all_mistakes_of_settings_and_rules_are_reported_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let settings =
        "rules = \"mine.toml\"\n[kafka]\nbroker = \"b:9092\"\npartitioner = \"md5\"\nreplication_factor = \"three\"\n";
    std::fs::write(folder.path().join("shoal.toml"), settings).unwrap();
    let rules = "[segmentation.lifecycle]\nsegments = [\n  { name = \"some\", when = \"oders = 0\" },\n  { name = \"rest\" },\n]\n\
                 [audience.vip]\nwhen = \"revenue >\"\n";
    std::fs::write(folder.path().join("mine.toml"), rules).unwrap();
    let (status, _, errors) = shoal(
        folder.path(),
        &["check", "--config", "shoal.toml", "--rules", "mine.toml"],
        &[("SHOAL__WORKER__WORKERS", "0")],
    );
    assert_eq!(status, 78);
    for expected in [
        "shoal.toml:3:1: unknown key `kafka.broker`; did you mean `brokers`?",
        "shoal.toml:4:15: `kafka.partitioner`: expected \"murmur2\", \"crc32\" or \"any\", found \"md5\"",
        "shoal.toml:5:22: `kafka.replication_factor`: expected an integer, found text; for example replication_factor = -1",
        "environment variable SHOAL__WORKER__WORKERS: `worker.workers`: expected at least 1",
        "mine.toml:3:",
        "did you mean `orders`?",
        "mine.toml:7:",
    ] {
        assert!(errors.contains(expected), "{expected}\nis not in\n{errors}");
    }
}

/// What kind of file it is, is seen from its keys; all of them are checked.
#[test]
fn files_are_known_by_their_keys() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "a.toml",
        "[count.big]\nof = \"purchase\"\nwhere = \"amount > 99\"\n[audience.vip]\nwhen = \"events('big', 30) > 3\"\n",
    );
    write("b.toml", "rules = \"a.toml\"\n[kafka]\ninputs = [\"e\"]\n");
    write(
        "c.toml",
        "[customer]\ncolumn = \"C\"\n[order]\ncolumn = \"O\"\n[time]\ncolumn = \"T\"\n[amount]\ntotal = \"A\"\n",
    );
    write("d.toml", "[time]\ngrace = \"1s\"\n");
    write("e.jsonl", "{\"customer_id\":\"a\",\"type\":\"view\"}\n");
    let (status, out, errors) = shoal(folder.path(), &["check", "a.toml", "b.toml", "c.toml"], &[]);
    assert_eq!((status, errors.as_str()), (0, ""));
    let kinds = [
        "a.toml: rules are valid",
        "b.toml: settings are valid",
        "a.toml: rules are valid",
        "c.toml: the mapping is valid",
    ];
    assert!(out.lines().zip(kinds).all(|(line, kind)| line.starts_with(kind)), "{out}");
    assert_eq!(out.lines().count(), kinds.len());
    assert!(out.contains(", 1 counts (big)"), "{out}");
    let (status, _, errors) = shoal(folder.path(), &["check", "d.toml", "e.jsonl"], &[]);
    assert_eq!(status, 78);
    let expected = "d.toml:1:1: expected rules, settings or a mapping, found the keys `time`, which do not tell; \
                    say what it is with --rules, --config or --mapping\n\
                    e.jsonl:1:1: expected rules, settings or a mapping in TOML, found none of their keys; \
                    these look like events, which `shoal replay` reads; else say what it is with --rules, --config or --mapping\n";
    assert_eq!(errors, expected);
    let (status, _, errors) = shoal(folder.path(), &["check", "missing.toml"], &[]);
    assert!(status == 1 && errors.contains("cannot read missing.toml"), "{errors}");
    let (status, _, errors) = shoal(folder.path(), &["check", "--connect", "a.toml"], &[]);
    assert!(status == 1 && errors.contains("--connect: expected the settings"), "{errors}");
}

#[test]
fn warnings_have_places_and_are_mistakes_if_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("r.toml", "[currency]\nrates = { USD = \"0.9\" }\n[audience.vip]\nwhen = \"orders > 3 AND orders < 2\"\n");
    write(
        "m.toml",
        "[customer]\ncolumn = \"C\"\n[order]\ncolumn = \"O\"\n[time]\ncolumn = \"T\"\n[amount]\ntotal = \"A\"\ncurrency = \"gbp\"\n[attributes]\nplan = \"P\"\n",
    );
    let expected = "r.toml:4:24: warning: `orders < 2` is never true where `orders > 3` is; an AND of both never holds\n\
                    m.toml:9:12: warning: the currency GBP has no rate in the rules, whose base is EUR; \
                    all orders would be rejected: add rates = { GBP = \"…\" } under [currency] in the rules\n\
                    m.toml:11:8: warning: the attribute `plan` is not declared in the rules, which ignore it; \
                    declare it under [attributes] in the rules\n";
    let (status, out, errors) = shoal(folder.path(), &["check", "r.toml", "m.toml"], &[]);
    assert_eq!((status, errors.as_str()), (0, expected));
    assert!(out.contains("r.toml: rules are valid") && out.contains("m.toml: the mapping is valid"), "{out}");
    let (status, _, errors) = shoal(folder.path(), &["check", "--strict", "r.toml", "m.toml"], &[]);
    assert_eq!((status, errors), (78, expected.replace("warning: ", "")));
    write(
        "m.toml",
        "[customer]\ncolumn = \"C\"\n[order]\ncolumn = \"O\"\n[time]\ncolumn = \"T\"\n[amount]\ntotal = \"A\"\ncurrency = \"usd\"\n",
    );
    let (status, _, errors) = shoal(folder.path(), &["check", "--strict", "m.toml"], &[]);
    assert_eq!((status, errors.as_str()), (0, ""));
}

/// With mistakes in the settings the rules that they name are checked too.
#[test]
fn topics_twice_and_all_else_are_named_in_one_pass() {
    let folder = tempfile::tempdir().unwrap();
    let settings = "rules = \"mine.toml\"\n[kafka]\ninputs = [\"orders\", \"shoal.changes\", \"orders\"]\nstart = \"now\"\nbroker = \"b\"\n[log]\nlevel = 3\n";
    std::fs::write(folder.path().join("shoal.toml"), settings).unwrap();
    std::fs::write(folder.path().join("mine.toml"), "[audience.vip]\nwhen = \"COUNT(*) > 3 AND oders > 1\"\n").unwrap();
    let (status, _, errors) = shoal(folder.path(), &["check", "shoal.toml"], &[]);
    assert_eq!(status, 78);
    for expected in [
        "shoal.toml:3:10: `kafka.inputs`: expected each topic once, found \"orders\" again",
        "shoal.toml:3:10: `kafka.inputs`: expected topics with events, found \"shoal.changes\", which Shoal writes itself (`kafka.topics.changes`)",
        "shoal.toml:4:9: `kafka.start`: expected \"earliest\"",
        "shoal.toml:5:1: unknown key `kafka.broker`; did you mean `brokers`?",
        "shoal.toml:7:9: `log.level`: expected text, found an integer",
        "mine.toml:2:9: expected SQL of the rule language, found `COUNT`; features count",
        "mine.toml:2:26: expected a feature or a declared attribute, found `oders`; did you mean `orders`?",
    ] {
        assert!(errors.contains(expected), "{expected}\nis not in\n{errors}");
    }
}

#[test]
fn the_service_does_not_start_with_mistakes() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("shoal.toml"), "rules = \"mine.toml\"\n[log]\nlevel = \"loud\"\n").unwrap();
    let (status, _, errors) = shoal(folder.path(), &["run", "--config", "shoal.toml"], &[]);
    assert_eq!(status, 78);
    assert!(
        errors.starts_with("shoal.toml:3:9: `log.level`: unknown variant `loud`, expected one of `error`"),
        "{errors}"
    );
    std::fs::write(folder.path().join("shoal.toml"), "rules = \"mine.toml\"\n").unwrap();
    std::fs::write(folder.path().join("mine.toml"), "[audience.vip]\nwhen = 7\n").unwrap();
    let (status, _, errors) = shoal(folder.path(), &["run", "--config", "shoal.toml"], &[]);
    assert_eq!(status, 78);
    assert!(errors.contains("mine.toml:2:"), "{errors}");
}

#[test]
fn features_are_listed_with_their_meaning() {
    let (status, out, _) = shoal(root(), &["check", "--features"], &[]);
    assert_eq!(status, 0);
    for feature in ["recency_days", "orders_in('text', <n>)", "cart_idle_minutes", "Days since the latest order"] {
        assert!(out.contains(feature), "{feature}\nis not in\n{out}");
    }
}

#[test]
fn every_command_has_examples() {
    for command in ["demo", "replay", "convert", "check", "produce", "run", "health", "completions", "man"] {
        let (status, help, _) = shoal(root(), &[command, "--help"], &[]);
        assert_eq!(status, 0);
        assert!(help.contains("Examples:\n") && help.matches(&format!("shoal {command}")).count() >= 2, "{help}");
    }
}

/// At full speed and without a terminal: plain lines, then the summary.
#[test]
fn the_demo_ends_by_itself() {
    let play = || shoal(root(), &["demo", "--speed", "max"], &[]);
    let (status, out, errors) = play();
    assert_eq!((status, errors.as_str()), (0, ""));
    assert!(out.contains("generated"), "{out}");
    assert!(out.contains("without an order"), "{out}");
    assert!(!out.contains('\u{1b}'), "no escapes where there is no terminal");
    let summary = out.split("\n\n").last().unwrap();
    assert!(summary.contains("customers 1,103") && summary.contains("rejected 0"), "{summary}");
    assert!(summary.contains("lifecycle: prospect "), "{summary}");
    // Everything except the elapsed seconds.
    let without_rates =
        |out: &str| out.lines().filter(|line| !line.contains("per second")).collect::<Vec<_>>().join("\n");
    assert_eq!(without_rates(&play().1), without_rates(&out), "the same year every time");
}
