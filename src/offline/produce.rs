//! `shoal produce`: native events into a Kafka topic, so that Shoal finds them as it expects them.
//!
//! The record's key is the customer id, the partition that of the partitioner, the timestamp the event's own time. Lines
//! without a customer id or a time have no place there: they are reported and left out.

use super::input::{self, BytesRead};
use super::merge::{Line, Merge};
use super::rejected::RejectedLines;
use crate::engine::decode::{customer_id, time_of};
use crate::engine::event::Millis;
use crate::kafka::{EventProducer, KafkaSettings, ProducedEvent};
use std::path::{Path, PathBuf};

const LINES_AT_ONCE: usize = 1_024;
/// Left-out lines shown on standard error; the rest are counted, and all go to `--rejected`.
const SHOWN_MAX: u64 = 10;

/// Events written, and lines left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Produced {
    pub events: u64,
    pub left_out: u64,
}

/// Writes the files' events in order of time.
pub fn produce(
    settings: &KafkaSettings,
    topic: &str,
    files: &[PathBuf],
    rejected: Option<&Path>,
) -> anyhow::Result<Produced> {
    let names: Vec<String> = files.iter().map(|file| input::short_name(file)).collect();
    let mut rejected = RejectedLines::create(rejected)?;
    let mut merge = Merge::open(files, Millis::MAX, &BytesRead::default())?;
    let producer = EventProducer::open(settings, topic)?;
    let mut produced = Produced::default();
    let mut lines: Vec<Line> = Vec::new();
    loop {
        merge.next_batch(LINES_AT_ONCE, &mut lines)?;
        if lines.is_empty() {
            break;
        }
        for line in &lines {
            let value = merge.text(line);
            match (customer_id(value), time_of(value)) {
                (Some(key), Some(time)) => {
                    producer.send(ProducedEvent { key: key.as_bytes(), time, value })?;
                    produced.events += 1;
                }
                (key, _) => {
                    let (reason, words) = if key.is_none() {
                        ("key", "expected a JSON object with a `customer_id`")
                    } else {
                        (
                            "time",
                            "expected a `time`: RFC 3339 text with zone or integer milliseconds, from 1990 to before 2100",
                        )
                    };
                    produced.left_out += 1;
                    let (file, number) = (&names[line.file], line.number + 1);
                    if produced.left_out <= SHOWN_MAX {
                        eprintln!("{file}:{number}: {reason}: {words}");
                    }
                    rejected.write(number, file, reason, words, value)?;
                }
            }
        }
    }
    producer.finish()?;
    rejected.finish()?;
    Ok(produced)
}
