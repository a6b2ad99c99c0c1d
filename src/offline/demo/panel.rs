//! The demo's panel: renders the board as lines that fit the terminal, and draws them over the previous ones.

use super::board::{Board, Flows};
use crate::engine::calendar::rfc3339_text;
use crate::engine::event::Millis;
use crate::offline::summary::grouped;
use console::{Term, measure_text_width, pad_str, style, truncate_str};
use std::fmt::Write as _;
use std::io;

const BAR_MAX: usize = 30;
const BAR_MIN: usize = 6;

/// The progress of the demo.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The simulated time.
    pub now: Millis,
    /// From 0 to 1.
    pub share: f64,
    pub events: usize,
}

/// The panel for a terminal of this size: at most `height` lines of at most `width` columns.
pub fn render(title: &[String], board: &Board, progress: Progress, width: usize, height: usize) -> Vec<String> {
    let mut lines: Vec<String> = title.to_vec();
    lines.push(progress_line(board, progress, width));
    if let Some((first, others)) = board.segmentations.split_first() {
        lines.push(String::new());
        lines.extend(flow_lines(first, width));
        lines.extend(others.iter().map(member_line));
    }
    if !board.audiences.is_empty() {
        lines.push(String::new());
        lines.extend(audience_lines(board, width));
    }
    let room = height.saturating_sub(lines.len() + 1);
    if room > 0 {
        lines.push(String::new());
        let from = board.last.len().saturating_sub(room);
        lines.extend(board.last.iter().skip(from).cloned());
    }
    lines.truncate(height);
    lines.iter().map(|line| truncate_str(line, width, "…").into_owned()).collect()
}

pub fn date(moment: Millis) -> String {
    String::from_utf8_lossy(&rfc3339_text(moment)[..10]).into_owned()
}

fn progress_line(board: &Board, progress: Progress, width: usize) -> String {
    let by_time = board.by_cause.get("time").copied().unwrap_or(0);
    let [events, changes, by_time] = [progress.events as u64, board.changes, by_time].map(grouped);
    let share = (progress.share * 100.0) as u32;
    let bar = bar(progress.share, (width / 8).clamp(BAR_MIN, BAR_MAX));
    let (date, bar) = (style(date(progress.now)).bold(), style(bar).cyan());
    format!("{date}  {bar} {share:>3} %  {events} events, {changes} changes, {by_time} by time")
}

/// Each segment with its members and the changes from it to every other segment.
fn flow_lines(flows: &Flows, width: usize) -> Vec<String> {
    let name_width = flows.segments.iter().chain([&flows.name]).map(|name| measure_text_width(name)).max().unwrap_or(0);
    let cells: Vec<usize> = flows.segments.iter().map(|name| measure_text_width(name).max(5) + 2).collect();
    let fixed = name_width + 9;
    let has_cells = fixed + BAR_MIN + cells.iter().sum::<usize>() + 2 <= width;
    let matrix = if has_cells { cells.iter().sum::<usize>() + 2 } else { 0 };
    let bar_width = width.saturating_sub(fixed + matrix).clamp(BAR_MIN, BAR_MAX);
    let most = flows.members.iter().copied().max().unwrap_or(0).max(1);
    let mut header =
        format!("{} {:>7}{:bar_width$}", pad_str(&flows.name, name_width, console::Alignment::Left, None), "now", "");
    if has_cells {
        header.push_str("  ");
        for (name, cell) in flows.segments.iter().zip(&cells) {
            let _ = write!(header, "{:>cell$}", format!("→{name}"));
        }
    }
    let mut lines = vec![style(header).dim().to_string()];
    for (index, name) in flows.segments.iter().enumerate() {
        let members = flows.members[index];
        let name = pad_str(name, name_width, console::Alignment::Left, None);
        let filled = bar(members as f64 / most as f64, bar_width);
        let mut line = format!("{} {:>6} {}", style(name).bold(), grouped(members), style(filled).green());
        if has_cells {
            line.push_str("  ");
            for (count, cell) in flows.changes[index].iter().zip(&cells) {
                let count = if *count == 0 { "·".to_owned() } else { grouped(*count) };
                let _ = write!(line, "{count:>cell$}");
            }
        }
        lines.push(line);
    }
    lines
}

/// The line of a further segmentation.
fn member_line(flows: &Flows) -> String {
    let segments = flows.segments.iter().zip(&flows.members);
    let members: Vec<String> =
        segments.map(|(name, count)| format!("{name} {}", style(grouped(*count)).bold())).collect();
    format!("{}  {}", style(&flows.name).dim(), members.join("  "))
}

/// The lines of the audiences, two per line if there is room.
fn audience_lines(board: &Board, width: usize) -> Vec<String> {
    let name_width = board.audiences.keys().map(|name| measure_text_width(name)).max().unwrap_or(0);
    let columns = if width >= 2 * (name_width + 20) { 2 } else { 1 };
    let bar_width = (width / columns).saturating_sub(name_width + 12).clamp(BAR_MIN, BAR_MAX / 2);
    let most = board.audiences.values().copied().max().unwrap_or(0).max(1);
    let cells: Vec<String> = board
        .audiences
        .iter()
        .map(|(name, count)| {
            let name = pad_str(name, name_width, console::Alignment::Left, None).into_owned();
            let filled = bar(*count as f64 / most as f64, bar_width);
            format!("{} {:>6} {}", style(name).bold(), grouped(*count), style(filled).magenta())
        })
        .collect();
    cells.chunks(columns).map(|row| row.join("    ")).collect()
}

/// A bar with a resolution of an eighth of a column.
fn bar(share: f64, width: usize) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share.clamp(0.0, 1.0) * width as f64 * 8.0).round() as usize;
    let text = "█".repeat(eighths / 8) + PARTS[eighths % 8];
    pad_str(&text, width, console::Alignment::Left, None).into_owned()
}

/// A terminal on which each panel is drawn over the previous one.
pub struct Screen {
    terminal: Term,
    drawn: usize,
}

impl Screen {
    pub fn new() -> io::Result<Self> {
        let terminal = Term::buffered_stdout();
        terminal.hide_cursor()?;
        Ok(Self { terminal, drawn: 0 })
    }

    /// The maximum numbers of columns and lines of a panel.
    pub fn size(&self) -> (usize, usize) {
        let (height, width) = self.terminal.size();
        (usize::from(width), usize::from(height).saturating_sub(1).max(1))
    }

    pub fn draw(&mut self, lines: &[String]) -> io::Result<()> {
        let mut text = String::new();
        if self.drawn > 0 {
            let _ = write!(text, "\x1b[{}A\r", self.drawn);
        }
        for line in lines {
            // The rest of the old line is cleared after the new one is written, so that nothing flickers.
            let _ = writeln!(text, "{line}\x1b[K");
        }
        text.push_str("\x1b[J");
        self.terminal.write_str(&text)?;
        self.drawn = lines.len();
        self.terminal.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Errors mean that the terminal is gone; nothing can be done.
        let _ = self.terminal.show_cursor();
        let _ = self.terminal.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> Board {
        let names = ["prospect", "new", "active", "at_risk", "dormant"].map(str::to_owned).to_vec();
        let audiences = ["cart_abandoner", "vip", "win_back"].map(|name| (name.to_owned(), Vec::new()));
        let mut board = Board::new([("lifecycle".to_owned(), names)].into_iter().chain(audiences));
        board.segmentations[0].members = vec![10, 200, 0, 1_000, 5];
        board.segmentations[0].changes[0][1] = 12_345;
        board.last.extend(
            (0..30).map(|n| format!("2011-01-01 10:00  change {n} which has quite a few words to say about itself")),
        );
        board
    }

    #[test]
    fn the_panel_fits_any_terminal() {
        let progress = Progress { now: 1_300_000_000_000, share: 0.37, events: 12_345 };
        for (width, height) in [(20, 5), (40, 10), (80, 24), (80, 23), (100, 30), (200, 60)] {
            let lines = render(&["title".into(), "source".into()], &board(), progress, width, height);
            assert!(lines.len() <= height);
            assert!(lines.iter().all(|line| measure_text_width(line) <= width), "{width}: {lines:#?}");
        }
    }

    #[test]
    fn the_newest_change_is_shown_and_the_matrix_if_it_fits() {
        let progress = Progress { now: 1_300_000_000_000, share: 0.37, events: 12_345 };
        let lines = render(&[], &board(), progress, 80, 24);
        let text = lines.join("\n");
        assert!(text.contains("→at_risk") && text.contains("12,345") && text.contains("change 29"), "{text}");
        assert!(!render(&[], &board(), progress, 50, 24).join("\n").contains("→at_risk"));
    }

    #[test]
    fn bars_have_a_resolution_of_eighths() {
        assert_eq!(bar(0.5, 4), "██  ");
        assert_eq!(bar(0.28125, 4), "█▏  ");
        assert_eq!(bar(2.0, 2), "██");
    }
}
