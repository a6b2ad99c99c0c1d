//! The recorded figures: `benches/instructions/record.toml`, a table per build and measurement.

use super::figures::Measurement;
use std::collections::BTreeMap;
use std::fmt::Write;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions/record.toml");
const HEAD: &str = "\
# Instructions per event and per change, by part: what was counted when this was recorded last, for each build.
#
# `quick` is the build of `benches/instructions/run`, which the gate runs: it fails if a figure differs by more than 5 %
# from the one here. `SHOAL_REFRESH=1 benches/instructions/run` records anew, and so does
# `SHOAL_REFRESH=1 cargo bench --bench engine -- --instructions` for the build `release`.
";
/// A figure may differ from the recorded one by this part of it,
const TOLERANCE: f64 = 0.05;
/// and by this many instructions, so that the smallest parts do not fail by a few.
const TOLERANCE_INSTRUCTIONS: f64 = 10.0;

/// Figures by build, measurement and name.
type Record = BTreeMap<String, BTreeMap<String, BTreeMap<String, f64>>>;

/// Compares figures with those recorded for this build, or records them if `SHOAL_REFRESH` is set.
pub fn compare(build: &str, measured: &[Measurement]) -> Result<(), String> {
    let mut record = read()?;
    if std::env::var_os("SHOAL_REFRESH").is_some() {
        let figures = |one: &Measurement| (one.name.clone(), one.figures().into_iter().map(rounded).collect());
        record.insert(build.to_owned(), measured.iter().map(figures).collect());
        println!("recorded in {PATH}");
        return std::fs::write(PATH, written(&record)).map_err(|error| format!("{PATH}: {error}"));
    }
    let Some(recorded) = record.get(build) else {
        let message = format!("{PATH} has no figures of the build {build:?} to compare with");
        // Those of a release are for people.
        if build == "release" {
            println!("{message}");
            return Ok(());
        }
        return Err(message);
    };
    let mut faults = Vec::new();
    for measurement in measured {
        let none = BTreeMap::new();
        let mut recorded = recorded.get(&measurement.name).unwrap_or(&none).clone();
        for (name, figure) in measurement.figures() {
            let found = recorded.remove(&name);
            faults.extend(difference(found, figure).map(|what| format!("{}, {name}: {what}", measurement.name)));
        }
        faults.extend(recorded.keys().map(|name| format!("{}, {name}: recorded, but not counted", measurement.name)));
    }
    if faults.is_empty() {
        println!("all figures are within {:.0} % of those recorded", 100.0 * TOLERANCE);
        return Ok(());
    }
    Err(format!(
        "instructions differ from those recorded in benches/instructions/record.toml:\n  {}\n\
         If this is deliberate, or a gain, record it: {}. The compiler is part of what is counted: the record is of \
         the one that .ci/run uses.",
        faults.join("\n  "),
        command(build)
    ))
}

fn command(build: &str) -> &'static str {
    match build {
        "quick" => "SHOAL_REFRESH=1 benches/instructions/run",
        _ => "SHOAL_REFRESH=1 cargo bench --bench engine -- --instructions",
    }
}

/// What is to be said about a figure, if it is not the one recorded.
fn difference(recorded: Option<f64>, figure: f64) -> Option<String> {
    let Some(recorded) = recorded else { return Some(format!("{figure:.1}, of which nothing is recorded")) };
    let difference = figure - recorded;
    if difference.abs() <= (TOLERANCE * recorded).max(TOLERANCE_INSTRUCTIONS) {
        return None;
    }
    let kind = if difference > 0.0 { "grew" } else { "a gain that is not recorded: fell" };
    Some(format!("{kind} from {recorded:.1} to {figure:.1}, by {:+.1} %", 100.0 * difference / recorded))
}

fn rounded((name, figure): (String, f64)) -> (String, f64) {
    (name, (figure * 10.0).round() / 10.0)
}

fn read() -> Result<Record, String> {
    let text = match std::fs::read_to_string(PATH) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Record::new()),
        Err(error) => return Err(format!("{PATH}: {error}")),
    };
    toml::from_str(&text).map_err(|error| format!("{PATH}: {error}"))
}

fn written(record: &Record) -> String {
    let mut text = HEAD.to_owned();
    for (build, measurements) in record {
        for (measurement, figures) in measurements {
            write!(text, "\n[{build}.{measurement}]\n").expect("memory");
            for (name, figure) in figures {
                writeln!(text, "{name:?} = {figure:.1}").expect("memory");
            }
        }
    }
    text
}
