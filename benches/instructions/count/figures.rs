//! The figures of a measurement: instructions per event and per change, in all and by part.

use super::callgrind::Profile;
use super::parts::{NOT_COUNTED, OF_A_CHANGE, OF_AN_EVENT, part_of};

/// One measurement.
pub struct Measurement {
    pub name: String,
    pub events: u64,
    pub changes: u64,
    /// Instructions by part, in the order of [`OF_AN_EVENT`] and [`OF_A_CHANGE`]; without those that it does not have.
    parts: Vec<(&'static str, u64)>,
    /// Functions with their own instructions, the most expensive first.
    functions: Vec<(String, u64)>,
}

/// A figure with its name, as it is recorded.
pub type Figure = (String, f64);

impl Measurement {
    pub fn new(profile: &Profile, events: u64, changes: u64) -> Self {
        let sum = |part: &'static str| {
            let chains = profile.chains.iter().filter(|(chain, _)| part_of(chain) == Some(part));
            (part, chains.map(|(_, cost)| cost).sum())
        };
        let parts = OF_AN_EVENT.into_iter().chain(OF_A_CHANGE).map(sum).filter(|(_, cost)| *cost > 0).collect();
        let is_counted = |part: Option<&str>| part.is_some_and(|part| part != NOT_COUNTED);
        let functions = profile.functions(|chain| is_counted(part_of(chain)));
        let functions = functions.into_iter().map(|(name, cost)| (name.to_owned(), cost)).collect();
        Self { name: profile.name.clone(), events, changes, parts, functions }
    }

    /// All instructions.
    fn total(&self) -> u64 {
        self.parts.iter().map(|(_, cost)| cost).sum()
    }

    fn per(&self, names: &[&str], count: u64) -> Vec<Figure> {
        let parts = self.parts.iter().filter(|(name, _)| names.contains(name));
        let per_one = |cost: u64| cost as f64 / count.max(1) as f64;
        let mut figures: Vec<Figure> = parts.clone().map(|(name, cost)| ((*name).into(), per_one(*cost))).collect();
        figures.insert(0, ("in all".into(), per_one(parts.map(|(_, cost)| cost).sum())));
        figures
    }

    /// Instructions per event of everything, changes included.
    pub fn mean(&self) -> f64 {
        self.total() as f64 / self.events as f64
    }

    /// Instructions per event by part, without those of changes.
    pub fn per_event(&self) -> Vec<Figure> {
        self.per(&OF_AN_EVENT, self.events)
    }

    /// Instructions per change by part.
    pub fn per_change(&self) -> Vec<Figure> {
        self.per(&OF_A_CHANGE, self.changes)
    }

    /// All figures, with the names that they are recorded under.
    pub fn figures(&self) -> Vec<Figure> {
        let named = |unit: &str, figures: Vec<Figure>| {
            let name = |name: String| format!("{name} {unit}");
            figures.into_iter().map(|(part, figure)| (name(part), figure)).collect::<Vec<_>>()
        };
        let mean = vec![("mean".to_owned(), self.mean())];
        [mean, named("per event", self.per_event()), named("per change", self.per_change())].concat()
    }

    /// Prints the functions with the most instructions of their own.
    pub fn print_functions(&self, count: usize) {
        println!("\n{}: functions with the most instructions of their own, per event", self.name);
        for (name, cost) in self.functions.iter().take(count) {
            let share = 100.0 * *cost as f64 / self.total() as f64;
            println!("{:9.1} {share:5.1} %  {name}", *cost as f64 / self.events as f64);
        }
    }
}

/// Prints a table with a column per measurement.
pub fn print(measured: &[Measurement]) {
    let row = |first: &str, cells: Vec<String>| println!("| {first:<22} | {} |", cells.join(" | "));
    row("instructions", measured.iter().map(|measurement| format!("{:>11}", measurement.name)).collect());
    println!("|---{}|", "|---".repeat(measured.len()));
    let counts = |count: fn(&Measurement) -> u64| measured.iter().map(|one| format!("{:>11}", count(one))).collect();
    row("events", counts(|measurement| measurement.events));
    row("changes", counts(|measurement| measurement.changes));
    let mut names: Vec<String> = Vec::new();
    for (name, _) in measured.iter().flat_map(Measurement::figures) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    for name in names {
        let figure = |measurement: &Measurement| {
            let found = measurement.figures().into_iter().find(|(found, _)| *found == name);
            format!("{:>11}", found.map_or_else(String::new, |(_, figure)| format!("{figure:.0}")))
        };
        row(&name, measured.iter().map(figure).collect());
    }
}
