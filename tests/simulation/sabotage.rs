//! Deliberate bugs: each is found by the checkers, which see only the topics and what an independent run over the same
//! records makes of them, while the program's own checks of itself are switched off.
//!
//! Of a world that a bug brings to a stop only the journals are looked at: what the program finds by itself does not count.
//! The world in which a bug is found passes without it. `SHOAL_SABOTAGED=name` looks at one of them only.

use super::plan::Plan;
use super::world::World;
use super::{check, judge, number};
use shoal::trial::{self, Sabotage};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Seeds after which a bug that was not found is one that survives.
const SEEDS_MAX: u64 = 300;
/// A world with a bug may go on for ever; others have far less.
const RESUMES_MAX: u64 = 100_000;
/// Characters of a verdict that are printed.
const WORDS_MAX: usize = 110;

/// Name of the threads on which panics are expected.
const QUIET: &str = "sabotaged";

/// How a bug was found.
struct Found {
    /// Worlds that were played, the last one included, and those of them that did not come to their end.
    worlds: u64,
    stopped: u64,
    words: String,
}

#[test]
fn every_deliberate_bug_is_found_by_somebody_else() {
    be_quiet();
    let wanted = std::env::var("SHOAL_SABOTAGED").ok();
    let bugs: Vec<Sabotage> =
        Sabotage::ALL.into_iter().filter(|bug| wanted.as_ref().is_none_or(|name| name == bug.name())).collect();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..threads {
            let work = || {
                while let Some(&bug) = bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let searched = search(bug);
                    found.lock().expect("nobody panicked").push((bug, searched));
                }
            };
            thread::Builder::new().name(QUIET.into()).spawn_scoped(scope, work).expect("a thread");
        }
    });
    let found = found.into_inner().expect("nobody panicked");
    println!("{:<24} {:>6} {:>8}  how", "bug", "seeds", "stopped");
    let mut survived = Vec::new();
    for (bug, searched) in &found {
        match searched {
            Some(found) => println!("{:<24} {:>6} {:>8}  {}", bug.name(), found.worlds, found.stopped, found.words),
            None => survived.push(bug.name()),
        }
    }
    assert!(survived.is_empty(), "not found in {SEEDS_MAX} worlds: {}", survived.join(", "));
    assert!(!found.is_empty(), "SHOAL_SABOTAGED is no deliberate bug");
}

/// Worlds that bugs bring to a stop do not fill the log.
fn be_quiet() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |told| {
        if thread::current().name() != Some(QUIET) {
            usual(told);
        }
    }));
}

/// Plays worlds with a bug until the checkers find it.
fn search(sabotage: Sabotage) -> Option<Found> {
    let first = number("SHOAL_SEED").unwrap_or(1);
    let mut stopped = 0;
    for seed in first..first + SEEDS_MAX {
        match verdict(seed, Some(sabotage)) {
            Some(Ok(())) => {}
            None => stopped += 1,
            Some(Err(words)) => {
                let honest = verdict(seed, None);
                assert_eq!(honest, Some(Ok(())), "seed {seed} without {}", sabotage.name());
                let words = words.replace('\n', " ").chars().take(WORDS_MAX).collect();
                return Some(Found { worlds: seed + 1 - first, stopped, words });
            }
        }
    }
    None
}

/// What the checkers say of a world; nothing if it did not come to its end.
fn verdict(seed: u64, sabotage: Option<Sabotage>) -> Option<Result<(), String>> {
    let plan = Plan::of_seed(seed);
    let mut world = World::new(&plan, false);
    world.resumes_max = RESUMES_MAX;
    trial::blind(true);
    trial::sabotage(sabotage);
    let played = catch_unwind(AssertUnwindSafe(|| world.play()));
    trial::sabotage(None);
    trial::blind(false);
    match played {
        Ok(()) => Some(judge(&plan, &mut world, &[])),
        Err(_) => check::check_journals(&plan, &world.cluster).err().map(Err),
    }
}
