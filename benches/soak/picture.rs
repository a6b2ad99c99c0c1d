//! The soak as a picture: panels one below the other over the same time, as SVG written by hand.

use super::samples::{Restart, Sample, percentile};
use std::fmt::Write;

const WIDTH: f64 = 960.0;
const PANEL_HEIGHT: f64 = 190.0;
const GAP: f64 = 60.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 50.0;
const COLOURS: [&str; 4] = ["#1f6fb4", "#d1602b", "#3a923a", "#8a5fb0"];

/// One panel: what is drawn, and how.
struct Panel<'a> {
    title: &'a str,
    lines: Vec<(&'a str, Vec<f64>)>,
    is_logarithmic: bool,
}

/// The picture of a run.
pub fn draw(title: &str, samples: &[Sample], restarts: &[Restart]) -> String {
    let of = |value: &dyn Fn(&Sample) -> f64| samples.iter().map(value).collect::<Vec<f64>>();
    let panels = [
        Panel {
            title: "resident memory of all processes, MB",
            lines: vec![("resident", of(&|sample| sample.resident_bytes as f64 / 1e6))],
            is_logarithmic: false,
        },
        Panel {
            title: "from an event to its change being readable, ms",
            lines: vec![
                ("p50", of(&|sample| percentile(&sample.by_event, 0.5))),
                ("p99", of(&|sample| percentile(&sample.by_event, 0.99))),
            ],
            is_logarithmic: true,
        },
        Panel {
            title: "change by time readable after effective_at + grace, ms",
            lines: vec![
                ("p50", of(&|sample| percentile(&sample.by_time, 0.5))),
                ("p99", of(&|sample| percentile(&sample.by_time, 0.99))),
            ],
            is_logarithmic: true,
        },
        Panel {
            title: "what the newest snapshots stand on, MB",
            lines: vec![("bytes", of(&|sample| sample.snapshot_bytes as f64 / 1e6))],
            is_logarithmic: false,
        },
    ];
    let end = samples.last().map_or(1.0, |sample| sample.at);
    let x = |at: f64| LEFT + at / end * (WIDTH - LEFT - RIGHT);
    let height = TOP + panels.len() as f64 * (PANEL_HEIGHT + GAP);
    let mut svg = String::new();
    let _ = writeln!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="white"/>
<text x="{LEFT}" y="22" font-size="15">{}</text>
<text x="{LEFT}" y="38" fill="gray">minutes; dashed: a process is restarted</text>"#,
        escape(title)
    );
    for (number, panel) in panels.iter().enumerate() {
        let top = TOP + GAP / 2.0 + number as f64 * (PANEL_HEIGHT + GAP);
        panel.draw(&mut svg, top, samples, &x);
        for restart in restarts {
            let at = x(restart.at);
            let _ = writeln!(
                svg,
                r#"<line x1="{at:.1}" x2="{at:.1}" y1="{top}" y2="{}" stroke="gray" stroke-dasharray="3 3"><title>{}</title></line>"#,
                top + PANEL_HEIGHT,
                escape(&restart.message)
            );
        }
        draw_minutes(&mut svg, top + PANEL_HEIGHT, end, &x);
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw_minutes(svg: &mut String, bottom: f64, end: f64, x: &impl Fn(f64) -> f64) {
    let step = step_of(end / 60.0);
    let mut minute = 0.0;
    while minute * 60.0 <= end {
        let _ = writeln!(
            svg,
            r#"<text x="{:.1}" y="{:.1}" text-anchor="middle" fill="gray">{minute}</text>"#,
            x(minute * 60.0),
            bottom + 16.0
        );
        minute += step;
    }
}

impl Panel<'_> {
    fn draw(&self, svg: &mut String, top: f64, samples: &[Sample], x: &impl Fn(f64) -> f64) {
        let values = self.lines.iter().flat_map(|(_, values)| values).copied().filter(|value| value.is_finite());
        let (least, most) =
            values.fold((f64::MAX, 1.0_f64), |(least, most), value| (least.min(value), most.max(value)));
        let (low, ticks) = self.ticks(least, most);
        let high = ticks.last().copied().unwrap_or(most);
        let scale = |value: f64| if self.is_logarithmic { value.max(low).log10() } else { value };
        let y = |value: f64| top + PANEL_HEIGHT * (1.0 - (scale(value) - scale(low)) / (scale(high) - scale(low)));
        let _ = writeln!(svg, r#"<text x="{LEFT}" y="{:.1}">{}</text>"#, top - 8.0, escape(self.title));
        for tick in ticks {
            let at = y(tick);
            let _ = writeln!(
                svg,
                r#"<line x1="{LEFT}" x2="{:.1}" y1="{at:.1}" y2="{at:.1}" stroke="lightgray"/><text x="{:.1}" y="{:.1}" text-anchor="end" fill="gray">{tick}</text>"#,
                WIDTH - RIGHT,
                LEFT - 6.0,
                at + 4.0
            );
        }
        for (index, ((name, values), colour)) in self.lines.iter().zip(COLOURS).enumerate() {
            let points = samples.iter().zip(values).filter(|(_, value)| value.is_finite());
            let points: Vec<String> =
                points.map(|(sample, &value)| format!("{:.1},{:.1}", x(sample.at), y(value))).collect();
            let _ = writeln!(
                svg,
                r#"<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{}"/><text x="{:.1}" y="{:.1}" text-anchor="end" fill="{colour}">{name}</text>"#,
                points.join(" "),
                WIDTH - RIGHT - 60.0 * index as f64,
                top - 8.0
            );
        }
    }

    /// The lowest value shown, and where lines stand.
    fn ticks(&self, least: f64, most: f64) -> (f64, Vec<f64>) {
        if self.is_logarithmic {
            let (low, high) = (least.max(1.0).log10().floor() as i32, most.log10().ceil() as i32);
            return (10_f64.powi(low), (low..=high.max(low + 1)).map(|power| 10_f64.powi(power)).collect());
        }
        let step = step_of(most);
        (0.0, (0..=(most / step).ceil() as u32).map(|count| f64::from(count) * step).collect())
    }
}

/// A round number of which four to ten make this much.
fn step_of(whole: f64) -> f64 {
    let power = 10_f64.powf((whole.max(1e-9) / 4.0).log10().floor());
    let share = whole / 4.0 / power;
    power
        * if share >= 5.0 {
            5.0
        } else if share >= 2.0 {
            2.0
        } else {
            1.0
        }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
