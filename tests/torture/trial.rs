//! The whole: broker, proxy, services, load and storm; then the independent run and the checker.

use crate::fleet::{Fleet, Plan};
use crate::inputs::Inputs;
use crate::load::{Load, LoadOptions, NOW, Written};
use crate::options::Options;
use crate::service::{Guard, tail};
use crate::store::Store;
use crate::storm::{SESSION_TIMEOUT, Storm};
use crate::support::proxy::Proxy;
use crate::support::{self, Broker, BrokerOptions};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Until everything is read, once nothing goes wrong any more.
const PATIENCE: Duration = Duration::from_secs(180);
const GROUP: &str = "torture";

/// A broker with a listener behind the proxy. `None` where the machine cannot run one.
pub fn start_broker(proxy: &Proxy) -> Option<Broker> {
    let properties = [
        // Whoever takes over waits for transactions that a dead service left open: not longer than need be.
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

/// Kills, faults, and the check; what to print, or what is wrong.
pub fn run(options: &Options, broker: &mut Broker, proxy: &Arc<Proxy>) -> Result<(), String> {
    let temporary = tempfile::Builder::new().prefix("shoal-torture-").tempdir().map_err(words("folder"))?;
    let folder = match &options.keep {
        Some(folder) => fs::create_dir_all(folder).map(|()| folder.clone()).map_err(words("folder"))?,
        None => temporary.path().to_owned(),
    };
    let guard = Guard::start(&temporary.path().display().to_string())?;
    let started = Instant::now();
    let load = LoadOptions {
        seed: options.seed,
        topics: (0..options.inputs).map(|n| format!("events-{n}")).collect(),
        partitions: options.partitions,
        events_per_second: options.rate,
        events_max: u64::from(options.rate) * (u64::from(options.kills) * 20 + 600),
    };
    for topic in &load.topics {
        // The events are of many years: they must not expire, nor fill a segment for each week.
        let settings = [("retention.ms", "-1"), ("segment.ms", "1000000000000")];
        broker.create_topic(topic, options.partitions as i32, &settings);
    }
    fs::write(folder.join("rules.toml"), load.rules()).map_err(words("rules.toml"))?;
    let store = Store::start(options.store, &folder, options.seed, &guard)?;
    let plans = plans(options, &load, proxy, &store, &folder)?;
    let logs: Vec<PathBuf> = plans.iter().map(|plan| plan.log.clone()).collect();
    let mut fleet = Fleet::new(plans, Arc::clone(proxy), guard, store);
    let done = torment(options, broker, &mut fleet, &load, &folder);
    drop(fleet);
    if let Err(words) = done {
        let logs: Vec<String> = logs.iter().map(|log| format!("--- {}\n{}", log.display(), tail(log))).collect();
        return Err(format!("{words}\n{}", logs.join("\n")));
    }
    println!("  seed {}, {:.0} seconds", options.seed, started.elapsed().as_secs_f64());
    Ok(())
}

fn torment(
    options: &Options,
    broker: &mut Broker,
    fleet: &mut Fleet,
    load: &LoadOptions,
    folder: &Path,
) -> Result<(), String> {
    let events = Load::start(broker, load).map_err(words("load"))?;
    let mut storm = Storm::new(fleet, broker, Arc::clone(&events.calm), options.seed);
    storm.begin(options.in_each.max(1))?;
    storm.rage(options.kills, options.in_each)?;
    let (tally, faults) = (storm.tally, storm.faults);
    let written = events.finish()?;
    let inputs = Inputs::read(broker, load, folder).map_err(words("inputs"))?;
    wait_until_done(broker, fleet, load, &inputs)?;
    for place in 0..fleet.count() {
        fleet.stop(place, None)?;
    }
    println!(
        "  kills by phase:\n{tally}  {:>5}  in all, {} of them in the recovery from another",
        tally.total(),
        fleet.killed_in_recovery
    );
    println!("  faults: {}", listed(&faults));
    println!("  requests to the store: {}", listed(&fleet.store.counts()));
    println!("  events: {}", listed(&written.kinds));
    println!("  transactions told as committed: {}", fleet.transactions);
    println!("  services that ended by themselves and were started again: {}", fleet.ended.len());
    fleet.ended.iter().for_each(|words| println!("    {}", words.replace('\n', "\n    ")));
    let expected = independent_run(load, &written, &inputs, folder)?;
    check(broker, &expected, &inputs.rejected, &fleet.store.objects())
}

fn listed<N: std::fmt::Display>(counts: &std::collections::BTreeMap<&str, N>) -> String {
    counts.iter().map(|(what, count)| format!("{what} {count}")).collect::<Vec<_>>().join(", ")
}

fn topic(name: &str) -> String {
    format!("torture.{name}")
}

/// Settings and logs of all services. The last has two workers.
fn plans(
    options: &Options,
    load: &LoadOptions,
    proxy: &Proxy,
    store: &Store,
    folder: &Path,
) -> Result<Vec<Plan>, String> {
    let plan = |place: u32| {
        let (name, workers) = (format!("service-{place}"), 1 + u32::from(place + 1 == options.processes));
        let topics: String = ["changes", "membership", "rejected", "journal", "control"]
            .map(|name| format!("{name} = {:?}\n", topic(name)))
            .concat();
        let protocol = match options.group_protocol.as_str() {
            "classic" => String::new(),
            other => format!("group_protocol = {other:?}\n"),
        };
        let settings = format!(
            "rules = \"rules.toml\"\n[kafka]\nbrokers = \"127.0.0.1:{}\"\ngroup = {GROUP:?}\ninstance = {name:?}\n\
             inputs = {:?}\n{protocol}session_timeout_ms = {}\nfetch_wait_ms = 20\n[kafka.topics]\n{topics}\
             [kafka.client]\n\"client.id\" = {name:?}\n[worker]\nworkers = {workers}\n[log]\nlevel = \"trace\"\n{}",
            proxy.port,
            load.topics,
            SESSION_TIMEOUT.as_millis(),
            store.settings(),
        );
        let (config, log) = (folder.join(format!("{name}.toml")), folder.join(format!("{name}.log")));
        fs::write(&config, settings).map_err(words("settings"))?;
        fs::write(&log, "").map_err(words("log"))?;
        Ok(Plan { name, config, log, workers })
    };
    (0..options.processes).map(plan).collect()
}

/// Waits until the group stands at the end of all inputs.
fn wait_until_done(broker: &Broker, fleet: &mut Fleet, load: &LoadOptions, inputs: &Inputs) -> Result<(), String> {
    let stands = || -> Vec<Vec<i64>> {
        load.topics.iter().map(|topic| broker.committed(GROUP, topic, load.partitions as i32)).collect()
    };
    match fleet.wait(PATIENCE, |_| (stands() == inputs.ends).then_some(()))? {
        Some(()) => Ok(()),
        None => Err(format!("after {PATIENCE:?} the group stands at {:?}, not at {:?}", stands(), inputs.ends)),
    }
}

/// `shoal replay` of the same events, shard by shard.
fn independent_run(load: &LoadOptions, written: &Written, inputs: &Inputs, folder: &Path) -> Result<PathBuf, String> {
    let path = folder.join("expected.jsonl");
    let until = jiff::Timestamp::from_millisecond(written.until).map_err(words("until"))?.to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_shoal"))
        // A deliberate bug is one of the services' only.
        .env_remove("SHOAL_SABOTAGE")
        .args(["replay", "--now", NOW, "--until", &until, "--partitions", &load.partitions.to_string(), "--rules"])
        .arg(folder.join("rules.toml"))
        .args(&inputs.files)
        .stdout(File::create(&path).map_err(words("expected.jsonl"))?)
        .stderr(Stdio::piped())
        .output()
        .map_err(words("shoal replay"))?;
    match output.status.success() {
        true => Ok(path),
        false => Err(format!("shoal replay: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

fn check(broker: &Broker, expected: &Path, rejected: &Path, snapshots: &Path) -> Result<(), String> {
    let names = ["changes", "membership", "rejected", "journal"].map(topic);
    let (good, output) = run_checker(&broker.address, &names, expected, rejected, Some(snapshots))?;
    println!("  {}", output.trim_end().replace('\n', "\n  "));
    if good { Ok(()) } else { Err("the checker found faults".into()) }
}

/// Runs the checker as a process of its own on changes, membership, rejected and journal, and on snapshots: whether all
/// is well, and what it printed.
pub fn run_checker(
    brokers: &str,
    topics: &[String; 4],
    expected: &Path,
    rejected: &Path,
    snapshots: Option<&Path>,
) -> Result<(bool, String), String> {
    let program = std::env::current_exe().map_err(words("this program"))?;
    let mut command = Command::new(program);
    command.args(["check", "--brokers", brokers]);
    for (option, topic) in ["--changes", "--membership", "--rejected", "--journal"].iter().zip(topics) {
        command.args([option, topic.as_str()]);
    }
    command.arg("--expected").arg(expected).arg("--expected-rejected").arg(rejected);
    command.args(snapshots.map(|folder| format!("--snapshots={}", folder.display())));
    let output = command.output().map_err(words("the checker"))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Ok((output.status.success(), printed))
}

fn words<E: std::fmt::Display>(what: &'static str) -> impl Fn(E) -> String {
    move |error| format!("{what}: {error}")
}
