//! `shoal snapshot export`: writes the newest snapshots as Parquet files, for DuckDB and similar programs.
//!
//! The shards are restored from their snapshots as at a start, in memory, one after the other. The stored snapshots are
//! not changed.

use super::features::{Customers, times};
use super::list::shards;
use super::tables::{ParquetFile, moment};
use crate::engine::decode::Source;
use crate::engine::effects::Effects;
use crate::engine::event::Millis;
use crate::engine::profile::HeldValue;
use crate::engine::rule::{Rules, read_features, read_following};
use crate::engine::shard::{Bootstrap, Input, Settings, Shard};
use crate::store::objects::Objects;
use crate::store::{LoadedSnapshot, ShardPosition, load};
use anyhow::{anyhow, bail};
use arrow::array::{ArrayRef, Int64Builder, StringBuilder, UInt32Builder};
use arrow::datatypes::{DataType, Field};
use std::path::Path;
use std::sync::Arc;

/// Maximum number of customers per sweep input and of deadlines per fire input.
const AT_ONCE: u32 = 4_096;

pub struct Export<'a> {
    /// The rules in the order in which they were in force; the last are those of the snapshots. Empty if the snapshots
    /// contain their rules, as a seed does.
    pub rules: Vec<Arc<Rules>>,
    /// The time to which the state is advanced before the export.
    pub at: Option<Millis>,
    /// The features of the table of customers in place of all, as conditions write them.
    pub features: Option<&'a [String]>,
    pub folder: &'a Path,
}

/// The numbers of exported rows.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Exported {
    pub shards: u32,
    pub customers: u64,
    pub memberships: u64,
}

struct Tables {
    customers: Customers,
    memberships: Memberships,
    positions: Positions,
    /// The version of the rules, the same for all shards.
    rules_version: String,
}

impl Export<'_> {
    pub fn run(&self, objects: &impl Objects) -> anyhow::Result<Exported> {
        let mut tables: Option<Tables> = None;
        let mut exported = Exported::default();
        for number in shards(objects)? {
            let loaded = load::newest(objects, number, u64::MAX, &|| false).map_err(|error| anyhow!("{error}"))?;
            let Some((_, loaded)) = loaded else { bail!("shard {number}: expected a snapshot that can be read") };
            let position = loaded.head.position.clone();
            let shard = self.shard(number, loaded)?;
            let tables = match &mut tables {
                Some(tables) => tables,
                none => none.insert(Tables::create(self.folder, shard.rules(), self.features)?),
            };
            if tables.rules_version != position.rules_version {
                bail!(
                    "shard {number} has rules version {}, the shards before have version {}: the service is changing its rules, export later",
                    position.rules_version,
                    tables.rules_version
                );
            }
            tables.add(number, &shard, &position)?;
            exported.shards += 1;
        }
        let Some(tables) = tables else { bail!("expected snapshots, found none") };
        exported.memberships = tables.memberships.finish()?;
        exported.customers = tables.customers.finish()?;
        tables.positions.finish()?;
        Ok(exported)
    }

    /// A shard as it is after a start, with its sweep and its due deadlines done.
    fn shard(&self, number: u32, loaded: LoadedSnapshot) -> anyhow::Result<Shard> {
        let (rules, old_rules) = self.rules_of(number, &loaded.head.position)?;
        if loaded.head.state.sweep.is_some() && old_rules.is_none() {
            bail!(
                "shard {number} was changing its rules: pass the previous rules too, with --rules before the new ones"
            );
        }
        let settings = Settings { source: Source::File, publish_from: None, bootstrap: Bootstrap::Nothing };
        let mut shard = Shard::restore(settings, rules, old_rules, &loaded.head.state, loaded.restored);
        let mut effects = Effects::default();
        while shard.sweeping() {
            shard.apply(Input::Sweep { now: Millis::MIN, customers: AT_ONCE }, &mut effects);
            effects.clear();
        }
        if let Some(at) = self.at {
            if at < shard.watermark() {
                bail!(
                    "--at: expected a time not before the watermark of the snapshots, which do not contain earlier states"
                );
            }
            let grace = shard.rules().event_settings.grace;
            shard.apply(Input::Tick(at.saturating_add(grace)), &mut effects);
        }
        while shard.has_due() {
            shard.apply(Input::Fire(AT_ONCE), &mut effects);
            effects.clear();
        }
        Ok(shard)
    }

    /// The rules of a snapshot and the previous rules.
    fn rules_of(&self, number: u32, position: &ShardPosition) -> anyhow::Result<(Arc<Rules>, Option<Arc<Rules>>)> {
        let version = &position.rules_version;
        if let Some((rules, before)) = self.rules.split_last() {
            if rules.version != *version {
                bail!(
                    "--rules: expected the last file to have version {version}, the version of shard {number}; found version {}",
                    rules.version
                );
            }
            return Ok((rules.clone(), before.last().cloned()));
        }
        let Some(bytes) = &position.rules else {
            bail!(
                "the snapshots have rules version {version}, whose file is on the control topic: pass the file with --rules; if \
                 other files were in force before, pass them first, in their order"
            );
        };
        let text = std::str::from_utf8(bytes).map_err(|error| anyhow!("the rules in the snapshot: {error}"))?;
        let rules = read_following(text, None)
            .map_err(|mistakes| anyhow!("the rules in the snapshot of shard {number}: {}", mistakes.in_one_line()))?;
        Ok((rules, None))
    }
}

impl Tables {
    fn create(folder: &Path, rules: &Rules, features: Option<&[String]>) -> anyhow::Result<Self> {
        let columns = match features {
            Some(features) => read_features(features, &rules.event_settings)
                .map_err(|message| anyhow!("--features: {message}; `shoal check --features` lists all"))?,
            None => rules.columns(),
        };
        std::fs::create_dir_all(folder).map_err(|error| anyhow!("cannot create {}: {error}", folder.display()))?;
        Ok(Self {
            customers: Customers::create(folder, columns)?,
            memberships: Memberships::create(folder)?,
            positions: Positions::create(folder)?,
            rules_version: rules.version.clone(),
        })
    }

    fn add(&mut self, number: u32, shard: &Shard, position: &ShardPosition) -> anyhow::Result<()> {
        let profiles = shard.profiles();
        let mut held = Vec::new();
        for row in profiles.rows() {
            let customer = profiles.customer(row);
            // The customer's events may be up to `grace` ahead of the watermark.
            let at = shard.watermark().max(customer.row().clock);
            self.customers.add(number, &customer, at)?;
            profiles.held(row, &mut held);
            self.memberships.add(customer.id(), &held, shard.rules())?;
        }
        self.positions.add(number, position);
        Ok(())
    }
}

/// The table `memberships`: the value that every customer has of each segmentation and audience, and since when.
struct Memberships {
    file: ParquetFile,
    ids: StringBuilder,
    names: StringBuilder,
    values: StringBuilder,
    since: arrow::array::TimestampMillisecondBuilder,
}

impl Memberships {
    const ROWS_MAX: usize = 65_536;

    fn create(folder: &Path) -> anyhow::Result<Self> {
        let fields = vec![
            Field::new("customer_id", DataType::Utf8, false),
            Field::new("segmentation", DataType::Utf8, false),
            Field::new("value", DataType::Utf8, true),
            Field::new("since", moment(), false),
        ];
        Ok(Self {
            file: ParquetFile::create(folder, "memberships.parquet", fields)?,
            ids: StringBuilder::new(),
            names: StringBuilder::new(),
            values: StringBuilder::new(),
            since: times(),
        })
    }

    fn add(&mut self, id: &str, held: &[HeldValue], rules: &Rules) -> anyhow::Result<()> {
        for (target, held) in rules.targets.iter().zip(held) {
            self.ids.append_value(id);
            self.names.append_value(&target.name);
            self.values.append_option((held.value != HeldValue::NULL).then(|| target.value_name(held.value)));
            self.since.append_value(held.since);
        }
        if self.since.values_slice().len() >= Self::ROWS_MAX { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.ids.finish()),
            Arc::new(self.names.finish()),
            Arc::new(self.values.finish()),
            Arc::new(self.since.finish()),
        ];
        self.file.write(columns)
    }

    fn finish(mut self) -> anyhow::Result<u64> {
        self.flush()?;
        let rows = self.file.rows;
        self.file.finish()?;
        Ok(rows)
    }
}

/// The table `positions`: how far each input was read. It is empty for a seed.
struct Positions {
    file: ParquetFile,
    topics: StringBuilder,
    partitions: UInt32Builder,
    next: Int64Builder,
}

impl Positions {
    fn create(folder: &Path) -> anyhow::Result<Self> {
        let fields = vec![
            Field::new("topic", DataType::Utf8, false),
            Field::new("partition", DataType::UInt32, false),
            Field::new("to", DataType::Int64, false),
        ];
        Ok(Self {
            file: ParquetFile::create(folder, "positions.parquet", fields)?,
            topics: StringBuilder::new(),
            partitions: UInt32Builder::new(),
            next: Int64Builder::new(),
        })
    }

    fn add(&mut self, shard: u32, position: &ShardPosition) {
        for (topic, next) in position.inputs.iter().zip(&position.positions) {
            self.topics.append_value(topic);
            self.partitions.append_value(shard);
            self.next.append_value(*next);
        }
    }

    fn finish(mut self) -> anyhow::Result<()> {
        let columns: Vec<ArrayRef> =
            vec![Arc::new(self.topics.finish()), Arc::new(self.partitions.finish()), Arc::new(self.next.finish())];
        self.file.write(columns)?;
        self.file.finish()
    }
}
