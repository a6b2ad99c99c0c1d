//! `cargo bench --bench engine`: decode and apply, without a broker.
//!
//! Prints, each with its target: CPU per event at growing numbers of customers with a hash of the results; resident
//! bytes per customer in a fresh process; the cost of explaining a change, and of what is counted for metrics. Under
//! `cargo test` everything runs tiny. `-- --instructions` counts instructions instead, see `instructions/count`.

#[path = "support/arguments.rs"]
mod arguments;
#[path = "instructions/count/mod.rs"]
mod count;
#[path = "support/cpu.rs"]
mod cpu;
#[path = "support/crowd.rs"]
mod crowd;
#[path = "support/stream.rs"]
mod stream;
#[path = "support/valgrind.rs"]
mod valgrind;

use crowd::{FIRE, NOW, drive, rules, shard};
use shoal::engine::effects::Effects;
use shoal::engine::event::{DAY, Record};
use shoal::engine::rule::{ForecastScratch, TargetChange, Truths};
use shoal::engine::shard::{Input, Shard};
use shoal::worker::counters::tally::Tally;
use std::process::ExitCode;
use std::time::Instant;
use stream::Stream;

/// How much a run does.
struct Size {
    customers: &'static [u64],
    events: u64,
    customers_for_bytes: u64,
}

const FULL: Size =
    Size { customers: &[100_000, 1_000_000, 10_000_000], events: 3_000_000, customers_for_bytes: 1_000_000 };
const TINY: Size = Size { customers: &[300, 1_000], events: 5_000, customers_for_bytes: 2_000 };

fn main() -> ExitCode {
    if let Some(customers) = arguments::number("--bytes-of") {
        print_resident_bytes(customers);
        return ExitCode::SUCCESS;
    }
    if std::env::args().any(|argument| argument == "--instructions") {
        assert!(arguments::is_full(), "`--instructions`: expected an optimised build, that of `cargo bench`");
        return count::run("release");
    }
    let size = if arguments::is_full() { FULL } else { TINY };
    let speeds: Vec<f64> = size.customers.iter().map(|&customers| speed(customers, size.events)).collect();
    if let (Some(first), Some(last)) = (speeds.first(), speeds.last()) {
        let (few, many) = (size.customers[0], size.customers[size.customers.len() - 1]);
        println!("speed at {many} customers / speed at {few}: {:.2} (target 0.75)", first / last);
    }
    bytes_per_customer(size.customers_for_bytes);
    explanations(size.customers[0], size.events);
    counters(size.customers[0], size.events);
    ExitCode::SUCCESS
}

/// CPU nanoseconds per event with this number of customers, once all exist.
fn speed(customers: u64, events: u64) -> f64 {
    let mut effects = Effects::default();
    let (mut shard, mut stream) = crowd::with_history(customers, &mut effects);
    let (mut changes, mut fired, mut accepted) = (0, 0, 0);
    let nanoseconds = drive(&mut shard, &mut stream, events, &mut effects, |_, effects| {
        changes += effects.changes.len();
        fired += effects.counts.fired;
        accepted += effects.counts.accepted;
    });
    let per_event = nanoseconds / events as f64;
    println!(
        "{customers:>9} customers: {per_event:6.1} ns of CPU per event{}; changes {:.2} % of events, deadlines fired {:.2} %, accepted {:.2} %; {:.0} bytes per line; hash {:016x}",
        if customers == 1_000_000 { " (target 450)" } else { "" },
        100.0 * changes as f64 / events as f64,
        100.0 * fired as f64 / events as f64,
        100.0 * accepted as f64 / events as f64,
        stream.mean_line_bytes(),
        shard.digest(),
    );
    per_event
}

/// Resident memory per customer, measured in a process that does nothing else.
fn bytes_per_customer(customers: u64) {
    let program = std::env::current_exe().expect("this program has a path");
    let output = std::process::Command::new(program).args(["--bytes-of", &customers.to_string()]).output();
    let output = output.expect("this program can be started again");
    assert!(output.status.success(), "the fresh process failed: {}", String::from_utf8_lossy(&output.stderr));
    print!("{}", String::from_utf8_lossy(&output.stdout));
}

/// Customers with ids of 16 bytes, 2 orders in 2 categories and 10 hours with a view, a search, a cart_add and a
/// session.
fn print_resident_bytes(customers: u64) {
    let mut shard = shard(rules());
    let mut effects = Effects::default();
    let mut stream = Stream::new(customers);
    stream.prepare(1_000);
    let before = cpu::resident_bytes();
    for visit in 0..stream::VISITS {
        for customer in (0..customers).step_by(Shard::CHUNK / 3) {
            let until = customers.min(customer + (Shard::CHUNK / 3) as u64);
            let lines = stream.visit(visit, customer..until);
            let records: Vec<Record<'_>> = lines
                .iter()
                .map(|line| Record { topic: 0, partition: 0, offset: 0, arrival: None, key: None, value: line })
                .collect();
            effects.clear();
            shard.apply(Input::Records { now: NOW, records: &records }, &mut effects);
            effects.clear();
            shard.apply(FIRE, &mut effects);
        }
    }
    let held = cpu::resident_bytes() - before;
    println!(
        "{customers} customers with 2 orders and 10 hours: {:.0} bytes resident each (target 448, goal 320), {} of them for \
         {} event ids; {:?}",
        held as f64 / customers as f64,
        shard.duplicates().bytes() as u64 / customers,
        shard.duplicates().len(),
        shard.profiles().bytes(),
    );
}

/// What counting for metrics costs a worker beside the engine: events in pairs of blocks, one without it and one with
/// it, of which now this and now that comes first, since later events cost more. What the engine itself keeps is in
/// both; to measure that, compare `speed` of this commit with a commit without it.
fn counters(customers: u64, events: u64) {
    const PAIRS: usize = 120;
    const BATCHES: usize = 8;
    let mut effects = Effects::default();
    let (mut shard, mut stream) = crowd::with_history(customers, &mut effects);
    let (mut tally, block) = (Tally::default(), events.div_ceil(PAIRS as u64));
    // Nanoseconds of each batch of pairs, without and with.
    let mut spent = [[0.0; 2]; BATCHES];
    for pair in 0..PAIRS {
        for turn in 0..2 {
            let counts = (pair + turn) % 2;
            let count = |_: &Shard, effects: &Effects| {
                if counts == 1 {
                    tally.add_effects(effects, 0);
                }
            };
            spent[pair * BATCHES / PAIRS][counts] += drive(&mut shard, &mut stream, block, &mut effects, count);
        }
    }
    let sum = |counts: usize| spent.iter().map(|spent| spent[counts]).sum::<f64>();
    let mut ratios = spent.map(|[without, with]| with / without);
    ratios.sort_by(f64::total_cmp);
    let changes: u64 = tally.changes.values().sum();
    println!(
        "with counters / without: {:.3} (target 1.01), {:.3} to {:.3} in each of {BATCHES} parts of it; {changes} changes of {} kinds",
        sum(1) / sum(0),
        ratios[0],
        ratios[BATCHES - 1],
        tally.changes.len(),
    );
}

/// What `because` and `next` cost per change.
fn explanations(customers: u64, events: u64) {
    let rules = rules();
    let mut shard = shard(rules.clone());
    let mut effects = Effects::default();
    let mut stream = Stream::new(customers);
    stream.introduce_all();
    drive(&mut shard, &mut stream, customers, &mut effects, |_, _| {});
    stream.mix();
    let mut costs: Vec<u64> = Vec::new();
    let (mut before, mut after) = (Truths::default(), Truths::default());
    let (mut held, mut decided, mut scratch) = (Vec::new(), Vec::new(), ForecastScratch::default());
    drive(&mut shard, &mut stream, events, &mut effects, |shard, effects| {
        for change in &effects.changes {
            let Some(row) = shard.find(effects.text(change.customer_id)) else { continue };
            let Some(target) = rules.targets.iter().position(|target| target.name == effects.text(change.segmentation))
            else {
                continue;
            };
            let customer = shard.profiles().customer(row);
            shard.profiles().held(row, &mut held);
            let at = change.effective_at.max(shard.profiles().row(row).clock);
            rules.begin_reading(&mut before);
            rules.begin_reading(&mut after);
            rules.read_truths(rules.customer_comparisons(), &customer, at - DAY, &before);
            rules.read_truths(rules.customer_comparisons(), &customer, at, &after);
            rules.decide(&after, &customer, &held, at, true, &mut decided);
            let start = Instant::now();
            let change = TargetChange {
                target,
                from: held[target].value,
                to: decided[target].value,
                by_time: false,
                before: rules.reading(&customer, at - DAY, &before),
                after: rules.reading(&customer, at, &after),
                held: &held,
                decided: &decided,
            };
            let mut listed = 0;
            rules.for_each_reason(&change, |_, _, _, _| listed += 1);
            std::hint::black_box((listed, rules.forecast(target, &customer, &held, at, &mut scratch)));
            costs.push(start.elapsed().as_nanos() as u64);
        }
    });
    costs.sort_unstable();
    let sum: u64 = costs.iter().sum();
    println!(
        "because + next of {} changes: mean {} ns, 99th percentile {} ns, longest {} ns",
        costs.len(),
        sum / costs.len().max(1) as u64,
        costs.get(costs.len() * 99 / 100).copied().unwrap_or(0),
        costs.last().copied().unwrap_or(0),
    );
}
