//! `shoal produce`: writes native events to a Kafka topic in the form that Shoal expects.
//!
//! The key of a record is the customer id, the partition is that of the partitioner, and the timestamp is the event's
//! time. Lines without a customer id or a time are reported and skipped.

use super::input::{self, BytesRead};
use super::merge::{Line, Merge};
use super::rejected::RejectedLines;
use super::unusable::Unusable;
use crate::engine::decode::{customer_id, time_of};
use crate::engine::event::Millis;
use crate::kafka::{EventProducer, KafkaSettings, ProducedEvent};
use std::path::{Path, PathBuf};

const LINES_AT_ONCE: usize = 1_024;
/// Maximum number of skipped lines that are reported; all of them are counted and written to `--rejected`.
const SHOWN_MAX: u64 = 10;

/// The numbers of written events and skipped lines.
#[derive(Debug, Default)]
pub struct Produced {
    pub events: u64,
    pub skipped: u64,
    /// The skipped lines, without their values: they may end up in a log.
    pub unusable: Unusable,
}

/// Writes the events of the files in order of time. `report` gets file, line, reason and message of the first skipped
/// lines.
pub fn produce(
    settings: &KafkaSettings,
    topic: &str,
    files: &[PathBuf],
    rejected: Option<&Path>,
    report: impl Fn(&str, u64, &str, &str),
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
                    let (reason, message) = if key.is_none() {
                        ("key", "expected a JSON object with a `customer_id`")
                    } else {
                        (
                            "time",
                            "expected a `time`: an RFC 3339 text with a zone or integer milliseconds, from 1990 to before 2100",
                        )
                    };
                    produced.skipped += 1;
                    let (file, number) = (&names[line.file], line.number + 1);
                    if produced.skipped <= SHOWN_MAX {
                        report(file, number, reason, message);
                    }
                    rejected.write(number, file, reason, message, value)?;
                }
            }
        }
    }
    producer.finish()?;
    produced.unusable = rejected.finish()?.without_values();
    Ok(produced)
}
