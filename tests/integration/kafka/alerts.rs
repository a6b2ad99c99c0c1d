//! Alerts of the program on a real broker: exactly 120 customers, through crashes, and a webhook that fails at first.

use super::pipeline::{produced, settings};
use super::program::shoal;
use super::service::Service;
use crate::support::events::Line;
use crate::support::rules::loyalty;
use crate::support::{self, Broker, wait};
use serde_json::Value;
use shoal::kafka::{KafkaSettings, create_or_check_topics};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const PARTITIONS: u32 = 2;
const PATIENCE: Duration = Duration::from_secs(100);
const SECRET: &str = "a secret of the test, 0123456789";
const MINUTE: i64 = 60_000;

const TIME_AND_ALERT: &str = r#"
[time]
clock = "wall"
[alert.losing]
segmentation = "lifecycle"
from = "loyal"
to = "at_risk"
above = 119
window = "1h"
customer_ids = 2
"#;

fn rules() -> String {
    loyalty("orders >= 2", "orders >= 1") + TIME_AND_ALERT
}

/// Two orders of each customer, and a cancellation by 120 of them, all a few minutes old, so that the test need not
/// wait.
fn lines(now: i64) -> Vec<Line> {
    let line = |id: u32, kind: &str, order: u32, time: i64| {
        let amount = if kind == "purchase" { r#","amount":"10""# } else { "" };
        let value = format!(r#"{{"type":"{kind}","time":{time},"order_id":"o-{id}-{order}"{amount}}}"#);
        Line { time, key: Some(format!("c-{id:03}").into_bytes()), value: Some(value.into_bytes()) }
    };
    let bought = (0..130).flat_map(|id| [1, 2].map(|order| line(id, "purchase", order, now - 3 * MINUTE)));
    bought.chain((0..120).map(|id| line(id, "cancel", 1, now - 2 * MINUTE))).collect()
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

fn alerts(broker: &Broker, kafka: &KafkaSettings) -> Vec<Value> {
    let records = broker.read_committed(&kafka.topics.alerts);
    records.iter().map(|record| serde_json::from_slice(record.value.as_deref().unwrap()).unwrap()).collect()
}

/// The number of changes with this cause.
fn changes(broker: &Broker, kafka: &KafkaSettings, cause: &str) -> usize {
    let cause = format!(r#""cause":"{cause}""#);
    let records = broker.read_committed(&kafka.topics.changes);
    records.iter().filter(|record| String::from_utf8_lossy(record.value.as_deref().unwrap()).contains(&cause)).count()
}

fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    wait::wait_until(what, PATIENCE, condition);
}

/// A request that the webhook received.
struct Request {
    id: String,
    signature: String,
    body: Vec<u8>,
}

/// A receiver that fails for the first requests.
fn receiver(failures: usize) -> (String, Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, requests) = channel();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let request =
                answer(stream.unwrap(), if number < failures { "503 Service Unavailable" } else { "204 No Content" });
            if sender.send(request).is_err() {
                return;
            }
        }
    });
    (address, requests)
}

fn answer(mut stream: TcpStream, status: &str) -> Request {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut request = Request { id: String::new(), signature: String::new(), body: Vec::new() };
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert_eq!(line, "POST /hook HTTP/1.1\r\n");
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_lowercase().as_str() {
            "shoal-alert-id" => request.id = value.to_owned(),
            "shoal-signature" => request.signature = value.to_owned(),
            "content-length" => request.body = vec![0; value.parse().unwrap()],
            _ => {}
        }
    }
    reader.read_exact(&mut request.body).unwrap();
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
    request
}

/// The signature of the body, computed by another program.
fn openssl(text: &[u8]) -> String {
    let mut child = Command::new("openssl")
        .args(["dgst", "-sha256", "-hmac", SECRET])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl");
    child.stdin.take().unwrap().write_all(text).unwrap();
    let output = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    output.trim().rsplit(' ').next().unwrap().to_owned()
}

#[test]
fn an_alert_counts_120_customers_despite_kills() {
    let Some(broker) = support::broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (folder, settings) = (folder.path(), settings(broker, folder.path(), "alerts", PARTITIONS as i32));
    std::fs::write(&settings.rules, rules()).unwrap();
    let secret = folder.join("secret");
    std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
    let (address, requests) = receiver(2);
    let hook = [
        ("SHOAL__ALERTS__WEBHOOK", address.as_str()),
        ("SHOAL__ALERTS__WEBHOOK_SECRET_FILE", secret.to_str().unwrap()),
    ];
    let kafka = &settings.kafka;
    create_or_check_topics(kafka, PARTITIONS).unwrap();
    let lines = lines(now());
    broker.produce(&kafka.inputs[0], lines.iter().map(|line| produced(line, PARTITIONS)));

    // Killed before and after the transactions of the changes, of the counts and of the alert.
    for crash_point in ["transaction/sealed@2", "transaction/known@2", "transaction/sealed@2", "transaction/known@1"] {
        let variables = [hook[0], hook[1], ("SHOAL_CRASH_AT", crash_point)];
        let service = Service::start_with(folder, &settings, "one", 0, &variables);
        wait_until("it dies, or is done", || {
            service.log().contains("crash point") || !alerts(broker, kafka).is_empty()
        });
    }
    let start = |instance: &str| Service::start_with(folder, &settings, instance, 0, &hook);
    let service = start("one");
    wait_until("an alert fires", || !alerts(broker, kafka).is_empty());
    check_alert(&alerts(broker, kafka), &lines);
    let record = broker.read_committed(&kafka.topics.alerts).remove(0).value.unwrap();
    check_requests(&requests, &record);

    // A restart, and another process that takes over.
    service.stop();
    let service = start("one");
    service.wait_until_logged("shard recovered");
    let other = start("two");
    wait_until("the other has a shard", || other.log().contains("shard recovered"));
    service.stop();
    wait_until("the other has both", || other.log().matches("shard recovered").count() >= 2);
    other.stop();
    // New rules that move every customer to another segment.
    std::fs::write(&settings.rules, rules().replace("orders >= 1", "orders >= 7").replace("above = 119", "above = 9"))
        .unwrap();
    let service = start("one");
    wait_until("new rules are swept in", || changes(broker, kafka, "rules") == 120);
    wait_until("the alert that is no longer there is resolved", || alerts(broker, kafka).len() == 2);
    service.stop();

    let output = alerts(broker, kafka);
    let states: Vec<&str> = output.iter().map(|alert| alert["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["firing", "resolved"], "{output:?}");
    assert_eq!(changes(broker, kafka, "event"), 2 * 130 + 120);
    let repeats: Vec<String> = requests.try_iter().map(|request| request.id).collect();
    let (first, last) = (id(&output[0]), id(&output[1]));
    assert!(repeats.iter().all(|id| *id == first || *id == last), "{repeats:?}");
}

fn id(alert: &Value) -> String {
    format!("losing/{}/{}", alert["mark"], alert["state"].as_str().unwrap())
}

fn check_alert(alerts: &[Value], lines: &[Line]) {
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    let alert = &alerts[0];
    assert_eq!((alert["state"].as_str(), alert["count"].as_u64()), (Some("firing"), Some(120)), "{alert}");
    assert_eq!(alert["causes"], serde_json::json!({ "event": 120, "time": 0, "late": 0 }));
    assert_eq!(alert["customers"], serde_json::json!(["c-000", "c-001"]));
    let minute = lines.last().unwrap().time.div_euclid(MINUTE) + 1;
    assert_eq!(alert["mark"].as_i64(), Some(minute), "right after the minute in which it happened");
}

/// Two requests that failed, and the accepted one: all with the same signed body.
fn check_requests(requests: &Receiver<Request>, record: &[u8]) {
    for _ in 0..3 {
        let request = requests.recv_timeout(PATIENCE).expect("a request");
        assert_eq!(request.body, record);
        assert_eq!(request.id, id(&serde_json::from_slice(record).unwrap()));
        let (time, signature) = request.signature.split_once(",v1=").unwrap();
        let time = time.strip_prefix("t=").unwrap();
        assert!((now() / 1_000 - time.parse::<i64>().unwrap()).abs() < 60, "{time}");
        assert_eq!(signature, openssl(&[time.as_bytes(), b".", record].concat()));
    }
}

#[test]
fn a_seed_of_recent_events_fires_no_alert() {
    let Some(broker) = support::broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (folder, name) = (folder.path(), "alerts-seed");
    let lines = lines(now());
    let with_id = |line: &Line| {
        let id = String::from_utf8_lossy(line.key.as_deref().unwrap()).into_owned();
        let value = String::from_utf8_lossy(line.value.as_deref().unwrap()).replacen(
            '{',
            &format!(r#"{{"customer_id":"{id}","#),
            1,
        );
        value + "\n"
    };
    std::fs::write(folder.join("events"), lines.iter().map(with_id).collect::<String>()).unwrap();
    std::fs::write(folder.join("rules.toml"), rules().replace("above = 119", "above = 0")).unwrap();
    let topics = support::own_topics(name);
    let config = format!(
        "[kafka]\ngroup = \"{name}\"\ninputs = [\"{name}\"]\nstart = \"latest\"\n[kafka.topics]\n{topics}[snapshots]\nurl = \"snapshots\"\n"
    );
    std::fs::write(folder.join("shoal.toml"), config).unwrap();
    broker.create_topic(name, PARTITIONS as i32, &[("retention.ms", "-1")]);
    let until = jiff::Timestamp::from_millisecond(lines.last().unwrap().time + 1_000).unwrap().to_string();
    let arguments =
        ["seed", "--rules", "rules.toml", "--partitions", "2", "--until", &until, "--snapshot", "snapshots"];
    let seeded = shoal(folder, broker).args(arguments).args(["--bootstrap", "changes", "events"]).output().unwrap();
    assert!(seeded.status.success(), "{}", String::from_utf8_lossy(&seeded.stderr));

    let mut service = shoal(folder, broker);
    let mut service = service.args(["run", "--config", "shoal.toml"]).stderr(Stdio::null()).spawn().unwrap();
    let census = format!("{name}.census");
    let has_reported = || {
        let output = if broker.topics().contains(&census) { broker.read_committed(&census) } else { Vec::new() };
        (0..PARTITIONS as i32).all(|partition| output.iter().filter(|record| record.partition == partition).count() > 1)
    };
    wait_until("both shards have reported their counts, before the first tick and after it", has_reported);
    wait_until("all customers are published", || broker.read_committed(&format!("{name}.changes")).len() == 130);
    assert!(Command::new("kill").args(["-TERM", &service.id().to_string()]).status().unwrap().success());
    assert!(service.wait().unwrap().success());
    assert_eq!(broker.read_committed(&format!("{name}.alerts")), []);
}
