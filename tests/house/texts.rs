//! What texts may name: no folder or host of somebody's machine, files that exist, and log lines that the program
//! writes.

use crate::sources::{Source, all_rust, expect_none, files, first_word, root};
use std::fs;

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

/// Folders of somebody's machine.
const PRIVATE_FOLDERS: [&str; 4] = ["/root/", "/home/", "/work/", "/Users/"];
/// Names those folders and hosts itself.
const THIS_FILE: &str = "tests/house/texts.rs";
/// Macros that log, with the level that a quoted line begins with.
const LEVELS: [(&str, &str); 3] = [("ERROR", "error!("), ("WARN", "warn!("), ("INFO", "info!(")];

#[test]
fn no_text_names_a_machine() {
    let mut faults = Vec::new();
    for file in all_texts().iter().filter(|file| file.path != THIS_FILE) {
        for folder in PRIVATE_FOLDERS.iter().filter(|folder| file.text.contains(**folder)) {
            faults.push(format!("{}: `{folder}` is a folder of one machine", file.path));
        }
        for (index, separator) in file.text.match_indices("://") {
            let host = file.text[index + separator.len()..].chars();
            let host: String = host.take_while(|c| c.is_alphanumeric() || ".-".contains(*c)).collect();
            let is_local = host.is_empty() || host == "localhost" || host.starts_with("127.") || !host.contains('.');
            if !is_local && !HOSTS.contains(&host.as_str()) && !host.ends_with(".example") {
                faults.push(format!("{}: {host} is not in the list of {THIS_FILE}", file.path));
            }
        }
    }
    expect_none(&faults);
}

fn all_texts() -> Vec<Source> {
    let mut texts = all_rust();
    for folder in ["config", "deploy", "docs", ".ci", ".cargo", "src", "tests", "benches"] {
        texts.extend(files(folder, "").into_iter().filter(|file| !file.path.ends_with(".rs")));
    }
    let top = fs::read_dir(root()).expect("root").map(|entry| entry.expect("entry").path());
    texts.extend(top.filter(|path| path.is_file()).filter_map(|path| {
        let name = path.file_name()?.to_string_lossy().into_owned();
        let is_text = [".md", ".toml", ".lock"].iter().any(|ending| name.ends_with(ending)) || name == "LICENSE";
        if is_text { Some(Source { text: fs::read_to_string(&path).ok()?, path: name }) } else { None }
    }));
    texts
}

/// Paths in backticks on the pages: from the root, or from any folder of `src`.
#[test]
fn pages_name_files_that_exist() {
    let mut faults = Vec::new();
    let sources = files("src", ".rs");
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
            let is_in_source =
                || sources.iter().any(|source| format!("/{}", source.path).contains(&format!("/{path}")));
            if !root().join(path).exists() && !is_in_source() {
                faults.push(format!("{page}: there is no `{path}`"));
            }
        }
    }
    expect_none(&faults);
}

/// Whether a span of code names a file or folder of the repository; `.cache` and `target` are made by builds and tests.
fn is_path(span: &str) -> bool {
    let is_plain = span.chars().all(|c| c.is_alphanumeric() || "/._-".contains(c));
    let has_ending = [".rs", ".toml", ".md", ".txt", "/"].iter().any(|ending| span.ends_with(ending));
    is_plain
        && has_ending
        && (span.contains('/') || span.ends_with(".rs"))
        && ![".cache", "target/"].iter().any(|made| span.starts_with(made))
}

/// Operators search for the lines that a page quotes. A quoted line is in a fenced block marked `log`: level, message,
/// fields. The message and the names of the fields must be those of a line that the program writes at this level.
#[test]
fn pages_quote_log_lines_as_they_are() {
    let code: Vec<Source> =
        files("src", ".rs").into_iter().map(|source| Source { text: joined(&source.text), ..source }).collect();
    let mut faults = Vec::new();
    for page in files("docs", ".md") {
        for block in page.text.split("```log\n").skip(1) {
            let lines = block.split("```").next().unwrap_or_default().lines();
            let unknown = lines.filter(|line| !code.iter().any(|source| writes(&source.text, line)));
            faults.extend(unknown.map(|line| format!("{}: the program does not write {line:?}", page.path)));
        }
    }
    expect_none(&faults);
}

/// Code with strings that continue on the next line joined.
fn joined(code: &str) -> String {
    let mut parts = code.split("\\\n");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.trim_start())
}

/// Whether code contains a call that logs such a line.
fn writes(code: &str, line: &str) -> bool {
    let (level, rest) = line.split_once(' ').unwrap_or((line, ""));
    let Some((_, call)) = LEVELS.iter().find(|(known, _)| *known == level) else { return false };
    let is_field =
        |word: &&str| word.split_once('=').is_some_and(|(name, _)| !name.is_empty() && first_word(name) == name);
    let fields: Vec<&str> =
        rest.split(' ').filter(is_field).map(|word| word.split('=').next().unwrap_or_default()).collect();
    let words = rest.split(' ').take_while(|word| !is_field(word));
    let message = format!("\"{}\"", words.collect::<Vec<_>>().join(" "));
    code.match_indices(&message).any(|(index, _)| {
        let before = &code[..index];
        let begins = LEVELS.iter().filter_map(|(_, call)| before.rfind(call)).max();
        begins.is_some_and(|begin| {
            before[begin..].starts_with(call) && fields.iter().all(|field| before[begin..].contains(field))
        })
    })
}

#[test]
fn a_quoted_log_line_has_the_level_message_and_fields_of_the_code() {
    let code = joined("error!(a = 1, \"other\"); warn!(shard, error = %e, \"shard \\\n    rebuilt\");");
    assert!(writes(&code, "WARN shard rebuilt shard=3 error=time-out"));
    assert!(writes(&code, "WARN shard rebuilt"));
    for line in ["ERROR shard rebuilt", "WARN shard", "WARN shard rebuilt topic=x", "shard rebuilt"] {
        assert!(!writes(&code, line), "{line}");
    }
}
