//! Seeds and counts of random tests.
//!
//! A seed derives from the commit, so that each commit is tried with other random inputs and a repeated run of one
//! commit with the same. `SHOAL_SEED` overrides the seed and `SHOAL_RUNS` the count. What is used is printed past the
//! capture of the test runner, so that it is in the log of a failed run.

use std::io::Write;
use std::process::Command;
use std::sync::OnceLock;
use xxhash_rust::xxh3::xxh3_64;

/// The seed where there is neither `SHOAL_SEED` nor a commit.
const FIXED: u64 = 1;
/// Seeds stay far below the largest number: tests add the number of a run to them.
const SEED_MAX: u64 = 1_000_000_000;

/// The seed of this run: `SHOAL_SEED`, else derived from the commit, else fixed.
///
/// # Panics
/// If `SHOAL_SEED` is not a number.
pub fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| {
        if let Some(seed) = number("SHOAL_SEED") {
            print(&format!("seed {seed}, from SHOAL_SEED"));
            return seed;
        }
        match commit() {
            Some(commit) => {
                let seed = of_commit(&commit);
                print(&format!("seed {seed}, derived from commit {commit} (SHOAL_SEED overrides it)"));
                seed
            }
            None => {
                print(&format!("seed {FIXED}, fixed: there is no commit to derive it from (SHOAL_SEED overrides it)"));
                FIXED
            }
        }
    })
}

/// How many random cases to run: `SHOAL_RUNS`, else the default.
///
/// # Panics
/// If `SHOAL_RUNS` is not a number.
pub fn runs(default: u64) -> u64 {
    number("SHOAL_RUNS").unwrap_or(default)
}

fn of_commit(commit: &str) -> u64 {
    1 + xxh3_64(commit.as_bytes()) % SEED_MAX
}

/// The hash of the commit that is checked out, if git is there and this is its work tree.
fn commit() -> Option<String> {
    let root = env!("CARGO_MANIFEST_DIR");
    let output = Command::new("git").args(["-C", root, "rev-parse", "HEAD"]).output().ok()?;
    let commit = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !commit.is_empty()).then_some(commit)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text}: expected a number")))
}

fn print(line: &str) {
    let _ = writeln!(std::io::stderr(), "\n*** {line}");
}

#[test]
fn the_seed_of_a_commit_is_always_the_same() {
    assert_eq!(of_commit("f7a8bea"), of_commit("f7a8bea"));
    assert_ne!(of_commit("f7a8bea"), of_commit("77500f3"));
}
