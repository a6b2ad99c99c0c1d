//! The run: who is started, stopped and killed when, and what is noted meanwhile.

use super::Size;
use super::load::Load;
use super::observer::{Observer, Seen};
use super::samples::{self, Restart, Sample};
use super::service::{Service, Setup};
use super::snapshots;
use super::support::Broker;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const NAME: &str = "soak";
/// A process that is killed has its shards back before the group gives them to the other.
const SESSION_MS: u32 = 20_000;
const GRACE_MS: i64 = 1_000;
const PATIENCE: Duration = Duration::from_secs(300);
/// Maximum number of waiting events while the highest rate is measured, so that it is the rate of the service.
const WAITING_MAX: u64 = 400_000;
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// Retention of each partition in bytes: input records are kept for longer than from one snapshot to the next.
const INPUT_BYTES: (&str, &str) = ("retention.bytes", "402653184");
const CHANGES_BYTES: (&str, &str) = ("retention.bytes", "67108864");
const SEGMENT_BYTES: (&str, &str) = ("segment.bytes", "33554432");

/// What was seen.
pub struct Done {
    pub rate: u64,
    pub samples: Vec<Sample>,
    pub restarts: Vec<Restart>,
    pub changes: u64,
}

struct Soak<'a> {
    broker: &'a Broker,
    size: &'a Size,
    setup: Setup,
    services: Vec<Service>,
    observer: Observer,
    load: Load,
    /// Sequence number of each customer's last change.
    sequences: Vec<u64>,
    current: Sample,
    done: Done,
}

pub fn run(broker: &Broker, size: &Size) -> Done {
    let setup = set_up(broker, size);
    let services = (0..size.processes).map(|number| setup.start(&format!("process-{number}"), 1)).collect();
    let observer = Observer::start(broker, &setup.changes);
    let load = Load::start(broker, &setup.input, size.customers);
    let done = Done { rate: 0, samples: Vec::new(), restarts: Vec::new(), changes: 0 };
    let sequences = vec![0; size.customers as usize];
    let mut soak = Soak { broker, size, setup, services, observer, load, sequences, current: Sample::default(), done };
    let highest = soak.highest_rate();
    let rate = size.rate.unwrap_or(highest / 2);
    println!("highest rate with all on one machine: {highest} events/s; from here on {rate}");
    soak.load.pace.per_second.store(rate, Ordering::Relaxed);
    soak.done.rate = rate;
    soak.wait_until_behind(rate / 5, "the service has caught up");
    soak.go_on();
    soak.finish()
}

fn set_up(broker: &Broker, size: &Size) -> Setup {
    let idle_days = size.idle.as_secs_f64() / 86_400.0;
    // Ids of events are remembered up to a bound that is reached soon, or they would grow for a day.
    let rules = format!("[dedup]\nmax_ids = 200000\n[audience.idle]\nwhen = \"inactive_days >= {idle_days:.9}\"\n");
    let mut setup = Setup::new(broker, NAME, &rules, SESSION_MS);
    setup.more = format!("[snapshots]\ninterval = \"{}\"\n", size.snapshot_interval);
    broker.create_topic(&setup.input, size.partitions, &[INPUT_BYTES, SEGMENT_BYTES]);
    broker.create_topic(&setup.changes, size.partitions, &[CHANGES_BYTES, SEGMENT_BYTES]);
    let membership = format!("{NAME}.membership");
    broker.create_topic(&membership, size.partitions, &[("cleanup.policy", "compact"), SEGMENT_BYTES]);
    setup
}

impl Soak<'_> {
    /// Lets every customer come, and then events as fast as the service follows.
    fn highest_rate(&mut self) -> u64 {
        let deadline = Instant::now() + PATIENCE;
        while self.handled() < self.size.customers {
            self.hold_up_load();
            assert!(Instant::now() < deadline, "not all customers came within {PATIENCE:?}; {}", self.logs());
        }
        let (begin, before) = (Instant::now(), self.handled());
        let mut after = before;
        while begin.elapsed() < self.size.flat_out {
            after = self.hold_up_load();
        }
        ((after - before) as f64 / begin.elapsed().as_secs_f64()) as u64
    }

    /// Lets events wait for the service if too many do; gives how many it has handled.
    fn hold_up_load(&mut self) -> u64 {
        self.drain(LOOK_EVERY);
        let handled = self.handled();
        let waiting = self.load.pace.sent.load(Ordering::Relaxed).saturating_sub(handled);
        self.load.pace.is_held_up.store(waiting > WAITING_MAX, Ordering::Relaxed);
        handled
    }

    fn handled(&self) -> u64 {
        let committed = self.broker.committed(NAME, &self.setup.input, self.size.partitions);
        committed.iter().map(|&offset| offset.max(0) as u64).sum()
    }

    fn wait_until_behind(&mut self, waiting_max: u64, what: &str) {
        self.load.pace.is_held_up.store(false, Ordering::Relaxed);
        let deadline = Instant::now() + PATIENCE;
        while self.load.pace.sent.load(Ordering::Relaxed).saturating_sub(self.handled()) > waiting_max {
            self.drain(LOOK_EVERY);
            assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}; {}", self.logs());
        }
    }

    fn logs(&self) -> String {
        let logs: Vec<String> = self.services.iter().map(Service::tail).collect();
        format!("they said:\n{}", logs.join("\n---\n"))
    }

    /// The steady load, with restarts.
    fn go_on(&mut self) {
        let begin = Instant::now();
        let (mut next_sample, mut next_restart) = (self.size.sample_every, self.size.restart_every);
        self.current = Sample::default();
        samples::print_header(self.size.sample_every);
        while begin.elapsed() < self.size.steady {
            self.drain(LOOK_EVERY);
            let resident = self.services.iter().map(Service::resident_bytes).sum();
            self.current.resident_bytes = self.current.resident_bytes.max(resident);
            if begin.elapsed() >= next_sample {
                next_sample += self.size.sample_every;
                self.take_sample(begin.elapsed().as_secs_f64());
            }
            // The last ones have time to show what they do.
            if begin.elapsed() >= next_restart && begin.elapsed() + self.size.restart_every / 2 < self.size.steady {
                next_restart += self.size.restart_every;
                self.restart(begin.elapsed().as_secs_f64());
            }
        }
    }

    fn take_sample(&mut self, at: f64) {
        let mut sample = std::mem::take(&mut self.current);
        sample.at = at;
        (sample.customers, sample.snapshot_bytes) = snapshots::newest(&self.setup.folder().join("snapshots"));
        sample.sort();
        samples::print(&sample);
        self.done.samples.push(sample);
    }

    /// In turns a process is stopped and one is killed; it is started again at once.
    fn restart(&mut self, at: f64) {
        let number = self.done.restarts.len();
        let service = self.services.remove(0);
        let name = service.instance.clone();
        let message = if number.is_multiple_of(2) {
            format!("{name} ends {:.1} s after SIGTERM", service.stop().as_secs_f64())
        } else {
            service.kill_9();
            format!("{name} is killed")
        };
        println!("{at:6.0} {message}");
        self.services.push(self.setup.start(&name, 1));
        self.done.restarts.push(Restart { at, message });
    }

    /// Notes the changes that come within this time.
    fn drain(&mut self, within: Duration) {
        let end = Instant::now() + within;
        while let Ok(seen) = self.observer.seen.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.note(&seen);
        }
    }

    fn note(&mut self, seen: &Seen) {
        let change = &seen.change;
        let customer = change.customer_id.strip_prefix("customer-").and_then(|number| number.parse::<usize>().ok());
        let last = &mut self.sequences[customer.expect("a customer of the load")];
        assert_eq!(change.sequence, *last + 1, "sequence of {} after {last}", change.customer_id);
        *last += 1;
        self.done.changes += 1;
        let effective = seen.wall_ms - change.effective_ms as f64;
        match change.cause.as_str() {
            "event" => self.current.by_event.push(effective.max(0.0)),
            // The customer's next event caused the change before the grace was over.
            "time" if change.detected_ms < change.effective_ms + GRACE_MS => {}
            "time" => self.current.by_time.push((effective - GRACE_MS as f64).max(0.0)),
            other => panic!("a change that nothing should cause: {other}"),
        }
    }

    /// Lets all be handled, and everybody stop.
    fn finish(mut self) -> Done {
        self.load.pace.per_second.store(1, Ordering::Relaxed);
        self.wait_until_behind(100, "all events are handled");
        let Self { load, services, setup, mut done, .. } = self;
        load.finish();
        for service in services {
            let took = service.stop();
            println!("       a process ends {:.1} s after SIGTERM", took.as_secs_f64());
        }
        // At an orderly stop each shard has a snapshot of its end.
        if let Some(last) = done.samples.last_mut() {
            (last.customers, last.snapshot_bytes) = snapshots::newest(&setup.folder().join("snapshots"));
        }
        done
    }
}
