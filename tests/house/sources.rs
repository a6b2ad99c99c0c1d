//! The files that the rules are checked on, and what is code in them.
//!
//! Rules look for names in text. Therefore comments, strings and test modules are cut out before a rule about code is
//! checked: a word in a message is not a use of it.

use std::fs;
use std::path::{Path, PathBuf};

/// How a test module within a file of the product begins. Nothing follows it.
const TEST_MODULE: &str = "\n#[cfg(test)]\nmod tests {";

/// A file with its path from the root of the repository.
pub struct Source {
    pub path: String,
    pub text: String,
}

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder whose names end with `ending`, sorted by path.
pub fn files(folder: &str, ending: &str) -> Vec<Source> {
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

/// All Rust files of the repository.
pub fn all_rust() -> Vec<Source> {
    ["src", "tests", "benches"].into_iter().flat_map(|folder| files(folder, ".rs")).collect()
}

/// Rust files of the product, reduced to code: without test modules, comments and strings.
pub fn production(folder: &str) -> Vec<Source> {
    let sources = files(folder, ".rs");
    let tests: Vec<String> = sources.iter().flat_map(test_modules).collect();
    let is_test = |path: &str| tests.iter().any(|test| belongs_to(path, test));
    let production = sources.into_iter().filter(|source| !is_test(&source.path));
    production.map(|source| Source { text: code_of(&source.text), ..source }).collect()
}

/// Code of tests and benches: theirs, and the test modules of the product.
pub fn test_code() -> Vec<Source> {
    let product = files("src", ".rs");
    let tests: Vec<String> = product.iter().flat_map(test_modules).collect();
    let test_part = |source: Source| {
        let is_test = tests.iter().any(|test| belongs_to(&source.path, test));
        let text = if is_test {
            Some(source.text.as_str())
        } else {
            source.text.split_once(TEST_MODULE).map(|(_, text)| text)
        };
        text.map(code_of).map(|text| Source { text, path: source.path.clone() })
    };
    let others = ["tests", "benches"].into_iter().flat_map(|folder| files(folder, ".rs"));
    let others = others.map(|source| Source { text: code_of(&source.text), ..source });
    product.into_iter().filter_map(test_part).chain(others).collect()
}

/// Paths, without ending, of the modules that a file declares for tests only.
fn test_modules(source: &Source) -> Vec<String> {
    let own = source.path.trim_end_matches(".rs").trim_end_matches("/mod");
    let declared = source.text.split("#[cfg(test)]\nmod ").skip(1).map(first_word);
    declared.map(|name| format!("{own}/{name}")).collect()
}

/// Whether a path is the file or a part of the folder of a module.
pub fn belongs_to(path: &str, module: &str) -> bool {
    path == format!("{module}.rs") || path.starts_with(&format!("{module}/"))
}

/// The code of a file up to its test module, without comments, strings and characters.
pub fn code_of(text: &str) -> String {
    let text = text.split(TEST_MODULE).next().unwrap_or_default();
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = not_code(rest, code.chars().next_back());
        if skipped > 0 {
            code.push(' ');
            rest = &rest[skipped..];
        } else {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    code
}

/// The length of the comment, string or character that begins here; 0 if code does.
fn not_code(rest: &str, before: Option<char>) -> usize {
    let until = |end: &str, from: usize| rest[from..].find(end).map_or(rest.len(), |found| from + found + end.len());
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return until("*/", 2);
    }
    if rest.starts_with('"') {
        return after_quote(rest, '"');
    }
    if let Some(following) = rest.strip_prefix('\'') {
        // A lifetime has no second quote right behind its first letter.
        let mut following = following.chars();
        let (first, second) = (following.next(), following.next());
        return if first == Some('\\') || second == Some('\'') { after_quote(rest, '\'') } else { 0 };
    }
    if before.is_some_and(|c| c.is_alphanumeric() && c != 'b') {
        return 0;
    }
    let Some(raw) = rest.strip_prefix('r') else { return 0 };
    let quoted = raw.trim_start_matches('#');
    let hashes = raw.len() - quoted.len();
    if quoted.starts_with('"') { until(&format!("\"{}", "#".repeat(hashes)), hashes + 2) } else { 0 }
}

/// The length of what stands between two quotes, with them.
fn after_quote(rest: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (index, c) in rest.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if c == quote => return index + quote.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// Whether the text contains the pattern other than as the end of a longer word.
pub fn has_word(text: &str, pattern: &str) -> bool {
    text.match_indices(pattern).any(|(index, _)| {
        let before = text[..index].chars().next_back();
        pattern.starts_with('.') || !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

/// The letters, digits and underscores at the beginning of a text.
pub fn first_word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// # Panics
/// If there is a fault, with all of them.
pub fn expect_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn code_has_no_comments_strings_and_tests() {
    let code = code_of(
        "fn f<'a>() { a(\"std::io\") } // std::fs\nlet q = '\"'; std::net\nlet r = r#\"\"std::thread\"#; b'\\''; std::sync\n#[cfg(test)]\nmod tests { std::env }",
    );
    assert!(has_word(&code, "std::net") && has_word(&code, "std::sync") && code.contains("<'a>"), "{code}");
    for cut in ["std::io", "std::fs", "std::env", "std::thread"] {
        assert!(!has_word(&code, cut), "{cut} is in {code}");
    }
    assert!(has_word("x.exp()", ".exp()") && has_word("(tracing::info!())", "tracing::"));
    assert!(!has_word("catalog::x", "log::") && !has_word("eprint!", "print!"));
}
