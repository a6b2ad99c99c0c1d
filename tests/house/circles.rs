//! No file may name, directly or through others, items of a file of the same folder that names items of its own.
//!
//! The files of one folder are considered without the folder's own `mod.rs`; a subfolder counts as one file, together
//! with the file of its name. A re-export is followed to the file that defines the item.

use crate::paths::paths_after;
use crate::sources::{Source, expect_none, production};
use std::collections::{BTreeMap, BTreeSet};

/// Re-exports that are followed one after the other at most.
const HOPS_MAX: usize = 8;

type Path = Vec<String>;

#[test]
fn files_of_a_folder_form_no_circle() {
    let circles = circles(&production("src"));
    let faults: Vec<String> = circles.iter().map(Circle::describe).collect();
    expect_none(&faults);
}

/// Files that name each other's items, each of them directly or through others.
struct Circle {
    folder: String,
    files: BTreeSet<String>,
    /// From, to, and what is named.
    uses: Vec<(String, String, BTreeSet<String>)>,
}

impl Circle {
    fn describe(&self) -> String {
        let files: Vec<&str> = self.files.iter().map(String::as_str).collect();
        let mut text = format!("src/{}: {} form a circle:", self.folder, files.join(", "));
        for (from, to, names) in &self.uses {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            text += &format!("\n    {from} uses of {to}: {}", names.join(", "));
        }
        text
    }
}

/// A file as a module of the crate.
struct Module {
    /// Paths from the crate's root that the file names.
    named: Vec<Path>,
    /// Names that it passes on, with the path each stands for; `*` for all names of a module.
    exports: Vec<(String, Path)>,
}

type Modules = BTreeMap<Path, Module>;

fn circles(sources: &[Source]) -> Vec<Circle> {
    let modules = modules(sources);
    // By folder: from, to, names.
    let mut folders: BTreeMap<Path, BTreeMap<(String, String), BTreeSet<String>>> = BTreeMap::new();
    for (user, module) in &modules {
        for path in &module.named {
            let (target, name) = definition(&modules, path);
            let common = user.iter().zip(&target).take_while(|(a, b)| a == b).count();
            if common < user.len() && common < target.len() {
                let uses = folders.entry(user[..common].to_vec()).or_default();
                uses.entry((user[common].clone(), target[common].clone())).or_default().insert(name);
            }
        }
    }
    folders.iter().flat_map(|(folder, uses)| circles_of(folder, uses)).collect()
}

fn circles_of(folder: &Path, uses: &BTreeMap<(String, String), BTreeSet<String>>) -> Vec<Circle> {
    let files: BTreeSet<&String> = uses.keys().flat_map(|(from, to)| [from, to]).collect();
    let reached: BTreeMap<&String, BTreeSet<&String>> = files.iter().map(|file| (*file, reached(file, uses))).collect();
    let mut circles = Vec::new();
    let mut done = BTreeSet::new();
    for file in files {
        let circle: BTreeSet<String> =
            reached[file].iter().filter(|other| reached[*other].contains(file)).map(|file| (*file).clone()).collect();
        if circle.len() > 1 && done.insert(circle.clone()) {
            let within = |(from, to): &(String, String)| circle.contains(from) && circle.contains(to);
            let uses = uses.iter().filter(|(ends, _)| within(ends));
            let uses = uses.map(|((from, to), names)| (from.clone(), to.clone(), names.clone())).collect();
            circles.push(Circle { folder: folder.join("/"), files: circle, uses });
        }
    }
    circles
}

/// What a file names, directly or through others.
fn reached<'a>(file: &'a String, uses: &'a BTreeMap<(String, String), BTreeSet<String>>) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut waiting = vec![file];
    while let Some(file) = waiting.pop() {
        for (_, to) in uses.keys().filter(|(from, _)| from == file) {
            if reached.insert(to) {
                waiting.push(to);
            }
        }
    }
    reached
}

fn modules(sources: &[Source]) -> Modules {
    let path_of = |source: &Source| -> Path {
        let path = source.path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
        path.split('/').filter(|part| !["lib", "mod"].contains(part)).map(str::to_owned).collect()
    };
    let known: BTreeSet<Path> = sources.iter().map(path_of).collect();
    let module = |source: &Source| (path_of(source), module(&path_of(source), &source.text, &known));
    sources.iter().filter(|source| source.path != "src/main.rs").map(module).collect()
}

fn module(own: &Path, code: &str, known: &BTreeSet<Path>) -> Module {
    let mut named: Vec<Path> = ["crate", "super", "self"]
        .iter()
        .flat_map(|word| paths_after(code, word))
        .filter_map(|n| absolute(own, &n.path))
        .collect();
    let mut exports = Vec::new();
    let child = |path: &Path| [own.as_slice(), &path[..1]].concat();
    for (index, _) in code.match_indices("use ") {
        let is_public = code[..index].rsplit([';', '}', '\n']).next().is_some_and(|before| before.contains("pub"));
        for used in paths_after(&code[index..index + code[index..].find(';').unwrap_or(0)], "use") {
            // A path without `crate`, `super` or `self` begins with a module of this one, or with another crate.
            let path = match absolute(own, &used.path) {
                Some(path) => path,
                None if !used.path.is_empty() && known.contains(&child(&used.path)) => {
                    [own.as_slice(), &used.path].concat()
                }
                None => continue,
            };
            if is_public {
                exports.push((used.name.clone(), path.clone()));
            } else {
                named.push(path);
            }
        }
    }
    Module { named, exports }
}

/// A path from the crate's root, if it begins with `crate`, `super` or `self`.
fn absolute(own: &Path, path: &[String]) -> Option<Path> {
    let above = path.iter().take_while(|part| *part == "super").count();
    match path.first()?.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "self" => Some([own.as_slice(), &path[1..]].concat()),
        "super" => Some([own.get(..own.len().checked_sub(above)?)?, &path[above..]].concat()),
        _ => None,
    }
}

/// The module that defines what a path names, and its name there.
fn definition(modules: &Modules, path: &Path) -> (Path, String) {
    let mut path = path.clone();
    for _ in 0..HOPS_MAX {
        let depth = (0..=path.len()).rev().find(|depth| modules.contains_key(&path[..*depth])).unwrap_or(0);
        let Some(name) = path.get(depth) else {
            return (path.clone(), path.last().cloned().unwrap_or_default());
        };
        let exports = modules.get(&path[..depth]).map(|module| module.exports.as_slice()).unwrap_or_default();
        match exports.iter().find(|(exported, _)| exported == name) {
            Some((_, target)) if target[..] != path[..] => path = [target.as_slice(), &path[depth + 1..]].concat(),
            _ => return (path[..depth].to_vec(), name.clone()),
        }
    }
    (path, String::new())
}

#[test]
fn a_circle_is_found_through_others_and_through_what_is_passed_on() {
    let source = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
    let sources = [
        source("src/lib.rs", "pub mod a;"),
        source("src/a/mod.rs", "mod b; mod c; mod d; pub use c::{C, helper as other};"),
        source("src/a/b.rs", "use crate::a::C; fn b() {}"),
        source("src/a/c.rs", "pub struct C; fn c() { super::d::inner::d() }"),
        source("src/a/d.rs", "mod inner; pub use inner::d;"),
        source("src/a/d/inner.rs", "use super::super::b::b; pub fn d() {}"),
        source("src/a/e.rs", "use super::other;"),
    ];
    let found = circles(&sources);
    let described: Vec<String> = found.iter().map(Circle::describe).collect();
    assert_eq!(found.len(), 1, "{described:?}");
    assert_eq!(
        described[0],
        "src/a: b, c, d form a circle:\n    b uses of c: C\n    c uses of d: d\n    d uses of b: b"
    );
}
