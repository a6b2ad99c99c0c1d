//! A real Prometheus with the rules of deploy/prometheus, and a real Alertmanager with its webhook behind it.
//!
//! Intervals in the files are replaced by one second, and so are the durations for which alerts must hold; windows stay
//! as they are.

use super::service::addresses;
use super::text;
use super::webhook::Webhook;
use crate::support::http;
use crate::support::wait::wait_for_ok;
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Alerts of the rules are evaluated once a minute.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs a program until the input ends, which it does however this process ends.
const GUARD: &str = r#""$@" < /dev/null & cat > /dev/null; kill -9 $!; wait"#;

/// The programs that watch a service. They end when this is dropped.
pub struct Watch {
    guards: Vec<Child>,
    pub prometheus: String,
    pub webhook: Webhook,
    _folder: tempfile::TempDir,
}

/// One series of an answer, with its values by time.
#[derive(Clone, Debug)]
pub struct Series {
    pub labels: Value,
    pub values: Vec<f64>,
}

impl Watch {
    /// Watches processes at these addresses.
    pub fn start(targets: &[String]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let webhook = Webhook::start();
        let addresses = addresses(2);
        let [prometheus, alertmanager] = [&addresses[0], &addresses[1]];
        write_files(folder.path(), targets, alertmanager, &webhook.address);
        let guards = vec![
            guarded(
                folder.path(),
                "prometheus-alertmanager",
                &[
                    "--config.file=alertmanager.yml",
                    "--storage.path=alertmanager",
                    "--cluster.listen-address=",
                    "--log.level=error",
                    &format!("--web.listen-address={alertmanager}"),
                ],
            ),
            guarded(
                folder.path(),
                "prometheus",
                &[
                    "--config.file=prometheus.yml",
                    "--storage.tsdb.path=prometheus",
                    "--log.level=error",
                    &format!("--web.listen-address={prometheus}"),
                ],
            ),
        ];
        let watch = Self { guards, prometheus: prometheus.clone(), webhook, _folder: folder };
        for address in [prometheus, alertmanager] {
            until("it is ready", || http::get(address, "/-/ready").map(|_| ()));
        }
        watch
    }

    /// Current value of an expression.
    pub fn query(&self, expression: &str) -> Result<Vec<Series>, String> {
        let path = format!("/api/v1/query?query={}", http::encoded(expression));
        let answer = http::json(&self.prometheus, &path)?;
        Ok(series(&answer, |series| vec![&series["value"]]))
    }

    /// Its values, second by second, in the last `seconds`.
    pub fn range(&self, expression: &str, seconds: u32) -> Result<Vec<Series>, String> {
        let now = jiff::Timestamp::now().as_second();
        let (query, start) = (http::encoded(expression), now - i64::from(seconds));
        let path = format!("/api/v1/query_range?query={query}&start={start}&end={now}&step=1");
        let answer = http::json(&self.prometheus, &path)?;
        Ok(series(&answer, |series| series["values"].as_array().into_iter().flatten().collect()))
    }

    /// The only value of an expression; `None` if there is no or more than one series.
    pub fn value(&self, expression: &str) -> Option<f64> {
        match self.query(expression).unwrap().as_slice() {
            [one] => Some(one.values[0]),
            _ => None,
        }
    }

    /// Waits until an expression has this value, for two minutes at most.
    pub fn wait_for(&self, expression: &str, expected: f64) {
        until(&format!("{expression} is {expected}"), || {
            let found = self.value(expression);
            if found == Some(expected) { Ok(()) } else { Err(format!("{found:?}, {:?}", self.query(expression))) }
        });
    }

    /// Name and expression of every rule that Prometheus evaluates.
    pub fn rules(&self) -> Vec<(String, String)> {
        let answer = http::json(&self.prometheus, "/api/v1/rules").unwrap();
        let groups = answer["data"]["groups"].as_array().unwrap();
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
        let word = |rule: &Value, key: &str| rule[key].as_str().unwrap().to_owned();
        rules.map(|rule| (word(rule, "name"), word(rule, "query"))).collect()
    }

    /// Rules whose last evaluation failed.
    pub fn failing_rules(&self) -> Vec<String> {
        let answer = http::json(&self.prometheus, "/api/v1/rules").unwrap();
        let groups = answer["data"]["groups"].as_array().unwrap();
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
        rules.filter(|rule| rule["health"] == "err").map(Value::to_string).collect()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for guard in &mut self.guards {
            drop(guard.stdin.take());
            let _ = guard.wait();
        }
    }
}

/// Tries until it succeeds, for two minutes at most.
pub fn until(what: &str, look: impl FnMut() -> Result<(), String>) {
    wait_for_ok(what, PATIENCE, look);
}

/// Values of each series of an answer; Prometheus writes them as text.
fn series<'a>(answer: &'a Value, values: impl Fn(&'a Value) -> Vec<&'a Value>) -> Vec<Series> {
    let result = answer["data"]["result"].as_array().expect("a result");
    let number = |value: &Value| value[1].as_str().and_then(|text| text.parse().ok()).expect("a number");
    let of = |series: &'a Value| values(series).into_iter().map(number).collect();
    result.iter().map(|series| Series { labels: series["metric"].clone(), values: of(series) }).collect()
}

fn guarded(folder: &Path, program: &str, arguments: &[&str]) -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", GUARD, "guard", program]).args(arguments).current_dir(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("a shell")
}

fn write_files(folder: &Path, targets: &[String], alertmanager: &str, receiver: &str) {
    std::fs::create_dir(folder.join("rules")).unwrap();
    for name in ["migrations", "operators", "marketers"] {
        let rules = hurried(&text(&format!("deploy/prometheus/rules/{name}.yml")));
        std::fs::write(folder.join(format!("rules/{name}.yml")), rules).unwrap();
    }
    let targets = targets.iter().map(|target| format!("{target:?}")).collect::<Vec<_>>().join(", ");
    let example = text("deploy/prometheus/prometheus.yml").replace("15s", "1s").replace("localhost:9093", alertmanager);
    let prometheus = example.replace(r#""localhost:9464", "localhost:9465""#, &targets);
    assert!(prometheus.contains(&targets), "the example has other targets");
    std::fs::write(folder.join("prometheus.yml"), prometheus).unwrap();
    let example = text("deploy/prometheus/alertmanager.yml").replace("group_wait: 30s", "group_wait: 0s");
    let alertmanager = example.replace("group_interval: 5m", "group_interval: 1s").replace("localhost:8080", receiver);
    std::fs::write(folder.join("alertmanager.yml"), alertmanager).unwrap();
}

/// Rules that are evaluated each second and fire at once.
fn hurried(rules: &str) -> String {
    let hurry = |line: &str| match line.split_once(": ") {
        Some((key, _)) if ["for", "interval"].contains(&key.trim()) => format!("{key}: 1s\n"),
        _ => line.replace("offset 15s", "offset 1s") + "\n",
    };
    rules.lines().map(hurry).collect()
}
