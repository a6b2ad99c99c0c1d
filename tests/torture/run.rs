//! What every run needs: settings, topics and a folder; an independent run of the same events; and the checker.

use crate::fleet::{Fleet, Plan};
use crate::inputs::Inputs;
use crate::load::{LoadOptions, NOW, Written};
use crate::options::Options;
use crate::service::{Guard, tail};
use crate::store::Store;
use crate::storm::SESSION_TIMEOUT;
use crate::support::proxy::Proxy;
use crate::support::{self, Broker, BrokerOptions};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// Until everything is read after the faults have ended.
const PATIENCE: Duration = Duration::from_secs(180);

/// A run: its group, which is also the prefix of its topics, its events, and its files.
pub struct Run<'a> {
    pub options: &'a Options,
    group: &'static str,
    pub load: LoadOptions,
    pub folder: PathBuf,
    temporary: TempDir,
    /// What the services connect to; `None`: the proxy.
    brokers: Option<String>,
}

/// A broker with a listener behind the proxy; `None` if the machine cannot run one.
pub fn start_broker(proxy: &Proxy) -> Option<Broker> {
    let properties = [
        // A new owner waits for transactions that a killed service left open: not longer than necessary.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms=500",
        "group.consumer.session.timeout.ms=6000",
        "group.consumer.min.session.timeout.ms=1000",
        "group.consumer.heartbeat.interval.ms=1000",
        "group.consumer.min.heartbeat.interval.ms=500",
    ];
    let properties = properties.into_iter().map(str::to_owned).collect();
    let (listeners, proxied) = (vec![("PROXIED", "PLAINTEXT")], vec![("PROXIED", proxy.port)]);
    let broker = support::start(&BrokerOptions { properties, listeners, proxied, ..BrokerOptions::default() })?;
    proxy.forward_to(broker.listener("PROXIED"));
    Some(broker)
}

impl<'a> Run<'a> {
    /// Creates the input topics, with settings for this many seconds of events, and writes the rules.
    pub fn prepare(
        options: &'a Options,
        group: &'static str,
        inputs: u32,
        seconds: u64,
        broker: &Broker,
    ) -> Result<Self, String> {
        let temporary = tempfile::Builder::new().prefix("shoal-torture-").tempdir().map_err(context("folder"))?;
        let folder = options.keep.as_ref().map_or(temporary.path().to_owned(), |folder| folder.join(group));
        fs::create_dir_all(&folder).map_err(context("folder"))?;
        let load = LoadOptions {
            seed: options.seed(),
            topics: (0..inputs).map(|n| format!("{group}.events-{n}")).collect(),
            partitions: options.partitions,
            events_per_second: options.rate,
            events_max: u64::from(options.rate) * seconds,
        };
        for topic in &load.topics {
            // The events span many years: they must not expire, nor fill a segment for each week.
            let settings = [("retention.ms", "-1"), ("segment.ms", "1000000000000")];
            broker.create_topic(topic, options.partitions as i32, &settings);
        }
        fs::write(folder.join("rules.toml"), load.rules()).map_err(context("rules.toml"))?;
        Ok(Self { options, group, load, folder, temporary, brokers: None })
    }

    /// The services connect to these brokers, past the proxy.
    pub fn on(self, brokers: &str) -> Self {
        Self { brokers: Some(brokers.to_owned()), ..self }
    }

    /// Runs `act` with this many services, none of which is started; an error includes the ends of their logs.
    pub fn with_fleet(
        &self,
        proxy: &Arc<Proxy>,
        processes: u32,
        act: impl FnOnce(&mut Fleet) -> Result<(), String>,
    ) -> Result<(), String> {
        let guard = Guard::start(&self.temporary.path().display().to_string())?;
        let store = Store::start(self.options.store, &self.folder, self.options.seed(), &guard)?;
        let plan = |index| self.plan(index, index + 1 == processes, proxy, &store);
        let plans = (0..processes).map(plan).collect::<Result<Vec<_>, String>>()?;
        let logs: Vec<PathBuf> = plans.iter().map(|plan| plan.log.clone()).collect();
        let mut fleet = Fleet::new(plans, Arc::clone(proxy), guard, store);
        let done = act(&mut fleet);
        drop(fleet);
        done.map_err(|message| {
            let logs: Vec<String> = logs.iter().map(|log| format!("--- {}\n{}", log.display(), tail(log))).collect();
            format!("{message}\n{}", logs.join("\n"))
        })
    }

    /// How many kills a crash point gets if it is aimed at.
    pub fn times(&self) -> u32 {
        self.options.in_each.max(1)
    }

    fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.group)
    }

    /// Settings and log of a service. The last one has two workers.
    fn plan(&self, index: u32, is_last: bool, proxy: &Proxy, store: &Store) -> Result<Plan, String> {
        let (name, workers) = (format!("service-{index}"), 1 + u32::from(is_last));
        let topics = support::own_topics(self.group);
        let protocol = match self.options.group_protocol.as_str() {
            "classic" => String::new(),
            other => format!("group_protocol = {other:?}\n"),
        };
        let settings = format!(
            "rules = \"rules.toml\"\n[kafka]\nbrokers = {:?}\ngroup = {:?}\ninstance = {name:?}\n\
             inputs = {:?}\n{protocol}session_timeout_ms = {}\nfetch_wait_ms = 20\n[kafka.topics]\n{topics}\
             [kafka.client]\n\"client.id\" = {name:?}\n[worker]\nworkers = {workers}\n[admin]\naddress = \"127.0.0.1:0\"\n[log]\nformat = \"text\"\nlevel = \"trace\"\n{}",
            self.brokers.clone().unwrap_or_else(|| format!("127.0.0.1:{}", proxy.port)),
            self.group,
            self.load.topics,
            SESSION_TIMEOUT.as_millis(),
            store.settings(),
        );
        let (config, log) = (self.folder.join(format!("{name}.toml")), self.folder.join(format!("{name}.log")));
        fs::write(&config, settings).map_err(context("settings"))?;
        fs::write(&log, "").map_err(context("log"))?;
        Ok(Plan { name, config, log, workers })
    }

    /// Waits until the group has committed the end of all inputs and every shard is live. A shard that is not live when
    /// its owner stops would have no last snapshot.
    pub fn wait_until_done(&self, broker: &Broker, fleet: &mut Fleet, inputs: &Inputs) -> Result<(), String> {
        let (topics, partitions) = (&self.load.topics, self.load.partitions as i32);
        let stands = || -> Vec<Vec<i64>> {
            topics.iter().map(|topic| broker.committed(self.group, topic, partitions)).collect()
        };
        if fleet.wait(PATIENCE, |_| (stands() == inputs.ends).then_some(()))?.is_none() {
            return Err(format!("after {PATIENCE:?} the group stands at {:?}, not at {:?}", stands(), inputs.ends));
        }
        let shards = self.load.partitions as usize;
        match fleet.wait(PATIENCE, |fleet| fleet.is_whole(shards).then_some(()))? {
            Some(()) => Ok(()),
            None => Err(format!("after {PATIENCE:?} not all of {shards} shards are live")),
        }
    }

    /// Runs `shoal replay` on the same events, shard by shard, after those of a history, whose changes are not
    /// published.
    pub fn independent_run(
        &self,
        written: &Written,
        inputs: &Inputs,
        history: Option<&History>,
    ) -> Result<PathBuf, String> {
        let path = self.folder.join("expected.jsonl");
        let until = jiff::Timestamp::from_millisecond(written.until).map_err(context("until"))?.to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_shoal"));
        let partitions = self.load.partitions.to_string();
        command.args(["replay", "--now", NOW, "--until", &until, "--partitions", &partitions, "--rules"]);
        command.arg(self.folder.join("rules.toml"));
        if let Some(history) = history {
            command.args(["--publish-from", history.until, "--bootstrap", "changes"]).arg(&history.file);
        }
        command.args(&inputs.files).stderr(Stdio::piped());
        let output = command
            .stdout(File::create(&path).map_err(context("expected.jsonl"))?)
            .output()
            .map_err(context("shoal replay"))?;
        match output.status.success() {
            true => Ok(path),
            false => Err(format!("shoal replay: {}", String::from_utf8_lossy(&output.stderr))),
        }
    }

    pub fn check(&self, broker: &Broker, expected: &Path, rejected: &Path, snapshots: &Path) -> Result<(), String> {
        let names = READ.map(|name| self.topic(name));
        let (good, output) = run_checker(&broker.address, &names, expected, rejected, snapshots)?;
        println!("  {}", output.trim_end().replace('\n', "\n  "));
        if good { Ok(()) } else { Err("the checker found faults".into()) }
    }
}

/// Events before the run, in a file.
pub struct History {
    pub file: PathBuf,
    /// All events are before this moment.
    pub until: &'static str,
}

/// The topics that the checker reads.
pub const READ: [&str; 5] = ["changes", "membership", "rejected", "census", "journal"];

/// Runs the checker as a process of its own on its topics and on snapshots. Returns whether it found no fault, and its
/// output.
pub fn run_checker(
    brokers: &str,
    topics: &[String; READ.len()],
    expected: &Path,
    rejected: &Path,
    snapshots: &Path,
) -> Result<(bool, String), String> {
    let program = std::env::current_exe().map_err(context("this program"))?;
    let mut command = Command::new(program);
    command.args(["check", "--brokers", brokers]);
    for (name, topic) in READ.iter().zip(topics) {
        command.args([&format!("--{name}"), topic]);
    }
    command.arg("--expected").arg(expected).arg("--expected-rejected").arg(rejected);
    command.arg("--snapshots").arg(snapshots);
    let output = command.output().map_err(context("the checker"))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Ok((output.status.success(), printed))
}

pub fn listed<N: std::fmt::Display>(counts: &std::collections::BTreeMap<&str, N>) -> String {
    counts.iter().map(|(what, count)| format!("{what} {count}")).collect::<Vec<_>>().join(", ")
}

pub fn context<E: std::fmt::Display>(what: &'static str) -> impl Fn(E) -> String {
    move |error| format!("{what}: {error}")
}
