//! `shoal run --dry-run --rules FILE` on a real broker: it prints exactly the changes that a restart with these rules
//! publishes with the cause `rules`, and writes nothing.

use super::pipeline::{produce, settings, wait_until_done};
use super::service::Service;
use crate::support::events::{Line, OPENING, RULES, shop};
use crate::support::wait::wait_for_ok;
use crate::support::{self, Broker};
use serde_json::Value;
use shoal::kafka::Own;
use shoal::worker::RunSettings;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PARTITIONS: u32 = 3;
const PATIENCE: Duration = Duration::from_secs(120);

/// Other segments, conditions and names; one segmentation retired, one audience removed, one new; and a clock that goes
/// on, so that deadlines fire right after the restart.
fn candidate(revision: u32) -> String {
    let rules = RULES.replace("clock = \"events\"", "clock = \"wall\"").replace("\"dormant\"", "\"asleep\"");
    let rules = rules.replace("recency_days <= 60", "recency_days <= 75");
    let rules = rules.replace("[segmentation.value]", "[segmentation.value]\nretired = true");
    let rules = rules.replace("[audience.cart_abandoner]\nwhen = \"cart_open AND cart_idle_minutes >= 30\"\n", "");
    assert!(!rules.contains("cart_abandoner"));
    format!(
        "revision = {revision}\n{rules}\n[audience.loyal]\nwhen = \"orders >= 3 AND segment('lifecycle') <> 'asleep'\"\n"
    )
}

/// All that a dry run must leave as it is.
#[derive(Debug, PartialEq)]
struct Outside {
    /// Of each partition of each topic.
    ends: Vec<Vec<i64>>,
    groups: Vec<String>,
    committed: Vec<i64>,
    /// The snapshots.
    stored: BTreeMap<PathBuf, Vec<u8>>,
}

/// A service that has processed a shop and was stopped in order.
struct Stopped {
    folder: tempfile::TempDir,
    broker: &'static Broker,
    settings: RunSettings,
}

impl Stopped {
    fn new(test: &str, customers: u64, changes_per_minute: u64) -> Option<Self> {
        let broker = support::broker()?;
        let folder = tempfile::tempdir().unwrap();
        let mut settings = settings(broker, folder.path(), test, PARTITIONS as i32);
        settings.snapshots.url = folder.path().join("snapshots").to_str().unwrap().to_owned();
        produce(broker, &settings.kafka.inputs[0], &shop(31, customers, 8_000), PARTITIONS);
        let stopped = Self { folder, broker, settings };
        let service = stopped.start("rules.toml", changes_per_minute);
        wait_until_done(broker, &stopped.settings.kafka, PARTITIONS);
        service.stop();
        Some(stopped)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, rules: &str) -> String {
        std::fs::write(self.path(name), rules).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }

    fn start(&self, rules: &str, changes_per_minute: u64) -> Service {
        let settings = RunSettings { rules: self.path(rules), ..self.settings.clone() };
        Service::start(self.folder.path(), &settings, "only", changes_per_minute)
    }

    /// Status, changes and summary of a dry run.
    fn dry_run(&self, changes_per_minute: u64, rules: &str, more: &[&str]) -> (Option<i32>, Vec<Value>, String) {
        let arguments = [&["run", "--dry-run", "--rules", rules], more].concat();
        let out = Service::output(&self.settings, changes_per_minute, &arguments);
        let lines = String::from_utf8(out.stdout).unwrap();
        let changes = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (out.status.code(), changes, String::from_utf8(out.stderr).unwrap())
    }

    /// What is to stay as it is.
    fn outside(&self) -> Outside {
        let kafka = &self.settings.kafka;
        let topics = Own::ALL.map(|own| (kafka.topics.name(own), own.partitions(PARTITIONS)));
        let topics = topics.into_iter().chain([(kafka.inputs[0].as_str(), PARTITIONS)]);
        let ends = topics.map(|(topic, partitions)| {
            (0..partitions as i32).map(|partition| self.broker.end(topic, partition)).collect()
        });
        let mut groups = self.broker.groups();
        groups.retain(|group| group.starts_with(&kafka.group));
        Outside {
            ends: ends.collect(),
            groups,
            committed: self.broker.committed(&kafka.group, &kafka.inputs[0], PARTITIONS as i32),
            stored: files(Path::new(&self.settings.snapshots.url)),
        }
    }

    /// Changes that were published with the cause `rules` by this version of the rules.
    fn published_by_rules(&self, version: &str) -> Vec<Value> {
        let published = self.broker.read_committed(&self.settings.kafka.topics.changes);
        let changes = published.iter().map(|change| serde_json::from_slice(change.value.as_deref().unwrap()).unwrap());
        changes.filter(|change| is_by_rules(change) && change["rules_version"] == version).collect()
    }

    /// Restarts with these rules until they have published this number of changes and every sweep has ended. Returns
    /// the changes.
    fn restart(&self, rules: &str, version: &str, wanted: usize) -> Vec<Value> {
        let service = self.start(rules, 0);
        wait_for_ok(&format!("{wanted} changes by new rules"), PATIENCE, || {
            let found = self.published_by_rules(version).len();
            if found >= wanted { Ok(()) } else { Err(found) }
        });
        // Rounds of every shard: so few customers are swept in the first of them.
        let lines: Vec<Line> = (0..60).map(|n| view(&format!("later-{version}-{n}"))).collect();
        produce(self.broker, &self.settings.kafka.inputs[0], &lines, PARTITIONS);
        wait_until_done(self.broker, &self.settings.kafka, PARTITIONS);
        service.stop();
        let manifests = files(Path::new(&self.settings.snapshots.url));
        let manifests: Vec<_> =
            manifests.iter().filter(|(path, _)| path.to_str().unwrap().contains("manifest")).collect();
        for shard in 0..PARTITIONS {
            let of_shard = |path: &Path| path.parent().unwrap().ends_with(shoal::store::names::folder(shard));
            let (_, newest) = manifests.iter().rfind(|(path, _)| of_shard(path)).expect("a manifest");
            let head: Value = serde_json::from_slice(newest.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
            assert_eq!(head["state"]["sweep"], Value::Null, "the sweep of shard {shard} has ended");
            assert_eq!(head["place"]["rules_version"], version);
        }
        self.published_by_rules(version)
    }
}

fn is_by_rules(change: &Value) -> bool {
    change["cause"] == "rules"
}

fn view(customer: &str) -> Line {
    let value = format!("{{\"customer_id\":{customer:?},\"type\":\"view\",\"time\":{OPENING}}}");
    Line { time: OPENING, key: Some(customer.as_bytes().to_vec()), value: Some(value.into_bytes()) }
}

/// All files below a folder, with their content.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => drop(found.insert(path.clone(), std::fs::read(&path).unwrap())),
        }
    }
    found
}

/// Changes by customer and number, without the wall clock of their evaluation.
fn by_number(changes: &[Value]) -> BTreeMap<(String, u64), Value> {
    let keyed = changes.iter().map(|change| {
        let mut change = change.clone();
        change.as_object_mut().unwrap().remove("detected_at").expect("a wall clock");
        ((change["customer_id"].as_str().unwrap().to_owned(), change["sequence"].as_u64().unwrap()), change)
    });
    let by_number: BTreeMap<_, _> = keyed.collect();
    assert_eq!(by_number.len(), changes.len(), "no change twice");
    by_number
}

fn assert_same(shown: &[Value], published: &[Value]) {
    let (shown, published) = (by_number(shown), by_number(published));
    for (number, change) in &published {
        assert_eq!(shown.get(number), Some(change), "a change that was published");
    }
    assert_eq!(shown.len(), published.len(), "no other change was shown");
}

/// The table's counts by target, from, to and cause.
fn table(summary: &str) -> BTreeMap<[String; 4], (usize, usize)> {
    let rows = summary.lines().skip_while(|line| !line.trim_start().starts_with("segmentation or audience")).skip(1);
    let of_row = |row: &str| {
        let words: Vec<&str> = row.split_whitespace().collect();
        let [target, from, to, cause, changes, fill] = words[..] else { panic!("a row: {row}") };
        let number = |text: &str| text.replace(',', "").parse().unwrap();
        ([target, from, to, cause].map(str::to_owned), (number(changes), number(fill)))
    };
    rows.map(of_row).collect()
}

fn counted(changes: &[Value]) -> BTreeMap<[String; 4], (usize, usize)> {
    let mut counts = BTreeMap::<_, (usize, usize)>::new();
    for change in changes {
        let text = |name: &str| change[name].as_str().unwrap_or("null").to_owned();
        let count = counts.entry(["segmentation", "from", "to", "cause"].map(text)).or_default();
        count.0 += 1;
        count.1 += usize::from(change["fill"] == true);
    }
    counts
}

#[test]
fn a_dry_run_of_rules_shows_what_a_restart_publishes() {
    let Some(stopped) = Stopped::new("dry-rules", 900, 0) else { return };
    let new = stopped.write("new.toml", &candidate(1));
    let before = stopped.outside();
    let (status, shown, summary) = stopped.dry_run(600, &new, &[]);
    assert_eq!(status, Some(0), "{summary}");
    assert_eq!(stopped.outside(), before, "nothing was written");
    let version = shoal::worker::control::read_rules(candidate(1).as_bytes()).unwrap().version.clone();

    let of = |target: &str, fill: bool| {
        shown.iter().filter(|change| change["segmentation"] == target && (change["fill"] == true) == fill).count()
    };
    assert!(of("lifecycle", false) > 100 && of("loyal", true) > 100, "{summary}");
    assert!(of("value", false) > 100 && of("cart_abandoner", false) > 0, "values of targets that end: {summary}");
    let with_reasons = shown.iter().filter(|change| change["because"].as_array().is_some_and(|list| !list.is_empty()));
    assert!(with_reasons.count() > 20, "changes to segments with a condition say why");
    assert_eq!(table(&summary), counted(&shown), "{summary}");
    let customers: std::collections::BTreeSet<&str> =
        shown.iter().map(|change| change["customer_id"].as_str().unwrap()).collect();
    let counts = format!("would publish {} changes of {} customers, of ", grouped(shown.len()), customers.len());
    assert!(summary.contains(&counts), "{counts}: {summary}");
    assert!(
        summary.contains("max_changes_per_minute = 600: a restart would spread the changes by rules over"),
        "{summary}"
    );
    assert!(summary.contains(&format!("of the file: version {version}, revision 1")), "{summary}");
    let ages = summary.lines().filter(|line| line.contains("    shard ") && line.contains(" ago), transaction "));
    assert_eq!(ages.count(), PARTITIONS as usize, "{summary}");

    let by_rules: Vec<Value> = shown.into_iter().filter(is_by_rules).collect();
    let published = stopped.restart("new.toml", &version, by_rules.len());
    assert_same(&by_rules, &published);

    // While the service runs: it keeps its shards, and what the file holds is in force.
    let service = stopped.start("new.toml", 0);
    let newer = stopped.write("newer.toml", &candidate(2).replace("asleep", "away"));
    let (status, shown, summary) = stopped.dry_run(0, &newer, &[]);
    assert!(status == Some(0) && shown.iter().any(is_by_rules), "{summary}");
    let (status, shown, summary) = stopped.dry_run(0, &new, &[]);
    assert!(status == Some(0) && shown.is_empty(), "{summary}");
    assert!(summary.contains("would publish nothing, because its rules are in force already"), "{summary}");
    assert!(!service.log().contains("shards revoked"), "{}", service.log());
    service.stop();
}

fn grouped(number: usize) -> String {
    if number < 1_000 { number.to_string() } else { format!("{},{:03}", number / 1_000, number % 1_000) }
}

/// A sweep that has not ended is no change of the next rules; a restart ends it first.
#[test]
fn a_sweep_that_has_not_ended_is_told_and_not_listed() {
    let Some(stopped) = Stopped::new("dry-sweep", 2_400, 0) else { return };
    let [first, second] = [1, 2].map(|revision| {
        let rules = candidate(revision).replace("asleep", if revision == 1 { "asleep" } else { "away" });
        stopped.write(&format!("{revision}.toml"), &rules);
        shoal::worker::control::read_rules(rules.as_bytes()).unwrap().version.clone()
    });
    let slow = stopped.start("1.toml", 60);
    wait_for_ok("a change by new rules", PATIENCE, || match stopped.published_by_rules(&first).len() {
        0 => Err("none"),
        _ => Ok(()),
    });
    slow.stop();
    let begun = stopped.published_by_rules(&first).len();
    let (status, shown, summary) = stopped.dry_run(0, stopped.path("2.toml").to_str().unwrap(), &[]);
    assert_eq!(status, Some(0), "{summary}");
    let told = summary.lines().find_map(|line| line.trim().strip_prefix("not listed: ")).expect(&summary);
    let told: usize = told.split(' ').next().unwrap().replace(',', "").parse().unwrap();
    let by_rules: Vec<Value> = shown.into_iter().filter(is_by_rules).collect();
    let published = stopped.restart("2.toml", &second, by_rules.len());
    assert_same(&by_rules, &published);
    assert_eq!(stopped.published_by_rules(&first).len(), begun + told, "changes of the sweep that had not ended");
    assert!(told > 100, "{summary}");
}

#[test]
fn a_dry_run_of_rules_says_why_there_is_nothing_to_show() {
    let Some(stopped) = Stopped::new("dry-nothing", 60, 0) else { return };
    let nothing = |name: &str, reason: &str| {
        let (status, shown, summary) = stopped.dry_run(0, stopped.path(name).to_str().unwrap(), &[]);
        assert!(status == Some(0) && shown.is_empty() && summary.contains(reason), "{name}: {summary}");
    };
    let put_in_force = |name: &str| {
        let service = stopped.start(name, 0);
        service.wait_until_logged("rules published to the control topic");
        service.stop();
    };
    nothing("rules.toml", "would publish nothing, because its rules are in force already");
    // A file of a higher revision comes into force, then another of the same revision.
    stopped.write("new.toml", &candidate(3));
    put_in_force("new.toml");
    nothing("rules.toml", "its `revision` is lower than that of the rules in force");
    nothing("rules.toml", "raise its `revision` above 3, or start once with --force");
    stopped.write("same.toml", &candidate(3).replace("loyal", "true_friends"));
    put_in_force("same.toml");
    nothing("new.toml", "its rules were in force before and have been replaced");
    let (status, shown, summary) = stopped.dry_run(0, stopped.path("new.toml").to_str().unwrap(), &["--force"]);
    assert!(status == Some(0) && shown.iter().any(|change| change["segmentation"] == "loyal"), "{summary}");
    let (status, shown, message) = {
        let out = Service::output(&stopped.settings, 0, &["run", "--dry-run", "--force"]);
        (out.status.code(), out.stdout, String::from_utf8(out.stderr).unwrap())
    };
    assert!(status == Some(2) && shown.is_empty() && message.contains("--dry-run without --rules"), "{message}");

    // Mistakes of the file alone, and of what it makes of the rules in force.
    let mistaken = stopped.write("mistaken.toml", &candidate(4).replace("orders >= 3", "ordres >= 3"));
    let (status, shown, message) = stopped.dry_run(0, &mistaken, &[]);
    assert!(status == Some(78) && shown.is_empty() && message.contains("mistaken.toml:"), "{message}");
    let other = candidate(4) + "[currency]\nbase = \"USD\"\n";
    let (status, shown, message) = stopped.dry_run(0, &stopped.write("other.toml", &other), &[]);
    assert!(status == Some(78) && shown.is_empty() && message.contains("base currency EUR"), "{message}");

    // Snapshots are missing: of one shard, of all, or at all.
    let newer = stopped.write("newer.toml", &candidate(5));
    let refused = |settings: &RunSettings, what: &str| {
        let out = Service::output(settings, 0, &["run", "--dry-run", "--rules", &newer]);
        let message = String::from_utf8(out.stderr).unwrap();
        assert!(out.status.code() == Some(3) && out.stdout.is_empty() && message.contains(what), "{what}: {message}");
    };
    let folder = PathBuf::from(&stopped.settings.snapshots.url);
    let shard = |name: &str| folder.join(name);
    let one = shoal::store::names::folder(1);
    std::fs::rename(shard(&one), shard("elsewhere")).unwrap();
    refused(&stopped.settings, "found 2: there is none of shard 1");
    std::fs::rename(shard("elsewhere"), shard(&one)).unwrap();
    for (path, _) in files(&shard(&one)).iter().filter(|(path, _)| path.to_str().unwrap().contains("manifest")) {
        std::fs::write(path, "damaged").unwrap();
    }
    refused(&stopped.settings, "expected a snapshot of shard 1 at");
    let mut elsewhere = stopped.settings.clone();
    elsewhere.snapshots.url = stopped.path("nowhere").to_str().unwrap().to_owned();
    refused(&elsewhere, "expected a snapshot of each of the 3 shards at");
    assert!(!stopped.path("nowhere").exists(), "a dry run creates no folder");
    elsewhere.snapshots.url = String::new();
    refused(&elsewhere, "`url` of [snapshots] is empty");

    // A service that has not run yet has no rules in force.
    let mut other = settings(stopped.broker, stopped.folder.path(), "dry-new", PARTITIONS as i32);
    other.snapshots.url = stopped.settings.snapshots.url.clone();
    refused(&other, "expected rules in force in the control topic");
    assert!(!stopped.broker.topics().contains(&other.kafka.topics.control), "no topic was created");
}
