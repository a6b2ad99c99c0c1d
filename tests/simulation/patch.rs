//! Patches in unified format, and a copy of the sources to which they are applied.
//!
//! Lines are found by their text, which must occur exactly once in the file; the line numbers of a hunk are ignored. So
//! a patch still applies after the sources around it have moved, and it needs no program to apply it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Entries of the root folder that a build of the tests does not need.
const LEFT_OUT: [&str; 3] = [".git", ".cache", "target"];

/// Lines of one file that are replaced by others.
struct Hunk {
    path: String,
    before: String,
    after: String,
}

/// The text of all changed files, by path from the root folder.
pub type Changed = BTreeMap<String, String>;

/// Applies a patch to the sources in `root`, or to what earlier patches made of them.
///
/// # Errors
/// If the patch cannot be parsed, or its lines are not in the sources exactly once.
pub fn apply(root: &Path, changed: &mut Changed, patch: &str) -> Result<(), String> {
    for hunk in parse(patch)? {
        let Hunk { path, before, after } = hunk;
        let text = match changed.get(&path) {
            Some(text) => text.clone(),
            None => fs::read_to_string(root.join(&path)).map_err(|error| format!("{path}: {error}"))?,
        };
        let found = text.matches(&before).count();
        if found != 1 {
            return Err(format!("{path}: expected these lines exactly once, found them {found} times:\n{before}"));
        }
        changed.insert(path, text.replacen(&before, &after, 1));
    }
    Ok(())
}

fn parse(patch: &str) -> Result<Vec<Hunk>, String> {
    let (mut hunks, mut path) = (Vec::<Hunk>::new(), None);
    for line in patch.lines() {
        if let Some(name) = line.strip_prefix("+++ b/") {
            path = Some(name.trim_end().to_owned());
        } else if line.starts_with("--- ") {
            path = None;
        } else if line.starts_with("@@") {
            let path = path.clone().ok_or("a hunk without the name of a file")?;
            hunks.push(Hunk { path, before: String::new(), after: String::new() });
        } else if let Some(hunk) = hunks.last_mut().filter(|_| path.is_some()) {
            let (kind, content) = line.split_at_checked(1).unwrap_or((" ", ""));
            if !matches!(kind, " " | "-" | "+") {
                return Err(format!("expected a line that begins with a space, `-` or `+`, found {line:?}"));
            }
            for (text, other) in [(&mut hunk.before, "+"), (&mut hunk.after, "-")] {
                if kind != other {
                    text.push_str(content);
                    text.push('\n');
                }
            }
        }
    }
    if hunks.is_empty() { Err("expected at least one hunk".into()) } else { Ok(hunks) }
}

/// Makes `copy` equal to the sources in `root`, with the changed files. Files that are equal already are not written,
/// so that a build repeats only what changed.
pub fn copy_sources(root: &Path, copy: &Path, changed: &Changed) {
    let files = files(root);
    for known in self::files(copy).into_iter().filter(|path| !files.contains(path)) {
        fs::remove_file(copy.join(known)).expect("a file of the copy can be removed");
    }
    for path in files {
        let original = || fs::read(root.join(&path)).expect("a source can be read");
        let name = path.to_string_lossy().replace('\\', "/");
        let bytes = changed.get(&name).map_or_else(original, |text| text.clone().into_bytes());
        let target = copy.join(&path);
        if fs::read(&target).ok().as_ref() != Some(&bytes) {
            fs::create_dir_all(target.parent().expect("a file is in a folder")).expect("a folder can be created");
            fs::write(target, bytes).expect("a file of the copy can be written");
        }
    }
}

/// All files of a folder, by path from it.
fn files(root: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(root.join(&folder)) else { continue };
        for entry in entries {
            let entry = entry.expect("a folder can be read");
            let path = folder.join(entry.file_name());
            let kind = entry.file_type().expect("an entry has a type");
            if kind.is_file() {
                files.push(path);
            } else if kind.is_dir() && !LEFT_OUT.iter().any(|name| Path::new(name) == path) {
                folders.push(path);
            }
        }
    }
    files
}

#[test]
fn patch_replaces_its_lines_wherever_they_are() {
    let root = tempfile::tempdir().expect("a temporary folder");
    fs::write(root.path().join("a.txt"), "one\ntwo\nthree\n").expect("a file can be written");
    let patch = "Why.\n--- a/a.txt\n+++ b/a.txt\n@@ -7,2 +7,2 @@\n-two\n+2\n three\n";
    let mut changed = Changed::new();
    assert_eq!(apply(root.path(), &mut changed, patch), Ok(()));
    assert_eq!(changed["a.txt"], "one\n2\nthree\n");
    let again = apply(root.path(), &mut changed, patch);
    assert!(again.expect_err("the lines are gone").contains("found them 0 times"));
}
