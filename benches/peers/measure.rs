//! The measurement: fills the topic, lets the systems take turns, and watches each from outside.

use crate::model::{Expected, Model};
use crate::outcome::{Agreement, Outcome};
use crate::process::{Process, cpu_seconds_of};
use crate::stream::{Shape, Stream, id_of};
use crate::support::wait::wait_until_moment;
use crate::support::{Broker, Produced, send};
use crate::system::{Place, System};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::Producer;
use std::time::{Duration, Instant};

const PARTITIONS: i32 = 8;
/// How often is asked how far a system is.
const ASK_EVERY: Duration = Duration::from_millis(50);
const RUN_MAX: Duration = Duration::from_secs(900);
const PATIENCE: Duration = Duration::from_secs(60);

/// A filled topic, and what the job must come to.
pub struct Bench<'a> {
    broker: &'a Broker,
    shape: Shape,
    input: String,
    expected: Expected,
}

/// A part of a run.
#[derive(Clone, Copy, Debug)]
pub struct Spent {
    pub events: u64,
    pub seconds: f64,
    pub cpu_seconds: f64,
}

impl Spent {
    /// What was spent since an earlier moment, or from the beginning.
    fn since(self, earlier: Option<Self>) -> Self {
        let Some(earlier) = earlier else { return self };
        Self {
            events: self.events - earlier.events,
            seconds: self.seconds - earlier.seconds,
            cpu_seconds: self.cpu_seconds - earlier.cpu_seconds,
        }
    }

    pub fn events_per_cpu_second(&self) -> f64 {
        self.events as f64 / self.cpu_seconds
    }
}

/// One run of one system.
#[derive(Clone, Debug)]
pub struct Run {
    /// In which turn it was.
    pub repeat: usize,
    pub whole: Spent,
    /// The second half of the events, by what is committed; everything, where all was committed at once.
    pub warm: Spent,
    /// Processor time of the broker during the run.
    pub broker_cpu_seconds: f64,
    pub peak_bytes: u64,
    /// Bytes in the topics that the system writes.
    pub topic_bytes: u64,
    pub file_bytes: u64,
    /// None where nothing is published.
    pub agreement: Option<Agreement>,
}

/// All runs of one shape.
pub struct Measured {
    pub shape: Shape,
    pub changes: u64,
    pub systems: Vec<(System, Vec<Run>)>,
}

impl<'a> Bench<'a> {
    /// Writes the events of a shape into a topic of this name.
    pub fn fill(broker: &'a Broker, shape: Shape, input: &str) -> Self {
        broker.create_topic(input, PARTITIONS, &[("retention.ms", "-1")]);
        let producer = broker.producer();
        let mut model = Model::new(shape.customers);
        let mut text = String::new();
        for (number, event) in (0..).zip(Stream::of(shape)) {
            event.write_json(number, &mut text);
            let key = id_of(event.customer);
            let record = Produced {
                key: Some(key.as_bytes()),
                value: Some(text.as_bytes()),
                timestamp: Some(event.time),
                ..Produced::default()
            };
            send(&producer, input, record);
            model.push(event);
        }
        producer.flush(PATIENCE).expect("flush");
        let expected = model.play();
        println!(
            "{} events of {} customers, {} changes: {:.1} % of the events, {} % are wanted",
            shape.events,
            shape.customers,
            expected.changes,
            100.0 * expected.changes as f64 / shape.events as f64,
            shape.changes_percent
        );
        Self { broker, shape, input: input.to_owned(), expected }
    }

    /// Nothing is measured yet.
    pub fn measured(&self, systems: &[System]) -> Measured {
        let systems = systems.iter().map(|system| (system.clone(), Vec::new())).collect();
        Measured { shape: self.shape, changes: self.expected.changes, systems }
    }

    /// The systems in turns, but for those that are left out; who was first in one turn is last in the next.
    pub fn repeat(&self, repeat: usize, left_out: &[System], measured: &mut Measured) {
        for turn in 0..measured.systems.len() {
            let index = (turn + repeat) % measured.systems.len();
            let (system, runs) = &mut measured.systems[index];
            if left_out.iter().any(|left_out| left_out.name == system.name) {
                continue;
            }
            let run = if system.is_discard() { self.discard(system, repeat) } else { self.job(system, repeat) };
            print(system, &run);
            runs.push(run);
        }
    }

    /// A program that consumes the topic, says what that took, and ends.
    fn discard(&self, system: &System, repeat: usize) -> Run {
        let folder = tempfile::tempdir().expect("temporary folder");
        let place = Place { broker: self.broker, folder: folder.path(), input: &self.input, run: system.name };
        let broker_before = cpu_seconds_of(&self.broker.process());
        let mut command = system.command(&place);
        let output = command.arg(PARTITIONS.to_string()).arg(self.shape.events.to_string()).output();
        let output = output.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout);
        let figures: Vec<f64> = text.split_whitespace().filter_map(|figure| figure.parse().ok()).collect();
        let [seconds, cpu_seconds] = figures[..] else { panic!("expected two figures, found {text:?}") };
        let spent = Spent { events: self.shape.events, seconds, cpu_seconds };
        Run {
            repeat,
            whole: spent,
            warm: spent,
            broker_cpu_seconds: cpu_seconds_of(&self.broker.process()) - broker_before,
            peak_bytes: 0,
            topic_bytes: 0,
            file_bytes: 0,
            agreement: None,
        }
    }

    fn job(&self, system: &System, repeat: usize) -> Run {
        let folder = tempfile::Builder::new().prefix("shoal-peers-").tempdir().expect("temporary folder");
        let name = format!("{}-{}-{repeat}", self.input, system.name);
        let place = Place { broker: self.broker, folder: folder.path(), input: &self.input, run: &name };
        let before = self.broker.topics();
        if !system.is_shoal() {
            // Shoal makes its own.
            self.broker.create_topic(&place.output(), PARTITIONS, &[("retention.ms", "-1")]);
        }
        let broker_before = cpu_seconds_of(&self.broker.process());
        let mut process = Process::start(&mut system.command(&place), folder.path());
        let (whole, warm) = self.watch(&mut process, &name);
        let (peak_bytes, file_bytes) = (process.peak_bytes(), process.file_bytes());
        let broker_cpu_seconds = cpu_seconds_of(&self.broker.process()) - broker_before;
        // What time changed after the last event is committed by the transaction after the one that was waited for.
        wait_until_moment(Instant::now() + system.commit_time() * 2 + Duration::from_secs(1));
        process.stop();
        let outcome = Outcome::read(self.broker, &place.output(), PARTITIONS, self.shape.customers);
        let own: Vec<String> = self.broker.topics().into_iter().filter(|topic| !before.contains(topic)).collect();
        let own: Vec<&String> = own.iter().filter(|topic| !topic.starts_with("__")).collect();
        let topic_bytes = own.iter().map(|topic| self.broker.stored_bytes(topic)).sum();
        own.iter().for_each(|topic| self.broker.delete_topic(topic));
        let agreement = Some(outcome.compare(&self.expected));
        Run { repeat, whole, warm, broker_cpu_seconds, peak_bytes, topic_bytes, file_bytes, agreement }
    }

    /// Waits until the group is at the end of every partition. Returns the whole of it and the second half.
    fn watch(&self, process: &mut Process, group: &str) -> (Spent, Spent) {
        let begin = Instant::now();
        let consumer: BaseConsumer = self.broker.client().set("group.id", group).create().expect("client");
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition_range(&self.input, 0, PARTITIONS - 1);
        let mut half = None;
        loop {
            process.expect_running();
            let answer = consumer.committed_offsets(partitions.clone(), PATIENCE);
            // A new coordinator answers at first that it is none.
            let elements = answer.map(|answer| answer.elements_for_topic(&self.input).iter().map(offset).sum());
            let spent = Spent {
                events: elements.unwrap_or(0),
                seconds: begin.elapsed().as_secs_f64(),
                cpu_seconds: process.cpu_seconds(),
            };
            if half.is_none() && 2 * spent.events >= self.shape.events && spent.events < self.shape.events {
                half = Some(spent);
            }
            if spent.events >= self.shape.events {
                return (spent, spent.since(half));
            }
            assert!(begin.elapsed() < RUN_MAX, "{group} is not at the end within {RUN_MAX:?}:\n{}", process.tail());
            wait_until_moment(Instant::now() + ASK_EVERY);
        }
    }
}

/// The committed offset, 0 for none. The input has no transactions, so that an offset is a number of events.
fn offset(element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>) -> u64 {
    element.offset().to_raw().and_then(|raw| u64::try_from(raw).ok()).unwrap_or(0)
}

fn print(system: &System, run: &Run) {
    let agreement = run.agreement.as_ref().map_or_else(String::new, |agreement| {
        format!(
            "; {:.2} % alike, {} changes ({} expected); differences: {}",
            agreement.percent(),
            agreement.changes,
            agreement.changes_expected,
            agreement.in_words()
        )
    });
    println!(
        "{:<36} {:>6.1} k events/CPU-s, warm {:>6.1} k, {:>6.1} s, broker {:>5.1} CPU-s, {:>5.0} MB{agreement}",
        system.title,
        run.whole.events_per_cpu_second() / 1e3,
        run.warm.events_per_cpu_second() / 1e3,
        run.whole.seconds,
        run.broker_cpu_seconds,
        run.peak_bytes as f64 / 1e6,
    );
}
