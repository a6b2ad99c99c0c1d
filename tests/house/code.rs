//! What code may contain: where unsafe code is allowed and how it is explained, where Kafka clients are made, how long
//! files and comments are, and that no test is left out or sleeps.

use crate::sources::{Source, all_rust, expect_none, files, has_word, production, test_code};

/// Lines of one source file at most.
const LINES_MAX: usize = 500;
/// Columns of a comment line at most; rustfmt limits lines of code only.
const COLUMNS_MAX: usize = 120;

/// The only files with unsafe code: raw calls of the Kafka client, hot ones and rare ones, and memory that it has
/// freed; prefetches, large pages and ids as text in customers' state; bytes that were checked to be text; vector
/// instructions of decoding.
const UNSAFE: [&str; 7] = [
    "src/kafka/raw/queue.rs",
    "src/kafka/raw/producer.rs",
    "src/kafka/raw/admin.rs",
    "src/kafka/raw/memory.rs",
    "src/engine/profile/storage/memory.rs",
    "src/engine/decode/ascii.rs",
    "src/engine/decode/vector.rs",
];

/// Lines between unsafe code and the comment above it that says why it is sound: the beginning of its statement.
const REASON_LINES_MAX: usize = 3;

/// Functions that let a thread rest, under whatever name.
const RESTS: [&str; 6] = ["sleep(", "thread::sleep", "park_timeout", "yield_now", "spin_loop", "sleep_until"];
/// The only file of tests and benches that may let a thread rest.
const WAIT: &str = "tests/support/wait.rs";

#[test]
fn unsafe_code_is_in_named_files_only() {
    let faults: Vec<String> = production("src")
        .into_iter()
        .filter(|source| !UNSAFE.contains(&source.path.as_str()))
        .filter(|source| ["unsafe {", "unsafe fn", "unsafe impl"].iter().any(|word| has_word(&source.text, word)))
        .map(|source| {
            format!("{}: unsafe code; if there is no other way, name the file in tests/house/code.rs", source.path)
        })
        .collect();
    expect_none(&faults);
}

/// A block or an implementation has `SAFETY:` above it, a function or a trait has what its callers must see to.
#[test]
fn unsafe_code_says_why_it_is_sound() {
    let mut faults = Vec::new();
    for source in files("src", ".rs").iter().filter(|source| UNSAFE.contains(&source.path.as_str())) {
        let lines: Vec<&str> = source.text.lines().collect();
        for (index, line) in lines.iter().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            let is_declaration = has_word(line, "unsafe fn") || has_word(line, "unsafe trait");
            if !is_declaration && !has_word(line, "unsafe {") && !has_word(line, "unsafe impl") {
                continue;
            }
            let above = lines[..index].iter().rev();
            let has_reason = if is_declaration {
                above
                    .take_while(|line| line.starts_with("///") || line.starts_with("#["))
                    .any(|line| *line == "/// # Safety")
            } else {
                above.take(REASON_LINES_MAX).any(|line| line.contains("// SAFETY: "))
            };
            if !has_reason {
                faults.push(format!("{}:{}: unsafe code without the reason why it is sound", source.path, index + 1));
            }
        }
    }
    expect_none(&faults);
}

/// A client that is made elsewhere has no token, and its errors show secrets.
#[test]
fn kafka_clients_are_made_in_one_file() {
    let constructors = ["create_with_context", "from_config_and_context", "from_config(", ".create()"];
    let faults: Vec<String> = production("src/kafka")
        .into_iter()
        .filter(|source| source.path != "src/kafka/client/make.rs")
        .filter(|source| constructors.iter().any(|constructor| source.text.contains(constructor)))
        .map(|source| format!("{}: Kafka clients are made by `client::make`", source.path))
        .collect();
    expect_none(&faults);
}

#[test]
fn files_are_short_and_say_what_they_contain() {
    let mut faults = Vec::new();
    for source in all_rust() {
        let lines = source.text.lines().count();
        if lines > LINES_MAX {
            faults.push(format!("{}: {lines} lines, at most {LINES_MAX}: split it", source.path));
        }
        if !source.text.starts_with("//!") {
            faults.push(format!("{}: begins without `//!` lines that say what the file contains and why", source.path));
        }
    }
    expect_none(&faults);
}

#[test]
fn comment_lines_are_short() {
    let mut faults = Vec::new();
    for source in all_rust() {
        let long = |line: &str| line.trim_start().starts_with("//") && line.chars().count() > COLUMNS_MAX;
        let lines = source.text.lines().enumerate().filter(|(_, line)| long(line));
        faults.extend(lines.map(|(index, _)| {
            format!("{}:{}: a comment line of more than {COLUMNS_MAX} columns", source.path, index + 1)
        }));
    }
    expect_none(&faults);
}

#[test]
fn nothing_is_unfinished() {
    let unfinished = [
        ("#[ignore", "a test that is not run shows nothing"),
        ("todo!", "finish it or leave it out"),
        ("unimplemented!", "finish it or leave it out"),
    ];
    expect_none(&uses(&all_rust(), &unfinished));
}

/// The product may rest.
#[test]
fn tests_do_not_sleep() {
    let sources: Vec<Source> = test_code().into_iter().filter(|source| source.path != WAIT).collect();
    expect_none(&uses(&sources, &RESTS.map(|rest| (rest, "wait for a condition, with `support::wait`"))));
}

/// Where which of the patterns is used, and what to do instead.
fn uses(sources: &[Source], patterns: &[(&str, &str)]) -> Vec<String> {
    let others = sources.iter().filter(|source| source.path != "tests/house/code.rs");
    let of = |source: &Source| -> Vec<String> {
        let used = patterns.iter().filter(|(pattern, _)| has_word(&source.text, pattern));
        used.map(|(pattern, instead)| format!("{}: `{pattern}`: {instead}", source.path)).collect()
    };
    others.flat_map(of).collect()
}
