//! `shoal demo`: plays a real shop's year in seconds, without a broker or any set-up.
//!
//! The events go through a log in memory to the worker of the service; the panel uses only the published changes.

pub mod board;
mod browsing;
mod dice;
mod live;
pub mod live_shop;
pub mod panel;
pub mod shop;

use super::describe::ChangeRecord;
use super::summary::{Summary, grouped};
use super::unusable::Unusable;
use crate::engine::event::{DAY, Millis};
use crate::engine::rule::{Rules, Target, TargetKind};
use board::Board;
use console::Term;
use live::Live;
use panel::{Progress, Screen};
use shop::Shop;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The rules of the demo.
pub const RULES: &str = include_str!("../../../config/demo/rules.toml");
/// Events per step: few, so that changes are published in order of time.
const EVENTS_AT_ONCE: usize = 16;
const FRAME: Duration = Duration::from_millis(80);
/// Simulated time between the plain lines.
const LINE_EVERY: Millis = 14 * DAY;

pub struct Demo {
    pub rules: Arc<Rules>,
    pub seed: u64,
    /// Simulated days per second; `None`: as fast as possible.
    pub days_per_second: Option<f64>,
}

/// The result of a demo.
pub struct Played {
    pub summary: Summary,
    /// Number of the shop's own events: without its orders, the visits around them say nothing.
    real: u64,
    unusable: Unusable,
}

impl Played {
    /// # Errors
    /// If the events of the shop could not be used with these rules.
    pub fn check(&self) -> anyhow::Result<()> {
        self.unusable.check(self.real, "events of the shop")
    }
}

impl Demo {
    /// Plays the year, with a live panel if standard output is a terminal. Ends with the year, or when `stopped` is
    /// set.
    pub fn run(&self, stopped: &AtomicBool) -> anyhow::Result<Played> {
        let shop = Shop::open(self.seed)?;
        let mut show = Show::open(&shop, &self.rules)?;
        let start = Instant::now();
        let mut live = Live::start(self.rules.clone(), shop.first_time())?;
        let mut next = 0;
        while next < shop.len() && !stopped.load(Ordering::Relaxed) {
            let until = match self.days_per_second {
                Some(days) => shop.first_time() + (start.elapsed().as_secs_f64() * days * DAY as f64) as Millis,
                None => shop.last_time(),
            };
            let due = (next..shop.len()).take(EVENTS_AT_ONCE).take_while(|index| shop.event(*index).time <= until);
            let events: Vec<_> = due.map(|index| shop.event(index)).collect();
            for event in &events {
                live.append(event.time, event.customer_id, event.json);
            }
            next += events.len();
            // If more events are due than one step applies, the clock stops at the last one applied.
            let is_behind = events.len() == EVENTS_AT_ONCE;
            let now = events.last().filter(|_| is_behind).map_or(until, |last| last.time).min(shop.last_time());
            live.work(now)?;
            show.read_changes(&mut live)?;
            show.show(&shop, next, now)?;
            if !is_behind && next < shop.len() {
                std::thread::sleep(FRAME);
            }
        }
        live.finish()?;
        show.read_changes(&mut live)?;
        let now = shop.event(next.saturating_sub(1)).time;
        show.end(&shop, next, now)?;
        let unusable = live.unusable()?;
        let summary = Summary::new("played", live.counts(), &live.shards(), Some(now), start.elapsed());
        Ok(Played { summary, real: (shop.len() - shop.generated) as u64, unusable })
    }
}

/// Shows the changes: as a panel on a terminal, otherwise as plain lines.
struct Show {
    board: Board,
    title: Vec<String>,
    screen: Option<Screen>,
    drawn_at: Option<Instant>,
    next_line: Millis,
}

impl Show {
    fn open(shop: &Shop, rules: &Rules) -> anyhow::Result<Self> {
        let [customers, orders, returns, generated] =
            [shop.customers as u64, shop.orders, shop.returns, shop.generated as u64].map(grouped);
        let title = vec![
            format!("Shoal plays a real shop's year: {customers} customers, {orders} orders, {returns} returns"),
            format!("Online Retail (Chen 2015, CC BY 4.0); {generated} generated visits, carts and mails"),
        ];
        let board = Board::new(rules.targets.iter().map(|target| (target.name.clone(), segments(target))));
        let screen = if Term::stdout().is_term() { Some(Screen::new()?) } else { None };
        if screen.is_none() {
            writeln!(io::stdout().lock(), "{}", title.join("\n"))?;
        }
        Ok(Self { board, title, screen, drawn_at: None, next_line: shop.first_time() + LINE_EVERY })
    }

    /// Reads the changes published since the last call and sorts them by time: changes of different customers have no
    /// order.
    fn read_changes(&mut self, live: &mut Live) -> anyhow::Result<()> {
        let mut changes: Vec<ChangeRecord> = Vec::new();
        live.consume(|change| {
            changes.push(serde_json::from_slice(change)?);
            Ok(())
        })?;
        changes.sort_by(|a, b| a.effective_at.cmp(&b.effective_at));
        changes.iter().for_each(|change| self.board.add(change));
        Ok(())
    }

    /// Draws the panel or writes a plain line, if it is time to.
    fn show(&mut self, shop: &Shop, events: usize, now: Millis) -> anyhow::Result<()> {
        if self.screen.is_some() {
            if self.drawn_at.is_none_or(|drawn| drawn.elapsed() >= FRAME) {
                self.draw(shop, events, now)?;
            }
        } else if now >= self.next_line {
            self.next_line = now + LINE_EVERY;
            self.line(events, now)?;
        }
        Ok(())
    }

    fn end(&mut self, shop: &Shop, events: usize, now: Millis) -> anyhow::Result<()> {
        if self.screen.is_some() { self.draw(shop, events, now) } else { self.line(events, now) }
    }

    fn draw(&mut self, shop: &Shop, events: usize, now: Millis) -> anyhow::Result<()> {
        let Some(screen) = &mut self.screen else { return Ok(()) };
        let span = (shop.last_time() - shop.first_time()).max(1);
        let share = (now - shop.first_time()) as f64 / span as f64;
        let (width, height) = screen.size();
        screen.draw(&panel::render(&self.title, &self.board, Progress { now, share, events }, width, height))?;
        self.drawn_at = Some(Instant::now());
        Ok(())
    }

    /// Writes a line of counts and the description of the last change.
    fn line(&mut self, events: usize, now: Millis) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        let board = &self.board;
        write!(out, "{}  {} events, {} changes", panel::date(now), grouped(events as u64), grouped(board.changes))?;
        if let Some(flows) = board.segmentations.first() {
            for (name, members) in flows.segments.iter().zip(&flows.members) {
                write!(out, "  {name} {}", grouped(*members))?;
            }
        }
        if let Some(last) = board.last.back() {
            write!(out, "\n            {last}")?;
        }
        writeln!(out)?;
        Ok(())
    }
}

fn segments(target: &Target) -> Vec<String> {
    match &target.kind {
        TargetKind::Segmentation { segments, .. } => segments.iter().map(|segment| segment.name.clone()).collect(),
        _ => Vec::new(),
    }
}
