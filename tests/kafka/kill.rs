//! kill -9 of the real program at random moments under load: what consumers see in the end is as if nothing had happened.
//!
//! The program tells each phase of its transactions in its log (`shoal::transaction`, level trace). A kill counts if the
//! last phase it told was not `committed`: then a transaction was open when it died. `SHOAL_KILLS` sets how many there
//! are, `SHOAL_SEED` when they come.

use crate::pipeline::{produced, settings, views, wait_until_done};
use crate::support;
use crate::support::events::{RULES, Random, shop};
use crate::support::memory::expected;
use rdkafka::producer::Producer;
use shoal::worker::RunSettings;
use shoal::worker::journal::JournalRecord;
use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const PARTITIONS: u32 = 4;
const PATIENCE: Duration = Duration::from_secs(120);
/// Phases of a transaction in their order, as the program tells them.
const PHASES: [&str; 4] = ["begun", "written", "offsets sent", "committed"];
const COMMITTED: usize = 3;

/// A running `shoal run`, and what it tells of its transactions.
struct Service {
    child: Child,
    /// Places in [`PHASES`].
    phases: Receiver<usize>,
    log: PathBuf,
}

impl Service {
    fn start(config: &Path, log: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_shoal"))
            .arg("run")
            .arg("--config")
            .arg(config)
            .env("SHOAL__LOG__LEVEL", "trace")
            .stderr(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .expect("the program starts");
        let (tell, phases) = channel();
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut copy = std::fs::File::create(log).expect("log file");
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some((_, phase)) = line.split_once("shoal::transaction: ") {
                    let phase = PHASES.iter().position(|known| phase.starts_with(known)).expect("a known phase");
                    let _ = tell.send(phase);
                }
                let _ = std::io::Write::write_all(&mut copy, format!("{line}\n").as_bytes());
            }
        });
        Self { child, phases, log: log.to_owned() }
    }

    /// Kills it in this phase of the n-th transaction from now, feeding it meanwhile; the last phase it told.
    fn kill_in(mut self, phase: usize, transactions: u64, mut feed: impl FnMut()) -> usize {
        let deadline = Instant::now() + PATIENCE;
        let mut last = COMMITTED;
        let mut left = transactions;
        while left > 0 {
            match self.phases.recv_timeout(Duration::from_millis(20)) {
                Ok(told) => {
                    last = told;
                    left -= u64::from(last == phase);
                }
                Err(_) => feed(),
            }
            assert!(Instant::now() < deadline, "no transaction; the program said:\n{}", self.tail());
        }
        self.child.kill().expect("kill -9");
        self.child.wait().expect("it is dead");
        // What it still told until it died.
        self.phases.iter().last().unwrap_or(last)
    }

    fn stop(mut self) -> ExitStatus {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "SIGTERM is sent");
        self.child.wait().expect("it ends")
    }

    fn tail(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write_config(settings: &RunSettings, folder: &Path) -> PathBuf {
    let (kafka, topics) = (&settings.kafka, &settings.kafka.topics);
    let mut text =
        format!("rules = \"rules.toml\"\n[kafka]\nbrokers = {:?}\ngroup = {:?}\n", kafka.brokers, kafka.group);
    writeln!(text, "instance = \"test\"\ninputs = {:?}\nfetch_wait_ms = 20\n[kafka.topics]", kafka.inputs).unwrap();
    for (name, topic) in [
        ("changes", &topics.changes),
        ("membership", &topics.membership),
        ("rejected", &topics.rejected),
        ("journal", &topics.journal),
        ("control", &topics.control),
    ] {
        writeln!(text, "{name} = {topic:?}").unwrap();
    }
    writeln!(text, "[worker]\nworkers = {}", settings.worker.workers).unwrap();
    let path = folder.join("shoal.toml");
    std::fs::write(&path, text).expect("settings file");
    path
}

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|error| panic!("{name}: {error}")))
}

#[test]
fn kill_9_loses_repeats_and_reorders_nothing() {
    let Some(broker) = support::broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(broker, folder.path(), "kill", PARTITIONS as i32);
    settings.worker.workers = 2;
    let config = write_config(&settings, folder.path());
    let input = &settings.kafka.inputs[0];
    let (kills_wanted, seed) = (from_environment("SHOAL_KILLS", 10), from_environment("SHOAL_SEED", 1));
    println!("{kills_wanted} kills, SHOAL_SEED={seed}");
    let lines = shop(seed, 300, 2_500 * kills_wanted as usize);
    let mut random = Random(seed);
    let mut kills = [0_u64; 4];
    let producer = broker.producer();
    let mut left = lines.iter();
    let mut feed = |count| {
        left.by_ref().take(count).for_each(|line| support::send(&producer, input, produced(line, PARTITIONS)));
    };
    while kills[..COMMITTED].iter().sum::<u64>() < kills_wanted {
        // A backlog to begin with, then load while it runs.
        feed(200);
        let service = Service::start(&config, &folder.path().join("log"));
        let last = service.kill_in(random.below(3) as usize, 1 + random.below(12), || feed(10));
        kills[last] += 1;
    }
    feed(usize::MAX);
    producer.flush(PATIENCE).expect("all events are written");
    println!("killed: {kills:?} times when the last phase told was {PHASES:?}");

    let service = Service::start(&config, &folder.path().join("log"));
    wait_until_done(broker, &settings.kafka, PARTITIONS);
    assert!(service.stop().success(), "SIGTERM ends it well");
    views(broker, &settings.kafka).assert_same(&expected(&lines, input, PARTITIONS, RULES), &format!("seed {seed}"));
    check_numbers(broker, &settings);
}

/// Transactions in the journal and outputs in the topics are numbered without gaps or repetitions.
fn check_numbers(broker: &support::Broker, settings: &RunSettings) {
    let topics = &settings.kafka.topics;
    let mut numbers = vec![Vec::new(); PARTITIONS as usize];
    for topic in [&topics.changes, &topics.membership, &topics.rejected] {
        for record in broker.read_committed(topic) {
            let out = String::from_utf8(record.header("shoal_out").expect("a number").to_vec()).unwrap();
            numbers[record.partition as usize].push(out.rsplit_once('/').unwrap().1.parse::<u64>().unwrap());
        }
    }
    let mut transactions = vec![0; PARTITIONS as usize];
    let mut outputs = vec![0; PARTITIONS as usize];
    for received in broker.read_committed(&topics.journal) {
        let record = JournalRecord::read(&received.value.unwrap()).unwrap();
        let shard = received.partition as usize;
        transactions[shard] += 1;
        assert_eq!(record.transaction, transactions[shard]);
        assert_eq!(record.outputs_before, outputs[shard]);
        outputs[shard] += record.outputs;
    }
    for (mut numbers, outputs) in numbers.into_iter().zip(outputs) {
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(1..=outputs), "outputs are numbered from 1 to {outputs}");
    }
}
