//! The manifest of a snapshot: its files with their checksums, and the small parts of the state.
//!
//! A manifest has two lines: a JSON object, and `xxh3-128` with the hash of the first line. Its types are separate from
//! those of the engine and the worker, so that these can be renamed without changing the format. A field that came with
//! a format has a `serde(default)`, which it gets in manifests of earlier formats.

use super::census::StoredCensus;
use super::columns::{FORMAT, FORMAT_OLDEST};
use super::{ShardPosition, SnapshotHead};
use crate::engine::event::Millis;
use crate::engine::profile::dedup::IdsHead;
use crate::engine::shard::{self, Bootstrap, SweepHead};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

const CHECKSUM: &str = "xxh3-128 ";

/// The manifest of a snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub format: u32,
    /// Name and version of the program that wrote it.
    pub program: String,
    pub shard: u32,
    /// The last transaction in the state.
    pub transaction: u64,
    #[serde(rename = "place")]
    pub position: StoredPosition,
    pub state: StoredState,
    /// The base, then the deltas in the order of their transactions.
    pub groups: Vec<Group>,
}

/// Files that were written together. Of rows with the same number, the one of the latest group is used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Changes up to this transaction are in this group and the groups before it.
    pub transaction: u64,
    pub customers: Vec<File>,
    pub ids: Vec<File>,
    pub marks: Vec<File>,
}

/// A file in the shard's folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub name: String,
    pub bytes: u64,
    pub rows: u64,
    pub xxh3_128: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredPosition {
    pub outputs: u64,
    pub inputs: Vec<StoredInput>,
    pub partitions: u32,
    pub control_next: i64,
    pub rules_at: Option<i64>,
    pub old_rules_at: Option<i64>,
    pub rules_version: String,
    pub rules: Option<String>,
    pub now: Millis,
    pub ticked: Millis,
    pub last_arrival: Option<Millis>,
    pub journal_from: i64,
}

/// An input topic and its next offset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredInput {
    pub topic: String,
    pub next: i64,
}

/// The small parts of the engine's state. Null is a time that is not known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredState {
    pub customers: u64,
    pub rows_used: u32,
    pub watermark: Option<Millis>,
    pub now: Option<Millis>,
    pub latest_event: Option<Millis>,
    pub customers_made: u32,
    pub generation: u8,
    /// In hexadecimal, since some readers of JSON lack 64-bit integers.
    pub digest: String,
    pub publish_from: Option<Millis>,
    pub bootstrap: StoredBootstrap,
    pub sweep: Option<StoredSweep>,
    pub ids: StoredIds,
    /// Absent if nothing was ever counted for alerts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub census: Option<StoredCensus>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoredBootstrap {
    None,
    Membership,
    Changes,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredSweep {
    pub at: Option<Millis>,
    pub next_row: u32,
    /// Whether the sweep is that of a rebuild, whose rules are not new to the customers; absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub after_rebuild: bool,
}

/// The memory of event ids without the ids. Hours are counted from 1970.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredIds {
    pub latest_hour: Option<i64>,
    pub lost_hour: Option<i64>,
    pub lost: u64,
    /// The remembered hours, the oldest first, each with its number of ids.
    pub hours: Vec<(i64, u64)>,
}

/// `None` for the time that is earlier than any.
fn known(time: Millis) -> Option<Millis> {
    (time != Millis::MIN).then_some(time)
}

impl Group {
    /// All files of the group.
    pub fn files(&self) -> impl Iterator<Item = &File> {
        self.customers.iter().chain(&self.ids).chain(&self.marks)
    }

    pub fn bytes(&self) -> u64 {
        self.files().map(|file| file.bytes).sum()
    }
}

impl Manifest {
    pub fn new(shard: u32, head: &SnapshotHead, groups: Vec<Group>) -> Result<Self, String> {
        Ok(Self {
            format: FORMAT,
            program: concat!("shoal ", env!("CARGO_PKG_VERSION")).to_owned(),
            shard,
            transaction: head.position.transaction,
            position: StoredPosition::of(&head.position)?,
            state: StoredState::of(&head.state),
            groups,
        })
    }

    /// The two lines of the manifest.
    pub fn to_bytes(&self) -> Bytes {
        let mut text = serde_json::to_string(self).expect("plain fields are JSON");
        let checksum = xxh3_128(text.as_bytes());
        text.push_str(&format!("\n{CHECKSUM}{checksum:032x}\n"));
        text.into()
    }

    /// Parses the two lines; the error says what is wrong with them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "expected a manifest in UTF-8".to_owned())?;
        let (first, second) = text.split_once('\n').ok_or("the manifest is truncated: expected two lines")?;
        let expected = format!("{CHECKSUM}{:032x}\n", xxh3_128(first.as_bytes()));
        if second != expected {
            return Err("the manifest is damaged: its checksum does not match".to_owned());
        }
        let version: Version =
            serde_json::from_str(first).map_err(|error| format!("the manifest cannot be parsed: {error}"))?;
        if !(FORMAT_OLDEST..=FORMAT).contains(&version.format) {
            return Err(format!("expected a format from {FORMAT_OLDEST} to {FORMAT}, found format {}", version.format));
        }
        serde_json::from_str(first).map_err(|error| format!("the manifest cannot be parsed: {error}"))
    }

    pub fn head(&self) -> Result<SnapshotHead, String> {
        Ok(SnapshotHead { position: self.position.position(self.transaction), state: self.state.state()? })
    }

    pub fn files(&self) -> impl Iterator<Item = &File> {
        self.groups.iter().flat_map(Group::files)
    }

    /// Whether it describes the same state of the shard, whatever its files are.
    pub fn is_same_state(&self, other: &Self) -> bool {
        (self.shard, self.transaction, &self.state.digest) == (other.shard, other.transaction, &other.state.digest)
            && self.position.inputs == other.position.inputs
    }
}

/// The field that every format of the manifest has.
#[derive(Deserialize)]
struct Version {
    format: u32,
}

impl StoredPosition {
    fn of(position: &ShardPosition) -> Result<Self, String> {
        let inputs = position.inputs.iter().zip(&position.positions);
        let rules = position.rules.clone().map(String::from_utf8).transpose();
        Ok(Self {
            outputs: position.outputs,
            inputs: inputs.map(|(topic, &next)| StoredInput { topic: topic.clone(), next }).collect(),
            partitions: position.partitions,
            control_next: position.control_next,
            rules_at: position.rules_at,
            old_rules_at: position.old_rules_at,
            rules_version: position.rules_version.clone(),
            rules: rules.map_err(|error| format!("expected rules in UTF-8: {error}"))?,
            now: position.now,
            ticked: position.ticked,
            last_arrival: position.last_arrival,
            journal_from: position.journal_from,
        })
    }

    fn position(&self, transaction: u64) -> ShardPosition {
        ShardPosition {
            transaction,
            outputs: self.outputs,
            positions: self.inputs.iter().map(|input| input.next).collect(),
            inputs: self.inputs.iter().map(|input| input.topic.clone()).collect(),
            partitions: self.partitions,
            control_next: self.control_next,
            rules_at: self.rules_at,
            old_rules_at: self.old_rules_at,
            rules_version: self.rules_version.clone(),
            rules: self.rules.clone().map(String::into_bytes),
            now: self.now,
            ticked: self.ticked,
            last_arrival: self.last_arrival,
            journal_from: self.journal_from,
        }
    }
}

impl StoredState {
    fn of(head: &shard::Head) -> Self {
        Self {
            customers: head.customers as u64,
            rows_used: head.rows_used,
            watermark: known(head.watermark),
            now: known(head.now),
            latest_event: known(head.latest_event),
            customers_made: head.customers_made,
            generation: head.generation,
            digest: format!("{:016x}", head.digest),
            publish_from: head.publish_from,
            bootstrap: match head.bootstrap {
                Bootstrap::Nothing => StoredBootstrap::None,
                Bootstrap::Membership => StoredBootstrap::Membership,
                Bootstrap::Changes => StoredBootstrap::Changes,
            },
            sweep: head.sweep.map(|sweep| StoredSweep {
                at: known(sweep.at),
                next_row: sweep.next_row,
                after_rebuild: !sweep.moves_clocks,
            }),
            ids: StoredIds {
                latest_hour: known(head.ids.latest_hour),
                lost_hour: head.ids.lost_hour,
                lost: head.ids.lost,
                hours: head.ids.hours.clone(),
            },
            census: StoredCensus::of(&head.census),
        }
    }

    fn state(&self) -> Result<shard::Head, String> {
        let time = |time: Option<Millis>| time.unwrap_or(Millis::MIN);
        Ok(shard::Head {
            watermark: time(self.watermark),
            now: time(self.now),
            latest_event: time(self.latest_event),
            customers_made: self.customers_made,
            generation: self.generation,
            digest: u64::from_str_radix(&self.digest, 16)
                .map_err(|_| format!("expected a digest in hexadecimal, found {:?}", self.digest))?,
            publish_from: self.publish_from,
            bootstrap: match self.bootstrap {
                StoredBootstrap::None => Bootstrap::Nothing,
                StoredBootstrap::Membership => Bootstrap::Membership,
                StoredBootstrap::Changes => Bootstrap::Changes,
            },
            sweep: self.sweep.as_ref().map(|sweep| SweepHead {
                at: time(sweep.at),
                next_row: sweep.next_row,
                moves_clocks: !sweep.after_rebuild,
            }),
            rows_used: self.rows_used,
            customers: usize::try_from(self.customers).map_err(|error| error.to_string())?,
            ids: IdsHead {
                latest_hour: time(self.ids.latest_hour),
                lost_hour: self.ids.lost_hour,
                lost: self.ids.lost,
                hours: self.ids.hours.clone(),
            },
            census: self.census.as_ref().map(StoredCensus::census).transpose()?.unwrap_or_default(),
        })
    }
}
