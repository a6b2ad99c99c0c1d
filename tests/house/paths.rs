//! Paths that Rust code names, with the braces of `use` written out: `use crate::{a, b::c}` names `crate::a` and
//! `crate::b::c`.

use crate::sources::first_word;

/// What a name stands for, or the same path under another name.
pub struct Named {
    /// The parts of the path, the first of which is the prefix that was looked for, or what followed `use`.
    pub path: Vec<String>,
    /// The name in the file: the last part, unless `as` gives another.
    pub name: String,
}

/// Paths in code that begin with this word, such as `crate`, `super` or `use` (which itself is left out).
pub fn paths_after(code: &str, word: &str) -> Vec<Named> {
    let mut found = Vec::new();
    for (index, _) in code.match_indices(word) {
        let before = code[..index].chars().next_back();
        let rest = &code[index..];
        let ends = !rest[word.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_');
        if ends && !before.is_some_and(|c| c.is_alphanumeric() || c == ':' || c == '_') {
            let start = if word == "use" { rest[word.len()..].trim_start() } else { rest };
            expand(start, &mut Vec::new(), &mut found);
        }
    }
    found
}

/// Reads one path, in which a part may be a group of paths; what follows it.
fn expand<'a>(text: &'a str, prefix: &mut Vec<String>, found: &mut Vec<Named>) -> &'a str {
    let depth = prefix.len();
    let mut rest = text.trim_start();
    loop {
        if let Some(group) = rest.strip_prefix('{') {
            rest = group;
            loop {
                rest = rest.trim_start();
                match rest.chars().next() {
                    Some('}') | None => break,
                    Some(',') => rest = &rest[1..],
                    Some(c) if c.is_alphanumeric() || c == '_' || c == '*' || c == '{' => {
                        rest = expand(rest, prefix, found)
                    }
                    Some(c) => rest = &rest[c.len_utf8()..],
                }
            }
            rest = rest.strip_prefix('}').unwrap_or(rest);
            break;
        }
        let part = if rest.starts_with('*') { "*".to_owned() } else { first_word(rest) };
        if part.is_empty() {
            break;
        }
        rest = &rest[part.len()..];
        prefix.push(part);
        if let Some(next) = rest.strip_prefix("::") {
            rest = next;
            continue;
        }
        let alias = rest.trim_start().strip_prefix("as ").map(|alias| first_word(alias.trim_start()));
        // `self` in a group is the path before it.
        if prefix.len() > 1 && prefix.last().is_some_and(|last| last == "self") {
            prefix.pop();
        }
        let name = alias.unwrap_or_else(|| prefix.last().cloned().unwrap_or_default());
        found.push(Named { path: prefix.clone(), name });
        if let Some(alias) = rest.trim_start().strip_prefix("as ") {
            let alias = alias.trim_start();
            rest = &alias[first_word(alias).len()..];
        }
        break;
    }
    prefix.truncate(depth);
    rest
}

/// The parts that follow a prefix of one part: `crate::{a, b::c}` gives a and b for `crate`.
pub fn second_parts(code: &str, prefix: &str) -> Vec<String> {
    paths_after(code, prefix).into_iter().filter_map(|named| named.path.into_iter().nth(1)).collect()
}

#[test]
fn groups_are_written_out() {
    let code = "use crate::{a::{self, b, c as x}, d}; crate::e::f(); xcrate::g; pub use h::{I, j::*};";
    let written = |word| -> Vec<String> {
        paths_after(code, word).iter().map(|named| format!("{} {}", named.path.join("::"), named.name)).collect()
    };
    assert_eq!(written("crate"), ["crate::a a", "crate::a::b b", "crate::a::c x", "crate::d d", "crate::e::f f"]);
    assert_eq!(written("use")[4..], ["h::I I", "h::j::* *"]);
    assert_eq!(second_parts(code, "crate"), ["a", "a", "a", "d", "e"]);
}
