//! The report: a table for each shape, with the median and the range over the repeats.

use crate::measure::{Measured, Run};
use crate::system::System;
use std::fmt::Write;

/// The share of customers that must end with the same values.
const ALIKE_PERCENT_MIN: f64 = 99.0;

/// The middle of some figures, the least and the greatest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub greatest: f64,
}

impl Spread {
    /// # Panics
    /// If there are no figures.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let middle = (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0;
        Self { median: middle, least: sorted[0], greatest: sorted[sorted.len() - 1] }
    }

    /// `12 (11 to 14)`, or `12` where the figures do not differ at this precision.
    pub fn text(&self, decimals: usize) -> String {
        let [median, least, greatest] =
            [self.median, self.least, self.greatest].map(|figure| format!("{figure:.decimals$}"));
        if least == greatest { median } else { format!("{median} ({least} to {greatest})") }
    }
}

impl Measured {
    pub fn shoal(&self) -> Option<&[Run]> {
        self.systems.iter().find(|(system, _)| system.is_shoal()).map(|(_, runs)| runs.as_slice())
    }

    /// Shoal's figure divided by that of another system in the same repeat.
    pub fn ratios(&self, runs: &[Run], figure: impl Fn(&Run) -> f64) -> Option<Spread> {
        let shoal = self.shoal()?;
        let pairs = runs.iter().filter_map(|run| Some((shoal.iter().find(|shoal| shoal.repeat == run.repeat)?, run)));
        let ratios: Vec<f64> = pairs.map(|(shoal, other)| figure(shoal) / figure(other)).collect();
        (!ratios.is_empty()).then(|| Spread::of(ratios))
    }
}

pub fn markdown(measured: &[Measured]) -> String {
    measured.iter().map(shape).collect::<Vec<_>>().join("\n")
}

fn shape(measured: &Measured) -> String {
    let shape = measured.shape;
    let repeats = measured.systems.iter().map(|(_, runs)| runs.len()).max().unwrap_or(0);
    let mut text = format!(
        "**{} customers, {:.0} % changes**: {} events, {} changes; {}.\n\n",
        grouped(shape.customers),
        100.0 * measured.changes as f64 / shape.events as f64,
        grouped(shape.events),
        grouped(measured.changes),
        if repeats > 1 { format!("median and range of {repeats} runs, or one run") } else { "one run of each".into() },
    );
    text.push_str(
        "| system | thousand events per CPU-second, whole run | warm | Shoal ÷ it, whole run | warm | seconds | memory, MB | bytes written per event, topics; files | CPU of the broker, µs per event |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    for (system, runs) in measured.systems.iter().filter(|(_, runs)| !runs.is_empty()) {
        row(&mut text, measured, system, runs);
    }
    text.push('\n');
    for (system, runs) in &measured.systems {
        agreement(&mut text, system, runs);
    }
    text
}

fn row(text: &mut String, measured: &Measured, system: &System, runs: &[Run]) {
    let spread = |figure: &dyn Fn(&Run) -> f64| Spread::of(runs.iter().map(figure));
    let whole = |run: &Run| run.whole.events_per_cpu_second() / 1e3;
    let warm = |run: &Run| run.warm.events_per_cpu_second() / 1e3;
    let ratio = |ratio: Option<Spread>| match ratio {
        Some(ratio) if !system.is_shoal() => ratio.text(2),
        _ => String::new(),
    };
    let events = measured.shape.events as f64;
    let (memory, written) = if system.is_discard() {
        (String::new(), String::new())
    } else {
        let topics = spread(&|run| run.topic_bytes as f64 / events).text(0);
        let files = spread(&|run| run.file_bytes as f64 / events).text(0);
        (spread(&|run| run.peak_bytes as f64 / 1e6).text(0), format!("{topics}; {files}"))
    };
    let _ = writeln!(
        text,
        "| {} | {} | {} | {} | {} | {} | {memory} | {written} | {} |",
        system.title,
        spread(&whole).text(0),
        spread(&warm).text(0),
        ratio(measured.ratios(runs, whole)),
        ratio(measured.ratios(runs, warm)),
        spread(&|run| run.whole.seconds).text(0),
        spread(&|run| 1e6 * run.broker_cpu_seconds / events).text(2),
    );
}

fn agreement(text: &mut String, system: &System, runs: &[Run]) {
    let agreements: Vec<_> = runs.iter().filter_map(|run| run.agreement.as_ref()).collect();
    let Some(worst) = agreements.iter().min_by(|a, b| a.percent().total_cmp(&b.percent())) else { return };
    let verdict = if worst.percent() >= ALIKE_PERCENT_MIN { "" } else { ", **too few**" };
    let _ = writeln!(
        text,
        "* {}: {}. At least {:.3} % of the customers end as in the model{verdict}; the others differ by: {}. Changes: {} of {}.",
        system.title,
        system.promise,
        worst.percent(),
        worst.in_words(),
        grouped(worst.changes),
        grouped(worst.changes_expected),
    );
}

/// A number with commas between thousands.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
