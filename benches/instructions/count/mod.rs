//! Counts the instructions of an event and of a change, by part, with valgrind, and compares them with those recorded.
//!
//! Instructions depend neither on neighbours nor on the clock: two runs give the same numbers, so a change of a few
//! per cent is one of the program. The program starts itself under callgrind, which writes a file per measurement
//! (`callgrind`); `parts` says what an instruction was run for, `figures` adds up, `record` compares.

mod callgrind;
mod figures;
mod parts;
mod record;
mod work;

use crate::{arguments, valgrind};
use callgrind::Profile;
use figures::Measurement;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Seconds after which valgrind is ended: it needs some 20 of a processor.
const SECONDS_MAX: &str = "600";
/// The longest chain of calls that is told apart.
const CALLERS: usize = 40;

/// Counts, prints, and compares with the record of this build, or writes it if `SHOAL_REFRESH` is set. With
/// `--functions N` also prints the functions with the most instructions.
pub fn run(build: &str) -> ExitCode {
    if valgrind::is_running() {
        work::all();
        return ExitCode::SUCCESS;
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        return without_valgrind();
    }
    let measured = count(build).and_then(|measured| {
        figures::print(&measured);
        if let Some(functions) = arguments::number("--functions") {
            measured.iter().for_each(|measurement| measurement.print_functions(functions as usize));
        }
        record::compare(build, &measured)
    });
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn without_valgrind() -> ExitCode {
    let message = "valgrind, which counts instructions, is not installed: `apt-get install valgrind`";
    if std::env::var("CI").is_ok_and(|value| value == "true") {
        eprintln!("error: {message}");
        return ExitCode::FAILURE;
    }
    println!("SKIPPED: no instruction was counted. {message}");
    ExitCode::SUCCESS
}

/// Runs the work under callgrind, and reads what it wrote.
fn count(build: &str) -> Result<Vec<Measurement>, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("instructions").join(build);
    let fault = |error: std::io::Error| format!("{}: {error}", folder.display());
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).map_err(fault)?;
    let program = std::env::current_exe().map_err(fault)?;
    let written = folder.join("callgrind.out");
    let output = Command::new("timeout")
        .args(["--kill-after=10", SECONDS_MAX, "valgrind", "--tool=callgrind", "--instr-atstart=no", "-q"])
        .arg(format!("--separate-callers={CALLERS}"))
        .arg(format!("--callgrind-out-file={}", written.display()))
        .arg(program)
        .args(std::env::args().skip(1))
        .output()
        .map_err(|error| format!("valgrind cannot be started: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(format!("valgrind ended with {} (124: after {SECONDS_MAX} s): {said}{errors}", output.status));
    }
    let profiles = read_profiles(&folder).map_err(fault)?;
    said.lines().map(|line| measurement(line, &profiles)).collect()
}

fn read_profiles(folder: &Path) -> std::io::Result<Vec<Profile>> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    paths.sort();
    let read = |path: &PathBuf| Profile::read(&std::fs::read_to_string(path)?).map_err(std::io::Error::other);
    paths.iter().map(read).collect()
}

/// The measurement that a line of [`work`] announces.
fn measurement(line: &str, profiles: &[Profile]) -> Result<Measurement, String> {
    let words: Vec<&str> = line.split(' ').collect();
    let number = |index: usize| words.get(index).and_then(|word| word.parse::<u64>().ok());
    let (Some(events), Some(changes)) = (number(1), number(2)) else {
        return Err(format!("expected a name with the numbers of events and of changes, found {line:?}"));
    };
    let profile = profiles.iter().find(|profile| profile.name == words[0]);
    let profile = profile.ok_or_else(|| format!("callgrind wrote no profile of {:?}", words[0]))?;
    Ok(Measurement::new(profile, events, changes))
}
