//! How long a change takes to be readable: one that an event causes, and one that only time causes.

use super::Size;
use super::load::{LINGER_MS, Load, Sent};
use super::observer::{Observer, Seen};
use super::setup;
use super::support::Broker;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const WORKERS: u32 = 2;
const GRACE_MS: i64 = 1_000;
const GOAL_EVENT_MS: f64 = 60.0;
const GOAL_TIME_MS: f64 = 100.0;
const PATIENCE: Duration = Duration::from_secs(60);

/// Milliseconds of each change.
#[derive(Default)]
struct Delays {
    by_event: Vec<f64>,
    by_time: Vec<f64>,
    /// From sending the event to handling it, from there to handing the change to the producer, and to its being
    /// readable.
    to_detected: Vec<f64>,
    to_produced: Vec<f64>,
    to_readable: Vec<f64>,
}

pub fn measure(broker: &Broker, size: Size) {
    let setup = setup(broker, "delays", size, 45_000);
    let service = setup.start("only", WORKERS);
    let observer = Observer::start(broker, &setup.changes);
    let clock = Instant::now();
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock of our time").as_secs_f64() * 1e3;
    let load = Load::start(broker, &setup.input, size, clock, size.warm_up + size.measured + PATIENCE);
    // The first change shows that the program has started and has done all earlier work.
    let first = observer.seen.recv_timeout(PATIENCE);
    assert!(first.is_ok(), "no change within {PATIENCE:?}; the program said:\n{}", service.tail());
    let window = clock.elapsed() + size.warm_up..clock.elapsed() + size.warm_up + size.measured;
    let mut delays = Delays::default();
    while clock.elapsed() < window.end {
        if let Ok(seen) = observer.seen.recv_timeout(Duration::from_millis(100)) {
            delays.note(&seen, &load.sent, clock, wall, &window);
        }
    }
    let sent = std::sync::Arc::clone(&load.sent);
    let carts = count(&sent.carts, &window);
    let expected = carts + count(&sent.orders, &window);
    let deadline = Instant::now() + PATIENCE;
    // What was sent within the window is yet to come, and the clock goes on while events do.
    while delays.by_event.len() < expected || delays.by_time.len() < 2 * carts {
        let Ok(seen) = observer.seen.recv_timeout(Duration::from_millis(100)) else {
            let found = (delays.by_event.len(), delays.by_time.len());
            let in_time = Instant::now() < deadline;
            assert!(in_time, "{found:?} of {:?} changes; it said:\n{}", (expected, 2 * carts), service.tail());
            continue;
        };
        delays.note(&seen, &sent, clock, wall, &window);
    }
    let latest = load.finish();
    service.stop();
    assert_eq!((delays.by_event.len(), delays.by_time.len()), (expected, 2 * carts), "changes, exactly once");
    delays.print(size, latest);
}

/// How many were sent within the window.
fn count(sent: &[AtomicU64], window: &Range<Duration>) -> usize {
    sent.iter().filter_map(moment).filter(|moment| window.contains(moment)).count()
}

fn moment(sent: &AtomicU64) -> Option<Duration> {
    Some(sent.load(Ordering::Acquire)).filter(|&sent| sent > 0).map(Duration::from_nanos)
}

impl Delays {
    /// `wall` is the wall clock in milliseconds when `clock` began.
    fn note(&mut self, seen: &Seen, sent: &Sent, clock: Instant, wall: f64, window: &Range<Duration>) {
        let change = &seen.change;
        let buyer = change.customer_id.strip_prefix("buyer-").and_then(|number| number.parse::<usize>().ok());
        let buyer = buyer.expect("only buyers change");
        let cart = moment(&sent.carts[buyer]).expect("a cart was sent");
        match (change.segmentation.as_str(), change.cause.as_str(), change.to.as_deref()) {
            ("shopping", "event", Some(to)) => {
                let is_cart = to == "in";
                let sent = if is_cart { cart } else { moment(&sent.orders[buyer]).expect("an order was sent") };
                if !window.contains(&sent) {
                    return;
                }
                let at = seen.at.duration_since(clock);
                self.by_event.push((at - sent).as_secs_f64() * 1e3);
                let detected = change.detected_ms as f64;
                let produced = seen.produced_ms.expect("a timestamp") as f64;
                self.to_detected.push((detected - wall - sent.as_secs_f64() * 1e3).max(0.0));
                self.to_produced.push(produced - detected);
                self.to_readable.push((seen.wall_ms - produced).max(0.0));
            }
            ("hesitating", "time", Some(_)) => {
                if window.contains(&cart) {
                    self.by_time.push(seen.wall_ms - (change.effective_ms + GRACE_MS) as f64);
                }
            }
            other => panic!("a change that nothing should cause: {other:?}"),
        }
    }

    fn print(&mut self, size: Size, latest: Duration) {
        println!(
            "{} events/s, 1 in {} causes a change, {WORKERS} workers, {} partitions; the producer waits {LINGER_MS} ms for \
             more events, and sent none more than {:.0} ms late",
            size.events_per_second,
            size.change_every,
            size.partitions,
            latest.as_secs_f64() * 1e3
        );
        print_line("from sending an event to its change being readable", &mut self.by_event, Some(GOAL_EVENT_MS));
        print_line("    until the event is handled (to 1 ms)", &mut self.to_detected, None);
        print_line("    from there until its change is sent", &mut self.to_produced, None);
        print_line("    from there until a read-committed consumer has it", &mut self.to_readable, None);
        print_line("change by time readable after effective_at + grace", &mut self.by_time, Some(GOAL_TIME_MS));
    }
}

fn print_line(what: &str, milliseconds: &mut [f64], goal_p99: Option<f64>) {
    milliseconds.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| milliseconds[((milliseconds.len() - 1) as f64 * share).round() as usize];
    let goal = goal_p99.map_or(String::new(), |goal| {
        format!(" (goal {goal:.0}: {})", if at(0.99) <= goal { "met" } else { "missed" })
    });
    println!(
        "{what}: p50 {:.1} ms, p99 {:.1} ms{goal}, longest {:.1} ms; {} changes",
        at(0.5),
        at(0.99),
        at(1.0),
        milliseconds.len()
    );
}
