//! The records in the input topics after everything is written, as files for the independent run and the checker.

use crate::load::{LoadOptions, REASON};
use crate::support::{Broker, Received};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// The records in the input topics.
pub struct Inputs {
    /// Valid records of each topic, in files named as the topics: partition after partition, in order of offsets.
    pub files: Vec<PathBuf>,
    /// Location of each invalid record, with the reason for which it must be rejected.
    pub rejected: PathBuf,
    /// End offset of each partition of each topic.
    pub ends: Vec<Vec<i64>>,
}

impl Inputs {
    pub fn read(broker: &Broker, options: &LoadOptions, folder: &Path) -> std::io::Result<Self> {
        let rejected = folder.join("rejected.jsonl");
        let mut rejects = BufWriter::new(File::create(&rejected)?);
        let (mut files, mut ends) = (Vec::new(), Vec::new());
        for topic in &options.topics {
            let path = folder.join(topic);
            let mut lines = BufWriter::new(File::create(&path)?);
            for record in broker.read_committed(topic) {
                write_input(&record, topic, &mut lines, &mut rejects)?;
            }
            lines.flush()?;
            files.push(path);
            ends.push((0..options.partitions).map(|partition| broker.end(topic, partition as i32)).collect());
        }
        rejects.flush()?;
        Ok(Self { files, rejected, ends })
    }
}

fn write_input(
    record: &Received,
    topic: &str,
    lines: &mut impl Write,
    rejects: &mut impl Write,
) -> std::io::Result<()> {
    if let Some(reason) = record.header(REASON) {
        let (partition, offset, reason) = (record.partition, record.offset, String::from_utf8_lossy(reason));
        let location = format!(r#""topic":"{topic}","partition":{partition},"offset":{offset}"#);
        return writeln!(rejects, r#"{{{location},"reason":"{reason}"}}"#);
    }
    lines.write_all(record.value.as_deref().unwrap_or_default())?;
    lines.write_all(b"\n")
}
