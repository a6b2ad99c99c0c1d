//! Which way imports run: between the parts of the crate, between the parts of the engine, and not at all from the
//! checker of `tests/torture` to what it checks.

use crate::paths::{paths_after, second_parts};
use crate::sources::{Source, belongs_to, code_of, expect_none, files, production};

/// Parts of the crate with the parts they may import. All may import `fault_injection`, which is empty in a release
/// build.
const PARTS: [(&str, &[&str]); 10] = [
    ("document", &["document"]),
    ("engine", &["engine", "document"]),
    ("repeats", &[]),
    ("kafka", &["kafka", "document", "random", "repeats"]),
    ("store", &["store", "engine", "document", "random"]),
    ("config", &["config", "document", "engine", "kafka", "store", "worker", "http"]),
    ("worker", &["worker", "engine", "document", "kafka", "store", "config", "repeats"]),
    ("metrics", &["metrics", "worker", "engine", "kafka"]),
    ("http", &["http", "metrics", "worker", "kafka", "repeats"]),
    ("offline", &["offline", "document", "worker", "engine", "kafka", "store", "config", "random"]),
];

/// Parts of the engine with the parts they may import, besides themselves. `effects` is what comes out: it knows rules'
/// values and nothing of a shard.
const ENGINE: [(&str, &[&str]); 11] = [
    ("event", &[]),
    ("calendar", &["event"]),
    ("currency", &[]),
    ("event_settings", &["event", "currency"]),
    ("decode", &["event", "calendar", "currency", "event_settings"]),
    ("profile", &["event", "event_settings"]),
    ("feature", &["event", "calendar", "event_settings", "profile"]),
    ("rule", &["event", "calendar", "currency", "event_settings", "decode", "profile", "feature"]),
    ("timer", &["event", "profile"]),
    ("effects", &["event", "profile", "rule"]),
    ("shard", &["event", "event_settings", "decode", "profile", "rule", "timer", "effects"]),
];

#[test]
fn imports_between_parts_run_one_way() {
    let mut faults = Vec::new();
    let sources = production("src");
    for (part, allowed) in PARTS {
        for source in sources.iter().filter(|source| belongs_to(&source.path, &format!("src/{part}"))) {
            for imported in second_parts(&source.text, "crate").iter().filter(|name| *name != "fault_injection") {
                if !allowed.contains(&imported.as_str()) {
                    faults.push(format!("{}: {part} must not import {imported}", source.path));
                }
            }
        }
    }
    for (part, allowed) in ENGINE {
        for source in sources.iter().filter(|source| belongs_to(&source.path, &format!("src/engine/{part}"))) {
            for name in engine_parts(source, part) {
                if name != part && !allowed.contains(&name.as_str()) {
                    faults.push(format!("{}: {part} must not import {name}", source.path));
                }
            }
        }
    }
    expect_none(&faults);
}

/// Parts of the engine that a file of one of them names.
fn engine_parts(source: &Source, part: &str) -> Vec<String> {
    let from_root = paths_after(&source.text, "crate").into_iter();
    let from_root = from_root.filter(|named| named.path.get(1).is_some_and(|second| second == "engine"));
    let mut parts: Vec<String> = from_root.filter_map(|named| named.path.into_iter().nth(2)).collect();
    // In the part's own file `super` is the engine.
    if [format!("src/engine/{part}.rs"), format!("src/engine/{part}/mod.rs")].contains(&source.path) {
        let is_part = |name: &String| ENGINE.iter().any(|(part, _)| part == name);
        parts.extend(second_parts(&source.text, "super").into_iter().filter(is_part));
    }
    parts
}

/// The checker compares what the crate wrote with what the pages say. It could not find a mistake that it shared with
/// the crate.
#[test]
fn the_checker_imports_nothing_that_it_checks() {
    let sources = files("tests/torture/check", ".rs");
    assert!(!sources.is_empty(), "tests/torture/check has no files: this test must look elsewhere for the checker");
    let is_own = |name: &str| sources.iter().any(|source| source.path.ends_with(&format!("/{name}.rs")));
    let mut faults = Vec::new();
    for source in &sources {
        let code = code_of(&source.text);
        let foreign = second_parts(&code, "crate").into_iter().chain(second_parts(&code, "shoal"));
        let above = second_parts(&code, "super").into_iter().filter(|name| !is_own(name) && name != "Faults");
        faults.extend(foreign.chain(above).map(|name| format!("{}: the checker must not import {name}", source.path)));
        faults.extend(code.contains("#[path").then(|| format!("{}: `#[path]` imports another file", source.path)));
    }
    expect_none(&faults);
}
