//! Golden files: what a version of the program left behind on Kafka and beside it, byte for byte, to test later
//! versions on.
//!
//! A folder in `tests/golden` has `records.jsonl.gz`: JSON, one object a line. The first line is the head: which
//! program and semantics, the input topics in their order, partitions, the group's offsets as `[topic, partition,
//! offset]`. Each further line is a record: `topic` (`input/0`, …, or one of our own by its short name), `partition`,
//! `offset`, `timestamp`, `key`, `value`, `headers`. Bytes are text where they are UTF-8, else `{"hex": "…"}`, and null
//! is no value. The service's snapshots are in `snapshots` beside it, and the head has each shard's
//! `fingerprints`.

use super::{Broker, Received};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use shoal::kafka::memory::{Cluster, Stored};
use shoal::kafka::{KafkaSettings, Own, Topic};
use shoal::store::objects::{MemoryObjects, Objects};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

const FILE: &str = "records.jsonl.gz";

/// What a service left behind.
pub struct Golden {
    pub semantics: u64,
    /// Names of the input topics in their order.
    pub inputs: Vec<String>,
    pub partitions: u32,
    /// Of the group: topic, partition, offset.
    pub offsets: Vec<(u16, u32, i64)>,
    pub records: Vec<(Topic, u32, Stored)>,
    /// Of each shard's whole state; empty if there were no snapshots yet.
    pub fingerprints: Vec<u64>,
}

/// The folder of one version.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

impl Golden {
    /// All committed records in the topics of a service that has stopped.
    pub fn of_broker(broker: &Broker, kafka: &KafkaSettings, partitions: u32, semantics: u64) -> Self {
        let mut records = Vec::new();
        let mut offsets = Vec::new();
        for (topic, name) in all_topics(kafka) {
            let read = broker.read_committed(name);
            records.extend(read.into_iter().map(|record| (topic, record.partition as u32, stored(record))));
            if let Topic::Input(input) = topic {
                let committed = broker.committed(&kafka.group, name, partitions as i32);
                offsets.extend((0..).zip(committed).map(|(partition, offset)| (input, partition, offset)));
            }
        }
        Self { semantics, inputs: kafka.inputs.clone(), partitions, offsets, records, fingerprints: Vec::new() }
    }

    pub fn write(&self, folder: &Path) {
        std::fs::create_dir_all(folder).expect("a folder");
        let file = File::create(folder.join(FILE)).expect("a file");
        let mut out = GzEncoder::new(file, Compression::best());
        let head = json!({
            "program": env!("CARGO_PKG_VERSION"),
            "semantics": self.semantics,
            "inputs": self.inputs,
            "partitions": self.partitions,
            "offsets": self.offsets,
            "fingerprints": self.fingerprints,
        });
        writeln!(out, "{head}").expect("written");
        for (topic, partition, stored) in &self.records {
            let headers = stored.headers.iter().map(|(name, value)| json!([name, written(Some(value))]));
            let line = json!({
                "topic": topic_text(*topic),
                "partition": partition,
                "offset": stored.offset,
                "timestamp": stored.timestamp,
                "key": written(stored.key.as_deref()),
                "value": written(stored.value.as_deref()),
                "headers": headers.collect::<Vec<_>>(),
            });
            writeln!(out, "{line}").expect("written");
        }
        out.finish().expect("written");
    }

    pub fn read(folder: &Path) -> Self {
        let path = folder.join(FILE);
        let file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut lines = BufReader::new(GzDecoder::new(file))
            .lines()
            .map(|line| -> Value { serde_json::from_str(&line.expect("a line")).expect("JSON") });
        let head = lines.next().expect("the head");
        Self {
            semantics: head["semantics"].as_u64().expect("a number"),
            inputs: serde_json::from_value(head["inputs"].clone()).expect("names"),
            partitions: head["partitions"].as_u64().expect("a number") as u32,
            offsets: serde_json::from_value(head["offsets"].clone()).expect("offsets"),
            fingerprints: serde_json::from_value(head["fingerprints"].clone()).unwrap_or_default(),
            records: lines.map(|line| record(&line)).collect(),
        }
    }

    /// The same topics in memory, each record at its offset.
    pub fn cluster(&self) -> Cluster {
        let cluster = Cluster::new(self.partitions);
        for (topic, partition, stored) in &self.records {
            cluster.store(*topic, *partition, stored.clone());
        }
        for &(topic, partition, offset) in &self.offsets {
            cluster.set_committed(topic, partition, Some(offset));
        }
        cluster
    }
}

/// The snapshots of a folder, if there are any.
pub fn objects(folder: &Path) -> MemoryObjects {
    let objects = MemoryObjects::default();
    for shard in std::fs::read_dir(folder.join("snapshots")).into_iter().flatten() {
        let shard = shard.expect("a folder");
        for file in std::fs::read_dir(shard.path()).expect("a folder") {
            let file = file.expect("a file");
            let name = format!("{}/{}", text(&shard.file_name()), text(&file.file_name()));
            objects.put(&name, std::fs::read(file.path()).expect("bytes").into()).expect("memory");
        }
    }
    objects
}

/// Copies a service's snapshots to its golden files.
pub fn keep_snapshots(from: &Path, folder: &Path) {
    for shard in std::fs::read_dir(from).expect("snapshots") {
        let shard = shard.expect("a folder");
        let to = folder.join("snapshots").join(shard.file_name());
        std::fs::create_dir_all(&to).expect("a folder");
        for file in std::fs::read_dir(shard.path()).expect("a folder") {
            let file = file.expect("a file");
            std::fs::copy(file.path(), to.join(file.file_name())).expect("copied");
        }
    }
}

fn text(name: &std::ffi::OsStr) -> String {
    name.to_str().expect("a plain name").to_owned()
}

fn all_topics(kafka: &KafkaSettings) -> impl Iterator<Item = (Topic, &str)> {
    let inputs = (0..).zip(&kafka.inputs).map(|(index, name)| (Topic::Input(index), name.as_str()));
    inputs.chain(Own::ALL.map(|own| (Topic::Own(own), kafka.topics.name(own))))
}

fn stored(received: Received) -> Stored {
    let Received { offset, timestamp, key, value, headers, .. } = received;
    Stored { offset, timestamp, key, value, headers, writer: None }
}

fn topic_text(topic: Topic) -> String {
    match topic {
        Topic::Input(index) => format!("input/{index}"),
        Topic::Own(own) => format!("{own:?}").to_lowercase(),
    }
}

fn topic_of(text: &str) -> Topic {
    match text.strip_prefix("input/") {
        Some(index) => Topic::Input(index.parse().expect("a number")),
        None => {
            let own = Own::ALL.into_iter().find(|own| topic_text(Topic::Own(*own)) == text);
            Topic::Own(own.unwrap_or_else(|| panic!("no topic {text:?}")))
        }
    }
}

fn record(line: &Value) -> (Topic, u32, Stored) {
    let headers = line["headers"].as_array().expect("headers").iter();
    let header = |header: &Value| (header[0].as_str().expect("a name").to_owned(), bytes(&header[1]).expect("a value"));
    let stored = Stored {
        offset: line["offset"].as_i64().expect("an offset"),
        timestamp: line["timestamp"].as_i64(),
        key: bytes(&line["key"]),
        value: bytes(&line["value"]),
        headers: headers.map(header).collect(),
        writer: None,
    };
    (topic_of(line["topic"].as_str().expect("a topic")), line["partition"].as_u64().expect("a number") as u32, stored)
}

fn written(bytes: Option<&[u8]>) -> Value {
    let Some(bytes) = bytes else { return Value::Null };
    match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!({ "hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() }),
    }
}

fn bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone().into_bytes()),
        _ => {
            let hex = value["hex"].as_str().expect("text or hex");
            let byte = |index: usize| u8::from_str_radix(&hex[index..index + 2], 16).expect("hex");
            Some((0..hex.len()).step_by(2).map(byte).collect())
        }
    }
}
