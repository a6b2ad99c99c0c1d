//! `benches/peers/run`: one job in Shoal, Kafka Streams and Flink, on one broker, measured side by side.
//!
//! For each shape of the stream a topic is filled once. Then the systems take turns, each with topics and a folder of
//! its own, as often as is asked for, so that what else happens on the machine meets all of them. A run ends when all
//! offsets are committed; its processor time, memory and written bytes are read from outside of the process. The
//! changes are read back as a read-committed consumer sees them, and each customer's last values are compared with
//! those that a simple model computes from the same events. The report is a table, and a picture.
//!
//! Under `cargo test` only Shoal runs, on a small stream, and every customer must agree.

#[path = "../support/arguments.rs"]
mod arguments;
mod checks;
mod measure;
mod model;
mod outcome;
mod picture;
mod process;
mod report;
mod stream;
#[path = "../../tests/support/mod.rs"]
mod support;
mod system;

use arguments::{number, option};
use measure::{Bench, Measured};
use std::path::PathBuf;
use stream::Shape;
use support::BrokerOptions;
use system::System;

/// The two reference shapes.
const REFERENCE: [Shape; 2] = [
    Shape { customers: 100_000, events: 4_000_000, changes_percent: 22.0 },
    Shape { customers: 1_000_000, events: 4_000_000, changes_percent: 56.0 },
];
const TINY: Shape = Shape { customers: 300, events: 10_000, changes_percent: 20.0 };
const REPEATS: usize = 3;

/// What a run does.
struct Plan {
    shapes: Vec<Shape>,
    systems: Vec<System>,
    repeats: usize,
    /// Systems that run in the last repeat only.
    once: Vec<System>,
    /// Files of the report and of the picture.
    report: Option<PathBuf>,
    picture: Option<PathBuf>,
}

fn main() {
    checks::all();
    let plan = if arguments::is_full() { full() } else { tiny() };
    // What was compacted could not be counted: the cleaner looks once a day.
    let properties = vec!["log.cleaner.backoff.ms=86400000".to_owned(), "log.segment.bytes=1073741824".to_owned()];
    let options =
        BrokerOptions { heap: "1g", quick_start: !arguments::is_full(), properties, ..BrokerOptions::default() };
    let Some(broker) = support::start(&options) else { return };
    let fill = |(index, &shape): (usize, &Shape)| Bench::fill(&broker, shape, &format!("events-{index}"));
    let benches: Vec<Bench<'_>> = plan.shapes.iter().enumerate().map(fill).collect();
    let mut measured: Vec<Measured> = benches.iter().map(|bench| bench.measured(&plan.systems)).collect();
    for repeat in 0..plan.repeats {
        let left_out = if repeat + 1 < plan.repeats { plan.once.as_slice() } else { &[] };
        for (index, bench) in benches.iter().enumerate() {
            bench.repeat(repeat, left_out, &mut measured[index]);
            // Each time, so that a run that is ended early leaves what it has measured.
            write(&plan, &measured);
        }
    }
    println!("\n{}", report::markdown(&measured));
    if !arguments::is_full() {
        checks::everybody_agrees(&measured);
    }
}

fn write(plan: &Plan, measured: &[Measured]) {
    if let Some(file) = &plan.report {
        std::fs::write(file, report::markdown(measured)).expect("the report is written");
    }
    if let Some(file) = &plan.picture {
        std::fs::write(file, picture::draw(measured)).expect("the picture is written");
    }
}

fn tiny() -> Plan {
    Plan { shapes: vec![TINY], systems: vec![System::shoal()], repeats: 1, once: vec![], report: None, picture: None }
}

fn full() -> Plan {
    Plan {
        shapes: shapes(),
        systems: systems("--only").unwrap_or_else(System::all),
        repeats: number("--repeats").map_or(REPEATS, |repeats| repeats.max(1) as usize),
        once: systems("--once").unwrap_or_default(),
        report: option("--report").map(PathBuf::from),
        picture: option("--picture").map(PathBuf::from),
    }
}

/// The systems whose names are behind an option, with commas between them.
fn systems(name: &str) -> Option<Vec<System>> {
    let known = System::all();
    let named = |wanted: &str| {
        let found = known.iter().find(|system| system.name == wanted).cloned();
        let names: Vec<&str> = known.iter().map(|system| system.name).collect();
        found.unwrap_or_else(|| panic!("{name}: expected some of {}, found {wanted:?}", names.join(", ")))
    };
    option(name).map(|list| list.split(',').map(named).collect())
}

/// The reference shapes, or one of the caller's own.
fn shapes() -> Vec<Shape> {
    let (customers, events) = (number("--customers"), number("--events"));
    let percent = option("--changes")
        .map(|text| text.parse().unwrap_or_else(|_| panic!("--changes: expected percent, found {text:?}")));
    let with_events = |shape: Shape| Shape { events: events.unwrap_or(shape.events), ..shape };
    if customers.is_none() && percent.is_none() {
        return REFERENCE.map(with_events).to_vec();
    }
    let first = REFERENCE[0];
    vec![with_events(Shape {
        customers: customers.unwrap_or(first.customers),
        changes_percent: percent.unwrap_or(first.changes_percent),
        ..first
    })]
}
