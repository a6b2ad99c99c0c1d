//! `shoal snapshot export`: the newest snapshots as Parquet files, for DuckDB and the like.
//!
//! Each shard is made of its snapshot as at a start, in memory, one after the other; nothing is changed where it lies.

use super::features::{Customers, times};
use super::list::shards;
use super::tables::{ParquetFile, moment};
use crate::engine::decode::Source;
use crate::engine::effects::Effects;
use crate::engine::event::Millis;
use crate::engine::profile::HeldValue;
use crate::engine::rule::{Rules, read_following};
use crate::engine::shard::{Bootstrap, Input, Settings, Shard};
use crate::store::blobs::Blobs;
use crate::store::{Loaded, Place, load};
use anyhow::{anyhow, bail};
use arrow::array::{ArrayRef, Int64Builder, StringBuilder, UInt32Builder};
use arrow::datatypes::{DataType, Field};
use std::path::Path;
use std::sync::Arc;

/// Customers swept, and deadlines fired, at once.
const AT_ONCE: u32 = 4_096;

pub struct Export<'a> {
    /// Rules in the order in which they were in force, the last ones those of the snapshots; empty if these have theirs
    /// with them, as a seed does.
    pub rules: Vec<Arc<Rules>>,
    /// Time goes on to here first.
    pub at: Option<Millis>,
    pub folder: &'a Path,
}

/// What was written.
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
    /// Version of the rules of all shards.
    rules_version: String,
}

impl Export<'_> {
    pub fn run(&self, blobs: &impl Blobs) -> anyhow::Result<Exported> {
        let mut tables: Option<Tables> = None;
        let mut exported = Exported::default();
        for number in shards(blobs)? {
            let loaded = load::newest(blobs, number, u64::MAX, &|| false).map_err(|away| anyhow!("{away}"))?;
            let Some((_, loaded)) = loaded else { bail!("shard {number}: expected a snapshot that can be read") };
            let place = loaded.head.place.clone();
            let shard = self.shard(number, loaded)?;
            let tables = match &mut tables {
                Some(tables) => tables,
                none => none.insert(Tables::create(self.folder, shard.rules())?),
            };
            if tables.rules_version != place.rules_version {
                bail!(
                    "shard {number} has rules {}, the shards before have {}: new rules are being taken, export later",
                    place.rules_version,
                    tables.rules_version
                );
            }
            tables.add(number, &shard, &place)?;
            exported.shards += 1;
        }
        let Some(tables) = tables else { bail!("expected snapshots, found none") };
        exported.memberships = tables.memberships.finish()?;
        exported.customers = tables.customers.finish()?;
        tables.positions.finish()?;
        Ok(exported)
    }

    /// A shard as it would be after a start, with nothing left to do.
    fn shard(&self, number: u32, loaded: Loaded) -> anyhow::Result<Shard> {
        let (rules, old_rules) = self.rules_of(number, &loaded.head.place)?;
        if loaded.head.state.sweep.is_some() && old_rules.is_none() {
            bail!(
                "shard {number} was taking new rules: name the rules before them too, with --rules before the new ones"
            );
        }
        let settings = Settings { source: Source::File, publish_from: None, bootstrap: Bootstrap::Nothing };
        let mut shard = Shard::restore(settings, rules, old_rules, &loaded.head.state, loaded.restored);
        let mut effects = Effects::default();
        while shard.sweeping() {
            shard.apply(Input::Sweep(AT_ONCE), &mut effects);
            effects.clear();
        }
        if let Some(at) = self.at {
            if at < shard.watermark() {
                bail!("--at: expected no moment before that of the snapshots: what was then is not in them");
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

    /// The rules of a snapshot, and those before.
    fn rules_of(&self, number: u32, place: &Place) -> anyhow::Result<(Arc<Rules>, Option<Arc<Rules>>)> {
        let version = &place.rules_version;
        if let Some((rules, before)) = self.rules.split_last() {
            if rules.version != *version {
                bail!(
                    "--rules: expected the file of version {version}, which shard {number} was stored under, as the last \
                     one, found version {}",
                    rules.version
                );
            }
            return Ok((rules.clone(), before.last().cloned()));
        }
        let Some(bytes) = &place.rules else {
            bail!(
                "the snapshots were made under rules version {version}, which stand in the control topic: name their file \
                 with --rules; if other files were in force before it, name these first, in their order"
            );
        };
        let text = std::str::from_utf8(bytes).map_err(|error| anyhow!("the rules in the snapshot: {error}"))?;
        let rules = read_following(text, None)
            .map_err(|mistakes| anyhow!("the rules in the snapshot of shard {number}: {}", mistakes.in_one_line()))?;
        Ok((rules, None))
    }
}

impl Tables {
    fn create(folder: &Path, rules: &Rules) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).map_err(|error| anyhow!("cannot make {}: {error}", folder.display()))?;
        Ok(Self {
            customers: Customers::create(folder, rules)?,
            memberships: Memberships::create(folder)?,
            positions: Positions::create(folder)?,
            rules_version: rules.version.clone(),
        })
    }

    fn add(&mut self, number: u32, shard: &Shard, place: &Place) -> anyhow::Result<()> {
        let profiles = shard.profiles();
        let mut held = Vec::new();
        for row in profiles.rows() {
            let customer = profiles.customer(row);
            // Its events may be up to `grace` ahead of the watermark.
            let at = shard.watermark().max(customer.row().clock);
            self.customers.add(number, &customer, at)?;
            profiles.held(row, &mut held);
            self.memberships.add(customer.id(), &held, shard.rules())?;
        }
        self.positions.add(number, place);
        Ok(())
    }
}

/// The table `memberships`: what every customer is in, and since when.
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

/// The table `positions`: how far each input was read. A seed has read none.
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

    fn add(&mut self, shard: u32, place: &Place) {
        for (topic, next) in place.inputs.iter().zip(&place.positions) {
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
