//! The rules of the house, as tests: what the engine must not touch, which way imports run, where unsafe code may stand,
//! and what no file may hold. Each failure says what to do instead.

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of one source file at most.
const LINES_MAX: usize = 500;

/// The only files with unsafe code: raw calls of the Kafka client, hot ones and rare ones; prefetches, large pages and plain
/// bytes of customers' state; bytes that are seen to be text.
const UNSAFE: [&str; 5] = [
    "src/kafka/raw/queue.rs",
    "src/kafka/raw/producer.rs",
    "src/kafka/raw/admin.rs",
    "src/engine/profile/memory.rs",
    "src/engine/decode/ascii.rs",
];

/// Between unsafe code and the comment above it that says why it is sound: the rest of the statement's beginning.
const REASON_LINES_MAX: usize = 3;

/// Tests and benches that pace something by the clock, without waiting for anything with it: how often a bench asks
/// whether a job is done.
const PACED: [&str; 1] = ["benches/pipeline.rs"];

/// What makes a result depend on anything but the inputs, or tells somebody of it on the way.
const IMPURE: [(&str, &str); 34] = [
    ("std::time", "time is an input"),
    ("Instant::", "time is an input"),
    ("SystemTime", "time is an input"),
    ("Timestamp::now", "time is an input"),
    ("std::io", "effects are values, the worker does I/O"),
    ("std::fs", "effects are values, the worker does I/O"),
    ("std::net", "effects are values, the worker does I/O"),
    ("std::env", "settings are passed"),
    ("std::process", "a broken invariant is a panic"),
    ("std::thread", "a shard belongs to one thread"),
    ("thread_local!", "a shard belongs to one thread"),
    ("Mutex", "a shard belongs to one thread"),
    ("RwLock", "a shard belongs to one thread"),
    ("Condvar", "a shard belongs to one thread"),
    ("std::sync::atomic", "a shard belongs to one thread"),
    ("static mut", "state belongs to the shard"),
    ("rand::", "the same inputs give the same effects"),
    ("getrandom", "the same inputs give the same effects"),
    ("RandomState", "a hasher with a fixed seed: the same inputs give the same effects"),
    ("DefaultHasher", "a hasher with a fixed seed: the same inputs give the same effects"),
    ("tracing::", "count it in `Counts`; the worker tells of it"),
    ("log::", "count it in `Counts`; the worker tells of it"),
    ("eprint!", "count it in `Counts`; the worker tells of it"),
    ("eprintln!", "count it in `Counts`; the worker tells of it"),
    ("print!", "count it in `Counts`; the worker tells of it"),
    ("println!", "count it in `Counts`; the worker tells of it"),
    ("dbg!", "count it in `Counts`; the worker tells of it"),
    ("prometheus", "count it in `Counts`; the worker tells of it"),
    ("rdkafka", "the engine has never heard of a log"),
    (".exp()", TRANSCENDENTAL),
    (".powf(", TRANSCENDENTAL),
    (".powi(", TRANSCENDENTAL),
    (".sin()", TRANSCENDENTAL),
    (".cos()", TRANSCENDENTAL),
];
const TRANSCENDENTAL: &str = "its last digit differs between machines: take it from a pure Rust libm";

/// Parts of the crate with the parts they may import. All may import `trial`, which is not there in a release build.
const PARTS: [(&str, &[&str]); 9] = [
    ("engine", &["engine"]),
    ("repeats", &[]),
    ("kafka", &["kafka", "random", "repeats"]),
    ("store", &["store", "engine", "random"]),
    ("config", &["config", "engine", "kafka", "store", "worker", "http"]),
    ("worker", &["worker", "engine", "kafka", "store", "config", "repeats"]),
    ("metrics", &["metrics", "worker", "engine", "kafka"]),
    ("http", &["http", "metrics", "worker", "kafka", "repeats"]),
    ("offline", &["offline", "worker", "engine", "kafka", "store", "config", "random"]),
];

/// Parts of the engine with the parts they may import, besides themselves. `effects` is what comes out: it knows rules'
/// values and nothing of a shard.
const ENGINE: [(&str, &[&str]); 10] = [
    ("event", &[]),
    ("currency", &[]),
    ("meaning", &["event", "currency"]),
    ("decode", &["event", "currency", "meaning"]),
    ("profile", &["event", "meaning"]),
    ("feature", &["event", "meaning", "profile"]),
    ("rule", &["event", "currency", "meaning", "decode", "profile", "feature"]),
    ("timer", &["event", "profile"]),
    ("effects", &["event", "profile", "rule"]),
    ("shard", &["event", "meaning", "decode", "profile", "rule", "timer", "effects"]),
];

/// Hosts that texts of the repository may name.
const HOSTS: [&str; 12] = [
    "maven.apache.org",
    "www.apache.org",
    "www.w3.org",
    "kafka.apache.org",
    "creativecommons.org",
    "doi.org",
    "github.com",
    "keepachangelog.com",
    "semver.org",
    "cloudevents.io",
    "duckdb.org",
    "json-schema.org",
];

/// A source file with its path from the root.
struct Source {
    path: String,
    text: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files under a folder whose name ends so, in order.
fn files(folder: &str, ending: &str) -> Vec<Source> {
    let mut found = Vec::new();
    collect(&root().join(folder), ending, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn collect(folder: &Path, ending: &str, found: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            collect(&path, ending, found);
        } else if path.to_string_lossy().ends_with(ending)
            && let Ok(text) = fs::read_to_string(&path)
        {
            let path = path.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
            found.push(Source { path, text });
        }
    }
}

/// Rust sources of everything.
fn all_sources() -> Vec<Source> {
    ["src", "tests", "benches"].into_iter().flat_map(|folder| files(folder, ".rs")).collect()
}

/// Sources of the product: without files and modules of tests, and without comments.
fn production(folder: &str) -> Vec<Source> {
    let sources = files(folder, ".rs");
    let tests: Vec<String> = sources.iter().flat_map(test_files).collect();
    let is_test = |path: &str| tests.iter().any(|test| is_of(path, test));
    let production = sources.into_iter().filter(|source| !is_test(&source.path));
    production.map(|source| Source { text: without_tests(&source.text), ..source }).collect()
}

/// Paths, without ending, of the modules that a file declares for tests only.
fn test_files(source: &Source) -> Vec<String> {
    let own = source.path.trim_end_matches(".rs").trim_end_matches("/mod");
    let declared = source.text.split("#[cfg(test)]\nmod ").skip(1).map(word_of);
    declared.map(|name| format!("{own}/{name}")).collect()
}

/// Code up to the test module, without comments and without what stands in quotes.
fn without_tests(text: &str) -> String {
    let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code = code.replace("'\"'", "").replace("\\\"", "");
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.flat_map(|line| line.split('"').step_by(2).chain(["\n"])).collect()
}

/// Whether the pattern stands in the text other than as the end of a longer word.
fn stands_in(text: &str, pattern: &str) -> bool {
    text.match_indices(pattern).any(|(place, _)| {
        let before = text[..place].chars().next_back();
        pattern.starts_with('.') || !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

fn expect_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn the_engine_is_pure() {
    let mut faults = Vec::new();
    for source in production("src/engine") {
        let logarithms =
            [".ln()", ".ln_1p()", ".log10()", ".log2()", ".log(", ".tan()", ".cbrt()", ".hypot(", ".exp2()"];
        let patterns = IMPURE.into_iter().chain(logarithms.map(|name| (name, TRANSCENDENTAL)));
        for (pattern, instead) in patterns.filter(|(pattern, _)| stands_in(&source.text, pattern)) {
            faults.push(format!("{}: `{pattern}` has no place in the engine: {instead}", source.path));
        }
        let uses_std_map = source.text.split(';').any(|statement| {
            let standard = statement.contains("std::collections");
            standard && (statement.contains("HashMap") || statement.contains("HashSet"))
        });
        if uses_std_map {
            let instead = "a hashbrown map with a hasher of fixed seed, or a BTreeMap";
            faults.push(format!("{}: the standard hash map is seeded at random: {instead}", source.path));
        }
    }
    expect_none(&faults);
}

#[test]
fn imports_run_one_way() {
    let mut faults = Vec::new();
    for (part, allowed) in PARTS {
        for source in production("src").iter().filter(|source| is_of(&source.path, &format!("src/{part}"))) {
            for imported in first_names(&source.text, "crate::")
                .into_iter()
                .filter(|name| !["engine", "trial"].contains(&name.as_str()))
            {
                if !allowed.contains(&imported.as_str()) {
                    faults.push(format!("{}: {part} must not know {imported}", source.path));
                }
            }
            if source.text.contains("crate::engine") && !allowed.contains(&"engine") {
                faults.push(format!("{}: {part} must not know the engine", source.path));
            }
        }
    }
    for (part, allowed) in ENGINE {
        for source in production("src").iter().filter(|source| is_of(&source.path, &format!("src/engine/{part}"))) {
            let mut imported = first_names(&source.text, "crate::engine::");
            // `super` of a part's own file is the engine.
            if source.path == format!("src/engine/{part}.rs") || source.path == format!("src/engine/{part}/mod.rs") {
                imported.extend(first_names(&source.text, "super::").into_iter().filter(|name| is_part(name)));
            }
            for name in imported.iter().filter(|name| *name != part && !allowed.contains(&name.as_str())) {
                faults.push(format!("{}: {part} must not know {name}", source.path));
            }
        }
    }
    expect_none(&faults);
}

fn is_of(path: &str, part: &str) -> bool {
    path == format!("{part}.rs") || path.starts_with(&format!("{part}/"))
}

fn is_part(name: &str) -> bool {
    ENGINE.iter().any(|(part, _)| *part == name)
}

/// The names that follow a prefix, also in braces: `crate::{a, b::c}` gives a and b.
fn first_names(text: &str, prefix: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (place, _) in text.match_indices(prefix) {
        let before = text[..place].chars().next_back();
        let rest = &text[place + prefix.len()..];
        if before.is_some_and(|c| c.is_alphanumeric() || c == ':' || c == '_') {
            continue;
        }
        let Some(group) = rest.strip_prefix('{') else {
            names.push(word_of(rest));
            continue;
        };
        let mut depth = 1;
        let mut start = 0;
        for (end, c) in group.char_indices() {
            depth += i32::from(c == '{') - i32::from(c == '}');
            if depth == 0 || (depth == 1 && c == ',') {
                names.push(word_of(group[start..end].trim_start()));
                start = end + 1;
            }
            if depth == 0 {
                break;
            }
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn word_of(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// It judges what the crate wrote by what the pages say: a mistake that it shared with the crate it would not find.
#[test]
fn the_checker_knows_nothing_of_what_it_checks() {
    let sources = files("tests/torture/check", ".rs");
    assert!(!sources.is_empty(), "the checker is not where this test looks for it");
    let own = |name: &str| sources.iter().any(|source| source.path.ends_with(&format!("/{name}.rs")));
    let mut faults = Vec::new();
    for source in &sources {
        let code = without_tests(&source.text);
        let strange = first_names(&code, "crate::").into_iter().chain(first_names(&code, "shoal::"));
        let above = first_names(&code, "super::").into_iter().filter(|name| !own(name) && name != "Faults");
        faults.extend(strange.chain(above).map(|name| format!("{}: the checker must not know {name}", source.path)));
        faults.extend(code.contains("#[path").then(|| format!("{}: another file is taken in", source.path)));
    }
    expect_none(&faults);
}

#[test]
fn unsafe_code_stands_in_named_files_only() {
    let faults: Vec<String> = production("src")
        .into_iter()
        .filter(|source| !UNSAFE.contains(&source.path.as_str()))
        .filter(|source| ["unsafe {", "unsafe fn", "unsafe impl"].iter().any(|word| stands_in(&source.text, word)))
        .map(|source| {
            format!("{}: unsafe code; if it must be, name the file in tests/house.rs and say why", source.path)
        })
        .collect();
    expect_none(&faults);
}

/// A block or an implementation has `SAFETY:` above it, a function or a trait what its callers must see to.
#[test]
fn unsafe_code_says_why_it_is_sound() {
    let mut faults = Vec::new();
    for source in UNSAFE.iter().flat_map(|path| files("src", ".rs").into_iter().filter(move |file| file.path == *path))
    {
        let lines: Vec<&str> = source.text.lines().collect();
        for (number, line) in lines.iter().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            let promises = stands_in(line, "unsafe fn") || stands_in(line, "unsafe trait");
            if !promises && !stands_in(line, "unsafe {") && !stands_in(line, "unsafe impl") {
                continue;
            }
            let above = lines[..number].iter().rev();
            let has_reason = if promises {
                above
                    .take_while(|line| line.starts_with("///") || line.starts_with("#["))
                    .any(|line| *line == "/// # Safety")
            } else {
                above.take(REASON_LINES_MAX).any(|line| line.contains("// SAFETY: "))
            };
            if !has_reason {
                faults.push(format!("{}:{}: unsafe without a word why it is sound", source.path, number + 1));
            }
        }
    }
    expect_none(&faults);
}

/// A client that is made elsewhere has no token, and shows secrets in its errors.
#[test]
fn kafka_clients_are_made_at_one_door() {
    let ways = ["create_with_context", "from_config_and_context", "from_config(", ".create()"];
    let faults: Vec<String> = production("src/kafka")
        .into_iter()
        .filter(|source| source.path != "src/kafka/client/make.rs" && ways.iter().any(|way| source.text.contains(way)))
        .map(|source| format!("{}: Kafka clients are made by `client::make`", source.path))
        .collect();
    expect_none(&faults);
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut faults = Vec::new();
    for source in all_sources() {
        let lines = source.text.lines().count();
        if lines > LINES_MAX {
            faults.push(format!("{}: {lines} lines, at most {LINES_MAX}: two things that can part?", source.path));
        }
        if !source.text.starts_with("//!") {
            faults.push(format!("{}: begins without `//!` lines that say what it is and why", source.path));
        }
    }
    expect_none(&faults);
}

#[test]
fn tests_run_and_do_not_wait() {
    let banned = [
        ("#[ignore", "a test that does not run says nothing"),
        ("thread::sleep", "wait for what you wait for, with a bound"),
        ("todo!", "finish it or leave it out"),
        ("unimplemented!", "finish it or leave it out"),
    ];
    let mut faults = Vec::new();
    for source in all_sources().into_iter().filter(|source| source.path != "tests/house.rs") {
        let is_product = source.path.starts_with("src/");
        for (pattern, why) in banned {
            // The product may pace itself (the demo does); its tests stand behind what is cut off here.
            let in_product = is_product && stands_in(&without_tests(&source.text), pattern);
            let paces = pattern == "thread::sleep" && (in_product || PACED.contains(&source.path.as_str()));
            if !paces && stands_in(&source.text, pattern) {
                faults.push(format!("{}: `{pattern}`: {why}", source.path));
            }
        }
    }
    expect_none(&faults);
}

#[test]
fn no_text_names_a_machine() {
    let mut texts = all_sources();
    for folder in ["config", "deploy", "docs", ".ci", "src", "tests", "benches"] {
        texts.extend(files(folder, "").into_iter().filter(|file| !file.path.ends_with(".rs")));
    }
    let top = fs::read_dir(root()).expect("root").map(|entry| entry.expect("entry").path());
    texts.extend(top.filter(|path| path.is_file()).filter_map(|path| {
        let name = path.file_name()?.to_string_lossy().into_owned();
        let is_ours = [".md", ".toml", ".lock"].iter().any(|ending| name.ends_with(ending)) || name == "LICENSE";
        if is_ours { Some(Source { text: fs::read_to_string(&path).ok()?, path: name }) } else { None }
    }));
    let mut faults = Vec::new();
    for file in texts.iter().filter(|file| file.path != "tests/house.rs") {
        for folder in ["/root/", "/home/", "/work/", "/Users/"] {
            if file.text.contains(folder) {
                faults.push(format!("{}: `{folder}` is a place on one machine", file.path));
            }
        }
        for (place, _) in file.text.match_indices("://") {
            let host: String =
                file.text[place + 3..].chars().take_while(|c| c.is_alphanumeric() || ".-".contains(*c)).collect();
            let is_local = host.is_empty() || host == "localhost" || host.starts_with("127.") || !host.contains('.');
            if !is_local && !HOSTS.contains(&host.as_str()) && !host.ends_with(".example") {
                faults.push(format!("{}: {host} is not among the hosts that tests/house.rs knows", file.path));
            }
        }
    }
    expect_none(&faults);
}

/// Paths in backticks on the pages: from the root, from `src`, or from `src/engine`.
#[test]
fn pages_name_files_that_exist() {
    let mut faults = Vec::new();
    for page in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "docs/semantics.md",
        "docs/change-event.md",
        "docs/security.md",
        "docs/operations.md",
        "docs/deployment-checks.md",
        "deploy/helm/shoal/README.md",
        "docs/snapshots.md",
    ] {
        let text = fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"));
        for path in text.split('`').skip(1).step_by(2).filter(|span| is_path(span)) {
            let exists = ["", "src", "src/engine"].iter().any(|folder| root().join(folder).join(path).exists());
            if !exists {
                faults.push(format!("{page}: there is no `{path}`"));
            }
        }
    }
    expect_none(&faults);
}

/// Whether a span of code names a file or folder of ours; `.cache` is made by the tests.
fn is_path(span: &str) -> bool {
    let plain = span.chars().all(|c| c.is_alphanumeric() || "/._-".contains(c));
    let ends = [".rs", ".toml", ".md", ".txt", "/"].iter().any(|ending| span.ends_with(ending));
    plain && ends && (span.contains('/') || span.ends_with(".rs")) && !span.starts_with(".cache")
}

#[test]
fn the_guard_sees() {
    let code = without_tests(
        "#[cfg(test)]\nmod tests;\nfn f() { a(\"std::io\") } // std::fs\nlet q = '\"'; std::net\n#[cfg(test)]\nmod tests { std::env }",
    );
    assert!(stands_in(&code, "std::net"));
    for cut in ["std::io", "std::fs", "std::env"] {
        assert!(!stands_in(&code, cut), "{cut} is in {code}");
    }
    assert!(stands_in("x.exp()", ".exp()") && stands_in("(tracing::info!())", "tracing::"));
    assert!(!stands_in("catalog::x", "log::") && !stands_in("eprint!", "print!"));
    assert_eq!(first_names("use crate::{a::{b, c}, d}; crate::e::f; xcrate::g", "crate::"), ["a", "d", "e"]);
}
