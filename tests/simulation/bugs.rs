//! Deliberate bugs: each must be found, which shows that the checks of the simulation can find a bug at all.
//!
//! A bug is either a wrapper that misbehaves (`buggy`), or a patch in `bugs/NAME.patch` that is applied to a copy of
//! the sources. Worlds are played with the bug until it is found, by the *checkers*, which see only what is published,
//! or by the *program*, whose worker stops because its own checks fail. Without the bug the same world must pass.
//!
//! Every run plays the wrappers, and verifies that every patch applies. `SHOAL_BUGS=all` also builds the patched
//! programs; there `bugs/blind.patch` removes the program's own checks, so that every bug, those of the wrappers
//! included, must be found by the checkers. `SHOAL_BUGS=NAME` plays a single bug.

use super::buggy::Bug;
use super::patch::{self, Changed};
use super::plan::Plan;
use super::world::World;
use super::{check, judge, message_of, seed};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, thread};

/// Worlds after which a bug that was not found counts as missed.
const WORLDS_MAX: u64 = 300;
/// A world with a bug may never come to rest; a world without one needs far fewer resumes.
const RESUMES_MAX: u64 = 100_000;
/// Characters of a finding that are printed.
const MESSAGE_MAX: usize = 100;

/// Selects bugs: `all`, or the name of one.
const BUGS: &str = "SHOAL_BUGS";
/// Set for the tests of a patched copy: the name of its bug, or [`BLIND`] if the bugs of the wrappers are played in it.
const PATCHED: &str = "SHOAL_PATCHED";
/// The patch that removes the program's own checks.
const BLIND: &str = "blind";
/// Name of the threads on which panics are expected.
const SEARCH: &str = "search";
/// The test that searches for bugs, in a patched copy too.
const TEST: &str = "every_deliberate_bug_is_found";

/// How a bug showed itself in a world.
#[derive(Debug)]
enum Finding {
    Checkers(String),
    Program(String),
}

/// What a world showed of a bug.
enum Outcome {
    Passed,
    Found(Finding),
    /// The world came to no end, and what it published by then was right.
    Unfinished,
}

struct Found {
    /// The seed of the last world, and how many were played.
    seed: u64,
    worlds: u64,
    finding: Finding,
}

#[test]
fn every_deliberate_bug_is_found() {
    silence_expected_panics();
    let patched = env::var(PATCHED).ok();
    let bugs: Vec<(&str, Option<Bug>)> = match patched.as_deref() {
        None | Some(BLIND) => Bug::ALL.iter().map(|bug| (bug.name(), Some(*bug))).collect(),
        Some(name) => vec![(name, None)],
    };
    let bugs: Vec<_> = bugs.into_iter().filter(|(name, _)| patched.is_some() || is_selected(name)).collect();
    let (next, missed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    println!("{:<24} {:>6} {:>10}  found by", "bug", "worlds", "seed");
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            let work = || {
                while let Some(&(name, bug)) = bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match search(bug, patched.is_some()) {
                        Some(found) => {
                            report(name, &found);
                            if patched.is_none() {
                                assert_passes(found.seed, name);
                            }
                        }
                        None => missed.lock().expect("no thread has panicked").push(name),
                    }
                }
            };
            thread::Builder::new().name(SEARCH.into()).spawn_scoped(scope, work).expect("a thread can be started");
        }
    });
    let missed = missed.into_inner().expect("no thread has panicked");
    assert!(missed.is_empty(), "not found in {WORLDS_MAX} worlds: {}", missed.join(", "));
}

#[test]
fn every_patch_with_a_deliberate_bug_applies() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let patches = root.join("tests/simulation/bugs");
    let mut names: Vec<String> = fs::read_dir(&patches)
        .expect("the folder of patches exists")
        .map(|entry| entry.expect("a folder can be read").file_name().into_string().expect("a name in UTF-8"))
        .filter_map(|name| name.strip_suffix(".patch").map(str::to_owned))
        .collect();
    names.sort();
    assert!(names.len() > 1 && names.iter().any(|name| name == BLIND), "patches: {names:?}");
    let selected =
        |name: &str| is_selected(name) || name == BLIND && Bug::ALL.iter().any(|bug| is_selected(bug.name()));
    for name in &names {
        let mut changed = Changed::new();
        for name in [BLIND, name.as_str()].iter().take(if name == BLIND { 1 } else { 2 }) {
            let text = fs::read_to_string(patches.join(format!("{name}.patch"))).expect("a patch can be read");
            let applied = patch::apply(root, &mut changed, &text);
            applied.unwrap_or_else(|error| panic!("tests/simulation/bugs/{name}.patch does not apply: {error}"));
        }
        if env::var(BUGS).is_ok() && env::var(PATCHED).is_err() && selected(name) {
            search_patched(root, name, &changed);
        }
    }
}

fn is_selected(name: &str) -> bool {
    env::var(BUGS).map_or(true, |selected| selected == "all" || selected == name)
}

/// Builds a copy of the sources with a patch, and lets its tests search for the bug. The world in which it is found
/// must pass here.
fn search_patched(root: &Path, name: &str, changed: &Changed) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bugs");
    let copy = folder.join("source");
    patch::copy_sources(root, &copy, changed);
    println!("building and searching the program with {name}.patch");
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["test", "--locked", "--test", "simulation", "--", "--nocapture", TEST])
        .current_dir(&copy)
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .env(PATCHED, name)
        .env("SHOAL_SEED", seed::seed().to_string())
        .stdin(Stdio::null())
        .output()
        .expect("cargo can be started");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "with {name}.patch: {}\n{text}\n{errors}", output.status);
    let lines: Vec<&str> = text.lines().filter(|line| line.contains(BY_CHECKERS)).collect();
    assert!(!lines.is_empty(), "with {name}.patch nothing was searched:\n{text}\n{errors}");
    for line in lines {
        println!("{line}");
        let seed = line.split_whitespace().nth(2).and_then(|seed| seed.parse().ok());
        assert_passes(seed.expect("the third word of a report is a seed"), name);
    }
}

/// How a report names the checkers.
const BY_CHECKERS: &str = "checkers: ";

fn report(name: &str, found: &Found) {
    let (by, message) = match &found.finding {
        Finding::Checkers(message) => (BY_CHECKERS, message),
        Finding::Program(message) => ("program:  ", message),
    };
    let message: String = message.replace('\n', " ").chars().take(MESSAGE_MAX).collect();
    println!("{name:<24} {:>6} {:>10}  {by}{message}", found.worlds, found.seed);
}

/// Panics of worlds with bugs are findings, and are not printed.
fn silence_expected_panics() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if thread::current().name() != Some(SEARCH) {
            usual(panic);
        }
    }));
}

/// Plays worlds until one shows the bug.
fn search(bug: Option<Bug>, only_by_checkers: bool) -> Option<Found> {
    let first = seed::seed();
    for seed in first..first + WORLDS_MAX {
        match play(seed, bug) {
            Outcome::Found(Finding::Program(_)) if only_by_checkers => {}
            Outcome::Found(finding) => return Some(Found { seed, worlds: seed + 1 - first, finding }),
            Outcome::Passed | Outcome::Unfinished => {}
        }
    }
    None
}

/// # Panics
/// If the world does not pass without a bug.
fn assert_passes(seed: u64, bug: &str) {
    match play(seed, None) {
        Outcome::Passed => {}
        Outcome::Found(finding) => panic!("seed {seed} without {bug}: {finding:?}"),
        Outcome::Unfinished => panic!("seed {seed} without {bug} does not come to rest"),
    }
}

/// Plays a world and lets the checkers judge what was published. Of a world that ended early they judge only the
/// journals.
fn play(seed: u64, bug: Option<Bug>) -> Outcome {
    let plan = Plan::of_seed(seed);
    let mut world = World::new(&plan, false, bug);
    world.resumes_max = RESUMES_MAX;
    let played = catch_unwind(AssertUnwindSafe(|| world.play()));
    let Err(panic) = played else {
        let judged = judge(&plan, &mut world, &[]);
        return judged.map_or_else(|message| Outcome::Found(Finding::Checkers(message)), |()| Outcome::Passed);
    };
    if let Err(message) = check::check_journals(&plan, &world.cluster) {
        return Outcome::Found(Finding::Checkers(message));
    }
    match message_of(&*panic) {
        message if message == World::NO_REST => Outcome::Unfinished,
        message => Outcome::Found(Finding::Program(message)),
    }
}
