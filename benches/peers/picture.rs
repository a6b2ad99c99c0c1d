//! The report as a picture: a bar for each system, by shape, as SVG written by hand.

use crate::measure::{Measured, Run};
use crate::report::{Spread, grouped};
use crate::system::System;
use std::fmt::Write;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 250.0;
const RIGHT: f64 = 150.0;
const ROW: f64 = 26.0;
const HEAD: f64 = 58.0;
const GAP: f64 = 14.0;
const SHOAL: &str = "#1f6fb4";
const OTHERS: &str = "#9aa5ad";

/// Bars are the warm part; the yardstick is said in the title, since its bar would leave no room for the others.
pub fn draw(measured: &[Measured]) -> String {
    let height: f64 = measured.iter().map(|shape| HEAD + GAP + ROW * compared(shape).count() as f64).sum();
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">
<rect width="100%" height="100%" fill="white"/>
"#
    );
    let mut top = 0.0;
    for shape in measured {
        draw_shape(&mut svg, shape, top);
        top += HEAD + GAP + ROW * compared(shape).count() as f64;
    }
    svg.push_str("</svg>\n");
    svg
}

/// The systems with a bar: all but the yardstick that were measured.
fn compared(measured: &Measured) -> impl Iterator<Item = &(System, Vec<Run>)> {
    measured.systems.iter().filter(|(system, runs)| !system.is_discard() && !runs.is_empty())
}

fn draw_shape(svg: &mut String, measured: &Measured, top: f64) {
    let title = format!(
        "{} customers, {:.0} % of events cause a change: thousand events per CPU-second, warm",
        grouped(measured.shape.customers),
        100.0 * measured.changes as f64 / measured.shape.events as f64
    );
    let discard = measured.systems.iter().find(|(system, runs)| system.is_discard() && !runs.is_empty());
    let yardstick = discard.map_or_else(String::new, |(_, runs)| {
        format!("; librdkafka alone, discarding every event: {:.0}", warm(runs).median)
    });
    let _ = writeln!(
        svg,
        r#"<text x="12" y="{:.0}" font-size="15">{title}</text>
<text x="12" y="{:.0}" fill="gray">{}{yardstick}</text>"#,
        top + 24.0,
        top + 43.0,
        match measured.systems.iter().map(|(_, runs)| runs.len()).max() {
            Some(2..) => "medians of interleaved runs on one machine, the line is their range",
            _ => "one run of each in turn on one machine",
        },
    );
    let most = compared(measured).map(|(_, runs)| warm(runs).greatest).fold(1.0, f64::max);
    for (index, (system, runs)) in compared(measured).enumerate() {
        draw_bar(svg, measured, system, runs, top + HEAD + ROW * index as f64, most);
    }
}

fn draw_bar(svg: &mut String, measured: &Measured, system: &System, runs: &[Run], top: f64, most: f64) {
    let spread = warm(runs);
    let x = |figure: f64| LEFT + figure / most * (WIDTH - LEFT - RIGHT);
    let middle = top + ROW / 2.0;
    let ratio = measured.ratios(runs, |run| run.warm.events_per_cpu_second());
    let remark = match ratio {
        Some(ratio) if !system.is_shoal() => format!(" (Shoal ÷ it: {:.1})", ratio.median),
        _ => String::new(),
    };
    let _ = writeln!(
        svg,
        r#"<text x="{:.0}" y="{:.1}" text-anchor="end">{}</text>
<rect x="{LEFT}" y="{:.1}" width="{:.1}" height="{:.0}" fill="{}"/>
<line x1="{:.1}" x2="{:.1}" y1="{middle:.1}" y2="{middle:.1}" stroke="black"/>
<text x="{:.1}" y="{:.1}">{:.0}{remark}</text>"#,
        LEFT - 8.0,
        middle + 4.0,
        system.title,
        top + 3.0,
        x(spread.median) - LEFT,
        ROW - 6.0,
        if system.is_shoal() { SHOAL } else { OTHERS },
        x(spread.least),
        x(spread.greatest),
        x(spread.greatest) + 6.0,
        middle + 4.0,
        spread.median,
    );
}

fn warm(runs: &[Run]) -> Spread {
    Spread::of(runs.iter().map(|run| run.warm.events_per_cpu_second() / 1e3))
}
